"""One target from store to figures, and what is refused before anything is trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_training import loudness, planted, toy_config, toy_work

from mertag.emotion import Target
from mertag.errors import DatasetError
from mertag.listen.windows import Segmentation
from mertag_train.learn.config import AugmentConfig, PretrainingConfig, TeacherConfig
from mertag_train.learn.trainer import Progress
from mertag_train.runs.experiment import networks_to_train, trunk_of
from mertag_train.runs.forecast import forecast
from mertag_train.runs.run import train_target
from mertag_train.runs.work import UNKNOWN, Parts, Watcher, check_parts

pytestmark = pytest.mark.usefixtures("tiny_network")

CONFIG = toy_config(epochs=8, augment=AugmentConfig(mixup_alpha=0.2, time_masks=0, frequency_masks=0))
PARTS = Parts(network=np.arange(0, 16), song=np.arange(16, 32), figures=np.arange(32, 40), shares=(0.7, 0.15))


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


def test_clips_without_a_label_are_for_every_network_and_are_neither_dealt_nor_judged() -> None:
    store, frames, clips = planted(48, n_classes=4)
    labels = np.where(np.arange(48) < 40, clips.label, UNKNOWN)
    inner = (np.arange(16), np.arange(16, 32))
    parts = Parts(network=np.arange(32), song=np.arange(32), figures=np.arange(32, 40), inner=inner)
    parts = replace(parts, unlabelled=np.arange(40, 48))
    pretraining = PretrainingConfig(epochs=1, crops_per_clip=2, optimiser=CONFIG.optimiser)
    config = replace(
        CONFIG,
        epochs=4,
        fractions=(0.8, 0.0, 0.2),
        song=replace(CONFIG.song, features="cross_fitted", inner_folds=2),
        teacher=TeacherConfig(name="loudness", pretraining=pretraining),
    )
    numbers: list[int] = []

    class Counting(Watcher):
        def on_network(self, number: int, total: int) -> None:
            numbers.append(number)

    teacher = loudness(store)
    work = toy_work(store, frames, parts, labels, Target.QUADRANT, config, teacher=teacher, watcher=Counting())
    trunk = trunk_of(work)
    assert trunk is not None
    assert [one.unlabelled.tolist() for one in (trunk, *networks_to_train(work))] == [list(range(40, 48))] * 4
    result = train_target(work)
    assert result.songs.songs.tolist() == list(range(32, 40))
    assert result.cross_validation is not None
    assert sorted(result.cross_validation.songs.tolist()) == list(range(32))
    assert numbers == [0, 1, 2, 3]


def test_the_forecast_counts_what_pre_training_hears_without_a_label() -> None:
    store, frames, clips = planted(40, n_classes=4)
    pretraining = PretrainingConfig(epochs=10, crops_per_clip=2, optimiser=CONFIG.optimiser)
    config = replace(CONFIG, epochs=1, teacher=TeacherConfig(name="loudness", pretraining=pretraining))
    parts = replace(PARTS, network=np.arange(8), unlabelled=np.arange(16, 32))
    found = [
        forecast(toy_work(store, frames, each, clips.label, Target.QUADRANT, config), torch.device("cpu"))
        for each in (replace(parts, unlabelled=parts.unlabelled[:0]), parts)
    ]
    without, with_them = (each.duration_s / each.segment_s for each in found)
    assert without == pytest.approx(2 * 8 * (1 + 10))
    assert with_them == pytest.approx(2 * (8 + 24 * 10))


def test_the_forecast_counts_what_self_learning_hears_without_a_label() -> None:
    store, frames, clips = planted(40, n_classes=4)
    config = replace(CONFIG, learner="sssl", epochs=5, warm_up_epochs=2, crops_per_clip=0, grid_per_clip=2)
    config = replace(config, sssl=replace(config.sssl, kl_weight=0.0, pseudo_labels_of="epoch"))
    parts = replace(PARTS, network=np.arange(8), unlabelled=np.arange(16, 19))
    found = [
        forecast(toy_work(store, frames, each, clips.label, Target.QUADRANT, config), torch.device("cpu"))
        for each in (parts, replace(parts, pseudo_labels=True))
    ]
    without, with_them = (each.duration_s / each.segment_s for each in found)
    assert without == pytest.approx(8 * 2 * (2 + 3 * 1.3))
    assert with_them == pytest.approx(8 * 2 * 2 + (8 + 3) * 2 * 3 * 1.3)
