"""What a run leaves beside the music: JSONL, CSV, Parquet and the report; and JSON on stdout.

An existing file is replaced only if mertag wrote it: ``mertag tag --jsonl *.mp3`` must not cost a song. A
line is written out as soon as its song is finished, so that an interrupted run keeps all of them. A Parquet file
is made whole at the end, also at that of a run that is interrupted.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from mertag._version import __version__
from mertag.cli import console
from mertag.errors import ConfigError, MertagError
from mertag.files import replaced_whole, write_whole
from mertag.library import parquet, records
from mertag.library.accounting import Account, Mood, Status

if TYPE_CHECKING:
    from mertag.library.accounting import FileDone, Summary
    from mertag.library.overview.sums import Overview

Sink = Callable[["FileDone"], None]

_JSON_START = ('{"schema":', '{\n  "schema":')
_CSV_START = ",".join(records.CSV_COLUMNS[:4])  # later columns may come and go


def check_outputs(targets: dict[str, str | None]) -> None:
    """Refuse outputs that cannot be: two on stdout or in one file, or in the place of someone else's file."""
    taken: dict[str, str] = {}
    for option, target in targets.items():
        if target is None:
            continue
        place = target if target == "-" else os.path.realpath(target)
        if place in taken:
            raise ConfigError(f"{taken[place]} and {option} both go to {target}; give each its own place")
        taken[place] = option
        _check(option, target)


def _check(option: str, target: str) -> None:
    """Refuse a target that cannot be written, or whose content is not ours."""
    path = Path(target)
    if option == "--parquet":
        parquet.pyarrow("tag")
        if target == "-":
            raise ConfigError("--parquet -: Parquet is not written to stdout; name a file")
    if target == "-" or (path.exists() and not path.is_file() and not path.is_dir()):  # a pipe, /dev/stdout
        return
    if path.is_dir():
        raise ConfigError(f"{option} {path}: this is a folder; name a file")
    if not path.parent.is_dir():
        raise ConfigError(f"{option} {path}: the folder {path.parent} does not exist; create it first")
    ours = False
    try:
        ours = option == "--parquet" and path.exists() and parquet.is_ours(path, "tag")
        with path.open("rb") as file:
            head = file.read(200).decode("utf-8", "replace")
    except FileNotFoundError:
        if not os.access(path.parent, os.W_OK):
            raise MertagError(f"{option} {path}: {path.parent} cannot be written to; name a file elsewhere") from None
        return
    except OSError as error:
        raise ConfigError(f"{option} {path}: {error.strerror or error}") from error
    if head and not ours and (option == "--parquet" or not head.startswith((*_JSON_START, _CSV_START))):
        raise ConfigError(
            f"{option} {path}: the file exists, and mertag did not write it; remove it or choose another name"
        )


@contextmanager
def open_sinks(
    jsonl: str | None, csv_file: str | None, parquet_file: str | None, *, model_key: str, segments: bool = False
) -> Iterator[Sink]:
    """Open the formats that were asked for (None: not this one); yield what takes each finished file.

    With `segments`, the Parquet file has the columns of segments.
    """
    sinks: list[Sink] = []
    with ExitStack() as stack:
        if jsonl is not None:
            sinks.append(_jsonl_sink(stack.enter_context(_open("--jsonl", jsonl)), f"--jsonl {jsonl}"))
        if csv_file is not None:
            sinks.append(_csv_sink(stack.enter_context(_open("--csv", csv_file)), f"--csv {csv_file}"))
        if parquet_file is not None:
            sinks.append(stack.enter_context(_parquet_sink(Path(parquet_file), model_key, segments)))

        def add(done: FileDone) -> None:
            for sink in sinks:
                sink(done)

        yield add


def print_json(content: Mapping[str, object]) -> None:
    """Print a JSON document, the only thing that a command with ``--json`` prints on stdout."""
    console.out(records.to_json(content, indent=2))


def print_report(report: Mapping[str, object], lines: Sequence[str] | None) -> None:
    """Print a report as JSON; the records of a run that tags (`lines`, of JSON) are its files, a line each."""
    text = records.to_json(report, indent=2)
    if lines is not None:
        files = "\n    " + ",\n    ".join(lines) + "\n  " if lines else ""
        text = f'{text[:-2]},\n  "files": [{files}]\n}}'
    console.out(text)


