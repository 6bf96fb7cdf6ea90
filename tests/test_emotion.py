"""From the heads' probabilities to one decision: quadrants, sums, ties, and what never contradicts itself."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mertag.emotion import (
    CLASS_NAMES,
    QUADRANT_LABELS,
    QUADRANTS,
    Quadrant,
    SongEmotion,
    Target,
    decide,
    quadrant_of,
)


def test_quadrants_are_numbered_counter_clockwise_from_happy() -> None:
    assert quadrant_of(valence_positive=True, arousal_positive=True) is Quadrant.Q1
    assert quadrant_of(valence_positive=False, arousal_positive=True) is Quadrant.Q2
    assert quadrant_of(valence_positive=False, arousal_positive=False) is Quadrant.Q3
    assert quadrant_of(valence_positive=True, arousal_positive=False) is Quadrant.Q4
    assert [q.label for q in QUADRANTS] == ["Happy", "Angry", "Sad", "Relaxed"]


def test_labels_hold_nothing_that_players_split_on() -> None:
    assert not any(mark in label for label in QUADRANT_LABELS.values() for mark in "/;,")


def test_the_positive_class_comes_last() -> None:
    assert CLASS_NAMES[Target.VALENCE] == ("V-", "V+")
    assert CLASS_NAMES[Target.AROUSAL] == ("A-", "A+")


def test_a_quadrant_head_gives_both_axes_as_sums() -> None:
    found = decide({Target.QUADRANT: (0.1, 0.2, 0.3, 0.4)})
    assert found.quadrant is Quadrant.Q4
    assert found.confidence == pytest.approx(0.4)
    assert found.valence == pytest.approx(0.5)  # Q1 + Q4
    assert found.arousal == pytest.approx(0.3)  # Q1 + Q2


def test_two_heads_give_the_quadrant_of_their_signs_and_the_less_sure_side() -> None:
    found = decide({Target.VALENCE: (0.7, 0.3), Target.AROUSAL: (0.1, 0.9)})
    assert found.quadrant is Quadrant.Q2
    assert found.confidence == pytest.approx(0.7)
    assert (found.valence, found.arousal) == (0.3, 0.9)
    assert found.quadrant_probabilities == pytest.approx((0.27, 0.63, 0.07, 0.03))


def test_ties_go_to_the_positive_side() -> None:
    assert decide({Target.QUADRANT: (0.25, 0.25, 0.25, 0.25)}).quadrant is Quadrant.Q1
    assert decide({Target.QUADRANT: (0.1, 0.4, 0.1, 0.4)}).quadrant is Quadrant.Q1
    assert decide({Target.VALENCE: (0.5, 0.5), Target.AROUSAL: (0.5, 0.5)}).quadrant is Quadrant.Q1


@pytest.mark.parametrize(
    "heads",
    [
        {},
        {Target.VALENCE: (0.5, 0.5)},
        {Target.QUADRANT: (0.25,) * 4, Target.VALENCE: (0.5, 0.5)},
    ],
)
def test_other_heads_are_refused(heads: dict[Target, tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match="quadrant, or valence and arousal"):
        decide(heads)


def test_the_quadrant_is_that_of_the_axes_even_where_another_is_more_probable() -> None:
    found = decide({Target.QUADRANT: (0.42, 0.05, 0.25, 0.28)})
    assert (found.valence, found.arousal) == pytest.approx((0.70, 0.47))
    assert found.quadrant is Quadrant.Q4  # Happy would be excited, and arousal says calm
    assert found.confidence == 0.28
    # As they are written, to three decimals: 0.500 is positive.
    assert decide({Target.QUADRANT: (0.2998, 0.2, 0.3002, 0.2)}).quadrant is Quadrant.Q1


def test_a_head_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="3 probabilities for 4 classes"):
        decide({Target.QUADRANT: (0.2, 0.3, 0.5)})


weights = st.lists(st.floats(1e-3, 1), min_size=4, max_size=4)


@settings(deadline=None, max_examples=50)
@given(weights)
def test_probabilities_of_a_quadrant_head_stay_in_range(raw: list[float]) -> None:
    p = tuple(x / sum(raw) for x in raw)
    found = decide({Target.QUADRANT: p})
    assert found.confidence == p[QUADRANTS.index(found.quadrant)]
    assert (found.quadrant in (Quadrant.Q1, Quadrant.Q4)) == (round(found.valence, 3) >= 0.5)
    assert (found.quadrant in (Quadrant.Q1, Quadrant.Q2)) == (round(found.arousal, 3) >= 0.5)
    assert 0 <= found.valence <= 1
    assert 0 <= found.arousal <= 1
    assert found.valence + (p[1] + p[2]) == pytest.approx(1)


@settings(deadline=None, max_examples=50)
@given(st.floats(0, 1), st.floats(0, 1))
def test_two_heads_make_a_distribution_whose_signs_agree_with_the_quadrant(v: float, a: float) -> None:
    found = decide({Target.VALENCE: (1 - v, v), Target.AROUSAL: (1 - a, a)})
    p1, p2, p3, p4 = found.quadrant_probabilities
    assert p1 + p2 + p3 + p4 == pytest.approx(1)
    assert p1 + p4 == pytest.approx(found.valence)
    assert (found.quadrant in (Quadrant.Q1, Quadrant.Q4)) == (round(v, 3) >= 0.5)
    assert (found.quadrant in (Quadrant.Q1, Quadrant.Q2)) == (round(a, 3) >= 0.5)


@settings(deadline=None, max_examples=50)
@given(weights)
def test_the_ranking_holds_every_quadrant_once_and_the_chosen_one_first(raw: list[float]) -> None:
    decision = decide({Target.QUADRANT: tuple(x / sum(raw) for x in raw)})
    song = SongEmotion(
        quadrant=decision.quadrant,
        confidence=decision.confidence,
        valence=decision.valence,
        arousal=decision.arousal,
        quadrant_probabilities=decision.quadrant_probabilities,
        duration_s=30.0,
        n_segments=28,
        n_windows=1,
        model="m@1+00000000",
    )
    assert sorted(song.ranking) == sorted(QUADRANTS)
    assert song.ranking[0] is decision.quadrant
    ranked = [decision.quadrant_probabilities[QUADRANTS.index(q)] for q in song.ranking[1:]]
    assert ranked == sorted(ranked, reverse=True)
