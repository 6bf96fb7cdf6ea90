"""What a person sees of a run: progress, failures as they come, the changes, the table, the summary."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mertag.batch import FileDone, Found, Note, Status, Summary
from mertag.cli import console
from mertag.files import path_text

if TYPE_CHECKING:
    from mertag.batch import Event
    from mertag.library.tags import TagChange

_log = logging.getLogger(__name__)

LINE_EVERY_S = 30.0
"""How often progress is said where there is no terminal."""

DRAW_EVERY_S = 0.05
"""How often the bar changes: a hundred thousand songs that are remembered must not wait for it."""

TABLE_COLUMNS = ("song", "quadrant", "label", "valence", "arousal", "confidence")


def duration(seconds: float) -> str:
    """Return a duration as a person says it: ``45 s``, ``3 min 20 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, s = divmod(whole, 60)
    hours, m = divmod(minutes, 60)
    return f"{hours} h {m} min" if hours else f"{m} min {s} s"


def songs(n: int) -> str:
    """Return ``1 song``, ``2 songs``."""
    return f"{n} song" if n == 1 else f"{n} songs"


class Progress:
    """Progress on stderr, with rate and time left: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, *, quiet: bool, bar: bool) -> None:
        self._wants_bar = bar and not quiet
        self._bar: Any = None
        self._total = self._done = self._failed = self._remembered = 0
        self._drawn_s = 0.0
        self._started_s = self._said_s = time.monotonic()
        self._quiet = quiet

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw the bar, if there is to be one, while open."""
        if not self._wants_bar:
            yield
            return
        from rich import progress

        columns = (
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[rate]}", markup=False),
            progress.TextColumn("left:"),
            progress.TimeRemainingColumn(),
        )
        stderr = console.rich_console(stderr=True)
        on_terminal = console.stream_is_terminal("stdout")  # then results are printed above the bar, too
        with progress.Progress(*columns, console=stderr, redirect_stdout=on_terminal) as self._bar:
            self._task = self._bar.add_task("", total=None, rate="")
            yield
        self._bar = None

    def start(self, total: int, counted: Callable[[int], str] = songs) -> None:
        """Say how many songs, or other things that `counted` names, there are."""
        self._total, self._started_s, self._said_s = total, time.monotonic(), time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, total=total)
        elif not self._quiet:
            console.say(f"found {counted(total)}")

    def step(self, *, failed: bool, remembered: bool = False) -> None:
        """Count one finished song; those that are remembered say nothing about how fast the others are."""
        self._done += 1
        self._failed += failed
        self._remembered += remembered
        now_s = time.monotonic()
        heard = self._done - self._remembered
        rate_hz = (heard or self._done) / max(now_s - self._started_s, 1e-9)
        if self._bar is not None:
            if now_s - self._drawn_s >= DRAW_EVERY_S or self._done == self._total:
                self._drawn_s = now_s
                self._bar.update(self._task, completed=self._done, rate=f"{rate_hz:.1f} songs/s")
        elif not self._quiet and now_s - self._said_s >= LINE_EVERY_S:
            self._said_s = now_s
            left = duration((self._total - self._done) / rate_hz)
            console.say(f"{self._done} of {self._total}, {self._failed} failed, {rate_hz:.1f} songs/s, {left} left")

    def line(self, text: str) -> None:
        """Print a line on stderr, above the bar."""
        if self._bar is None:
            console.say(text)
        else:
            self._bar.console.print(text, soft_wrap=True)


