"""From segments to a song by counting: worked out by hand, and whatever the segments say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mertag_train.evaluation.methods.trained import longest_runs, majority_vote, maximum_run_length, mean_probability
from mertag_train.measure.metrics import predicted_classes

A, B, C = [0.6, 0.3, 0.1], [0.3, 0.5, 0.2], [0.1, 0.2, 0.7]
RULES = (mean_probability, majority_vote, maximum_run_length)

segments = arrays(np.float64, st.tuples(st.integers(1, 40), st.just(4)), elements=st.floats(0.01, 1)).map(
    lambda p: p / p.sum(1, keepdims=True)
)


def decision(p: np.ndarray) -> int:
    return int(predicted_classes(p[None])[0])


def test_a_majority_vote_counts_the_segments() -> None:
    p = majority_vote([A, B, A, C])
    assert p == pytest.approx([2 / 4, 1 / 4, 1 / 4], abs=2e-6)
    assert decision(p) == 0


def test_the_longest_run_wins_even_against_the_majority() -> None:
    # A has four segments but never two in a row; B has three in a row.
    p = maximum_run_length([A, B, A, C, A, B, B, B, A])
    assert p == pytest.approx([1 / 5, 3 / 5, 1 / 5], abs=2e-6)
    assert decision(p) == 1
    assert decision(majority_vote([A, B, A, C, A, B, B, B, A])) == 0  # 4 of A, 4 of B: A has the higher mean


def test_runs_are_counted_to_the_last_segment() -> None:
    assert longest_runs(np.array([2, 2, 0, 1, 1, 1]), 4).tolist() == [1, 3, 2, 0]
    assert longest_runs(np.array([3]), 4).tolist() == [0, 0, 0, 1]


def test_a_tie_goes_to_the_higher_mean_probability() -> None:
    faint, clear = [0.4, 0.3, 0.3], [0.1, 0.8, 0.1]
    for rule in (majority_vote, maximum_run_length):
        p = rule([faint, clear])
        assert decision(p) == 1
        assert p == pytest.approx([0.5, 0.5, 0], abs=2e-6)


def test_the_mean_probability_is_the_mean() -> None:
    assert mean_probability([A, C]) == pytest.approx([0.35, 0.25, 0.4])


@given(segments)
def test_every_rule_gives_a_distribution(p: np.ndarray) -> None:
    for rule in RULES:
        found = rule(p)
        assert found.shape == (4,)
        assert found.min() >= 0
        assert found.sum() == pytest.approx(1)


@given(segments)
def test_the_decision_is_among_the_classes_with_the_most_votes_and_the_longest_runs(p: np.ndarray) -> None:
    classes = predicted_classes(p)
    votes = np.bincount(classes, minlength=4)
    runs = [
        max((len(r) for r in "".join(map(str, classes)).translate(_others(k)).split()), default=0) for k in range(4)
    ]
    assert votes[decision(majority_vote(p))] == votes.max()
    assert runs[decision(maximum_run_length(p))] == max(runs)


@given(segments, st.integers(1, 5))
def test_repeating_the_segments_changes_no_vote(p: np.ndarray, times: int) -> None:
    once, often = majority_vote(p), majority_vote(np.tile(p, (times, 1)))
    assert once == pytest.approx(often)


def _others(kept: int) -> dict[int, str]:
    return {ord(str(k)): " " for k in range(4) if k != kept}
