"""Metrics by hand, and calibration against its own expectation."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mertag.emotion import Target, decide
from mertag_train.measure.metrics import (
    by_axis,
    calibration_error,
    calibration_error_if_perfect,
    calibration_interval,
    coverage,
    equal_mass_bins,
    evaluate_predictions,
    mcnemar,
    mean_and_sd,
    predicted_classes,
    wilson_interval,
)

LABELS = [1, 1, 1, 0, 0]
PROBABILITIES = [[0.2, 0.8], [0.4, 0.6], [0.7, 0.3], [0.9, 0.1], [0.25, 0.75]]
# Predicted 1 1 0 0 1: two true V+, one missed, one true V-, one false V+.


def test_five_songs_by_hand() -> None:
    found = evaluate_predictions(LABELS, PROBABILITIES, target=Target.VALENCE)
    assert found.n == 5
    assert found.confusion == ((1, 1), (1, 2))
    assert found.accuracy == pytest.approx(3 / 5)
    assert found.balanced_accuracy == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found.f1 == pytest.approx((2 * 1 / 4, 2 * 2 / 6))
    assert found.macro_f1 == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found.positive_class == "V+"
    assert found.positive_f1 == pytest.approx(2 / 3)
    assert found.mcc == pytest.approx((2 * 1 - 1 * 1) / math.sqrt(3 * 3 * 2 * 2))
    assert found.log_loss == pytest.approx(-sum(map(math.log, (0.8, 0.6, 0.3, 0.9, 0.25))) / 5)
    assert found.brier == pytest.approx(2 * (0.04 + 0.16 + 0.49 + 0.01 + 0.5625) / 5)
    # Five songs, one a bin: each is off by its own distance.
    assert found.calibration_error == pytest.approx((0.2 + 0.4 + 0.7 + 0.1 + 0.75) / 5)


def test_the_paper_s_f1_is_named_for_each_axis() -> None:
    assert evaluate_predictions(LABELS, PROBABILITIES, target=Target.AROUSAL).positive_class == "A+"
    found = evaluate_predictions([0, 1], np.eye(4)[[0, 1]], target=Target.QUADRANT)
    assert (found.positive_class, found.positive_f1) == (None, None)
    assert found.f1 == (1.0, 1.0, None, None)
    assert found.macro_f1 == 1.0


@pytest.mark.parametrize("y", [[2], [1, 1, 3], [0, 0, 2, 2, 2]])
def test_absent_classes_count_in_no_mean_and_warn_of_nothing(y: list[int]) -> None:
    p = np.eye(4)[np.roll(y, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = evaluate_predictions(y, p, target=Target.QUADRANT)
    assert [f is None for f in found.f1] == [k not in y for k in range(4)]
    assert found.macro_f1 == pytest.approx(np.mean([f for f in found.f1 if f is not None]))
    assert 0 <= found.brier <= 2
    assert found.accuracy_interval[0] <= found.accuracy <= found.accuracy_interval[1]


def test_classes_that_are_only_predicted_count_in_f1_and_not_in_recall() -> None:
    found = evaluate_predictions([0, 0, 1, 1], np.eye(4)[[0, 2, 1, 1]], target=Target.QUADRANT)
    assert found.f1 == (pytest.approx(2 / 3), 1.0, 0.0, None)
    assert found.macro_f1 == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found.balanced_accuracy == pytest.approx((1 / 2 + 1) / 2)
    # Gorodkin: (n trace - sum t s) / sqrt((n^2 - sum t^2) (n^2 - sum s^2)) with t = 2 2 0, s = 1 2 1.
    assert found.mcc == pytest.approx((4 * 3 - 6) / math.sqrt((16 - 8) * (16 - 6)))


def test_the_majority_class_earns_no_correlation() -> None:
    found = evaluate_predictions([1, 1, 1, 0], [[0.25, 0.75]] * 4, target=Target.VALENCE)
    assert found.accuracy == 0.75
    assert found.balanced_accuracy == 0.5
    assert found.mcc == 0
    assert found.positive_f1 == pytest.approx(6 / 7)
    assert found.calibration_error == pytest.approx(0)


def test_a_sure_and_wrong_song_costs_a_finite_loss() -> None:
    found = evaluate_predictions([0, 1], [[0.0, 1.0], [0.0, 1.0]], target=Target.VALENCE)
    assert found.log_loss == pytest.approx(-math.log(np.finfo(float).eps) / 2)
    assert found.brier == 1.0


def test_ties_are_decided_as_the_tagger_decides_them() -> None:
    assert list(predicted_classes([[0.5, 0.5]])) == [1]
    assert list(predicted_classes([[0.1, 0.4, 0.4, 0.1]])) == [1]
    assert decide({Target.VALENCE: (0.5, 0.5), Target.AROUSAL: (0.5, 0.5)}).quadrant == "Q1"
    assert decide({Target.QUADRANT: (0.1, 0.4, 0.4, 0.1)}).quadrant == "Q2"


def test_half_precision_rows_are_brought_to_1() -> None:
    p = np.array([[0.3333, 0.6667], [0.9, 0.1]], dtype=np.float16)
    assert evaluate_predictions([1, 0], p, target=Target.VALENCE).accuracy == 1


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [
        ([], np.zeros((0, 2))),
        ([0], [[0.2, 0.3, 0.5]]),
        ([0, 1], [[0.5, 0.5]]),
        ([2], [[0.5, 0.5]]),
        ([-1], [[0.5, 0.5]]),
        ([0.0], [[0.5, 0.5]]),
        ([0], [[0.5, 0.6]]),
        ([0], [[-0.5, 1.5]]),
        ([0], [[math.nan, 0.5]]),
        (0, [[0.5, 0.5]]),
    ],
)
def test_what_is_no_prediction_is_refused(labels: object, probabilities: object) -> None:
    with pytest.raises(ValueError, match=r"labels|probabilities"):
        evaluate_predictions(labels, probabilities, target=Target.VALENCE)  # type: ignore[arg-type]


def test_the_figures_are_json() -> None:
    found = evaluate_predictions([0, 1], np.eye(4)[[0, 1]], target=Target.QUADRANT)
    read = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert read["target"] == "quadrant"
    assert read["f1"] == {"Q1": 1.0, "Q2": 1.0, "Q3": None, "Q4": None}
    assert read["confusion"][0] == [1, 0, 0, 0]
    assert read["n"] == 2


def test_mean_and_deviation_over_seeds() -> None:
    one = evaluate_predictions(LABELS, PROBABILITIES, target=Target.VALENCE)
    perfect = evaluate_predictions(LABELS, np.eye(2)[LABELS], target=Target.VALENCE)
    found = mean_and_sd([one, perfect])
    assert found["accuracy"] == pytest.approx((0.8, math.sqrt(2 * 0.2**2)))
    assert mean_and_sd([one])["accuracy"] == (0.6, None)
    quadrant = evaluate_predictions([0, 1], np.eye(4)[[0, 1]], target=Target.QUADRANT)
    assert "positive_f1" not in mean_and_sd([quadrant])
    with pytest.raises(ValueError, match="one target"):
        mean_and_sd([one, quadrant])


# ---- calibration


def test_bins_hold_equal_mass_and_equal_confidences_share_one() -> None:
    rng = np.random.default_rng(0)
    assert list(np.bincount(equal_mass_bins(rng.random(100)))) == [10] * 10
    assert list(np.bincount(equal_mass_bins(rng.random(7)))) == [1] * 7
    assert list(equal_mass_bins(np.full(50, 0.7))) == [0] * 50
    assert list(equal_mass_bins(np.array([0.9]))) == [0]


def test_two_bins_by_hand() -> None:
    confidence = np.array([0.6, 0.7, 0.8, 1.0])
    correct = np.array([True, False, True, True])
    # Bins {0.6, 0.7} and {0.8, 1.0}: |0.5 - 0.65| and |1 - 0.9|, half of the songs each.
    assert calibration_error(confidence, correct, n_bins=2) == pytest.approx(0.5 * 0.15 + 0.5 * 0.1)


@settings(max_examples=40, deadline=None)
@given(
    confidence=st.lists(st.sampled_from([0.5, 0.6, 0.7, 0.8, 0.9, 1.0]), min_size=1, max_size=60),
    seed=st.integers(0, 99),
)
def test_the_calibration_error_does_not_depend_on_the_order_of_the_songs(confidence: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, correct = np.array(confidence), rng.random(len(confidence)) < 0.7
    order = rng.permutation(len(values))
    assert calibration_error(values, correct) == pytest.approx(calibration_error(values[order], correct[order]))


def test_perfect_calibration_of_one_confidence_is_the_mean_deviation_of_a_coin() -> None:
    # 50 songs at 0.5 in one bin: E|heads - 25| / 50, and E|X - n/2| = n C(n - 1, n/2) / 2^n for even n.
    expected = 50 * math.comb(49, 25) / 2**50 / 50
    assert calibration_error_if_perfect(np.full(50, 0.5), n_simulations=20_000) == pytest.approx(expected, rel=0.02)


def test_a_perfectly_calibrated_model_shows_what_is_expected_of_it_and_a_boastful_one_more() -> None:
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(4), 3000)
    y = (rng.random((3000, 1)) > p.cumsum(1)).sum(1).clip(0, 3)
    honest = evaluate_predictions(y, p, target=Target.QUADRANT)
    assert honest.calibration_error == pytest.approx(honest.calibration_error_if_perfect, rel=0.6)
    boastful = p**3 / (p**3).sum(1, keepdims=True)
    found = evaluate_predictions(y, boastful, target=Target.QUADRANT)
    assert found.calibration_error > 5 * found.calibration_error_if_perfect


def test_fewer_songs_show_more_calibration_error_by_chance_alone() -> None:
    confidence = np.random.default_rng(0).uniform(0.5, 1, 1000)
    few, all_of_them = (calibration_error_if_perfect(confidence[:n]) for n in (60, 1000))
    assert few > 3 * all_of_them


def test_what_is_drawn_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    confidence = np.random.default_rng(0).uniform(0.5, 1, 80)
    one = calibration_error_if_perfect(confidence)
    for at_once in (1, 3 * 80 + 7, 10**6):
        monkeypatch.setattr("mertag_train.measure.metrics.DRAWN_AT_ONCE", at_once)
        assert calibration_error_if_perfect(confidence) == pytest.approx(one, rel=1e-12)


def test_the_simulation_is_seeded() -> None:
    confidence = np.random.default_rng(0).uniform(0.5, 1, 80)
    one = calibration_error_if_perfect(confidence, seed=1)
    assert one == calibration_error_if_perfect(confidence, seed=1)
    assert one != calibration_error_if_perfect(confidence, seed=2)


# ---- intervals and tests


def test_wilson_s_interval_by_hand() -> None:
    # 8 of 10, z = 1.959964, z^2 = 3.841459: (0.8 + 0.192073 -+ 1.959964 sqrt(0.016 + 0.009604)) / 1.384146
    assert wilson_interval(8, 10) == pytest.approx((0.49016, 0.94332), abs=1e-5)
    assert wilson_interval(0, 10)[0] == 0
    assert wilson_interval(10, 10)[1] == 1
    assert wilson_interval(10, 10)[0] == pytest.approx(0.72247, abs=1e-5)
    with pytest.raises(ValueError, match="no proportion"):
        wilson_interval(0, 0)


def test_mcnemar_s_exact_test_by_hand() -> None:
    truth = np.ones(10, dtype=int)
    first = np.array([1, 1, 1, 1, 1, 1, 1, 0, 0, 1])
    second = np.array([0, 0, 0, 0, 0, 0, 1, 1, 0, 1])
    found = mcnemar(truth, first, second)
    assert (found.only_first, found.only_second) == (6, 1)
    assert found.p_value == pytest.approx(2 * (1 + 7) / 2**7)
    assert mcnemar(truth, second, first).p_value == found.p_value


def test_methods_that_never_differ_are_not_told_apart() -> None:
    assert mcnemar([0, 1], [0, 0], [0, 0]).p_value == 1
    assert mcnemar([0, 0, 1, 1], [0, 1, 1, 1], [1, 0, 1, 1]).p_value == 1


def test_thousands_of_songs_do_not_overflow() -> None:
    n = 5000
    truth, right, wrong = np.zeros(n, int), np.zeros(n, int), np.ones(n, int)
    assert mcnemar(truth, right, wrong).p_value == 0.0
    half = np.arange(n) % 2
    assert mcnemar(truth, half, 1 - half).p_value == 1
    with pytest.raises(ValueError, match="one shape"):
        mcnemar([0], [0], [0, 1])


def test_coverage_by_hand() -> None:
    confidence, correct = np.array([0.9, 0.6, 0.5, 0.3]), np.array([True, True, False, False])
    assert coverage(confidence, correct, (0.0, 0.5, 0.6, 0.95)) == [
        {"at_least": 0.0, "share": 1.0, "accuracy": 0.5},
        {"at_least": 0.5, "share": 0.75, "accuracy": pytest.approx(2 / 3)},
        {"at_least": 0.6, "share": 0.5, "accuracy": 1.0},
        {"at_least": 0.95, "share": 0.0, "accuracy": None},
    ]


def test_the_bootstrap_interval_holds_the_calibration_error_and_narrows_with_more_songs() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for n in (100, 2_000):
        confidence = rng.uniform(0.5, 1.0, n)
        correct = rng.random(n) < confidence - 0.2  # too sure by 0.2
        low, high = calibration_interval(confidence, correct, n_resamples=300)
        assert low <= calibration_error(confidence, correct) <= high
        assert low <= 0.2 + 0.02 <= high + 0.04
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_an_axis_follows_from_the_quadrants() -> None:
    p = np.array([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])
    valence, sides = by_axis(p, np.array([0, 2]), Target.VALENCE)
    np.testing.assert_allclose(valence, [[0.5, 0.5], [0.5, 0.5]])
    assert sides.tolist() == [1, 0]
    arousal, sides = by_axis(p, np.array([1, 3]), Target.AROUSAL)
    np.testing.assert_allclose(arousal, [[0.3, 0.7], [0.7, 0.3]])
    assert sides.tolist() == [1, 0]
    two = np.array([[0.2, 0.8]])
    assert by_axis(two, np.array([1]), Target.VALENCE)[0] is two
