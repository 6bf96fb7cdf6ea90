"""Pictures of a training: what they show is what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mertag.emotion import Target
from mertag_train.learn.config import PartitionConfig
from mertag_train.learn.partition import Partition, partition
from mertag_train.learn.trainer import EpochReport
from mertag_train.runs.watch import RunFigures, draw_curves, draw_losses

pytestmark = pytest.mark.command


def told_apart() -> Partition:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 300)
    losses = np.where(rng.random(600) < 0.7, rng.gamma(2, 0.1, 600), rng.normal(2.0, 0.3, 600))
    return partition(np.maximum(losses, 0), labels, ("V-", "V+"), PartitionConfig(), seed=0)


def report(epoch: int, found: Partition | None, **figures: float) -> EpochReport:
    return EpochReport(
        epoch=epoch,
        epochs=4,
        loss=1.0 / epoch,
        learning_rate=0.01,
        validation_accuracy=0.5,
        segments_per_s=10.0,
        duration_s=1.0,
        figures=figures,
        partition=found,
    )


def test_the_bars_hold_every_segment_and_the_gaussians_cover_as_many() -> None:
    found = told_apart()
    (axes,) = draw_losses(found, title="valence").axes
    bars = [bar for container in axes.containers for bar in container]
    heights = np.array([bar.get_height() for bar in bars])
    assert heights.sum() == 600
    assert heights[: len(heights) // 2].sum() == found.labelled.sum()
    width = bars[0].get_width()
    covered = sum(np.trapezoid(line.get_ydata(), line.get_xdata()) for line in axes.lines) / width
    assert covered == pytest.approx(600, rel=0.1)


def test_losses_that_do_not_differ_are_drawn_without_gaussians() -> None:
    same = partition(np.ones(20), np.zeros(20, dtype=np.int64), ("V-", "V+"), PartitionConfig(), seed=0)
    (axes,) = draw_losses(same, title="valence").axes
    assert not axes.lines


def test_curves_show_what_is_on_record_and_no_empty_panel() -> None:
    plain = [report(1, None).to_json(), report(2, None).to_json()]
    assert [axes.get_ylabel() for axes in draw_curves(plain, title="t", n_classes=4).axes] == ["nats", "share of songs"]
    told = [*plain, report(3, None, clean_share=0.6, loss_mix=0.9).to_json()]
    figure = draw_curves(told, title="t", n_classes=4)
    assert [axes.get_ylabel() for axes in figure.axes] == ["nats", "share of songs", "share"]
    chance = figure.axes[1].lines[-1]
    assert (chance.get_label(), list(chance.get_ydata())) == ("chance", [0.25, 0.25])
    (share,) = figure.axes[2].lines
    assert list(share.get_xdata()) == [3]
    assert list(share.get_ydata()) == [0.6]


def test_a_run_gets_a_picture_an_epoch_that_was_told_apart_and_one_of_the_curves(tmp_path: Path) -> None:
    figures = RunFigures(tmp_path)
    figures.on_target(Target.VALENCE)
    log = tmp_path / "epochs.valence.jsonl"
    for epoch, found in ((1, None), (2, told_apart())):
        with log.open("a") as file:
            file.write(json.dumps(report(epoch, found).to_json()) + "\n")
        figures.on_epoch(report(epoch, found))
    drawn = sorted(path.name for path in tmp_path.glob("*.png"))
    assert drawn == ["curves.valence.png", "losses.valence.002.png"]
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in drawn)
