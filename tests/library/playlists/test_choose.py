"""Which songs a playlist holds: ranges as in beets, each song once, the most certain first; and ways over the map."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from remembered_library import emotion

from mertag.errors import ConfigError
from mertag.library.overview.facts import Facts
from mertag.library.overview.songs import Song
from mertag.library.playlists.choose import Range, Wanted, by_mood
from mertag.library.playlists.journey import USUAL_LENGTH, journey, place_of
from mertag.library.tags.options import DEFAULT_LABELS

FROM_ZERO_TO_ONE = st.floats(0.01, 0.99)


def song(
    name: str, valence: float, arousal: float, *, artist: str = "", audio: str = "", mood: tuple[str, ...] = ()
) -> Song:
    return Song(
        place=f"/music/{name}".encode(),
        audio=(audio or name).encode(),
        emotion=emotion(valence, arousal),
        course=b"",
        facts=Facts(artist=artist, mood=mood),
    )


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("0.7..", 0.7, 1), ("..0.3", 0, 0.3), ("0.2..0.5", 0.2, 0.5), (".5..1.0", 0.5, 1), ("0..", 0, 1)],
)
def test_ranges_are_read_as_beets_reads_them(text: str, low: float, high: float) -> None:
    found = Range.parse(text)
    assert (found.low, found.high) == (low, high)
    assert found.holds(low)
    assert found.holds(high)
    assert Range.parse(str(found)) == found if not found.is_all else str(found) == ".."


@pytest.mark.parametrize("text", ["..", "", "0.5", "0.7..0.3", "7..", "a..b", "-0.1..", "0.1...0.2", "nan.."])
def test_what_is_no_range_is_a_mistake(text: str) -> None:
    with pytest.raises(ConfigError, match="range"):
        Range.parse(text)


def test_each_mood_has_its_songs_the_most_certain_first_and_each_audio_once() -> None:
    songs = [
        song("a", 0.9, 0.9),
        song("b", 0.95, 0.95),
        song("copy of a", 0.9, 0.9, audio="a"),
        song("c", 0.1, 0.9),
        song("d", 0.6, 0.6),
    ]
    found = by_mood(songs, Wanted(min_confidence=0.5), DEFAULT_LABELS)
    assert {mood: [s.path.name for s in of] for mood, of in found.items()} == {
        "Happy": ["b", "a"],
        "Angry": ["c"],
        "Sad": [],
        "Relaxed": [],
    }
    assert [s.path.name for s in by_mood(songs, Wanted(limit=1), DEFAULT_LABELS)["Happy"]] == ["b"]


def names_of(found: dict[str, list[Song]]) -> dict[str, list[str]]:
    return {mood: [s.path.name for s in of] for mood, of in found.items() if of}


def test_a_song_is_in_the_playlist_of_the_mood_that_its_owner_chose() -> None:
    songs = [
        song("heard", 0.1, 0.1),
        song("chosen", 0.9, 0.6, mood=("sad",)),
        song("by its own name", 0.9, 0.6, mood=("Dreamy", "Traurig")),
        song("of another word", 0.9, 0.6, mood=("Dreamy",)),
    ]
    english = by_mood(songs, Wanted(), DEFAULT_LABELS)
    assert names_of(english) == {"Sad": ["chosen", "heard"], "Happy": ["by its own name", "of another word"]}
    german = by_mood(songs, Wanted(), ("Froh", "Wild", "Traurig", "Ruhig"))
    assert names_of(german) == {"Traurig": ["by its own name", "chosen", "heard"], "Froh": ["of another word"]}


def test_the_middle_has_a_playlist_where_it_has_a_name() -> None:
    songs = [song("middle", 0.55, 0.45), song("calm", 0.55, 0.3), song("chosen", 0.9, 0.9, mood=("balanced",))]
    found = by_mood(songs, Wanted(), DEFAULT_LABELS, balanced="Balanced")
    assert names_of(found) == {"Balanced": ["chosen", "middle"], "Relaxed": ["calm"]}


def test_moods_of_one_name_are_one_playlist() -> None:
    songs = [song("a", 0.9, 0.9), song("b", 0.1, 0.99)]
    found = by_mood(songs, Wanted(), ("Loud", "Loud", "Quiet", "Quiet"))
    assert {mood: [s.path.name for s in of] for mood, of in found.items()} == {"Loud": ["b", "a"], "Quiet": []}


def test_valence_and_arousal_narrow() -> None:
    songs = [song("a", 0.9, 0.2), song("b", 0.7, 0.3), song("c", 0.69, 0.3), song("d", 0.9, 0.31)]
    wanted = Wanted(valence=Range.parse("0.7.."), arousal=Range.parse("..0.3"))
    assert [s.path.name for s in by_mood(songs, wanted, DEFAULT_LABELS)["Relaxed"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "place"),
    [("calm", (0.5, 0)), ("LIVELY", (0.5, 1)), ("Sad", (0, 0)), ("happy", (1, 1)), ("0.2,0.9", (0.2, 0.9))],
)
def test_places_have_names(name: str, place: tuple[float, float]) -> None:
    assert place_of(name) == place


@pytest.mark.parametrize("name", ["", "nowhere", "2,0.5", "0.5", "0.1,0.2,0.3"])
def test_what_is_no_place_is_a_mistake(name: str) -> None:
    with pytest.raises(ConfigError, match="no place"):
        place_of(name)


def test_own_names_of_moods_are_places() -> None:
    assert place_of("wütend", ("Froh", "Wütend", "Traurig", "Ruhig")) == (0, 1)


def test_a_way_leads_from_the_one_end_of_the_library_to_the_other() -> None:
    songs = [song(f"{i:03}", 0.5, 0.2 + 0.006 * i, artist=f"artist {i % 7}") for i in range(100)]
    way = journey(songs, place_of("calm"), place_of("lively"), Wanted(limit=20))
    arousal = [s.emotion.arousal for s in way]
    assert len(way) == 20
    assert arousal == sorted(arousal)
    assert arousal[0] < 0.25
    assert arousal[-1] > 0.75
    assert len(journey(songs, place_of("calm"), place_of("lively"), Wanted())) == USUAL_LENGTH


@given(
    st.lists(st.tuples(FROM_ZERO_TO_ONE, FROM_ZERO_TO_ONE, st.sampled_from(["A", "a", "B", "C"])), max_size=40),
    st.sampled_from(["calm", "lively", "sad", "0.3,0.3"]),
    st.sampled_from(["happy", "angry", "unpleasant", "0.5,0.1"]),
)
def test_no_artist_comes_twice_in_a_row_and_no_song_twice(
    places: list[tuple[float, float, str]], start: str, end: str
) -> None:
    songs = [song(f"{i}", v, a, artist=artist) for i, (v, a, artist) in enumerate(places)]
    way = journey(songs, place_of(start), place_of(end), Wanted(limit=30))
    artists = [s.facts.artist.casefold() for s in way]
    assert all(a != b for a, b in pairwise(artists))
    assert len({s.place for s in way}) == len(way)
    assert bool(way) == bool(songs)


def test_songs_without_an_artist_may_follow_each_other() -> None:
    songs = [song(f"{i}", 0.5, i / 10) for i in range(1, 9)]
    assert len(journey(songs, place_of("calm"), place_of("lively"), Wanted())) == 8


def test_forty_thousand_songs_and_a_long_way_take_a_moment(tmp_path: Path) -> None:
    one = song("a", 0.5, 0.5)
    songs = [
        Song(place=b"%d" % i, audio=b"%d" % i, emotion=one.emotion, course=b"", facts=Facts(artist=f"{i % 500}"))
        for i in range(40_000)
    ]
    assert len(journey(songs, (0, 0), (1, 1), Wanted(limit=200))) == 200
