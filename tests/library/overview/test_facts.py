"""What a file's tags say of a song, in every container family, and of files whose tags say nothing sensible."""

from __future__ import annotations

from pathlib import Path

import mutagen
import pytest
from distinct_songs import song
from fake_tagger import emotion
from hypothesis import given
from hypothesis import strategies as st

from mertag.library import tags
from mertag.library.overview.facts import LONGEST, Facts, decode, encode, from_tags, read_facts
from mertag.library.tags import TagOptions


def tagged(path: Path, **values: list[str]) -> Path:
    """Return a song whose tags hold some values."""
    file = mutagen.File(song(path), easy=True)
    if file.tags is None:
        file.add_tags()
    for key, texts in values.items():
        file[key] = texts
    file.save()
    return path


@pytest.mark.command
@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.mp3"])
def test_title_artist_album_genre_and_year_are_read(tmp_path: Path, name: str) -> None:
    values = {"title": ["Ödland"], "artist": ["Zoë"], "album": ["First"], "genre": ["Folk"], "date": ["1987-05-02"]}
    found = read_facts(tagged(tmp_path / name, **values))
    assert found == Facts(title="Ödland", artist="Zoë", album="First", genres=("Folk",), year=1987)


@pytest.mark.command
def test_a_mood_that_mertag_wrote_is_no_fact_and_one_of_the_owner_is(tmp_path: Path) -> None:
    ours = song(tmp_path / "ours.flac")
    tags.write_tags(ours, emotion())
    assert read_facts(ours).mood == ()
    own = tagged(tmp_path / "own.flac")
    file = mutagen.File(own)
    file["MOOD"] = ["Sunday morning", "Chill"]
    file.save()
    tags.write_tags(own, emotion(), TagOptions())
    assert read_facts(own).mood == ("Sunday morning", "Chill")


@pytest.mark.command
def test_bytes_that_are_no_utf8_are_replaced(tmp_path: Path) -> None:
    path = tagged(tmp_path / "a.flac", title=["Cafe"])
    path.write_bytes(path.read_bytes().replace(b"Cafe", b"Caf\xe9"))
    facts = read_facts(path)
    assert facts.title == "Caf\ufffd"
    assert decode(encode(facts)) == facts


def test_a_fault_of_the_reader_leaves_only_what_it_would_have_said_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tagged(tmp_path / "a.flac", title=["Cafe"], mood=["Chill"])

    def fails(path: Path, name: str) -> None:
        raise RuntimeError("FFmpeg's reader of tags failed: TypeError")

    monkeypatch.setattr("mertag.library.overview.facts.ffmpeg.seen", fails)
    facts = read_facts(path)
    assert (facts.title, facts.mood) == ("", ("Chill",))


@pytest.mark.command
def test_a_file_that_cannot_be_read_has_no_facts(tmp_path: Path) -> None:
    noise = tmp_path / "noise.mp3"
    noise.write_bytes(bytes(range(256)) * 40)
    assert read_facts(noise) == read_facts(tmp_path / "gone.flac") == Facts()


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        ({"0:TITLE": "of the stream", "title": "of the file"}, Facts(title="of the file")),
        ({"0:title": "of the stream", "title": "  "}, Facts(title="of the stream")),
        ({"album_artist": "Various"}, Facts(artist="Various")),
        ({"artist": "A", "album_artist": "Various"}, Facts(artist="A")),
        ({"genre": "Pop; Rock;Pop"}, Facts(genres=("Pop", "Rock"))),
        ({"genre": "R&B/Soul"}, Facts(genres=("R&B/Soul",))),
        ({"date": "circa 68"}, Facts()),
        ({"date": "5/1969"}, Facts(year=1969)),
        ({"date": "19690501"}, Facts()),
        ({"date": "", "TYER": "2003"}, Facts(year=2003)),
        ({"title": "two\nlines\t"}, Facts(title="two lines")),
    ],
)
def test_tags_are_read_as_players_read_them(seen: dict[str, str], found: Facts) -> None:
    assert from_tags(seen) == found


@given(st.dictionaries(st.sampled_from(["title", "artist", "genre", "date", "0:album"]), st.text()))
def test_whatever_the_tags_hold_facts_are_kept_as_they_are(seen: dict[str, str]) -> None:
    found = from_tags(seen)
    assert decode(encode(found)) == found
    assert max(map(len, (found.title, found.artist, found.album, *found.genres)), default=0) <= LONGEST


def test_what_is_no_facts_is_read_again() -> None:
    assert decode("[]") is None
    assert decode('{"year": "soon"}') is None