def report_of(
    summary: Summary, facts: Mapping[str, object], *, tags: bool, overview: Overview | None = None
) -> dict[str, Any]:
    """Return the report of a run: its facts, its summary, and files by reason.

    That of a run that tags has the overview, too, if there is one.
    """
    groups = "not_tagged" if tags else "reasons"
    content: dict[str, Any] = {
        "schema": records.SCHEMA,
        "mertag": __version__,
        **facts,
        "summary": {
            "found": summary.found,
            **{status.replace(" ", "_"): n for status, n in summary.counts.items()},
            "not_reached": summary.not_reached,
            "elapsed_s": round(summary.elapsed_s, 3),
        },
        groups: [
            {"status": str(g.status), "reason": g.reason, "files": [records.path_fields(p) for p in g.paths]}
            | ({"as_before": g.as_before} if tags else {})
            for g in summary.reasons
        ],
    }
    if tags:
        content["summary"] |= {
            "failed_as_before": summary.failed_as_before,
            **{f"moods_{mood}": summary.moods.get(mood, 0) for mood in Mood},
            "damaged": sum(map(len, summary.damaged.values())),
        }
        content["damaged"] = [
            {"damage": damage, "files": [records.path_fields(p) for p in paths]}
            for damage, paths in summary.damaged.items()
        ]
        content["overview"] = None if overview is None else records.to_dict(overview)
    return content


def write_report(target: str, report: Mapping[str, object]) -> None:
    """Write a report to a file, or to stdout (``"-"``)."""
    text = records.to_json(report, indent=2) + "\n"
    with _explained(f"--report {target}"):
        path = Path(target)
        if target == "-":
            stream = console.results_stream()
            stream.write(text)
            stream.flush()
        elif path.exists() and not path.is_file():
            path.write_text(text, encoding="ascii")
        else:
            write_whole(path, text)


def report_nothing(
    report: str | None, facts: Mapping[str, object], statuses: Sequence[Status], *, json: bool, left: int = 0
) -> None:
    """Write the reports that were asked for where no file was touched; `left` is how many there were."""
    tags = Status.TAGGED in statuses
    made = report_of(Account(left, statuses).summary(), facts, tags=tags)
    if report is not None:
        write_report(report, made)
    if json:
        print_report(made, [] if tags else None)


def _jsonl_sink(file: TextIO, name: str) -> Sink:
    def add(done: FileDone) -> None:
        with _explained(name):
            file.write(records.to_json(records.record(done)) + "\n")
            file.flush()

    return add


def _csv_sink(file: TextIO, name: str) -> Sink:
    writer = csv.writer(file, lineterminator="\n")
    with _explained(name):
        writer.writerow(records.CSV_COLUMNS)

    def add(done: FileDone) -> None:
        with _explained(name):
            writer.writerow(records.csv_row(done))
            file.flush()

    return add


@contextmanager
def _parquet_sink(path: Path, model_key: str, segments: bool) -> Iterator[Sink]:
    ended_by: BaseException | None = None
    whole = True
    option = f"--parquet {path}"
    with _explained(option), replaced_whole(path) as file, parquet.written(file, segments=segments) as write:

        def add(done: FileDone) -> None:
            nonlocal whole
            whole = False
            with _explained(option):
                write(parquet.row(done, model_key=model_key))
            whole = True

        try:
            yield add
        except (KeyboardInterrupt, Exception) as error:  # the run's: what is finished is kept all the same
            if not whole:
                raise
            ended_by = error
    if ended_by is not None:
        raise ended_by


@contextmanager
def _open(option: str, target: str) -> Iterator[TextIO]:
    if target == "-":
        yield console.results_stream()
        return
    try:
        file = Path(target).open("w", encoding="utf-8", newline="")  # noqa: SIM115  closed below
    except OSError as error:
        raise MertagError(f"{option} {target}: could not be written: {error.strerror or error}") from error
    try:
        yield file
    except BaseException:
        with suppress(OSError):  # what could not be written cannot be written now either: that error is on its way
            file.close()
        raise
    with _explained(f"{option} {target}"):
        file.close()


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Say which output failed (a disk that is full); a closed pipe is no failure of ours and passes."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise MertagError(f"{name}: could not be written: {error.strerror or error}") from error
