"""mutagen is an extra: tags are written, checked and removed without it; where it is here, it is the third reader."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import mutagen
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutagen.id3 import COMM, ID3, TALB, TCON, TIT2, TPE1, TXXX
from three_readers import assert_nothing_hidden, three_readers

from mertag.emotion import SongEmotion
from mertag.errors import TagWriteError
from mertag.library.tags import TagOptions, read_tags, remove_tags, second_opinion, write_tags
from mertag.library.tags.id3_genres import GENRES, spelled_out
from mertag.library.tags.id3_texts import texts_of
from mertag.library.tags.readers import FFmpegReader, unseen

Song = Callable[[str], Path]


@pytest.fixture
def without_mutagen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_opinion, "installed", lambda: False)

    def ask(*_: object) -> None:
        raise AssertionError("mutagen was asked")

    monkeypatch.setattr(second_opinion, "import_module", ask)


@pytest.mark.usefixtures("without_mutagen")
def test_every_container_is_written_and_cleared_without_it(
    any_song: Path, happy: SongEmotion, sad: SongEmotion
) -> None:
    before = three_readers(any_song)
    write_tags(any_song, happy, TagOptions(moods=2))
    assert read_tags(any_song)["MOOD"] == ("Happy", "Angry")
    assert_nothing_hidden(before, three_readers(any_song))
    write_tags(any_song, sad)
    remove_tags(any_song)
    assert "MERTAG_MODEL" not in read_tags(any_song)
    assert_nothing_hidden(before, three_readers(any_song))


def test_a_process_without_it_tags_a_song(song: Song) -> None:
    path = song("v23.mp3")
    code = (
        "import sys; sys.modules['mutagen'] = None\n"
        "from made_songs import emotion\n"
        "from mertag.library.tags import write_tags\n"
        "from mertag.cli.info import _version\n"
        "assert write_tags(sys.argv[1], emotion()).changed\n"
        "assert _version('no package of this name') == 'not installed'\n"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, env={**os.environ, "PYTHONPATH": paths})
    assert mutagen.File(path)["TXXX:MOOD"].text == ["Happy"]


# What FFmpeg sees of mertag's own fields


FIELDS = {"MOOD": ("Happy", "Angry"), "MERTAG_QUADRANT": ("Q1",)}


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ({"MOOD": "Happy;Angry", "MERTAG_QUADRANT": "Q1"}, ""),
        ({"0:TMOO": "Happy", "MERTAG/QUADRANT": "Q1"}, ""),
        ({"WM/Mood": "Angry", "MERTAG/QUADRANT": " Q1"}, ""),
        ({"MOOD": "Sad", "TMOO": "Happy", "MERTAG_QUADRANT": "Q1"}, ""),
        ({"MOOD": "Happy"}, "MERTAG_QUADRANT not at all"),
        ({"MOOD": "Dreamy", "MERTAG_QUADRANT": "Q1"}, "MOOD as 'Dreamy', and not as 'Happy;Angry'"),
        ({"title": "Song"}, "MOOD not at all"),
    ],
)
def test_fields_are_as_planned_or_named(seen: Mapping[str, str], said: str) -> None:
    found = unseen(seen, {}, FIELDS)
    assert said in found
    assert bool(found) == bool(said)


def test_what_cannot_be_read_and_what_stays_is_not_asked_for() -> None:
    assert not unseen(None, {}, FIELDS)
    assert not unseen({"title": "Song"}, FIELDS, FIELDS)
    assert unseen({"MOOD": "Happy"}, {"MOOD": ("Sad",)}, FIELDS)


@pytest.mark.usefixtures("without_mutagen")
def test_a_file_in_which_ffmpeg_sees_another_mood_is_refused_untouched(
    any_song: Path, happy: SongEmotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, real = any_song.read_bytes(), FFmpegReader.seen

    def other(reader: FFmpegReader, path: Path, name: str) -> Mapping[str, str] | None:
        seen = real(reader, path, name)
        return seen and {key: value.replace("Happy", "Sad") for key, value in seen.items()}

    monkeypatch.setattr(FFmpegReader, "seen", other)
    with pytest.raises(TagWriteError, match=r"FFmpeg.* would see MOOD as 'Sad', and not as 'Happy'"):
        write_tags(any_song, happy)
    assert any_song.read_bytes() == old


@pytest.mark.usefixtures("without_mutagen")
@pytest.mark.parametrize("name", ["a.m4a", "v23.mp3", "a.flac"])
def test_a_picture_that_changes_is_a_refusal(
    name: str, song: Song, happy: SongEmotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = song(name), FFmpegReader.seen

    def with_picture(reader: FFmpegReader, path: Path, known_as: str) -> Mapping[str, str] | None:
        return {**(real(reader, path, known_as) or {}), "picture 0": f"png {path.suffix}"}

    monkeypatch.setattr(FFmpegReader, "seen", with_picture)
    with pytest.raises(TagWriteError, match="saw 'picture 0'"):
        write_tags(path, happy)


def test_ffmpeg_tells_pictures_apart_by_their_bytes(song: Song, tmp_path: Path) -> None:
    seen = []
    for content in (b"one", b"two"):
        path = song("v24.mp3")
        tags = ID3(path)
        tags.add(mutagen.id3.APIC(encoding=3, mime="image/png", type=3, data=b"\x89PNG\r\n\x1a\n" + content * 50))
        tags.save(path)
        seen.append((FFmpegReader().seen(path, path.name) or {})["picture 0"])
    assert seen[0].startswith("png ")
    assert seen[0] != seen[1]


# What mertag reads of older tags by itself, as mutagen reads it


def test_the_genres_have_the_names_that_they_have_elsewhere() -> None:
    assert list(GENRES) == list(TCON.GENRES)


words = st.sampled_from(
    ["(17)", "(4)", "Eurodisco", "(RX)", "(CR)", "((foo)", "17", "RX", "CR", "255", "300", "(x)", ""]
)


@given(st.lists(st.lists(words, min_size=1, max_size=3).map("".join), min_size=1, max_size=2))
def test_genres_are_spelled_out_as_elsewhere(values: list[str]) -> None:
    assert spelled_out(values) == tuple(TCON(encoding=3, text=values).genres)


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)


@given(
    title=texts,
    artists=st.lists(texts, min_size=1, max_size=3, unique=True),
    comment=texts,
    own=texts,
    encoding=st.sampled_from([1, 3]),
    version=st.sampled_from([3, 4]),
)
def test_the_texts_of_a_tag_are_what_mutagen_wrote(
    title: str,
    artists: list[str],
    comment: str,
    own: str,
    encoding: int,
    version: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    tags = ID3()
    for frame in (
        TIT2(encoding=encoding, text=title),
        TPE1(encoding=encoding, text=artists),
        TALB(encoding=encoding, text=""),
        COMM(encoding=encoding, lang="eng", text=comment),
        TXXX(encoding=encoding, desc="Ωwn", text=own),
        TCON(encoding=encoding, text="(8)"),
    ):
        tags.add(frame)
    path = tmp_path_factory.getbasetemp() / "tag.id3"
    tags.save(path, v1=0, v2_version=version, v23_sep=None, padding=lambda _: 0)
    path_bytes = path.read_bytes()
    path.unlink()
    wanted = {"TITLE": (title,), "ARTIST": tuple(artists), "COMMENT": (comment,), "Ωwn": (own,), "GENRE": ("Jazz",)}
    assert texts_of(path_bytes, 2**20) == wanted


def test_a_date_of_three_frames_is_one_date_and_2_2_has_names_of_its_own() -> None:
    def frame(name: bytes, text: bytes, old: bool) -> bytes:
        size = (len(text) + 1).to_bytes(3 if old else 4, "big")
        return name + size + (b"" if old else b"\0\0") + b"\0" + text

    def tag(version: int, *frames: bytes) -> bytes:
        body = b"".join(frames)
        return b"ID3" + bytes((version, 0, 0, 0, 0, len(body) >> 7, len(body) & 127)) + body

    dated = [(b"TYER", b"1999"), (b"TDAT", b"3112"), (b"TIME", b"2359")]
    assert texts_of(tag(3, *(frame(*each, False) for each in dated)), 999) == {"DATE": ("1999-12-31T23:59",)}
    assert texts_of(tag(3, frame(*dated[0], False), frame(*dated[2], False)), 999) == {"DATE": ("1999",)}
    old = tag(2, frame(b"TT2", b"Song", True), frame(b"TYE", b"1999", True), frame(b"TXX", b"Key\0C", True))
    assert texts_of(old, 999) == {"TITLE": ("Song",), "DATE": ("1999",), "Key": ("C",)}
    twice = tag(4, frame(b"TPE1", b"A", False), frame(b"TPE1", b"B", False))
    assert texts_of(twice, 999) == {"ARTIST": ("A", "B")}
    assert texts_of(tag(4, frame(b"TIT2", b"x" * 100, False)), 50) == {}
