"""The page as a file: it asks for nothing, hostile text stays text, and the same library gives the same page."""

from __future__ import annotations

import base64
import json
import re
from array import array
from pathlib import Path
from typing import Any

import pytest
from remembered_library import MadeLibrary, course_of, emotion, made_library

from mertag.library.overview.facts import Facts
from mertag.library.overview.songs import remembered
from mertag.library.page import is_page, page
from mertag.library.state.database import Database

HOSTILE = "</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>"


def page_of(library: MadeLibrary) -> str:
    with Database(library.state) as database:
        return page(remembered(database, read=False), [library.folder])


def data_in(text: str) -> dict[str, Any]:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    data: dict[str, Any] = json.loads(found)
    return data


def test_hostile_text_is_data_and_no_markup(tmp_path: Path) -> None:
    library = MadeLibrary(tmp_path / "music", tmp_path / "s")
    library.add("a.flac", emotion(0.9, 0.9), facts=Facts(title=HOSTILE, artist=HOSTILE, genres=(HOSTILE,)))
    text = page_of(library)
    assert "alert(1)" in text
    assert "<script>alert" not in text
    assert "<img" not in text
    assert data_in(text)["title"] == [HOSTILE]
    assert text.count("<script") == text.count("</script>") == 3


def test_the_page_names_no_other_place_and_its_policy_allows_none(tmp_path: Path) -> None:
    text = page_of(made_library(tmp_path / "music", tmp_path / "s", 20))
    assert not re.findall(r"(?:src|href)=[\"']?(?!file)[a-z]+:", text)
    assert set(re.findall(r"https?://[\w.]+", text)) <= {"https://github.com", "http://www.w3.org"}
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert not re.search(r"https?:|\*", policy)
    assert is_page(text[:300].encode())


def test_numbers_and_names_are_those_of_the_songs(tmp_path: Path) -> None:
    library = MadeLibrary(tmp_path / "music", tmp_path / "s")
    sad = emotion(0.125, 0.25)
    library.add("A/x.flac", sad, facts=Facts(artist="Zoë", year=1999, mood=("Chill",)), course=course_of(sad))
    library.add("B/y.flac", emotion(0.9, 0.9), facts=Facts(artist="Zoë"))
    data = data_in(page_of(library))

    def numbers(kind: str, text: str) -> list[int]:
        return array(kind, base64.b64decode(text)).tolist()

    assert numbers("B", data["mood"]) == [2, 0]
    assert numbers("H", data["valence"]) == [1250, 9000]
    assert numbers("H", data["year"]) == [1999, 0]
    assert (data["artist"]["names"], numbers("I", data["artist"]["of"])) == (["Zoë"], [0, 0])
    assert (data["file"], numbers("I", data["folder"]["of"])) == (["x.flac", "y.flac"], [0, 1])
    assert numbers("B", data["courseLength"]) == [64, 0]
    assert base64.b64decode(data["course"]) == course_of(sad)
    assert data["ownMood"] == {"0": "Chill"}
    assert [i for i, _ in data["judge"]] == [0, 1]


def test_the_same_library_gives_the_same_page(tmp_path: Path) -> None:
    library = made_library(tmp_path / "music", tmp_path / "s", 30)
    assert page_of(library) == page_of(library)


@pytest.mark.parametrize("n", [0, 1])
def test_a_library_of_no_song_and_of_one_has_a_page(tmp_path: Path, n: int) -> None:
    assert data_in(page_of(made_library(tmp_path / "music", tmp_path / "s", n)))["n"] == n
