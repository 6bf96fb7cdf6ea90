"""Fonts are chosen by the characters that they have."""

from __future__ import annotations

import pytest

from mertag_train.plots import fonts


def test_the_usual_font_suffices_for_what_it_has() -> None:
    assert fonts.families("Ödland, сердце, Ωδή") == [fonts.USUAL]
    assert fonts.families("") == [fonts.USUAL]


def test_fonts_of_the_machine_fill_in_what_is_missing_the_most_useful_first(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {
        "One": {ord("愛")},
        "Both Serif": {ord("愛"), ord("歌")},
        "Both Sans": {ord("愛"), ord("歌")},
        "Thai": {ord("ก")},
    }
    monkeypatch.setattr(fonts, "_others", lambda: dict(made))
    assert fonts.families("a 愛歌") == [fonts.USUAL, "Both Sans"]
    assert fonts.families("愛ก") == [fonts.USUAL, "Both Sans", "Thai"]
    assert fonts.families("愛\U0010ffff") == [fonts.USUAL, "Both Sans"]


def test_the_fonts_of_this_machine_can_be_read() -> None:
    found = fonts._others()
    assert found
    assert any(ord("a") in characters for characters in found.values())
    assert fonts._characters("/does/not/exist.ttf") == set()
