"""Sounds that are no music: what they are like, and that a network learns to know nothing of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_training import TinyNetwork, planted, toy_config

from mertag_train.learn import trainer
from mertag_train.learn.augment import FLOOR_DB, augment, not_music
from mertag_train.learn.config import AugmentConfig, TrainConfig
from mertag_train.learn.trainer import train_network

PLAIN = AugmentConfig(mixup_alpha=0.0, time_masks=0, frequency_masks=0)


def test_without_augmentation_segments_stay_as_they_are() -> None:
    segments = torch.randn(3, 42, 128)
    assert torch.equal(augment(segments, torch.zeros(128), PLAIN, np.random.default_rng(0)), segments)


@settings(max_examples=40, deadline=None)
@given(
    n_time=st.integers(0, 2),
    n_frequency=st.integers(0, 2),
    share=st.floats(0, 1),
    seed=st.integers(0, 999),
)
def test_masks_hide_whole_stretches_no_wider_than_allowed(
    n_time: int, n_frequency: int, share: float, seed: int
) -> None:
    config = AugmentConfig(
        mixup_alpha=0.0,
        time_masks=n_time,
        max_time_mask=share,
        frequency_masks=n_frequency,
        max_frequency_mask=share,
    )
    fill = torch.arange(16.0)
    found = augment(torch.full((4, 42, 16), 99.0), fill, config, np.random.default_rng(seed))
    hidden = found != 99.0
    assert torch.equal(found[hidden], fill.expand_as(found)[hidden])
    for one in hidden:
        times, bands = one.all(1), one.all(0)
        assert torch.equal(one, times[:, None] | bands[None, :])  # only whole rows and columns
        assert int(times.sum()) <= n_time * int(share * 42) or bool(bands.all())
        assert int(bands.sum()) <= n_frequency * int(share * 16) or bool(times.all())
        assert _runs(times) <= max(n_time, 1)
        assert _runs(bands) <= max(n_frequency, 1)


def _runs(flags: torch.Tensor) -> int:
    padded = torch.cat([torch.zeros(1, dtype=torch.int), flags.int()])
    return int((padded.diff() == 1).sum())


def test_masks_differ_between_segments_and_reach_both_ends() -> None:
    config = AugmentConfig(mixup_alpha=0.0, time_masks=1, max_time_mask=0.5, frequency_masks=0)
    found = augment(torch.ones(400, 42, 1), torch.zeros(1), config, np.random.default_rng(0))[:, :, 0] == 0
    assert len({tuple(row.tolist()) for row in found}) > 100
    assert found[:, 0].any()
    assert found[:, -1].any()
    assert int(found.sum(1).max()) == 21


def test_a_gain_is_one_number_of_decibels_a_segment_within_its_limits() -> None:
    config = AugmentConfig(mixup_alpha=0.0, gain_db=6.0, time_masks=0, frequency_masks=0)
    segments = torch.randn(200, 5, 3)
    difference = augment(segments, torch.zeros(3), config, np.random.default_rng(0)) - segments
    gain = difference[:, 0, 0]
    torch.testing.assert_close(difference, gain[:, None, None].expand_as(difference), atol=1e-5, rtol=0)
    assert float(gain.abs().max()) <= 6.0
    assert float(gain.min()) < -5 < 5 < float(gain.max())


# ---- sounds that are no music


def test_they_are_finite_log_mels_of_any_level_and_each_is_another() -> None:
    found = not_music(200, 50, 128, np.random.default_rng(0))
    assert found.shape == (200, 50, 128)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert found.min() >= FLOOR_DB
    levels = found.mean((1, 2))
    assert levels.max() - levels.min() > 60
    assert len(np.unique(levels)) == 200


def trained(changes: AugmentConfig, monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    monkeypatch.setattr(trainer, "SegmentNetwork", TinyNetwork)
    store, frames, clips = planted(16)
    config: TrainConfig = replace(toy_config(epochs=25), augment=changes)
    return train_network(store, frames, clips, None, config, class_names=("-", "+"))


@pytest.mark.slow
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
    monkeypatch.setattr("mertag_train.learn.learners.base.not_music", lambda *_: pytest.fail("made noise"))
    trained(PLAIN, monkeypatch)
