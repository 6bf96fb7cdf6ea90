"""One target from store to figures, and what is refused before anything is trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy_training import TinyNetwork, planted, toy_config, toy_work

from mertag.emotion import Target
from mertag.errors import DatasetError
from mertag.listen.windows import Segmentation
from mertag_train.learn import trainer
from mertag_train.learn.config import AugmentConfig
from mertag_train.learn.trainer import Progress
from mertag_train.runs.run import train_target
from mertag_train.runs.work import Parts, Watcher, check_parts

CONFIG = toy_config(epochs=8, augment=AugmentConfig(mixup_alpha=0.2, time_masks=0, frequency_masks=0))
PARTS = Parts(network=np.arange(0, 16), song=np.arange(16, 32), figures=np.arange(32, 40), shares=(0.7, 0.15))


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "SegmentNetwork", TinyNetwork)


def test_a_planted_problem_is_solved_on_unseen_songs_and_both_axes_follow() -> None:
    store, frames, clips = planted(40, n_classes=4)
    result = train_target(toy_work(store, frames, PARTS, clips.label, Target.QUADRANT, CONFIG))
    assert set(result.metrics) == {Target.QUADRANT, Target.VALENCE, Target.AROUSAL}
    assert all(set(methods) == {"song_classifier", "mean_probability"} for methods in result.metrics.values())
    assert all(m.n == 8 for methods in result.metrics.values() for m in methods.values())
    assert result.metrics[Target.QUADRANT]["song_classifier"].accuracy == 1.0
    assert result.songs.songs.tolist() == list(range(32, 40))
    assert result.songs.labels.tolist() == clips.label[32:].tolist()
    for p in result.songs.probabilities.values():
        np.testing.assert_allclose(p.sum(1), 1, atol=1e-6)
    assert set(result.songs.table.song.tolist()) <= set(range(16))  # rows of the second part only


def test_songs_shorter_than_a_segment_are_left_out_of_the_figures() -> None:
    store, frames, clips = planted(40)
    lengths = store.n_samples.copy()
    lengths[33] = 1000
    short = replace(store, n_samples=lengths)
    result = train_target(toy_work(short, frames, PARTS, clips.label, Target.VALENCE, replace(CONFIG, epochs=1)))
    assert result.songs.songs.tolist() == [32, 34, 35, 36, 37, 38, 39]
    assert result.metrics[Target.VALENCE]["song_classifier"].n == 7


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        (
            replace(PARTS, song=np.array([16, 17, 18])),
            r"song classifier needs 2 songs of each class, 1.0 s or longer, and its part of the split, 15%, "
            r"has 1 of V\+; add songs \(about 14 of each class are enough\)",
        ),
        (replace(PARTS, network=np.arange(0, 16, 2)), r"network needs 1 song of each class.* has 0 of V\+"),
        (replace(PARTS, figures=np.array([], dtype=np.int64)), "no song of the part that the figures come from"),
    ],
)
def test_what_would_fail_after_the_training_is_refused_before_it(parts: Parts, says: str) -> None:
    store, frames, clips = planted(40)

    class Refusing(Watcher):
        def on_step(self, step: Progress) -> None:
            pytest.fail("trained")

    with pytest.raises(DatasetError, match=says):
        train_target(toy_work(store, frames, parts, clips.label, Target.VALENCE, CONFIG, watcher=Refusing()))


def test_songs_shorter_than_a_segment_do_not_count() -> None:
    store, frames, clips = planted(40)
    config = replace(CONFIG, segmentation=Segmentation(duration_s=5.0))
    with pytest.raises(DatasetError, match="0 of V-, 0 of V"):
        check_parts(toy_work(store, frames, PARTS, clips.label, Target.VALENCE, config))