class TagView:
    """Renders the events of one run.

    Parameters
    ----------
    progress : Progress
        Where progress goes.
    table : bool
        Collect a table of results for stdout.
    changes : bool
        Show old and new for each file.
    changes_on_stdout : bool
        Whether the changes are results (stdout), or stdout carries something else (stderr).
    quiet : bool
        Failures only.
    """

    def __init__(self, progress: Progress, *, table: bool, changes: bool, changes_on_stdout: bool, quiet: bool) -> None:
        self._progress, self._quiet = progress, quiet
        self._changes, self._changes_on_stdout = changes, changes_on_stdout
        self._rows: list[tuple[int, tuple[str, ...]]] | None = [] if table else None

    def show(self, event: Event) -> None:
        """Render one event as it comes."""
        if isinstance(event, Found):
            self._progress.start(event.n)
        elif isinstance(event, Note):
            if event.warning:
                self._progress.line(f"mertag: warning: {console.clean(event.text)}")
            elif not self._quiet:
                self._progress.line(console.clean(event.text))
        elif isinstance(event, FileDone):
            self._file(event)

    def _file(self, done: FileDone) -> None:
        _log.info("%s", outcome_line(done))
        if done.status is Status.FAILED:
            self._progress.line(f"failed: {console.clean(done.path)}: {console.clean(done.reason)}")
        if self._changes:
            for line in change_lines(done):
                if self._changes_on_stdout:
                    console.out(line)
                elif not self._quiet:
                    self._progress.line(line)
        if self._rows is not None and done.emotion is not None:
            e = done.emotion
            numbers = (f"{e.valence:.2f}", f"{e.arousal:.2f}", f"{e.confidence:.2f}")
            row = (console.clean(done.path), e.quadrant.value, e.quadrant.label, *numbers)
            self._rows.append((done.index, row))
        self._progress.step(failed=done.status is Status.FAILED, remembered=done.remembered)

    def table(self) -> None:
        """Print the table of results, in the order in which the songs were found."""
        if self._rows:
            console.table(TABLE_COLUMNS, [row for _, row in sorted(self._rows)], right=TABLE_COLUMNS[3:])

    def summary(self, summary: Summary, *, dry_run: bool) -> None:
        """Print every file that was not tagged, by reason, and the line that adds up."""
        if self._quiet:
            return
        for group in summary.reasons:
            reason, n = console.clean(group.reason), len(group.paths)
            if group.status is Status.UNCHANGED or not group.reached:
                console.say(f"{group.status}: {reason}: {songs(n)}")
            elif group.status is Status.FAILED:  # each was named, with its reason, when it failed
                if n > 1:
                    console.say(f"{group.status}: {reason}: {songs(n)}, named above")
            elif n == 1:
                console.say(f"{group.status}: {console.clean(group.paths[0])}: {reason}")
            else:
                console.say(f"{group.status}: {reason}: {songs(n)}:")
                for path in group.paths:
                    console.say(f"  {console.clean(path)}")
        s = summary
        rate = (s.found - s.not_reached) / max(s.elapsed_s, 1e-9)
        tagged = "would be tagged" if dry_run else "tagged"
        console.say(
            f"found {s.found} = {s.tagged} {tagged} + {s.unchanged} unchanged "
            f"+ {s.skipped} skipped + {s.failed} failed, in {duration(s.elapsed_s)} ({rate:.1f} songs/s)"
        )
        if s.run is not None:
            console.say(f"this was run {s.run}; `mertag undo --run {s.run}` gives the old files back")


def outcome_line(done: FileDone) -> str:
    """Return what became of one file, on one line."""
    line = f"{done.status}: {path_text(done.path)}"
    if done.emotion is not None:
        e = done.emotion
        line += f": {e.quadrant} {e.quadrant.label}, confidence {e.confidence:.2f}"
    return f"{line}: {done.reason}" if done.reason else line


def change_lines(done: FileDone) -> Iterator[str]:
    """Yield the lines that show what would change in one file, old -> new."""
    if done.status is Status.FAILED:
        return
    name = console.clean(done.path)
    if done.status is not Status.TAGGED:
        yield f"{name}: {done.status}: {console.clean(done.reason)}"
        return
    yield name
    if done.change is not None:
        yield from field_lines(done.change)
    if done.sidecar_changed:
        yield "  sidecar: would be written"
    if done.reason:
        yield f"  note: {console.clean(done.reason)}"


def field_lines(change: TagChange) -> Iterator[str]:
    """Yield a line for each field that changes, old -> new."""
    for field in sorted({*change.old, *change.new}):
        old, new = change.old.get(field, ()), change.new.get(field, ())
        if old != new:
            yield f"  {console.clean(field)}: {_values(old)} -> {_values(new)}"


def _values(values: tuple[str, ...]) -> str:
    return "; ".join(console.clean(value) for value in values) if values else "(none)"
