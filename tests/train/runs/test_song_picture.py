"""The picture of one song's segments: what was said of each, and whether its label is doubted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from toy_learners import NAMES, sssl_config
from toy_training import TinyNetwork, planted

from mertag.emotion import QUADRANTS, Target
from mertag_train.learn.config import PartitionConfig
from mertag_train.learn.partition import Partition, Segments, partition
from mertag_train.learn.trainer import EpochReport, train_network
from mertag_train.plots.partition import DOUBTED, TRUSTED, draw_partition
from mertag_train.runs.song_picture import SongPicture, most_told_apart, segments_of

CLIP = np.repeat(np.arange(4), 5)


def told_apart(truth: list[int] | None = None) -> Partition:
    """Four songs of five segments in a strange order; the third of song 2 has a loss of its own."""
    names = tuple(quadrant.value for quadrant in QUADRANTS)
    losses = np.where((CLIP == 2) & (np.arange(20) % 5 == 2), 3.0, 0.2) + np.random.default_rng(0).normal(0, 0.05, 20)
    found = partition(losses, np.full(20, 1, dtype=np.int64), names, PartitionConfig(clip=(0, 1)), seed=0)
    said = np.random.default_rng(1).dirichlet(np.ones(4), 20).astype(np.float32)
    seen = Segments(
        ids=("a", "b", "c $x$", "d"),
        clip=CLIP,
        start_s=np.tile([3.0, 0.0, 1.0, 2.0, 4.0], 4),
        segment_s=2.0,
        probabilities=said,
        truth=None if truth is None else np.array(truth, dtype=np.int64),
    )
    return replace(found, segments=seen)


def report(found: Partition | None, epoch: int = 2) -> EpochReport:
    return EpochReport(
        epoch=epoch,
        epochs=3,
        loss=1.0,
        learning_rate=0.1,
        validation_accuracy=None,
        segments_per_s=1.0,
        duration_s=1.0,
        partition=found,
    )


def test_the_song_is_the_one_that_is_told_apart_most_or_has_a_wrong_label() -> None:
    found = told_apart()
    assert found.segments is not None
    assert most_told_apart(found, found.segments) == 2
    wrong = told_apart([1] * 15 + [1, 0, -1, 1, 1])
    assert wrong.segments is not None
    assert most_told_apart(wrong, wrong.segments) == 3
    few = replace(found.segments, clip=np.arange(20))
    assert most_told_apart(found, few) is None


def test_what_is_drawn_is_what_was_said_in_the_order_of_time() -> None:
    found = told_apart([1] * 10 + [1, 1, 3, -1, 1] + [1] * 5)
    assert found.segments is not None
    song, name = segments_of(found, found.segments, 2)
    assert name == "c $x$"
    assert song.start_s.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    above, below = draw_partition(song, title=name).axes
    lines = {line.get_gid(): line for line in above.lines}
    order = [11, 12, 13, 10, 14]
    for k, quadrant in enumerate(QUADRANTS):
        assert lines[quadrant.value].get_xdata().tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
        assert lines[quadrant.value].get_ydata() == pytest.approx(found.segments.probabilities[order, k])
    assert lines["Q2"].get_linewidth() > lines["Q1"].get_linewidth()  # the label that is inherited
    marks = {
        to_hex(line.get_color()): line for line in below.lines if len(line.get_xdata()) and line.get_marker() in "os"
    }
    assert marks[DOUBTED.lower()].get_xdata().tolist() == [2.0]  # begins at 1 s
    assert marks[TRUSTED.lower()].get_ydata() == pytest.approx(np.delete(found.clean_probability[order], 1))
    for axes in (above, below):
        (shaded,) = [patch for patch in axes.patches if patch.get_gid() == "wrong"]
        assert shaded.get_x() == 1.0
        assert shaded.get_width() == 2.0
    assert above.figure.get_suptitle() == "c $x$"


def test_the_same_song_is_drawn_in_every_epoch_that_tells_apart(tmp_path: Path) -> None:
    picture, last = SongPicture(tmp_path), SongPicture(tmp_path / "last", last_only=True)
    (tmp_path / "last").mkdir()
    picture.on_target(Target.QUADRANT)
    for epoch, found in ((1, None), (2, told_apart()), (3, told_apart([1] * 15 + [0] * 5))):
        picture.on_epoch(report(found, epoch))
        last.on_epoch(report(found, epoch))
    assert picture._clip == 2
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["song.quadrant.002.png", "song.quadrant.003.png"]
    assert [path.name for path in (tmp_path / "last").iterdir()] == ["song.003.png"]


def test_self_learning_says_which_segments_it_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mertag_train.learn.trainer.SegmentNetwork", TinyNetwork)
    store, frames, clips = planted(8)
    truth = replace(clips, truth=[np.full(4, label) for label in clips.label])
    reports: list[EpochReport] = []
    config = sssl_config(epochs=3, grid_per_clip=3)
    train_network(store, frames, truth, None, config, class_names=NAMES, on_epoch=reports.append)
    found = reports[-1].partition
    assert found is not None
    assert found.segments is not None
    seen = found.segments
    assert np.bincount(seen.clip).tolist() == [3] * 8
    assert set(np.round(seen.start_s).tolist()) <= {0.0, 1.0, 2.0, 3.0}
    assert seen.probabilities.sum(1) == pytest.approx(np.ones(24), abs=1e-5)
    losses = -np.log(seen.probabilities[np.arange(24), found.labels])
    assert losses == pytest.approx(found.losses, abs=1e-4)  # the same pass
    assert seen.truth is not None
    assert (seen.truth == clips.label[seen.clip]).all()
