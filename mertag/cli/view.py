"""Progress and summary of a run that tags, undoes or removes: failures as they come, changes, the table, the sum."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mertag.cli import console
from mertag.cli.outputs import Sink, print_report, report_of, write_report
from mertag.cli.overview_text import short
from mertag.cli.results import show_results
from mertag.files import path_text
from mertag.library.accounting import Event, FileDone, Finished, Found, Mood, Note, Status, Summary
from mertag.library.records import record, to_json

if TYPE_CHECKING:
    from mertag.emotion import Quadrant, SongEmotion
    from mertag.library.overview.sums import Overview
    from mertag.library.tags import TagChange

_log = logging.getLogger(__name__)

LINE_EVERY_S = 30.0
"""How often progress is said where there is no terminal."""

DRAW_EVERY_S = 0.05
"""How often the bar changes: a hundred thousand songs that are remembered must not wait for it."""

MOST_NAMED = 10
"""So many files with the same reason are named; the others are counted."""

MOODS = {
    Mood.KEPT: "; the mood that someone else wrote stays",
    Mood.UNSURE: "; no mood is written: the confidence is below --min-confidence",
}


def count(n: int, noun: str) -> str:
    """Return ``1 song``, ``2 songs``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


class Progress:
    """Progress on stderr, with rate and time left: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, *, quiet: bool, bar: bool) -> None:
        self._wants_bar = bar and not quiet
        self._bar: Any = None
        self._total = self._done = self._failed = self._remembered = self._heard = 0
        self._drawn_s = 0.0
        self._started_s = self._line_s = time.monotonic()
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
            progress.TextColumn("{task.fields[pace]}", markup=False),
        )
        stderr = console.rich_console(stderr=True)
        on_terminal = console.stream_is_terminal("stdout")  # then results are printed above the bar, too
        with progress.Progress(*columns, console=stderr, redirect_stdout=on_terminal) as self._bar:
            self._task = self._bar.add_task("", total=None, pace="")
            yield
        self._bar = None

    def start(self, total: int, noun: str) -> None:
        """Say how many songs, or files, there are."""
        self._total, self._started_s, self._line_s = total, time.monotonic(), time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, total=total)
        elif not self._quiet:
            console.say(f"found {count(total, noun)}")

    def step(self, *, failed: bool, remembered: bool = False) -> None:
        """Count one finished file; those that are remembered say nothing about how fast the others are."""
        self._done += 1
        self._failed += failed
        self._remembered += remembered
        self._heard += not (failed or remembered)
        now_s = time.monotonic()
        fresh = self._done - self._remembered
        if not fresh:  # what is remembered comes first: the clock of the analyses has not begun
            self._started_s = now_s
        passed_s = max(now_s - self._started_s, 1e-9)
        pace = f"{self._remembered} remembered"
        if fresh:  # those that fail take their time as well, but were not heard
            left_s = (self._total - self._done) * passed_s / fresh
            pace = f"{self._heard / passed_s:.1f} songs/s, {console.duration(left_s)} left"
        if self._bar is not None:
            if now_s - self._drawn_s >= DRAW_EVERY_S or self._done == self._total:
                self._drawn_s = now_s
                self._bar.update(self._task, completed=self._done, pace=pace)
        elif not self._quiet and now_s - self._line_s >= LINE_EVERY_S:
            self._line_s = now_s
            console.say(f"{self._done} of {self._total}, {self._failed} failed, {pace}")

    def line(self, text: str) -> None:
        """Print a line on stderr, above the bar."""
        if self._bar is None:
            console.say(text)
        else:
            self._bar.console.print(text, soft_wrap=True)


class View:
    """Renders the events of one run: one that tags counts songs (`noun`), the others files.

    `done` is the word for the files with which what was asked for is done: tagged, analysed, undone. In a dry run, the
    changes of each file are results, which go to stderr if a document has taken stdout. With `json`, that is the
    report, and of a run that tags the record of every file. With `table`, a table of results goes to stdout. With
    `quiet`, only failures go to stderr.
    """

    def __init__(
        self,
        *,
        noun: str,
        done: str,
        dry_run: bool,
        quiet: bool,
        stdout_taken: bool,
        json: bool = False,
        table: bool = False,
    ) -> None:
        stdout_taken = stdout_taken or json
        self._json = json
        self._records: dict[int, str] | None = {} if json and noun == "song" else None  # by position, as JSON
        self._words = {Status.TAGGED: done, Status.REMOVED: done, Status.UNDONE: done}
        if dry_run:
            self._words = dict.fromkeys(self._words, f"would be {done}")
        self._noun, self._dry_run, self._quiet, self._stdout_taken = noun, dry_run, quiet, stdout_taken
        drawn_over = stdout_taken and console.stream_is_terminal("stdout")  # a bar would stand amid the results
        self._progress = Progress(quiet=quiet, bar=console.stream_is_terminal("stderr") and not drawn_over)
        self._summary: Summary | None = None
        self._failures: Counter[str] = Counter()
        self._n_damaged = 0  # of those that were heard now
        self._n_remembered = 0  # of those that are said to be analysed
        self._results: dict[int, tuple[Path, SongEmotion]] | None = {} if table else None
        self.overview: Overview | None = None  # what is remembered, for the end of the summary and for the report

    @contextmanager
    def opened(self, report: str | None, facts: dict[str, object]) -> Iterator[None]:
        """Show progress while open; then the summary and the report, also if an interruption or an error ends it.

        `facts` is what the report says of the run itself.
        """
        try:
            with self._progress.shown():
                yield
        finally:
            if self._summary is not None:
                self._finish(self._summary, report, facts)

    def follow(self, events: Generator[Event, None, None], add: Sink | None = None) -> Summary:
        """Render the events as they come, pass each finished file to `add` first, and return the summary.

        An error in that, such as a full disk, is thrown into `events`: the files done so far still get a summary.
        """
        for event in events:
            if isinstance(event, Finished):
                self._summary = event.summary
                continue
            try:
                if isinstance(event, FileDone) and add is not None:
                    add(event)
                self.show(event)
            except Exception as error:
                finished = events.throw(error)
                assert isinstance(finished, Finished)
                self._summary = finished.summary
                raise
        assert self._summary is not None  # the last event, unless an error was raised
        return self._summary

    def show(self, event: Event) -> None:
        """Render one event."""
        if isinstance(event, Found):
            self._progress.start(event.n, self._noun)
        elif isinstance(event, Note):
            if event.warning:
                self._progress.line(f"mertag: warning: {console.clean(event.text)}")
            elif not self._quiet:
                self._progress.line(console.clean(event.text))
        elif isinstance(event, FileDone):
            self._file(event)

    def _file(self, done: FileDone) -> None:
        _log.info("%s", outcome_line(done, self._words.get(done.status, done.status)))
        if done.status.is_failure and not done.as_before:
            self._failures[done.reason] += 1
            if self._failures[done.reason] <= MOST_NAMED:
                self._progress.line(f"{done.status}: {console.clean(done.path)}: {console.clean(done.reason)}")
        elif done.emotion is not None and done.emotion.damage and not (done.remembered or done.status.is_failure):
            self._n_damaged += 1
            if self._n_damaged <= MOST_NAMED and not self._quiet:
                self._progress.line(f"damaged: {console.clean(done.path)}: {console.clean(done.emotion.damage)}")
        if self._dry_run:
            for line in change_lines(done):
                if not self._stdout_taken:
                    console.out(line)
                elif not self._quiet:
                    self._progress.line(line)
        if self._results is not None and done.emotion is not None and not done.status.is_failure:
            self._results[done.index] = Path(done.path), done.emotion
        if self._records is not None:
            self._records[done.index] = to_json(record(done))
        self._n_remembered += done.remembered and self._words.get(done.status) == "analysed"
        self._progress.step(failed=done.status.is_failure, remembered=done.remembered)

    def _finish(self, summary: Summary, report: str | None, facts: dict[str, object]) -> None:
        """Print the table, in the order in which the songs were found, and the summary; write the report."""
        if self._results:
            show_results([self._results[index] for index in sorted(self._results)])
        if not self._quiet:
            self._say(summary)
        if summary.failed_as_before:
            n = count(summary.failed_as_before, "file")
            console.say(f"failed as in an earlier run, and unchanged since: {n} (--verbose or --report names them)")
        facts = {**facts, "dry_run": self._dry_run}
        if self._noun == "song":
            facts["run"] = summary.run
        if report is not None or self._json:
            made = report_of(summary, facts, tags=self._noun == "song", overview=self.overview)
        if report is not None:
            write_report(report, made)
        if self._json:
            found = self._records
            print_report(made, None if found is None else [found[index] for index in sorted(found)])
        if summary.not_reached:
            how_far = f"{summary.found - summary.not_reached} of {summary.found} files are finished"
            console.say(f"stopped early: {how_far}, and stay so; run the same command again for the rest")

    def _say(self, summary: Summary) -> None:
        """Print every file with which what was asked for was not done, by reason, and the line that adds up."""
        tags = self._noun == "song"
        for group in summary.reasons:
            reason, n = console.clean(group.reason), count(len(group.paths), self._noun)
            if group.as_before:
                continue  # counted in one line
            if group.status.is_failure:  # named, with the reason, when it failed
                if len(group.paths) > 1:
                    all_named = len(group.paths) <= MOST_NAMED
                    which = "named above" if all_named else f"the first {MOST_NAMED} named above, --report names all"
                    console.say(f"{group.status}: {reason}: {n}, {which}")
            elif tags and (group.status is Status.UNCHANGED or not group.reached):
                console.say(f"{group.status}: {reason}: {n}")
            elif len(group.paths) == 1:
                console.say(f"{group.status}: {console.clean(group.paths[0])}: {reason}")
            elif tags:
                console.say(f"{group.status}: {reason}: {n}:")
                for path in group.paths[:MOST_NAMED]:
                    console.say(f"  {console.clean(path)}")
                if len(group.paths) > MOST_NAMED:
                    console.say(f"  and {len(group.paths) - MOST_NAMED} more; --report names all")
            else:
                console.say(f"{group.status}: {reason}: {n}")
        if self._n_remembered:
            n = count(self._n_remembered, self._noun)
            console.say(f"remembered from an earlier run, and not analysed again: {n}")
        parts = [f"{n} {self._words.get(status, status)}" for status, n in summary.counts.items()]
        not_counted = summary.found - sum(summary.counts.values())
        if not_counted:
            parts.append(f"{not_counted} not reached")
        n_heard = sum(summary.heard.values())
        pace = f" ({n_heard / max(summary.elapsed_s, 1e-9):.1f} songs/s)" if n_heard else ""
        console.say(f"found {summary.found} = {' + '.join(parts)}, in {console.duration(summary.elapsed_s)}{pace}")
        if n_heard > 1:
            console.say(shares(summary.heard))
        for line in short(self.overview) if self.overview is not None else ():
            console.say(line)
        kept, unsure = (summary.moods.get(mood, 0) for mood in Mood)
        if kept:
            console.say(f"{count(kept, 'mood')} of someone else's kept; --overwrite replaces such moods")
        if unsure:
            console.say(f"{count(unsure, 'song')} without a mood, since the confidence is below --min-confidence")
        if summary.damaged:
            n = count(sum(map(len, summary.damaged.values())), "song")
            console.say(
                f"damaged, and taken all the same: {n} (--verbose or --report names all, --strict refuses them)"
            )
        if summary.run is not None:
            console.say(f"this was run {summary.run}; `mertag undo --run {summary.run}` gives the old files back")


def shares(heard: Mapping[Quadrant, int]) -> str:
    """Return how many songs have which mood, in one line."""
    n = sum(heard.values())
    return "moods: " + ", ".join(f"{q.label} {of_mood} ({of_mood / n:.0%})" for q, of_mood in heard.items())


def outcome_line(done: FileDone, word: str) -> str:
    """Return what became of one file, on one line that begins with the word for it."""
    line = f"{word}: {path_text(done.path)}"
    if done.emotion is not None:
        e = done.emotion
        line += f": {e.quadrant} {e.quadrant.label}, confidence {e.confidence:.2f}"
        if e.damage and not done.status.is_failure:
            line += f"; {e.damage}"
    if done.reason:
        line += f": {done.reason}"
    return line + MOODS[done.mood] if done.mood else line


def change_lines(done: FileDone) -> Iterator[str]:
    """Yield the lines that show what would change in one file, old -> new."""
    if done.status.is_failure:
        return
    name = console.clean(done.path)
    if done.status not in (Status.TAGGED, Status.REMOVED):
        status = "would be undone" if done.status is Status.UNDONE else str(done.status)
        yield f"{name}: {status}: {console.clean(done.reason)}" if done.reason else f"{name}: {status}"
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
