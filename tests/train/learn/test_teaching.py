"""A teacher's outputs are learnt beside the labels, before them, and soften them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_training import TinyNetwork, loudness, planted, toy_config

from mertag_train.data.store import LogMelStore
from mertag_train.data.teacher import TeacherTargets
from mertag_train.learn.config import AugmentConfig, PretrainingConfig, TeacherConfig, TrainConfig
from mertag_train.learn.guide import guide
from mertag_train.learn.learners.base import Clips, InheritedLearner, Setting
from mertag_train.learn.optimise import Optimiser
from mertag_train.learn.trainer import EpochReport, train_network
from mertag_train.networks.vgg import SegmentNetwork

pytestmark = pytest.mark.usefixtures("tiny_network")


def trained(config: TrainConfig, **given: Any) -> tuple[list[EpochReport], SegmentNetwork]:
    store, frames, clips = planted(12)
    reports: list[EpochReport] = []
    network = train_network(
        store,
        frames,
        clips,
        None,
        config,
        class_names=("a", "b"),
        teacher=loudness(store),
        on_epoch=reports.append,
        **given,
    )
    return reports, network


def learner_of(
    store: LogMelStore, frames: Tensor, clips: Clips, config: TrainConfig, *, teacher: TeacherTargets | None = None
) -> InheritedLearner:
    """Return a learner with a tiny network; one with a teacher has a head for it."""
    network = TinyNetwork("compact", n_classes=2, n_taught=0 if teacher is None else teacher.dim)
    return InheritedLearner(
        Setting(
            store=store,
            frames=frames,
            clips=clips,
            config=config,
            class_names=("a", "b"),
            network=network,
            optimiser=Optimiser(network, config.optimiser, epochs=1),
            rng=np.random.default_rng(0),
            teacher=teacher,
        )
    )


def test_the_teachers_outputs_are_learnt_beside_the_labels_and_its_head_is_gone() -> None:
    reports, network = trained(toy_config(epochs=8, teacher=TeacherConfig(name="loudness", weight=1.0)))
    distance = [report.figures["loss_teacher"] for report in reports]
    assert distance[-1] < 0.8 * distance[0]
    assert network.teacher is None
    assert not any(name.startswith("teacher") for name in network.state_dict())


def test_pre_training_reads_no_label_and_gives_its_convolutions_to_others() -> None:
    pretraining = PretrainingConfig(epochs=6, crops_per_clip=2, optimiser=toy_config().optimiser)
    config = toy_config(teacher=TeacherConfig(name="loudness", pretraining=pretraining))
    first = config.of_pretraining()
    assert (first.learner, first.epochs) == ("teacher", 6)
    store, frames, clips = planted(12)
    networks = [
        train_network(
            store,
            frames,
            Clips(index=clips.index, label=label),
            None,
            first,
            class_names=("a", "b"),
            teacher=loudness(store),
        )
        for label in (clips.label, 1 - clips.label)
    ]
    one, other = (network.state_dict() for network in networks)
    assert all(torch.equal(one[name], other[name]) for name in one)
    begun = TinyNetwork("compact", n_classes=2, n_taught=2)
    head = begun.head[1].weight.clone()
    begun.begin_with(one)
    assert torch.equal(begun.trunk[0].weight, one["trunk.0.weight"])
    assert torch.equal(begun.head[1].weight, head)
    _, network = trained(config, begin_with=one)
    assert not torch.equal(network.trunk[0].weight, one["trunk.0.weight"])  # and goes on learning


def test_pre_training_hears_clips_without_a_label_and_what_follows_keeps_its_scale() -> None:
    store, frames, clips = planted(12)
    teacher = loudness(store)
    some = Clips(index=clips.index[:6], label=clips.label[:6], unlabelled=clips.index[6:])
    pretraining = PretrainingConfig(epochs=2, crops_per_clip=2, optimiser=toy_config().optimiser)
    config = toy_config(teacher=TeacherConfig(name="loudness", pretraining=pretraining))

    def network(clips: Clips, config: TrainConfig) -> SegmentNetwork:
        return train_network(store, frames, clips, None, config, class_names=("a", "b"), teacher=teacher)

    first = config.of_pretraining()
    one, every = (network(each, first).state_dict() for each in (some, clips))
    assert all(torch.equal(one[name], every[name]) for name in one)  # their labels were of no use anyway
    assert torch.equal(network(some, config).mean, one["mean"])
    assert not torch.equal(network(Clips(index=some.index, label=some.label), config).mean, one["mean"])


def test_labels_are_softened_by_the_guide_by_hand() -> None:
    store, frames, clips = planted(2)
    said = [
        np.array([[0.9, 0.1]] * 4, np.float32),
        np.array([[0.3, 0.7], [0.5, 0.5], [0.2, 0.8], [1.0, 0.0]], np.float32),
    ]
    config = toy_config(crops_per_clip=0, teacher=TeacherConfig(name="loudness", label_share=0.25))
    learner = learner_of(store, frames, Clips(index=clips.index, label=clips.label, guide=said), config)
    learner.begin(1)
    found = learner.targets(np.array([0, 4, 7])).numpy()  # clip 0 is of class a, clip 1 of class b
    assert found == pytest.approx(np.array([[0.975, 0.025], [0.075, 0.925], [0.25, 0.75]]))


def test_a_random_crop_has_the_guide_of_the_nearest_segment_of_its_clip() -> None:
    store, frames, clips = planted(3)
    said = [np.full((4, 2), 0.1 * place, np.float32) + np.arange(4, dtype=np.float32)[:, None] for place in range(3)]
    config = toy_config(crops_per_clip=40, teacher=TeacherConfig(name="loudness", label_share=1.0))
    learner = learner_of(store, frames, Clips(index=clips.index, label=clips.label, guide=said), config)
    learner.begin(1)
    found = learner.targets(np.arange(120))[:, 0].numpy()
    start_s = (learner.table.row - store.offsets[learner.table.clip]) * store.front_end.hop_length / 22_050
    nearest = np.clip(np.round(start_s), 0, 3)
    off = np.abs(found - 0.1 * learner.table.clip - nearest)
    assert (off < 1e-5)[np.abs(start_s % 1 - 0.5) > 0.03].all()  # between two, either will do


@pytest.mark.parametrize(("share", "masked"), [(1.0, True), (0.0, False)])
def test_what_is_no_music_has_no_teacher(share: float, masked: bool) -> None:
    store, frames, clips = planted(4)
    augment = AugmentConfig(mixup_alpha=0.0, time_masks=0, frequency_masks=0, noise_share=share)
    config = toy_config(augment=augment, teacher=TeacherConfig(name="loudness"))
    learner = learner_of(store, frames, clips, config, teacher=loudness(store).standardised(clips.index))
    learner.begin(1)
    learner.loss(np.arange(8))
    assert (learner.figures()["loss_teacher"] == 0) is masked


def test_the_guide_of_a_clip_is_by_a_classifier_that_has_not_seen_it() -> None:
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    windows = {str(i): rng.normal(3.0 * label[i], 1.0, (3, 4)).astype(np.float32) for i in range(40)}
    teacher = TeacherTargets.of(windows, list(windows), window_s=1.0, hop_s=1.0)
    clips, groups = np.arange(40), np.arange(40) // 2
    wrong = label.copy()
    wrong[0] = wrong[2] = 1 - label[0]
    said = guide(teacher, clips, wrong, groups, n_classes=2, seed=0)
    assert [p.shape for p in said] == [(3, 2)] * 40
    right = np.array([p.mean(0)[label[i]] for i, p in enumerate(said)])
    assert (right > 0.5).mean() > 0.95
    assert right[[0, 2]].min() > 0.5  # the wrong labels of these two are not believed


def test_the_configuration_survives_json() -> None:
    config = toy_config(teacher=TeacherConfig(name="x", sha256="ab", pretraining=PretrainingConfig(epochs=3)))
    assert TrainConfig.from_json(config.to_json()) == config
    assert replace(config, teacher=TeacherConfig()) != config
