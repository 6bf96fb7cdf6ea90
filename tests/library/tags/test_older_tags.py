"""A new tag must not hide what the file's other kinds of tags say."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from crafted_songs import ape_tag, id3v1, id3v22
from hypothesis import given
from hypothesis import strategies as st
from mutagen.flac import FLAC
from mutagen.id3 import ID3, TCON, TIT2, TMOO, TPE1
from mutagen.wave import WAVE

from mertag.emotion import SongEmotion
from mertag.library.tags import TagOptions, read_tags, remove_tags, write_tags
from mertag.library.tags.id3_tag import fresh, parse
from mertag.library.tags.older_tags import as_comments, as_id3_frames, from_ape, from_id3, from_id3v1, from_info

Song = Callable[[str], Path]


def by_taglib(path: Path) -> dict[str, list[str]]:
    taglib = pytest.importorskip("taglib")
    with taglib.File(path) as found:
        return {k: v for k, v in found.tags.items() if k != "MOOD" and not k.startswith("MERTAG")}


def with_info(path: Path, **texts: bytes) -> Path:
    """Put a LIST INFO chunk at the end of a WAV file."""
    content = b"INFO"
    for name, text in texts.items():
        content += name.encode() + struct.pack("<I", len(text)) + text + b"\0" * (len(text) % 2)
    data = path.read_bytes() + b"LIST" + struct.pack("<I", len(content)) + content
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
    return path


def test_a_wav_file_with_info_keeps_its_titles(song: Song, happy: SongEmotion) -> None:
    path = with_info(song("a.wav"), INAM=b"Caf\xc3\xa9\0", IART=b"\xdcnknown", ICRD=b"spring 1999", XXXX=b"?")
    old, before = path.read_bytes(), by_taglib(path)

    write_tags(path, happy)

    assert {name: by_taglib(path)[name] for name in ("TITLE", "DATE")} == {
        "TITLE": before["TITLE"],
        "DATE": before["DATE"],
    }
    assert WAVE(path)["TIT2"].text == ["Café"]
    assert WAVE(path)["TPE1"].text == ["Ünknown"]  # Latin-1, as old programs write it
    assert path.read_bytes()[8 : len(old)] == old[8:]


def test_a_flac_file_whose_tags_are_id3_keeps_its_titles(song: Song, happy: SongEmotion) -> None:
    path = song("a.flac")
    tags = ID3()
    for frame in (TIT2(encoding=3, text="楽しい"), TPE1(encoding=0, text=["A", "B"]), TCON(encoding=0, text="(8)")):
        tags.add(frame)
    tags.save(path)
    before, head = by_taglib(path), path.read_bytes()[:200]

    write_tags(path, happy)

    assert by_taglib(path) == before
    assert FLAC(path)["title"] == ["楽しい"]
    assert FLAC(path)["artist"] == ["A", "B"]
    assert FLAC(path)["genre"] == ["Jazz"]
    assert path.read_bytes()[:200] == head
    if shutil.which("ffprobe"):
        command = ["ffprobe", "-v", "error", "-of", "json", "-show_format", str(path)]
        found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["format"]["tags"]
        assert {k.lower(): v for k, v in found.items()}["title"] == "楽しい"


def test_a_flac_file_with_comments_gets_nothing_from_its_id3_tag(song: Song, happy: SongEmotion) -> None:
    path = song("a.flac")
    flac = FLAC(path)
    flac["artist"] = "Somebody"
    flac.save()
    path.write_bytes(id3v22() + path.read_bytes() + id3v1())
    write_tags(path, happy)
    assert "title" not in FLAC(path)


def test_apev2_counts_more_than_id3v1_which_cuts_off(song: Song, happy: SongEmotion) -> None:
    path = song("bare.mp3")
    title = "A title of more than thirty letters"
    path.write_bytes(path.read_bytes() + ape_tag(Title=title, Track="7/9", Foo="bar") + id3v1(title[:30]))

    write_tags(path, happy)

    seen = ID3(path, load_v1=False)
    assert (seen["TIT2"].text, seen["TPE1"].text, seen["TRCK"].text) == ([title], ["Somebody"], ["7/9"])
    assert seen["TXXX:Foo"].text == ["bar"]


def test_a_mood_in_an_older_tag_is_someone_elses(song: Song, happy: SongEmotion) -> None:
    path = song("bare.mp3")
    path.write_bytes(path.read_bytes() + ape_tag(Mood="Dreamy", MERTAG_MODEL="an impostor"))
    assert write_tags(path, happy).new["MOOD"] == ("Dreamy",)
    assert read_tags(path)["MERTAG_MODEL"] == ("tiny@1.0.0+0123abcd",)
    assert ID3(path)["TMOO"].text == ["Dreamy"]
    write_tags(path, happy, TagOptions(overwrite=True))
    assert ID3(path)["TMOO"].text == ["Happy"]

    path = song("a.flac")
    tags = ID3()
    tags.add(TMOO(encoding=3, text="Dreamy"))
    tags.save(path)
    assert write_tags(path, happy).new["MOOD"] == ("Dreamy",)
    remove_tags(path)
    assert not FLAC(path).tags
    assert read_tags(path) == {"MOOD": ("Dreamy",)}  # players see the ID3 tag again


def test_a_damaged_older_tag_is_no_obstacle_and_stays(song: Song, happy: SongEmotion) -> None:
    for tail in (ape_tag(Title="x").replace(b"Title\0", b"Titlex"), ape_tag(Title="x")[:-24] + b"\xff" * 24):
        path = song("bare.mp3")
        path.write_bytes(path.read_bytes() + tail)
        write_tags(path, happy)
        assert path.read_bytes().endswith(tail)

    path = with_info(song("a.wav"), INAM=b"Title")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"INAM\x05\0\0\0", b"INAM\xff\xff\xff\xff"))
    write_tags(path, happy)
    assert WAVE(path)["TMOO"].text == ["Happy"]


names = st.text(max_size=20) | st.sampled_from(["TITLE", "comment", "Lyrics", "DATE", "MOOD", "MERTAG_MODEL"])
texts = st.dictionaries(names, st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=3).map(tuple))


@given(texts, texts)
def test_any_texts_make_a_sound_tag(first: dict[str, tuple[str, ...]], second: dict[str, tuple[str, ...]]) -> None:
    tag = fresh(as_id3_frames(first, second))
    assert "MERTAG_MODEL" not in tag.fields
    written = parse(tag.rendered({**tag.fields, "MERTAG_MODEL": ("m",)}))
    assert written.frames == tag.frames
    assert written.fields == {**tag.fields, "MERTAG_MODEL": ("m",)}
    for comment in as_comments(first, second):
        assert comment.count(b"=") >= 1


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_harm(data: bytes) -> None:
    for found in (
        from_info(b"INFO" + data),
        from_id3v1(b"TAG" + data.ljust(125)[:125]),
        from_id3(b"ID3\x03" + data, b""),
    ):
        assert all(name and values for name, values in found.items())
    assert from_ape(()) == {}


def test_a_book_in_a_comment_is_not_repeated() -> None:
    assert as_id3_frames({"COMMENT": ("x" * 5_000_000,), "TITLE": ("Song",)}) == as_id3_frames({"TITLE": ("Song",)})
