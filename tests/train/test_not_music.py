"""Sounds that are no music: what they are like, and that a network learns to know nothing of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_training import TinyNetwork, planted, toy_config

from mertag_train import trainer
from mertag_train.config import AugmentConfig, TrainConfig
from mertag_train.not_music import FLOOR_DB, not_music
from mertag_train.trainer import train_network

PLAIN = AugmentConfig(mixup_alpha=0.0, time_masks=0, frequency_masks=0)


def test_they_are_finite_log_mels_of_any_level_and_each_is_another() -> None:
    found = not_music(200, 50, 128, np.random.default_rng(0))
    assert found.shape == (200, 50, 128)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert found.min() >= FLOOR_DB
    levels = found.mean((1, 2))
    assert levels.max() - levels.min() > 60
    assert len(np.unique(levels)) == 200


def trained(augment: AugmentConfig, monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    monkeypatch.setattr(trainer, "SegmentNetwork", TinyNetwork)
    store, frames, clips = planted(16)
    config: TrainConfig = replace(toy_config(epochs=25), augment=augment)
    return train_network(store, frames, clips, None, config, class_names=("-", "+"))


def test_a_network_that_heard_them_is_less_sure_of_them_and_as_sure_of_music(monkeypatch: pytest.MonkeyPatch) -> None:
    sounds = torch.from_numpy(not_music(200, 42, 128, np.random.default_rng(1)))
    _, frames, _ = planted(16)
    music = torch.stack([frames[start : start + 42] for start in range(0, 16 * 160, 160)])
    networks = (trained(PLAIN, monkeypatch), trained(replace(PLAIN, noise_share=0.25), monkeypatch))
    with torch.no_grad():
        naive, warned = ([float(network(x).softmax(1).amax(1).mean()) for x in (sounds, music)] for network in networks)
    assert warned[0] < naive[0] - 0.1
    assert warned[1] > 0.7


def test_without_a_share_no_chance_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mertag_train.learners.inherited.not_music", lambda *_: pytest.fail("made noise"))
    trained(PLAIN, monkeypatch)
