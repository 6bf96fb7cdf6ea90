"""Which fields a song gets, and whose mood a mood is."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mertag.emotion import Quadrant, SongEmotion, Target, decide
from mertag.errors import ConfigError
from mertag.library.tags import TagOptions
from mertag.library.tags.fields import mood_is_ours, planned, without_ours
from mertag.library.tags.options import CHOOSABLE

MakeEmotion = Callable[..., SongEmotion]


def test_the_fields_are_what_was_heard(happy: SongEmotion) -> None:
    assert planned(happy, TagOptions(), {}) == {
        "MOOD": ("Happy",),
        "MERTAG_QUADRANT": ("Q1",),
        "MERTAG_VALENCE": ("0.700",),
        "MERTAG_AROUSAL": ("0.850",),
        "MERTAG_CONFIDENCE": ("0.600",),
        "MERTAG_MODEL": ("tiny@1.0.0+0123abcd",),
    }
    assert list(planned(happy, TagOptions(), {})) == list(CHOOSABLE)


def test_two_moods_are_the_two_most_likely(make_emotion: MakeEmotion) -> None:
    heard = make_emotion(0.1, 0.2, 0.3, 0.4)
    assert planned(heard, TagOptions(moods=2), {})["MOOD"] == ("Relaxed", "Sad")


def test_a_second_mood_less_likely_than_chance_is_not_written(make_emotion: MakeEmotion) -> None:
    assert planned(make_emotion(0.94, 0.04, 0.01, 0.01), TagOptions(moods=2), {})["MOOD"] == ("Happy",)
    assert planned(make_emotion(0.75, 0.25, 0.0, 0.0), TagOptions(moods=2), {})["MOOD"] == ("Happy", "Angry")


@pytest.mark.parametrize(
    ("old", "ours"),
    [
        ({"MOOD": ("Happy",)}, False),
        ({"MOOD": ("Happy",), "MERTAG_MODEL": ("m",)}, False),
        ({"MOOD": ("Happy",), "MERTAG_QUADRANT": ("Q1",)}, False),
        ({"MOOD": ("Happy",), "MERTAG_QUADRANT": ("Q1",), "MERTAG_MODEL": ("m",)}, True),
        ({"MOOD": ("happy",), "MERTAG_QUADRANT": ("Q1",), "MERTAG_MODEL": ("m",)}, False),
        ({"MOOD": ("Happy",), "MERTAG_QUADRANT": ("Q3",), "MERTAG_MODEL": ("m",)}, False),
        ({"MOOD": ("Happy", "Dreamy"), "MERTAG_QUADRANT": ("Q1",), "MERTAG_MODEL": ("m",)}, False),
        ({"MOOD": ("Happy", "Sad"), "MERTAG_QUADRANT": ("Q1",), "MERTAG_MODEL": ("m",)}, False),
        ({"MOOD": ("Happy",), "MERTAG_QUADRANT": ("Q9",), "MERTAG_MODEL": ("m",)}, False),
        ({"MERTAG_QUADRANT": ("Q1",), "MERTAG_MODEL": ("m",)}, False),
    ],
)
def test_a_mood_is_ours_if_our_own_fields_imply_it(old: dict[str, tuple[str, ...]], ours: bool) -> None:
    assert mood_is_ours(old) is ours
    assert without_ours(old) == ({"MOOD": old["MOOD"]} if "MOOD" in old and not ours else {})


shares = st.lists(st.integers(1, 1000), min_size=4, max_size=4).map(lambda n: tuple(x / sum(n) for x in n))


@given(shares)
def test_both_moods_of_a_quadrant_head_are_recognised(probabilities: tuple[float, ...]) -> None:
    recognised({Target.QUADRANT: probabilities})


@given(st.floats(0, 1), st.floats(0, 1))
def test_both_moods_of_a_pair_of_heads_are_recognised(valence: float, arousal: float) -> None:
    recognised({Target.VALENCE: (1 - valence, valence), Target.AROUSAL: (1 - arousal, arousal)})


def recognised(probabilities: dict[Target, tuple[float, ...]]) -> None:
    found = decide(probabilities)
    heard = SongEmotion(
        quadrant=found.quadrant,
        confidence=found.confidence,
        valence=found.valence,
        arousal=found.arousal,
        quadrant_probabilities=found.quadrant_probabilities,
        duration_s=1.0,
        n_segments=1,
        n_windows=1,
        model="m",
    )
    for moods in (1, 2):
        assert mood_is_ours(planned(heard, TagOptions(moods=moods), {}))


def test_a_second_mood_that_the_figures_exclude_is_someone_elses(make_emotion: MakeEmotion) -> None:
    fields = planned(make_emotion(0.6, 0.25, 0.05, 0.1), TagOptions(moods=2), {})
    assert mood_is_ours(fields)
    assert not mood_is_ours({**fields, "MOOD": ("Happy", "Sad")})
    assert not mood_is_ours({**fields, "MOOD": ("Happy", "Relaxed")})


def test_a_foreign_mood_stays_even_where_we_are_not_sure(happy: SongEmotion) -> None:
    old = {"MOOD": ("Dreamy",)}
    unsure = TagOptions(min_confidence=0.9, overwrite=True)
    assert planned(happy, unsure, old)["MOOD"] == ("Dreamy",)
    assert planned(happy, TagOptions(), old)["MOOD"] == ("Dreamy",)
    assert planned(happy, TagOptions(overwrite=True), old)["MOOD"] == ("Happy",)


@pytest.mark.parametrize("options", [{"moods": 0}, {"moods": 3}, {"min_confidence": -0.1}, {"min_confidence": 1.1}])
def test_options_that_cannot_be_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="give"):
        TagOptions(**options)


def test_figures_that_are_no_probabilities_never_reach_a_file(make_emotion: MakeEmotion) -> None:
    for bad in (make_emotion(math.nan, 0, 0, 0, quadrant=Quadrant.Q2), make_emotion(1.5, 0, 0, 0)):
        with pytest.raises(ValueError, match="probability"):
            planned(bad, TagOptions(), {})
    for model in ("", " ", "a\0b"):
        with pytest.raises(ValueError, match="model"):
            planned(make_emotion(model=model), TagOptions(), {})
