"""``mertag remove``: mertag's own fields, taken out of songs."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mertag.cli import console
from mertag.cli import tag_options as opt
from mertag.cli.shared import command_line, idle_patterns, nothing_found, refuse_music
from mertag.cli.undo import StateOption
from mertag.errors import ConfigError

if TYPE_CHECKING:
    from mertag.library.state.journal import Journal


def remove(
    paths: opt.Paths = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show old -> new for each file, and change nothing.")
    ] = False,
    preserve_mtime: opt.PreserveMtime = False,
    break_hard_links: opt.BreakHardLinks = False,
    include: opt.Include = None,
    exclude: opt.Exclude = None,
    state: StateOption = None,
    no_state: Annotated[
        bool, typer.Option("--no-state", help="Remember nothing: what is removed cannot be undone.")
    ] = False,
    report: Annotated[
        str | None,
        typer.Option(metavar="FILE|-", help="Write the summary as JSON, with every file that was not changed and why."),
    ] = None,
    json: opt.Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Failures and errors only.")] = False,
) -> None:
    """Take mertag's own fields out of songs: MERTAG_*, and the mood if mertag wrote it.

    A mood that someone else wrote stays, and so does everything else. It is a run of its own: `mertag undo` takes it
    back. Sidecars stay; those that a run of `mertag tag` made go when that run is undone.
    """
    if not paths:
        raise ConfigError("nothing to do; give songs or folders")
    if no_state and state is not None:
        raise ConfigError("--state and --no-state exclude each other")
    from mertag.cli.outputs import check_outputs
    from mertag.cli.view import View
    from mertag.library import find as library
    from mertag.library.accounting import Status
    from mertag.library.remove import remove_from
    from mertag.library.tags import TagOptions

    check_outputs({"--report": report, "--json": "-" if json else None})
    unreadable: list[tuple[Path, str]] = []
    ignored: list[Path] = []
    songs = list(
        library.find_audio(
            paths,
            include=tuple(include or ()),
            exclude=tuple(exclude or ()),
            on_error=lambda path, reason: unreadable.append((path, reason)),
            on_ignored=ignored.append,
        )
    )
    if ignored and not quiet:
        console.say(library.ignored_note(len(ignored)))
    if not songs and not unreadable:
        console.warn(nothing_found(include, exclude))
    for remark in idle_patterns(paths, include, exclude) if songs else ():
        console.warn(remark)
    with ExitStack() as stack:
        journal, run = None, None
        if not dry_run and not no_state and songs:
            journal, run = _journal(stack, state)
        events = remove_from(
            songs,
            journal=journal,
            options=TagOptions(preserve_mtime=preserve_mtime, break_hard_links=break_hard_links),
            dry_run=dry_run,
            unreadable=unreadable,
        )
        cleared = "cleared of mertag's fields"  # the files stay
        view = View(noun="file", done=cleared, dry_run=dry_run, quiet=quiet, stdout_taken=report == "-", json=json)
        with view.opened(report, {"command": "remove", "run": run}):
            summary = view.follow(events)
    if run is not None and summary.counts[Status.REMOVED] and not quiet:
        console.say(f"this was run {run}; `mertag undo --run {run}` gives the old files back")
    if summary.failed:
        raise typer.Exit(console.ExitCode.SOME_FAILED)


def _journal(stack: ExitStack, state: Path | None) -> tuple[Journal, int]:
    """Open the state file and begin a run; return its journal and its number."""
    from mertag.library.state.database import Database, default_path
    from mertag.library.state.journal import Journal
    from mertag.library.state.runs import Run

    refuse_music(state)
    database = stack.enter_context(Database(state or default_path(), notify=console.warn))
    run = stack.enter_context(Run(database, kind="remove", command=command_line()))
    return Journal(database, run.id), run.id
