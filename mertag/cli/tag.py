"""``mertag tag``: options in, one run over a library, its results out."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mertag.cli import console
from mertag.errors import ConfigError

if TYPE_CHECKING:
    from mertag.batch import BatchOptions, SongTagger, Summary
    from mertag.state import State
    from mertag.tagger import Tagger


class DeviceChoice(StrEnum):
    """Where the network may run."""

    auto = "auto"
    cuda = "cuda"
    cpu = "cpu"


ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="FOLDER",
        envvar="MERTAG_BUNDLE",
        help="The model bundle; if not given, the one in the configuration file, else the bundled one.",
    ),
]
DeviceOption = Annotated[
    DeviceChoice,
    typer.Option("--device", help="Where the network runs. cuda fails if it cannot; auto says what it chose."),
]


def tag(
    paths: Annotated[list[Path] | None, typer.Argument(metavar="PATHS", help="Songs and folders.")] = None,
    write_id3: Annotated[
        bool,
        typer.Option("--write-id3", "--write-tags", help="Write tags, each container's own (not ID3 alone), safely."),
    ] = False,
    sidecar: Annotated[bool, typer.Option("--sidecar", help="Write SONG.mertag.json beside each song.")] = False,
    jsonl: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Write one JSON object a song; - is stdout.")
    ] = None,
    csv: Annotated[str | None, typer.Option(metavar="FILE|-", help="Write a CSV table; - is stdout.")] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show old -> new for each file and change no music file, tag or sidecar. "
            "Alone, it shows what --write-id3 would do.",
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a mood that someone else wrote.")] = False,
    min_confidence: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Write no mood below this confidence (mertag's own fields are written)."),
    ] = 0.0,
    moods: Annotated[int, typer.Option(min=1, max=2, help="How many moods to write, most likely first.")] = 1,
    preserve_mtime: Annotated[
        bool,
        typer.Option("--preserve-mtime", help="Keep the time of change (some players then miss the change)."),
    ] = False,
    break_hard_links: Annotated[
        bool,
        typer.Option(
            "--break-hard-links",
            help="Write files that have several names, too: the other names keep the old content.",
        ),
    ] = False,
    model: ModelOption = None,
    device: DeviceOption = DeviceChoice.auto,
    segment_hop: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Step between segments; if not given, that of the training (a warning else).",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that decode; if not given, two, or with a GPU one for each core."),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Only files whose name matches ('*.flac', 'Live/*'); repeatable."),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="No files or folders that match; repeatable.")
    ] = None,
    files_from: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|-",
            help="Read more paths from a file or stdin: one a line, or separated by NUL (find -print0).",
        ),
    ] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first file that fails.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Results, failures and errors only.")] = False,
    report: Annotated[
        str | None,
        typer.Option(metavar="FILE|-", help="Write the summary as JSON, with every file that was not tagged and why."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where it is remembered what was analysed and written; else your own place."),
    ] = None,
    no_state: Annotated[
        bool, typer.Option("--no-state", help="Remember nothing, use nothing remembered; no write can be undone.")
    ] = False,
    retag: Annotated[
        bool, typer.Option("--retag", help="Write only what is remembered; load no model, analyse nothing.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Analyse every song again, and look at every file, whatever is remembered.")
    ] = False,
) -> None:
    """Recognise the emotion of songs.

    Without --write-id3, --sidecar, --jsonl and --csv, a table is printed and nothing is written. Results go
    to stdout, everything else to stderr.

    Every file that is found ends as tagged, unchanged, skipped (too short, silent, no tag format: not an
    error) or failed (damaged, or not writable). A file without a tag format is tagged if --sidecar gives it
    one. To find no audio file is not an error: exit code 0, and a message; a path that does not exist is
    one: exit code 2.

    A second run analyses no song that was analysed with the same model and settings, wherever its file is now, and
    opens no file for which nothing is left to do.
    """
    roots = [*(paths or []), *(read_paths(files_from) if files_from else [])]
    if not paths and not files_from:
        raise ConfigError("nothing to tag; give songs or folders, or --files-from FILE")
    for path in paths or []:
        if not os.path.lexists(path):
            raise ConfigError(f"{path}: no such file or folder")
    check_outputs({"--jsonl": jsonl, "--csv": csv, "--report": report})

    from mertag.batch import BatchOptions
    from mertag.tags import TagOptions

    options = BatchOptions(
        write_tags=write_id3 or (dry_run and not sidecar),
        sidecar=sidecar,
        dry_run=dry_run,
        tag=TagOptions(
            overwrite=overwrite,
            min_confidence=min_confidence,
            moods=moods,
            preserve_mtime=preserve_mtime,
            break_hard_links=break_hard_links,
        ),
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        fail_fast=fail_fast,
        missing_fails=files_from is not None,
        retag=retag,
        force=force,
    )
    from mertag.cli import memory

    with memory.opened(state, no_state=no_state, needed=retag or (options.writes and not dry_run)) as remembered:
        tagger: Tagger | memory.OnlyRemembered
        if retag:
            tagger, facts = memory.without_model(model, segment_hop_s=segment_hop)
        else:
            tagger, facts = open_tagger(model, device.value, workers=workers, segment_hop_s=segment_hop)
        with tagger:
            if not quiet:
                console.say(console.clean("model {model} on {device} ({provider}; {reason})".format(**facts)))
            summary = _run(
                roots, tagger, options, facts, state=remembered, jsonl=jsonl, csv=csv, report=report, quiet=quiet
            )
    if summary.failed:
        raise typer.Exit(console.ExitCode.SOME_FAILED)


def read_paths(source: str) -> list[Path]:
    """Return the paths that a file, or stdin (``"-"``), lists: one a line, or separated by NUL.

    Raises
    ------
    ConfigError
        If the list cannot be read.
    """
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise ConfigError(f"--files-from {source}: cannot be read: {error.strerror or error}") from error
    names = data.split(b"\0") if b"\0" in data else data.splitlines()
    return [Path(os.fsdecode(name)) for name in names if name]


def check_outputs(targets: dict[str, str | None]) -> None:
    """Refuse outputs that cannot be: two on stdout or in one file, or in the place of someone else's file.

    Raises
    ------
    ConfigError
        Naming the option.
    """
    from mertag.cli.outputs import check_target

    taken: dict[str, str] = {}
    for option, target in targets.items():
        if target is None:
            continue
        place = target if target == "-" else os.path.realpath(target)
        if place in taken:
            raise ConfigError(f"{taken[place]} and {option} both go to {target}; give each its own place")
        taken[place] = option
        check_target(option, target)


def open_tagger(
    model: Path | None,
    device: Literal["auto", "cuda", "cpu"],
    *,
    workers: int | None,
    segment_hop_s: float | None,
) -> tuple[Tagger, dict[str, str]]:
    """Open the tagger; return it, and which model runs where and why, for the person and for the report."""
    from mertag.tagger import Tagger

    tagger = Tagger(model, device=device, workers=workers, segment_hop_s=segment_hop_s, notify=console.warn)
    segment = tagger.models.segment
    return tagger, {
        "model": tagger.bundle.id,
        "device": segment.device,
        "provider": segment.provider,
        "reason": segment.reason,
    }


def _run(
    roots: list[Path],
    tagger: SongTagger,
    options: BatchOptions,
    facts: dict[str, str],
    *,
    state: State | None,
    jsonl: str | None,
    csv: str | None,
    report: str | None,
    quiet: bool,
) -> Summary:
    from mertag.batch import FileDone, Finished, Found, Note, tag_library
    from mertag.cli.outputs import open_sinks, write_report
    from mertag.cli.tag_view import Progress, TagView

    stdout_taken = "-" in (jsonl, csv, report)
    writes = options.write_tags or options.sidecar
    drawn_over = stdout_taken and console.stream_is_terminal("stdout")  # a bar would stand amid the results
    progress = Progress(quiet=quiet, bar=console.stream_is_terminal("stderr") and not drawn_over)
    view = TagView(
        progress,
        table=not (writes or jsonl or csv or report == "-"),
        changes=options.dry_run,
        changes_on_stdout=not stdout_taken,
        quiet=quiet,
    )
    summary: Summary | None = None
    try:
        with progress.shown():
            events = tag_library(roots, tagger=tagger, options=options, state=state)
            first = next(events)
            assert isinstance(first, Found)
            view.show(first)
            if not first.n:
                console.warn("no audio files were found there; nothing to do")
            with open_sinks(jsonl, csv) as add:
                for event in events:
                    if isinstance(event, Finished):
                        summary = event.summary
                        continue
                    if isinstance(event, Note):
                        view.show(event)
                        continue
                    assert isinstance(event, FileDone)
                    try:
                        add(event)
                        view.show(event)
                    except Exception as error:  # such as a full disk: the songs done so far still get a summary
                        finished = events.throw(error)
                        assert isinstance(finished, Finished)
                        summary = finished.summary
                        raise
    finally:  # an interruption and an error too come after the summary, and must not cost it
        if summary is not None:
            view.table()
            view.summary(summary, dry_run=options.dry_run)
            if report is not None:
                write_report(report, summary, **facts, dry_run=options.dry_run)
            if summary.not_reached:
                how_far = f"{summary.found - summary.not_reached} of {summary.found} files are finished"
                console.say(f"stopped early: {how_far}, and stay so; run the same command again for the rest")
    assert summary is not None  # the last event, unless an error was raised
    return summary
