"""Progress of a training or an evaluation on stderr: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mertag.cli import console
from mertag.emotion import Target
from mertag_train.evaluation.partitions import in_words
from mertag_train.evaluation.results import Result
from mertag_train.measure.metrics import predicted_classes
from mertag_train.runs.work import Watcher

if TYPE_CHECKING:  # torch takes seconds, and a report needs none of it
    from mertag_train.learn.trainer import EpochReport
    from mertag_train.learn.trainer import Progress as StepProgress
    from mertag_train.runs.forecast import Forecast, TimeLeft

LINE_EVERY_S = 30.0


class TrainingProgress(Watcher):
    """Progress of log-mels, steps and epochs; a context manager, whose bar is gone when it is left."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Any = None
        self._task: Any = None
        self._pre_trained = False
        self._target: Target | None = None
        self._time_left: TimeLeft | None = None
        self._said_s = time.monotonic()

    def __enter__(self) -> Self:
        if not self._quiet and console.stream_is_terminal("stderr"):
            from rich.progress import BarColumn, Progress, TextColumn

            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[rest]}", markup=False),
                console=console.rich_console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=None, rest="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str) -> None:
        """Say one line."""
        if not self._quiet:
            if self._bar is not None:
                self._bar.console.print(console.clean(text))
            else:
                console.say(console.clean(text))

    def expect(self, forecasts: Mapping[Target, Forecast]) -> None:
        """Say from now on how long the whole run still takes, not only the network at hand."""
        from mertag_train.runs.forecast import TimeLeft

        self._time_left = TimeLeft(forecasts)

    def on_clip(self, done: int, total: int) -> None:
        """Show how many log-mels are computed."""
        self._show("log-mels", done, total, f"{done} of {total} clips", last=done == total)

    def on_unlabelled(self, done: int, total: int) -> None:
        """Show how many songs without a label have log-mels."""
        self._show("songs without a label", done, total, f"{done} of {total}", last=done == total)

    def on_heard(self, done: int, total: int) -> None:
        """Show how many clips the teacher has heard."""
        self._show("teacher", done, total, f"{done} of {total} clips", last=done == total)

    def on_target(self, target: Target) -> None:  # noqa: D102
        self._target = target
        self.note(f"{target}:")

    def on_network(self, number: int, total: int) -> None:  # noqa: D102
        if self._time_left is not None and self._target is not None:
            self._time_left.begin(self._target, number)
        if number == 0:
            self._pre_trained = True
            self.note(" pre-training, with which all networks begin")
        elif total > 1 or self._pre_trained:
            self.note(f" network {number} of {total}")

    def on_trained(self, done: int, total: int) -> None:  # noqa: D102
        self._show("networks", done, total, f"{done} of {total} trained", last=done == total)

    def on_step(self, step: StepProgress) -> None:  # noqa: D102
        left_s = step.remaining_s if self._time_left is None else self._time_left.of_run(step)
        self._show(
            f"epoch {step.epoch} of {step.epochs}",
            step.step,
            step.steps,
            f"step {step.step} of {step.steps}, loss {step.loss:.3f}, {console.duration(left_s)} left",
        )

    def on_epoch(self, report: EpochReport) -> None:  # noqa: D102
        held_out = "" if report.validation_accuracy is None else f", held-out accuracy {report.validation_accuracy:.3f}"
        share = report.figures.get("clean_share")
        clean = "" if share is None else f", clean labels {share:.0%}"
        found = in_words(report.figures)
        clean += f", {found}" if found else ""
        self.note(
            f"  epoch {report.epoch} of {report.epochs}: loss {report.loss:.3f}{clean}{held_out}, "
            f"{report.segments_per_s:.0f} segments/s, {console.duration(report.duration_s)}"
        )

    def _show(self, what: str, done: int, total: int, rest: str, *, last: bool = False) -> None:
        if self._bar is not None:
            self._bar.update(self._task, description=what, completed=done, total=total, rest=rest)
        elif not self._quiet and (last or time.monotonic() - self._said_s >= LINE_EVERY_S):
            self._said_s = time.monotonic()
            console.say(f"  {what}: {rest}")


class EvaluationProgress(TrainingProgress):
    """As in training, and a line for each finished fold."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self._kept = 0

    def show(self, what: str, done: int, total: int) -> None:
        """Show how far something is."""
        self._show(what, done, total, f"{done} of {total}", last=done == total)

    def on_task(self, done: int, total: int, result: Result, kept: bool) -> None:
        """Say how a fold went; those that were there already are only counted."""
        if kept:
            self._kept += 1
        if self._kept and (not kept or done == total):
            self.note(f"  {self._kept} of {total} folds were there already")
            self._kept = 0
        if not kept:
            right = int((predicted_classes(result.probabilities) == result.labels).sum())
            self.note(
                f"  [{done}/{total}] {result.task}: {right} of {len(result.labels)} right, {result.elapsed_s:.1f} s"
            )
            for epoch in result.epochs:
                if found := in_words(epoch):
                    self.note(f"    epoch {epoch['epoch']}: {found}")
