"""What a person sees of ``mertag undo`` and ``mertag remove``: each file, and the summary that adds up."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mertag._version import __version__
from mertag.cli import console
from mertag.cli.outputs import write_json
from mertag.cli.tag_view import Progress, duration
from mertag.library import records
from mertag.library.accounting import Event, FileHandled, Finished, Found, Summary


def show_all(
    events: Iterable[Event],
    *,
    noun: str,
    dry_run: bool,
    quiet: bool,
    changes: Callable[[FileHandled], Iterable[str]],
    report: str | None,
    facts: dict[str, object],
) -> Summary:
    """Render a run while it happens.

    Parameters
    ----------
    events : iterable of Event
        The run.
    noun : str
        What was done, such as ``"undone"``.
    dry_run, quiet : bool
        Nothing is done, so that each file is a result; only failures are of interest.
    changes : callable
        The lines that a dry run prints for a file.
    report : str or None
        Where the report goes.
    facts : dict
        What it says of the run itself.
    """
    progress = Progress(quiet=quiet, bar=console.stream_is_terminal("stderr") and not dry_run)
    summary: Summary | None = None
    try:
        with progress.shown():
            for event in events:
                if isinstance(event, Found):
                    progress.start(event.n, files)
                elif isinstance(event, Finished):
                    summary = event.summary
                else:
                    if not event.fine:
                        progress.line(_line(event))
                    if dry_run and (event.fine or event.change is not None):
                        for line in changes(event):
                            (progress.line if report == "-" else console.out)(line)
                    progress.step(failed=not event.fine)
    finally:  # an interruption and an error too come after the summary, and must not cost it
        if summary is not None:
            if not quiet:
                _say(summary, noun, dry_run=dry_run)
            if report is not None:
                write_json("--report", report, _report(summary, facts, dry_run=dry_run))
            if summary.not_reached:
                console.say(
                    f"stopped early: {summary.found - summary.not_reached} of {summary.found} files are finished, and "
                    "stay so; run the same command again for the rest"
                )
    assert summary is not None  # the last event, unless an error was raised
    return summary


def files(n: int) -> str:
    """Return ``1 file``, ``2 files``."""
    return f"{n} file" if n == 1 else f"{n} files"


def _line(done: FileHandled) -> str:
    return f"{done.status}: {console.clean(done.path)}: {console.clean(done.reason)}"


def _say(summary: Summary, noun: str, *, dry_run: bool) -> None:
    for group in summary.groups:
        n = len(group.paths)
        if n == 1 and group.fine:
            console.say(f"{group.status}: {console.clean(group.paths[0])}: {console.clean(group.reason)}")
        elif n > 1:  # those that are not fine were named when they came
            named = "" if group.fine else ", named above"
            console.say(f"{group.status}: {console.clean(group.reason)}: {files(n)}{named}")
    would = f"would be {noun}" if dry_run else noun
    parts = [f"{n} {would if status == noun else status}" for status, n in summary.counts.items()]
    if summary.not_reached:
        parts.append(f"{summary.not_reached} not reached")
    console.say(f"found {summary.found} = {' + '.join(parts)}, in {duration(summary.elapsed_s)}")


def _report(summary: Summary, facts: dict[str, object], *, dry_run: bool) -> dict[str, object]:
    return {
        "schema": records.SCHEMA,
        "mertag": __version__,
        **facts,
        "dry_run": dry_run,
        "summary": {
            "found": summary.found,
            **{status.replace(" ", "_"): n for status, n in summary.counts.items()},
            "not_reached": summary.not_reached,
            "elapsed_s": round(summary.elapsed_s, 3),
        },
        "reasons": [
            {"status": g.status, "reason": g.reason, "files": [records.path_fields(p) for p in g.paths]}
            for g in summary.groups
        ],
    }
