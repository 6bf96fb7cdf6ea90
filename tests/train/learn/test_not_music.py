"""Sounds that are no music: what they are like, and that a network learns to know nothing of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_training import FRONT_END, RATE, TinyNetwork, planted, toy_config

from mertag_train.data.frontend import LogMel, quick_log_mel
from mertag_train.learn import trainer
from mertag_train.learn.config import AugmentConfig, Noise, TrainConfig
from mertag_train.learn.not_music import FLOOR_DB, _noise, _played_noise, not_music, played_not_music
from mertag_train.learn.trainer import train_network

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


def test_played_ones_are_finite_of_any_level_and_each_is_another() -> None:
    found = played_not_music(60, 50, FRONT_END, np.random.default_rng(0))
    assert found.shape == (60, 50, 128)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert found.min() >= FLOOR_DB
    levels = found.mean((1, 2))
    assert levels.max() - levels.min() > 60
    assert len(np.unique(levels)) == 60


def test_what_is_played_is_seen_as_the_front_end_sees_it() -> None:
    waveform = (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)
    expected = LogMel(FRONT_END)(torch.from_numpy(waveform)).numpy()
    np.testing.assert_allclose(quick_log_mel(waveform, FRONT_END), expected, atol=1e-4)


def test_neighbouring_low_bands_of_played_noise_have_as_much_in_common_as_those_of_real_noise() -> None:
    rng = np.random.default_rng(0)

    def alike(frames: np.ndarray) -> float:
        rest = (frames - frames.mean(0))[:, :20]
        return float((rest[:, 1:] * rest[:, :-1]).mean() / np.square(rest).mean())

    real = alike(quick_log_mel(rng.standard_normal(RATE * 3), FRONT_END))
    assert real > 0.5
    assert min(alike(_played_noise(128, FRONT_END, rng)) for _ in range(20)) > real - 0.1
    assert abs(alike(_noise(128, 128, rng))) < 0.1  # drawn bands have nothing in common


def trained(augment: AugmentConfig, monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    monkeypatch.setattr(trainer, "SegmentNetwork", TinyNetwork)
    store, frames, clips = planted(16)
    config: TrainConfig = replace(toy_config(epochs=25), augment=augment)
    return train_network(store, frames, clips, None, config, class_names=("-", "+"))


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["drawn", "played"])
def test_a_network_that_heard_them_is_less_sure_of_them_and_as_sure_of_music(
    noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    made = not_music(200, 42, 128, rng) if noise == "drawn" else played_not_music(100, 42, FRONT_END, rng)
    sounds = torch.from_numpy(made)
    _, frames, _ = planted(16)
    music = torch.stack([frames[start : start + 42] for start in range(0, 16 * 160, 160)])
    networks = (trained(PLAIN, monkeypatch), trained(replace(PLAIN, noise_share=0.25, noise=noise), monkeypatch))
    with torch.no_grad():
        naive, warned = ([float(network(x).softmax(1).amax(1).mean()) for x in (sounds, music)] for network in networks)
    assert warned[0] < naive[0] - 0.1
    assert warned[1] > 0.7


def test_without_a_share_no_chance_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mertag_train.learn.learners.inherited.not_music", lambda *_: pytest.fail("made noise"))
    trained(PLAIN, monkeypatch)
