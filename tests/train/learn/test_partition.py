"""Telling clean from noisy labels: planted mixtures are found, the posterior falls with the loss, X is never empty."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mertag_train.learn.config import PartitionConfig
from mertag_train.learn.partition import Mixture, Partition, figures, fit_mixture, partition, relative_to_clip

CONFIG = PartitionConfig()
NAMES = ("Q1", "Q2")


def planted(
    n: int = 1000, *, noisy: float = 0.3, seed: int = 0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return losses of which a share is those of wrong labels, and which are right."""
    rng = np.random.default_rng(seed)
    right = rng.random(n) >= noisy
    losses = np.where(right, np.abs(rng.normal(0.3, 0.15, n)), rng.normal(1.8, 0.4, n))
    return np.maximum(losses, 0), right


def test_a_planted_mixture_is_found() -> None:
    losses, right = planted()
    found = fit_mixture(losses, CONFIG, seed=0)
    assert found is not None
    low, high = np.quantile(losses, [0.01, 0.99])
    assert (found.low, found.high) == pytest.approx((low, high))
    nats = [low + m * (high - low) for m in found.means]
    assert nats == pytest.approx([0.31, 1.8], abs=0.08)
    assert found.weights[0] == pytest.approx(right.mean(), abs=0.03)


def test_planted_noise_is_told_apart() -> None:
    losses, right = planted()
    labels = np.arange(len(losses)) % 2
    found = partition(losses, labels, NAMES, CONFIG, seed=0)
    told = figures(found, np.where(right, labels, 1 - labels))
    assert told["partition_auroc"] > 0.98
    assert told["clean_precision"] > 0.97
    assert told["right_share"] == pytest.approx(right.mean())
    assert told["clean_share"] == pytest.approx(right.mean(), abs=0.05)
    assert found.mixture is not None
    assert (told["clean_mean"], told["noisy_mean"]) == found.mixture.means
    assert told["clean_weight"] == found.mixture.weights[0]


def test_the_posterior_by_hand() -> None:
    # Densities at 0.5 of N(0, 1) and N(1, 1) are equal, so that the weights decide: 0.8 to 0.2.
    mixture = Mixture(means=(0.0, 1.0), variances=(1.0, 1.0), weights=(0.8, 0.2), low=0.0, high=1.0)
    assert mixture.posterior(np.array([0.5]))[0] == pytest.approx(0.8)
    assert mixture.posterior(np.array([0.0]))[0] == pytest.approx(0.8 / (0.8 + 0.2 * np.exp(-0.5)))


@settings(max_examples=100, deadline=None)
@given(
    means=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda m: tuple(sorted(m))),
    variances=st.tuples(st.floats(5e-4, 1), st.floats(5e-4, 1)),
    weight=st.floats(0.01, 0.99),
)
def test_the_posterior_never_rises_with_the_loss(
    means: tuple[float, float], variances: tuple[float, float], weight: float
) -> None:
    mixture = Mixture(means=means, variances=variances, weights=(weight, 1 - weight), low=0.0, high=1.0)
    found = mixture.posterior(np.linspace(0, 1, 200))
    assert (np.diff(found) <= 1e-12).all()
    assert ((found >= 0) & (found <= 1)).all()


def test_outliers_do_not_make_everything_clean() -> None:
    losses, right = planted()
    losses[0] = 1e6
    labels = np.zeros(len(losses), dtype=np.int64)
    found = partition(losses, labels, ("one",), CONFIG, seed=0)
    assert found.labelled.mean() == pytest.approx(right.mean(), abs=0.05)
    assert not found.labelled[0]


def test_a_tenth_of_each_class_stays_those_with_the_smallest_losses() -> None:
    losses = np.concatenate([np.linspace(0, 0.1, 100), np.linspace(5, 6, 30)])
    labels = np.repeat([0, 1], [100, 30])
    found = partition(losses, labels, NAMES, CONFIG, seed=0)
    assert found.labelled[labels == 0].all()
    assert np.flatnonzero(found.labelled[labels == 1]).tolist() == [0, 1, 2]


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_tiny_sets_do_not_crash_and_keep_a_clean_segment(n: int) -> None:
    losses, labels = np.arange(n, dtype=np.float64), np.zeros(n, dtype=np.int64)
    found = partition(losses, labels, NAMES, CONFIG, seed=0)
    assert len(found.labelled) == n
    assert found.labelled.any() == (n > 0)
    assert figures(found)["clean_share"] == (found.labelled.mean() if n else 0.0)


def test_equal_losses_are_all_clean() -> None:
    found = partition(np.full(50, 0.7), np.zeros(50, dtype=np.int64), NAMES, CONFIG, seed=0)
    assert found.labelled.all()
    assert found.clean_probability.tolist() == [1.0] * 50
    assert found.mixture is None


