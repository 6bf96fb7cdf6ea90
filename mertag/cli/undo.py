"""``mertag undo``: the bytes that files had before a run, given back."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mertag.cli import console
from mertag.cli.shared import refuse_music
from mertag.errors import ConfigError, StateError

if TYPE_CHECKING:
    from mertag.library.state.database import Database
    from mertag.library.undo import PastRun, UndoOptions

StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state", metavar="FILE", help="Where mertag remembers; if not given, state.sqlite in your state folder."
    ),
]
COLUMNS = ("run", "began", "command", "ended", "files", "not undone", "journal", "share")
COLUMNS_ON_TERMINALS = ("run", "began", "files", "not undone", "journal", "command")


def undo(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATHS", help="Only these files and folders; if not given, all.")
    ] = None,
    run: Annotated[
        int | None,
        typer.Option(metavar="ID", min=1, help="Which run; if not given, the newest one that is not undone."),
    ] = None,
    show_list: Annotated[
        bool, typer.Option("--list", help="Show the runs that wrote something, newest first, and stop.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Say what would be done, and change nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask first. Without a terminal, mertag never asks.")
    ] = False,
    restore_mtime: Annotated[
        bool,
        typer.Option(
            "--restore-mtime", help="Give files their old time of change back, too (some players then miss the change)."
        ),
    ] = False,
    break_hard_links: Annotated[
        bool,
        typer.Option(
            "--break-hard-links",
            help="Give files back that have several names by now, too: the other names keep what they have.",
        ),
    ] = False,
    state: StateOption = None,
    report: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Write the summary as JSON, with every file that was left.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on stdout: the summary, or with --list the runs.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Files that are left, and errors, only.")] = False,
) -> None:
    """Give files the bytes back, exactly, that they had before a run of `mertag tag` or `mertag remove`.

    Sidecars that the run made are removed. A file that someone changed since is left as it is and named, and the exit
    code is then 1; the next `mertag undo` goes on with the run before. Files that were moved are recognised by their
    content where mertag knows their new place, or it is given. An undo that was stopped can be run again. Nothing to
    undo is no error: exit code 0, and a message.
    """
    from mertag.cli.outputs import check_outputs, report_nothing
    from mertag.library.undo import STATUSES, UndoOptions

    check_outputs({"--report": report, "--json": "-" if json else None})
    if show_list and (paths or run is not None):
        raise ConfigError("--list shows all runs; give it without --run and PATHS")
    database = _opened(state)
    if database is None:
        console.say("nothing to undo: mertag has written nothing that it remembers")
        if show_list and json:
            _print_runs([])
        elif not show_list:
            report_nothing(report, {"command": "undo", "run": None, "dry_run": dry_run}, STATUSES, json=json)
        return
    with database:
        if show_list:
            _list(database, json=json)
            return
        options = UndoOptions(
            paths=tuple(paths or ()), dry_run=dry_run, restore_mtime=restore_mtime, break_hard_links=break_hard_links
        )
        failed = _undo(database, run, options, report=report, json=json, quiet=quiet, ask=not (yes or dry_run))
    if failed:
        raise typer.Exit(console.ExitCode.SOME_FAILED)


def set_aside(state: Path) -> list[Path]:
    """Return the files that could not be used as this state file, the newest first."""
    paths = state.parent.glob(f"{state.name}.aside-*")
    return sorted((path for path in paths if not path.name.endswith(("-wal", "-shm", ".lock"))), reverse=True)


def _opened(state: Path | None) -> Database | None:
    """Open the state file; None if there is none where it lies by default."""
    from mertag.library.state.database import Database, default_path

    path = state or default_path()
    if not path.exists():
        if state is not None:
            raise ConfigError(f"--state {state}: there is no such file")
        return None
    refuse_music(state)
    problems: list[str] = []
    database = Database(path, notify=problems.append)
    if problems:
        database.close()
        raise StateError(f"{problems[0]}; nothing can be undone without it")
    return database


def _undo(
    database: Database,
    run: int | None,
    options: UndoOptions,
    *,
    report: str | None,
    json: bool,
    quiet: bool,
    ask: bool,
) -> int:
    """Undo a run; return how many files were left."""
    from mertag.cli.outputs import report_nothing
    from mertag.cli.view import View, count
    from mertag.library.accounting import Found
    from mertag.library.undo import STATUSES, past_runs, undo_run

    past = past_runs(database)
    events = undo_run(database, run, options, command="mertag undo")
    first = next(events)
    assert isinstance(first, Found)
    undone = next((one for one in past if one.id == first.run and first.n), None)
    asks = ask and undone is not None and console.stream_is_terminal("stdin") and console.stream_is_terminal("stderr")
    where = " there" if options.paths else ""
    if asks or not quiet:
        for left in past if run is None and not options.paths else ():
            if left.standing and (undone is None or left.id > undone.id):
                files = count(left.standing, "file")
                console.say(f"run {left.id} left {files}; `mertag undo --run {left.id}` tries again and says why")
        if undone is not None:
            verb = "would be" if options.dry_run else "is to be"
            command = undone.command if len(undone.command) <= 200 else f"{undone.command[:199]}…"
            about = f"run {undone.id} {verb} undone{where}: {_when(undone)}, {command}"
            console.say(console.clean(f"{about}: {count(first.n, 'file')} in {undone.folder}"))
    if asks and not typer.confirm("give these files back the bytes that they had before?", err=True):
        console.say("nothing was changed")
        facts = {"command": "undo", "run": first.run, "dry_run": False}
        report_nothing(report, facts, STATUSES, json=json, left=first.n)
        return 0
    if not quiet and undone is None:
        if run is None:
            left_over = any(one.standing for one in past) and not options.paths
            why = "nothing else can be taken back" if left_over else f"no run wrote anything{where} that still stands"
            console.say(f"nothing to undo: {why}")
            for aside in set_aside(database.path):
                command = f"mertag undo --state {shlex.quote(str(aside))}"
                older = f"an older state file was set aside: {aside}. What it knows, if it is not damaged: {command}"
                console.say(console.clean(older))
        else:
            console.say(f"nothing to undo: run {run} wrote nothing{where}")

    quiet = quiet or not first.n
    dry_run, stdout_taken = options.dry_run, report == "-"
    view = View(noun="file", done="undone", dry_run=dry_run, quiet=quiet, stdout_taken=stdout_taken, json=json)
    with view.opened(report, {"command": "undo", "run": first.run}):
        view.show(first)
        n_left = view.follow(events).failed
    if n_left and not quiet and not options.dry_run and undone is not None:
        way = f"`mertag undo --run {undone.id}` tries {'it' if n_left == 1 else 'them'} again"
        if undone.kind == "tag":
            way += "; `mertag remove FILE` takes mertag's fields out of a song without undoing later changes"
        console.say(f"{count(n_left, 'file')} of run {undone.id} left: {way}")
        console.say("the next `mertag undo` goes on with the run before")
    return n_left


def _when(run: PastRun) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started_s))


def _print_runs(runs: Sequence[PastRun]) -> None:
    """Print the runs as JSON."""
    from mertag.cli.outputs import print_json
    from mertag.files import path_text

    print_json(
        {
            "runs": [
                {
                    "run": run.id,
                    "kind": run.kind,
                    "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(run.started_s)),
                    "command": path_text(run.command),
                    "ended": run.ended,
                    "files": run.files,
                    "not_undone": run.standing,
                    "folder": path_text(run.folder),
                    "journal_bytes": run.journal_bytes,
                    "written_bytes": run.written_bytes,
                }
                for run in runs
            ]
        }
    )


def _list(database: Database, *, json: bool) -> None:
    from mertag.library.undo import journal_size, past_runs

    runs = past_runs(database)
    if json:
        _print_runs(runs)
        return
    if not runs:
        console.say("no run wrote anything")
        return
    rows = [
        (
            str(run.id),
            _when(run),
            run.command,
            run.ended,
            str(run.files),
            str(run.standing),
            size(run.journal_bytes),
            share(run.share),
        )
        for run in runs
    ]
    if console.stream_is_terminal("stdout"):  # 80 columns hold no more beside a command
        short = [
            (run, began, files, standing, journal, command if ended == "finished" else f"{command} ({ended})")
            for run, began, command, ended, files, standing, journal, _ in rows
        ]
        console.table(COLUMNS_ON_TERMINALS, short, right=COLUMNS_ON_TERMINALS[:5])
    else:
        console.table(COLUMNS, rows, right=("run", *COLUMNS[4:]))
    total = journal_size(database)
    console.say(
        f"the journal takes {size(total.journal_bytes)}: {share(total.share)} of the {size(total.written_bytes)} "
        "of files that these runs wrote"
    )


def size(n: int) -> str:
    """Return a number of bytes as a person says it: ``312 B``, ``4.5 MB``."""
    amount, units = float(n), iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while amount >= 999.5 and unit != "TB":
        amount, unit = amount / 1000, next(units)
    return f"{amount:.3g} {unit}" if amount < 999.5 else f"{amount:.0f} {unit}"


def share(part: float) -> str:
    """Return a share as a percentage of two digits: ``0.0042 %``."""
    return f"{100 * part:.2g} %"
