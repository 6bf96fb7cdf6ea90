"""TensorBoard scalars: there where TensorBoard is, and nothing missing where it is not."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest

from mertag.emotion import Target
from mertag_train.learn.trainer import EpochReport
from mertag_train.runs import watch
from mertag_train.runs.watch import Scalars


def report(epoch: int, loss: float) -> EpochReport:
    return EpochReport(
        epoch=epoch,
        epochs=2,
        loss=loss,
        learning_rate=0.01,
        validation_accuracy=0.25,
        segments_per_s=10.0,
        duration_s=1.0,
        figures={"clean_share": 0.75},
    )


def test_tensorboard_reads_what_was_written_also_after_a_break(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.summary.writer import event_file_writer

    # Files are read in the order of their names: the second, then a number that is not padded (9 comes after 10).
    seconds = itertools.count(1_800_000_000)
    monkeypatch.setattr(event_file_writer, "time", SimpleNamespace(time=lambda: float(next(seconds))))
    first = Scalars(tmp_path)
    first.on_target(Target.QUADRANT)
    first.on_epoch(report(1, 1.5))
    first.on_epoch(report(2, 1.25))
    first.close()
    again = Scalars(tmp_path)
    again.on_target(Target.QUADRANT)
    again.on_epoch(report(2, 1.0))
    again.close()
    read = EventAccumulator(str(tmp_path / "tensorboard" / "quadrant"))
    read.Reload()
    assert [(s.step, s.value) for s in read.Scalars("loss")] == [(1, 1.5), (2, 1.0)]
    assert [s.value for s in read.Scalars("clean_share")] == [0.75, 0.75]


def test_without_tensorboard_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "TENSORBOARD", "tensorboard_that_is_not_installed")
    watcher = Scalars(tmp_path)
    watcher.on_target(Target.QUADRANT)
    watcher.on_epoch(report(1, 1.5))
    watcher.close()
    assert not list(tmp_path.iterdir())
