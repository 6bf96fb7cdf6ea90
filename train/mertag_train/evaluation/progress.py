"""What a person sees of an evaluation, on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from mertag_train.commands.progress import TrainingProgress
from mertag_train.evaluation.results import Result
from mertag_train.measure.metrics import predicted_classes


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
