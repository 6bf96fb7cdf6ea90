"""Remembered analyses: the same to the last digit, and never trusted blindly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_tagger import emotion
from hypothesis import given
from hypothesis import strategies as st

from mertag.emotion import QUADRANTS, SongEmotion
from mertag.errors import DecodeError
from mertag.library.state.results import decode, encode
from mertag.outcomes import Failed, Skipped, Tagged

A = Path("/music/a.mp3")
p = st.floats(0, 1)


@given(
    st.builds(
        SongEmotion,
        quadrant=st.sampled_from(QUADRANTS),
        confidence=p,
        valence=p,
        arousal=p,
        quadrant_probabilities=st.tuples(p, p, p, p),
        duration_s=st.floats(0, 1e6),
        n_segments=st.integers(1, 10**6),
        n_windows=st.integers(1, 10**6),
        model=st.text(min_size=1),
    )
)
def test_an_emotion_comes_back_to_the_last_digit(emotion: SongEmotion) -> None:
    text = encode(Tagged(index=3, path=Path("/elsewhere"), emotion=emotion))
    assert text is not None
    assert decode(text, index=7, path=A) == Tagged(index=7, path=A, emotion=emotion)


@pytest.mark.parametrize("kind", ["too_short", "silent"])
def test_why_a_song_has_none_comes_back_too(kind: str) -> None:
    skipped = Skipped(index=0, path=A, reason="1.0 s of audio", kind=kind)  # type: ignore[arg-type]
    text = encode(skipped)
    assert text is not None
    assert decode(text, index=0, path=A) == skipped


def test_failures_and_formats_that_cannot_be_read_yet_are_not_remembered() -> None:
    error = DecodeError(A, "damaged")
    assert encode(Failed(index=0, path=A, reason="damaged", error=error)) is None
    assert encode(Skipped(index=0, path=A, reason="unknown codec", kind="unsupported")) is None


GOOD = json.loads(encode(Tagged(index=0, path=A, emotion=emotion())) or "")


@pytest.mark.parametrize(
    "change",
    [
        {"quadrant": "Q5"},
        {"quadrant": None},
        {"confidence": 1.5},
        {"confidence": "0.5"},
        {"valence": float("nan")},
        {"duration_s": float("inf")},
        {"duration_s": -1},
        {"quadrant_probabilities": [0.5, 0.5]},
        {"quadrant_probabilities": None},
        {"n_segments": 1.5},
        {"n_windows": True},
        {"model": 3},
        {"skipped": "unsupported", "reason": ""},
        {"skipped": "silent"},
        {"skipped": "silent", "reason": 3},
    ],
)
def test_a_result_that_cannot_be_is_no_result(change: dict[str, object]) -> None:
    assert decode(json.dumps(GOOD | change), index=0, path=A) is None


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x)).map(json.dumps))
def test_no_text_at_all_raises(text: str) -> None:
    decode(text, index=0, path=A)


def test_deep_nesting_is_no_result() -> None:
    assert decode("[" * 100_000, index=0, path=A) is None
