"""A library summed up, against sums by hand; and the songs that a listener should judge."""

from __future__ import annotations

from pathlib import Path

import pytest
from json_schemas import valid
from remembered_library import MadeLibrary, emotion, made_library

from mertag.cli.overview_text import decades, lines, short
from mertag.library.overview.facts import Facts
from mertag.library.overview.judgement import to_judge
from mertag.library.overview.songs import Remembered, remembered
from mertag.library.overview.sums import Moods, Overview, overview
from mertag.library.records import to_dict
from mertag.library.state.database import Database

HAPPY, ANGRY, SAD, RELAXED = (emotion(v, a) for v, a in ((0.9, 0.9), (0.1, 0.9), (0.1, 0.1), (0.9, 0.1)))
BETWEEN = emotion(0.52, 0.51)


@pytest.fixture
def library(tmp_path: Path) -> MadeLibrary:
    made = MadeLibrary(tmp_path / "music", tmp_path / "s")
    made.add("x/1.flac", HAPPY, facts=Facts(artist="A", album="One", genres=("Pop", "Rock"), year=1999))
    made.add("x/2.flac", ANGRY, facts=Facts(artist="A", album="One", genres=("Rock",), year=1991))
    made.add("y/3.flac", BETWEEN, facts=Facts(artist="B", album="Two", title="Between", year=2001, mood=("Sad",)))
    made.add("y/4.flac", RELAXED, facts=Facts())
    made.add("y/5.flac", None)
    return made


def found(library: MadeLibrary) -> Remembered:
    with Database(library.state) as database:
        return remembered(database, read=False)


def summed(library: MadeLibrary) -> Overview:
    return overview(found(library), [library.folder])


def test_the_sums_are_those_by_hand(library: MadeLibrary) -> None:
    sums = summed(library)
    assert valid(to_dict(sums), "overview")
    assert (sums.songs, sums.gone, sums.changed) == (4, 0, 0)
    assert {mood.label: mood.songs for mood in sums.moods} == {"Happy": 2, "Angry": 1, "Sad": 0, "Relaxed": 1}
    assert sum(mood.share for mood in sums.moods) == 1
    assert [mood.confidence for mood in sums.moods if mood.label == "Sad"] == [None]
    assert [(group.name, group.songs, group.moods) for group in sums.by_genre] == [
        ("Rock", 2, Moods(1, 1, 0, 0)),
        ("Pop", 1, Moods(1, 0, 0, 0)),
    ]
    assert [(g.name, g.songs) for g in sums.by_artist] == [("A", 2), ("B", 1)]
    assert [(g.name, g.songs) for g in sums.by_album] == [("A - One", 2), ("B - Two", 1)]
    assert [(g.name, g.songs) for g in sums.by_year] == [("1991", 1), ("1999", 1), ("2001", 1)]
    assert [g.songs for g in sums.by_folder] == [2, 2]
    assert sums.by_artist[0].valence == pytest.approx(0.5)
    assert sums.confidence is not None
    assert sum(sums.confidence.tenths) == 4
    assert [(kept.mood, kept.songs, kept.heard) for kept in sums.kept] == [("Sad", 1, Moods(1, 0, 0, 0))]
    assert [(w.reason, len(w.files)) for w in sums.without] == [("too short", 1)]
    assert [(song.title, song.label, song.second) for song in sums.unsure] == [("Between", "Happy", "Relaxed")]


def test_years_are_put_together_by_tens(library: MadeLibrary) -> None:
    nineties, noughties = decades(summed(library).by_year)
    assert (nineties.name, nineties.songs, nineties.moods) == ("1990s", 2, Moods(1, 1, 0, 0))
    assert nineties.valence == pytest.approx(0.5)
    assert noughties.name == "2000s"


def test_the_text_says_all_parts(library: MadeLibrary) -> None:
    text = "\n".join(lines(summed(library), top=1))
    for part in ("4 songs with an emotion", "made@1", "Rock", "and 1 more", "1990s", "2000s", "Sad (1): Happy 1"):
        assert part in text
    assert "too short: 1" in text
    assert "B - Between: Happy 0.27, or Relaxed" in text


def test_the_text_of_hostile_tags_obeys_nobody(tmp_path: Path) -> None:
    made = MadeLibrary(tmp_path / "music", tmp_path / "s")
    made.add(
        "a.flac", BETWEEN, facts=Facts(title="\x1b[31mred", artist="\u202eevil", genres=("\x07",), mood=("\x1b]",))
    )
    text = "\n".join([*lines(summed(made), top=5), *short(summed(made))])
    assert not [c for c in text if c != "\n" and (ord(c) < 32 or c == "\u202e")]


def test_an_empty_library_is_said_to_be_empty() -> None:
    sums = overview(Remembered())
    assert valid(to_dict(sums), "overview")
    assert list(lines(sums, top=5)) == ["0 songs with an emotion"]
    assert list(short(sums)) == []


def test_the_short_form_says_where_each_mood_is_at_home(tmp_path: Path) -> None:
    made = made_library(tmp_path / "music", tmp_path / "s", 300)
    by_genre, by_artist, unsure, more = short(summed(made))
    assert by_genre.startswith("by genre: Happy ")
    assert "of Metal" in by_genre
    assert by_artist.startswith("by artist: ")
    assert unsure.startswith("unsure: ")
    assert "mertag overview" in more


def test_what_the_owner_contradicts_comes_first_to_be_judged_then_what_is_between_moods(library: MadeLibrary) -> None:
    library.add("y/6.flac", emotion(0.5, 0.9), facts=Facts())
    songs = found(library).songs
    order = [songs[i].path.name for i in to_judge(songs, 3)]
    assert order == ["3.flac", "6.flac", order[2]]


def test_no_album_takes_the_whole_list_of_what_is_to_be_judged(tmp_path: Path) -> None:
    made = MadeLibrary(tmp_path / "music", tmp_path / "s")
    for i in range(5):
        made.add(f"{i}.flac", BETWEEN, facts=Facts(artist="A", album="One"))
        made.add(f"loose {i}.flac", HAPPY, facts=Facts())
    songs = found(made).songs
    judged = [songs[i] for i in to_judge(songs, 10)]
    assert [song.facts.album for song in judged] == ["One"] * 2 + [""] * 5
