"""``mertag watch``: tags what arrives in folders; the model stays loaded."""

from __future__ import annotations

import contextlib
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mertag._version import __version__
from mertag.cli import console
from mertag.cli import tag_options as opt
from mertag.cli.console import LogLevel, show_from
from mertag.cli.shared import open_tagger, opened_state
from mertag.errors import ConfigError, StateError
from mertag.interrupt import Terminated, terminate

if TYPE_CHECKING:
    from mertag.batch import BatchOptions
    from mertag.library.accounting import FileDone
    from mertag.listen.tagger import Tagger

Folders = Annotated[list[Path] | None, typer.Argument(metavar="PATHS", help="Folders.")]
Settle = Annotated[
    float,
    typer.Option(
        min=0.0,
        metavar="SECONDS",
        help="A file is whole when its size and time of change have stayed the same so long.",
    ),
]
Poll = Annotated[
    bool,
    typer.Option(
        "--poll", help="Look at all files every 2 s: for network shares, which do not report what others write."
    ),
]


def watch(
    paths: Folders = None,
    include: opt.Include = None,
    exclude: opt.Exclude = None,
    settle: Settle = 10.0,
    poll: Poll = False,
    write_id3: opt.WriteTags = False,
    sidecar: opt.Sidecar = False,
    overwrite: opt.Overwrite = False,
    min_confidence: opt.MinConfidence = 0.0,
    moods: opt.Moods = 1,
    join: opt.Join = None,
    fields: opt.Fields = None,
    labels: opt.Labels = None,
    balanced: opt.Balanced = None,
    scale: opt.Scale = 1,
    comment_field: opt.CommentField = False,
    preserve_mtime: opt.PreserveMtime = False,
    break_hard_links: opt.BreakHardLinks = False,
    model: opt.ModelOption = None,
    device: opt.DeviceOption = opt.DeviceChoice.auto,
    windows: opt.Windows = None,
    segment_hop: opt.SegmentHop = None,
    workers: opt.Workers = None,
    strict: opt.Strict = False,
    quiet: opt.Quiet = False,
    log_level: opt.LogLevelOption = LogLevel.warning,
    json: opt.Json = False,
    state: opt.StateFile = None,
) -> None:
    """Tag the music that arrives in folders, until stopped.

    At the start, everything there is looked at, as by `mertag tag`: what is remembered is not analysed again, so that a
    restart goes on where it was. Then each song is tagged when it is whole. Without --write-tags and --sidecar, songs
    are analysed and remembered only.

    A song that fails is named, and tried again when it changes. Each group of songs is a run of its own for `mertag
    undo`. SIGTERM ends it with exit code 0, once the song that is being written is finished; Ctrl-C ends it with 130.
    With --json, the sum of what became of the songs is printed then.
    """
    if not paths:
        raise ConfigError("nothing to watch; give folders")
    from mertag.batch import BatchOptions
    from mertag.library.arrivals import arriving

    options = BatchOptions(
        write_tags=write_id3,
        sidecar=sidecar,
        tag=opt.written_as(
            fields=fields,
            labels=labels,
            overwrite=overwrite,
            min_confidence=min_confidence,
            moods=moods,
            join=join,
            balanced=balanced,
            scale=scale,
            comment_field=comment_field,
            preserve_mtime=preserve_mtime,
            break_hard_links=break_hard_links,
        ),
        exclude=tuple(exclude or ()),
        strict=strict,
        missing_fails=True,
    )
    show_from(log_level)
    before = signal.signal(signal.SIGTERM, terminate)
    seen = _Seen()
    try:
        tagger, facts = open_tagger(model, device.value, workers=workers, segment_hop_s=segment_hop, windows=windows)
        with tagger:
            if not quiet:
                console.say(console.clean("model {model} on {device}".format(**facts)))
            groups = arriving(
                paths, include=include or (), exclude=exclude or (), settle_s=settle, poll=poll, on_error=_unreadable
            )
            with contextlib.closing(groups):
                for number, songs in enumerate(groups):
                    _tag(songs, tagger, options, state, seen, quiet=quiet)
                    if number == 0 and not quiet:
                        console.say(f"watching {', '.join(console.clean(path) for path in paths)}")
    except Terminated:
        console.say("stopped; the next start goes on from here")
    finally:
        signal.signal(signal.SIGTERM, before)
        if json:
            _print(seen, paths)


@dataclass(slots=True)
class _Seen:
    """What became of the songs since the start."""

    counts: Counter[str] = field(default_factory=Counter)
    runs: list[int] = field(default_factory=list)
    failed: dict[str, tuple[Path | str, str]] = field(default_factory=dict)  # by path, the song and why


def _print(seen: _Seen, folders: Sequence[Path]) -> None:
    """Print what became of the songs as JSON."""
    from mertag.batch import STATUSES
    from mertag.cli.outputs import print_json
    from mertag.library.records import path_fields

    print_json(
        {
            "mertag": __version__,
            "folders": [path_fields(folder) for folder in folders],
            "runs": seen.runs,
            "summary": {str(status): seen.counts[status] for status in STATUSES},
            "failed": [{**path_fields(path), "reason": reason} for path, reason in seen.failed.values()],
        }
    )


def _tag(
    songs: Sequence[Path], tagger: Tagger, options: BatchOptions, state: Path | None, seen: _Seen, *, quiet: bool
) -> None:
    """Tag one group of songs, as a run of its own, and say what became of each."""
    from mertag.batch import FileDone, Finished, Note, tag_library

    if not songs:
        return
    try:
        with opened_state(state, no_state=False, needed=options.writes) as remembered:
            for event in tag_library(songs, tagger=tagger, options=options, state=remembered):
                if isinstance(event, FileDone):
                    seen.counts[event.status] += 1
                    seen.failed.pop(str(event.path), None)
                    if event.status.is_failure:
                        seen.failed[str(event.path)] = event.path, event.reason
                    _say(event, "tagged" if options.writes else "analysed", quiet=quiet)
                elif isinstance(event, Note) and (event.warning or not quiet):
                    console.say(console.clean(event.text))
                elif isinstance(event, Finished) and event.summary.run is not None:
                    seen.runs.append(event.summary.run)
    except StateError as error:  # a full disk, for a while: what was not done is done when it changes, or at a restart
        console.warn(str(error))


def _say(done: FileDone, word: str, *, quiet: bool) -> None:
    from mertag.cli.view import outcome_line
    from mertag.library.accounting import Status

    if done.status.is_failure and not done.as_before:
        console.say(console.clean(outcome_line(done, done.status)))
    elif not quiet and (done.wrote or not (done.remembered or done.status is Status.UNCHANGED)):
        console.say(console.clean(outcome_line(done, word if done.status is Status.TAGGED else done.status)))


def _unreadable(path: Path, reason: str) -> None:
    console.warn(f"{console.clean(path)}: {console.clean(reason)}")