def test_a_loss_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        partition(np.array([0.1, np.nan]), np.zeros(2, dtype=np.int64), NAMES, CONFIG, seed=0)


def test_unknown_real_classes_do_not_count() -> None:
    losses, right = planted()
    labels = np.zeros(len(losses), dtype=np.int64)
    truth = np.where(right, 0, 1)
    truth[::2] = -1
    found = partition(losses, labels, NAMES, CONFIG, seed=0)
    assert figures(found, truth)["right_share"] == pytest.approx(right[1::2].mean())
    assert "partition_auroc" not in figures(found, np.full(len(losses), -1))
    assert "partition_auroc" not in figures(found, labels)  # all right: nothing to tell apart


def test_a_light_and_wide_noisy_gaussian_does_not_make_everything_clean() -> None:
    rng = np.random.default_rng(0)
    right = np.arange(20_000) < 18_000
    losses = np.where(right, rng.normal(0.9, 0.33, 20_000), rng.normal(1.5, 0.8, 20_000))
    found = partition(losses, np.zeros(20_000, dtype=np.int64), ("one",), CONFIG, seed=0)
    # Held at the posterior of the noisy mean, the largest losses, surely noise, would all count as clean.
    assert found.labelled.mean() == pytest.approx(0.85, abs=0.1)
    assert not found.labelled[losses > 2.5].any()


def test_losses_relative_to_their_clip_by_hand() -> None:
    losses = np.array([1.0, 3.0, 10.0, 10.0, 13.0])
    assert relative_to_clip(losses, np.array([7, 7, 2, 2, 2])) == pytest.approx([-1, 1, -1, -1, 2])


def test_relative_to_its_clip_a_hard_song_is_not_noise() -> None:
    # 50 songs of 20 segments; five are hard (every loss high), and in each of the others two segments are not its own.
    rng = np.random.default_rng(1)
    clip = np.repeat(np.arange(50), 20)
    wrong = (np.arange(1000) % 20 < 2) & (clip >= 5)
    losses = rng.normal(0.4, 0.1, 1000) + np.where(clip < 5, 1.5, 0) + np.where(wrong, 1.5, 0)
    labels = np.zeros(1000, dtype=np.int64)
    truth = np.where(wrong, 1, 0)
    plain = figures(partition(losses, labels, NAMES, CONFIG, seed=0), truth)
    relative = figures(partition(relative_to_clip(losses, clip), labels, NAMES, CONFIG, seed=0), truth)
    assert relative["partition_auroc"] > 0.99
    assert plain["partition_auroc"] < 0.95
    hard = partition(relative_to_clip(losses, clip), labels, NAMES, CONFIG, seed=0).labelled[clip < 5]
    assert hard.mean() > 0.95


def test_how_well_wrong_labels_are_found_by_hand() -> None:
    # Two clips of four and one of two; the real class of a segment of the first is not known.
    clip = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
    truth = np.array([0, 0, 1, -1, 0, 0, 0, 1, 0, 0])
    clean = np.array([0.9, 0.4, 0.5, 0.1, 0.8, 0.3, 0.2, 0.25, 0.6, 0.7])
    found = Partition(
        names=NAMES,
        labels=np.zeros(10, dtype=np.int64),
        losses=1 - clean,
        clean_probability=clean,
        labelled=clean > 0.5,
        mixture=None,
        threshold=0.5,
    )
    told = figures(found, truth, clip)
    # Found: 0.4, 0.5, 0.3, 0.2, 0.25, of which 0.5 and 0.25 are the two wrong ones.
    assert told["noisy_precision"] == pytest.approx(2 / 5)
    assert told["noisy_recall"] == 1.0
    assert told["partition_auroc"] == pytest.approx((4 + 6) / 14)  # of 7 right ones, above 0.5: 4; above 0.25: 6
    assert told["partition_auroc_in_clip"] == pytest.approx((1 + 2) / (2 + 3))  # the last clip has no pair
    assert "partition_auroc_in_clip" not in figures(found, truth)


def test_within_clips_nothing_is_told_where_whole_songs_are_wrong() -> None:
    labels, wrong, clip = np.zeros(40, dtype=np.int64), np.arange(40) >= 20, np.arange(40) // 10
    losses = np.where(wrong, 2.0, 0.2) + np.random.default_rng(0).normal(0, 0.1, 40)
    told = figures(partition(losses, labels, NAMES, CONFIG, seed=0), wrong.astype(np.int64), clip)
    assert told["partition_auroc"] > 0.99
    assert "partition_auroc_in_clip" not in told
