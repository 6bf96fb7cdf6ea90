"""How notes begin: strength, bands, and the regularity of a pulse."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mertag_train.networks.onsets import GROUPS, LAGS_TOGETHER, LONGEST_LAG, SHORTEST_LAG, Onsets, autocorrelation


@pytest.mark.parametrize("n_frames", [30, 41, 127])
def test_autocorrelation_is_the_mean_of_products_over_the_variance(n_frames: int) -> None:
    strength = np.random.default_rng(0).normal(size=n_frames)
    strength -= strength.mean()
    found = autocorrelation(torch.from_numpy(strength).float()[None])[0]
    expected = [
        float(np.mean(strength[lag:] * strength[: n_frames - lag])) / (strength.var() + 1e-3) if lag < n_frames else 0.0
        for lag in range(SHORTEST_LAG, LONGEST_LAG + 1)
    ]
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-4)


def test_a_pulse_shows_at_its_lag() -> None:
    segments = torch.zeros(1, 128, 128)
    segments[:, 10::22] = 5.0
    found = Onsets()(segments)[0]
    pulse = found[2 * GROUPS : -2]
    assert int(pulse.argmax()) in {(lag - SHORTEST_LAG) // LAGS_TOGETHER for lag in (22, 44)}
    assert found[-2] > 0.9


def test_one_onset_by_hand() -> None:
    segments = torch.zeros(1, 33, 128)
    segments[:, 16:, :16] = 8.0  # begins in the lowest group, and stays
    found = Onsets()(segments)[0]
    assert found.shape == (Onsets.n_features,)
    assert found[0] == pytest.approx(8 / 32)
    assert found[GROUPS] == pytest.approx(np.sqrt(64 / 32 - (8 / 32) ** 2), rel=1e-4)
    assert (found[1:GROUPS] == 0).all()


def test_what_ends_is_no_onset() -> None:
    segments = torch.zeros(1, 33, 128)
    segments[:, :16] = 8.0
    assert (Onsets()(segments)[0, :GROUPS] == 0).all()


def test_noise_has_no_clear_pulse() -> None:
    torch.manual_seed(0)
    assert Onsets()(torch.randn(1, 128, 128))[0, -2] < 0.6
