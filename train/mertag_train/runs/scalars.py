"""The epochs' figures for TensorBoard, where it is installed.

``tensorboard --logdir RUN`` shows them. TensorBoard is no dependency: without it nothing is written, and nothing is
missing, since the run keeps the same figures as JSON lines.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from mertag.emotion import Target
from mertag_train.learn.trainer import EpochReport

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

TENSORBOARD = "tensorboard"


def is_installed() -> bool:
    """Return whether TensorBoard is there."""
    return importlib.util.find_spec(TENSORBOARD) is not None


class Scalars:
    """Writes ``<run>/tensorboard/<target>``: told the target, then each epoch.

    Parameters
    ----------
    folder : Path
        The run. Nothing is made before the first epoch, nor without TensorBoard.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / TENSORBOARD
        self._there = is_installed()
        self._target: Target | None = None
        self._writer: SummaryWriter | None = None

    def on_target(self, target: Target) -> None:
        """Take note of which target's epochs come."""
        self.close()
        self._target = target

    def on_epoch(self, report: EpochReport) -> None:
        """Write an epoch's figures; the step is the epoch. One that is trained again after a break replaces the old."""
        if not self._there:
            return
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(self._folder / str(self._target), purge_step=report.epoch)
        found = {**report.figures, "loss": report.loss, "learning_rate": report.learning_rate}
        if report.validation_accuracy is not None:
            found["validation_accuracy"] = report.validation_accuracy
        for name, value in found.items():
            self._writer.add_scalar(name, value, report.epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the file. May be called twice."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
