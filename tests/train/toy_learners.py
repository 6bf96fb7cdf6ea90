"""Learners of planted clips before, or behind, their first epochs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from toy_training import planted, toy_config

from mertag_train.learn.config import AugmentConfig, SsslConfig, TrainConfig
from mertag_train.learn.learners import LEARNERS, Clips, Learner, Setting
from mertag_train.learn.learners.sssl import SsslLearner
from mertag_train.learn.optimise import Optimiser
from mertag_train.learn.trainer import band_statistics, network_of

PLAIN = AugmentConfig(mixup_alpha=0.0, time_masks=0, frequency_masks=0)
NAMES = ("low", "high")


def sssl_config(**changes: Any) -> TrainConfig:
    sssl = {"mixup_alpha": 0.0, "kl_ramp_epochs": 1, **changes.pop("sssl", {})}
    given: dict[str, Any] = {"epochs": 6, "warm_up_epochs": 2, "crops_per_clip": 0, "augment": PLAIN, **changes}
    return toy_config(learner="sssl", sssl=SsslConfig(**sssl), **given)


def made(config: TrainConfig, *, n_clips: int = 8, flipped: int = 0, unlabelled: int = 0, **given: Any) -> Learner:
    """Return a learner before its first epoch; the labels of the last `flipped` clips are wrong, others have none."""
    store, frames, every = planted(n_clips + unlabelled)
    clips = Clips(index=every.index[:n_clips], label=every.label[:n_clips], unlabelled=every.index[n_clips:])
    label = clips.label.copy()
    label[n_clips - flipped :] = 1 - label[n_clips - flipped :]
    truth = [np.full(4, k) for k in clips.label]
    torch.manual_seed(0)
    network = network_of(config, 2)
    network.set_statistics(*band_statistics(store, clips.index))
    setting = Setting(
        store=store,
        frames=frames,
        clips=replace(clips, label=label, truth=truth, **given),
        config=config,
        class_names=NAMES,
        network=network,
        optimiser=Optimiser(network, config.optimiser, epochs=config.epochs),
        rng=np.random.default_rng(0),
    )
    return LEARNERS[setting.config.learner](setting)


def self_learning(config: TrainConfig, labelled: list[bool], **options: Any) -> SsslLearner:
    """Return one that is behind its warm-up, with a given partition of its first segments."""
    found = made(config, **options)
    assert isinstance(found, SsslLearner)
    found.begin(config.warm_up_epochs + config.sssl.kl_ramp_epochs)
    mask = torch.ones(len(found.table), dtype=torch.bool)
    mask[: len(labelled)] = torch.tensor(labelled)
    found._labelled = mask
    return found


def without_dropout(config: TrainConfig) -> TrainConfig:
    return replace(config, network=replace(config.network, dropout=0.0))
