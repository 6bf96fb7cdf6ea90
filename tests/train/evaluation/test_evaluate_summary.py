"""Figures of results: pooled, over folds, over seeds and between methods, worked out by hand."""

from __future__ import annotations

from statistics import stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_evaluation import result

from mertag.emotion import Target
from mertag_train.evaluation.summary import compare, holm, summarise
from mertag_train.measure.metrics import by_axis

FOLDS = ("0", "1")


def test_pooled_and_over_folds() -> None:
    [found] = summarise([result("0", [0, 1, 1], [0, 1, 0]), result("1", [0, 1], [0, 1])], FOLDS)
    assert found.complete
    assert found.first.n == 5
    assert found.first.accuracy == pytest.approx(4 / 5)
    mean, sd = found.over_folds["accuracy"]
    assert mean == pytest.approx((2 / 3 + 1) / 2)
    assert sd == pytest.approx(stdev([2 / 3, 1]))
    assert found.over_seeds["accuracy"] == (pytest.approx(4 / 5), None)
    assert found.song_ids == ("0-0", "0-1", "0-2", "1-0", "1-1")


def test_over_seeds_the_headline_is_the_mean_of_the_pooled_figures() -> None:
    results = [
        result("0", [0, 1], [0, 1], seed=0),
        result("1", [0, 1], [0, 1], seed=0),
        result("0", [0, 1], [1, 1], seed=1),
        result("1", [0, 1], [0, 1], seed=1),
    ]
    [found] = summarise(results, FOLDS)
    mean, sd = found.over_seeds["accuracy"]
    assert (mean, sd) == (pytest.approx(7 / 8), pytest.approx(stdev([1, 3 / 4])))
    assert found.over_folds["accuracy"][0] == pytest.approx((3 / 4 + 1) / 2)
    assert found.first.accuracy == 1.0


def test_a_seed_without_all_folds_does_not_count_where_another_has_them() -> None:
    results = [result("0", [0, 1], [1, 0], seed=0), *(result(f, [0, 1], [0, 1], seed=1) for f in FOLDS)]
    [found] = summarise(results, FOLDS)
    assert found.seeds == (1,)
    assert found.complete
    assert found.first.accuracy == 1.0


def test_a_method_without_all_folds_says_so() -> None:
    [found] = summarise([result("1", [0, 1], [0, 1])], FOLDS)
    assert not found.complete
    assert found.folds == ("1",)
    assert found.to_json()["complete"] is False


def test_a_quadrant_also_says_valence_and_arousal_and_is_not_taken_for_them() -> None:
    results = [result(f, [0, 1, 2, 3], [3, 1, 2, 0], target=Target.QUADRANT) for f in FOLDS]
    found = {summary.system.view: summary for summary in summarise(results, FOLDS)}
    assert list(found) == ["quadrant", "valence (from the quadrant)", "arousal (from the quadrant)"]
    assert found["quadrant"].first.accuracy == 0.5
    assert found["valence (from the quadrant)"].first.accuracy == 1.0  # Q1 and Q4 are both V+
    assert found["arousal (from the quadrant)"].first.accuracy == 0.5


def test_the_view_of_an_axis_sums_its_quadrants() -> None:
    p, labels = by_axis(np.array([[0.1, 0.2, 0.3, 0.4]] * 4), np.array([0, 1, 2, 3]), Target.VALENCE)
    assert labels.tolist() == [1, 0, 0, 1]
    assert p[0].tolist() == pytest.approx([0.5, 0.5])
    p, labels = by_axis(np.array([[0.1, 0.2, 0.3, 0.4]] * 4), np.array([0, 1, 2, 3]), Target.AROUSAL)
    assert labels.tolist() == [1, 1, 0, 0]
    assert p[0].tolist() == pytest.approx([0.7, 0.3])


def test_methods_are_compared_on_the_songs_that_both_predicted() -> None:
    truth = [0, 1] * 8
    results = [
        result("0", truth, truth, method="b"),
        result("1", [0, 1], [0, 1], method="b"),
        result("0", truth, [1 - y for y in truth[:6]] + truth[6:], method="a"),
    ]
    [found] = compare(summarise(results, FOLDS))
    assert (found.first.method, found.second.method, found.n) == ("a", "b", 16)
    assert (found.test.only_first, found.test.only_second) == (0, 6)
    assert found.test.p_value == pytest.approx(2 * 0.5**6)
    assert found.p_adjusted == found.test.p_value


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_never_lowers_a_p_value_and_keeps_the_order(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(a >= b for a, b in zip(adjusted, p, strict=True))
    assert max(adjusted) <= 1
    ranked = sorted(range(len(p)), key=p.__getitem__)
    assert [adjusted[i] for i in ranked] == sorted(adjusted)


def test_the_order_is_by_target_then_as_the_registry_has_the_methods_then_by_duration() -> None:
    results = [
        result("0", [0, 1], [0, 1], method=m, segment_s=s, target=t)
        for t in (Target.AROUSAL, Target.VALENCE)
        for m, s in (("inherited-svm", 5.0), ("inherited-svm", 1.0), ("majority", None), ("another", None))
    ]
    found = [(s.system.target, s.system.method, s.system.segment_s) for s in summarise(results, FOLDS)]
    one = [("majority", None), ("inherited-svm", 1.0), ("inherited-svm", 5.0), ("another", None)]
    assert found == [(t, *rest) for t in (Target.VALENCE, Target.AROUSAL) for rest in one]
