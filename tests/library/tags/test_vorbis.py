"""Vorbis comments in FLAC and Ogg: foreign blocks, pages and streams stay."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mutagen
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from mutagen.flac import FLAC, Picture

from mertag.emotion import SongEmotion
from mertag.errors import TagWriteError
from mertag.library.tags import audio_digest, ogg, read_tags, remove_tags, write_tags
from mertag.library.tags.container import Entry, MalformedError, Source
from mertag.library.tags.ogg import Page, lacing_of, pages, render_page
from mertag.library.tags.vorbis import parse

Song = Callable[[str], Path]
FIELDS = {"MOOD": ("Happy", "Sad"), "MERTAG_MODEL": ("modèl@1",)}


def block(comments: list[bytes], vendor: bytes = b"someone", tail: bytes = b"") -> bytes:
    parts = [struct.pack("<I", len(c)) + c for c in comments]
    return struct.pack("<I", len(vendor)) + vendor + struct.pack("<I", len(parts)) + b"".join(parts) + tail


@given(st.lists(st.binary(max_size=40), max_size=8), st.binary(max_size=20), st.binary(max_size=20))
def test_any_foreign_comments_survive(comments: list[bytes], vendor: bytes, tail: bytes) -> None:
    comments = [c for c in comments if not c.upper().startswith((b"MOOD=", b"MERTAG_"))]
    old = parse(block(comments, vendor, tail))

    new = parse(old.rendered(FIELDS) + tail)

    assert new.fields == FIELDS
    assert new.foreign() == old.foreign()
    assert new.rendered({}) + tail == block(comments, vendor, tail)


def test_a_mood_is_found_in_any_case_and_in_several_comments() -> None:
    found = parse(block([b"Mood=Dreamy", b"TITLE=x", b"mood=Blue"]))
    assert found.fields == {"MOOD": ("Dreamy", "Blue")}
    assert found.rendered({"MOOD": ("Happy",)}) == block([b"TITLE=x", b"MOOD=Happy"])


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xff\xff\xff", block([])[:-1], struct.pack("<II", 0, 2**32 - 1), struct.pack("<III", 0, 1, 9) + b"a"],
)
def test_damaged_comments_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedError, match="Vorbis comment is damaged"):
        parse(data)


# FLAC


def flac_blocks(path: Path) -> list[tuple[int, bytes]]:
    data, position, found, last = path.read_bytes(), 4, [], 0
    while not last:
        last, size = data[position] & 0x80, int.from_bytes(data[position + 1 : position + 4], "big")
        found.append((data[position] & 0x7F, data[position + 4 : position + 4 + size]))
        position += 4 + size
    return found


def furnished(path: Path, padding: int) -> Path:
    flac = FLAC(path)
    picture = Picture()
    picture.data, picture.mime, picture.desc = bytes(range(256)) * 9, "image/png", "front"
    flac.add_picture(picture)
    flac["title"] = "Café"
    flac.save(padding=lambda info: padding)
    data = path.read_bytes()
    position = 4 + 4 + 34
    application = b"\x02" + (12).to_bytes(3, "big") + b"test\xff\xfb\0\1\2\3\4\5"
    path.write_bytes(data[:position] + application + data[position:])
    return path


@pytest.mark.parametrize(("padding", "moves"), [(0, True), (10, True), (139, True), (4000, False)])
def test_other_metadata_blocks_stay_and_padding_is_used(
    padding: int, moves: bool, song: Song, happy: SongEmotion
) -> None:
    path = furnished(song("a.flac"), padding)
    before, size = flac_blocks(path), path.stat().st_size

    write_tags(path, happy)

    kept = [b for b in flac_blocks(path) if b[0] not in (1, 4)]
    assert kept == [b for b in before if b[0] not in (1, 4)]
    assert [b[0] for b in flac_blocks(path)[: len(before)]] == [b[0] for b in before]
    assert (path.stat().st_size != size) is moves
    assert FLAC(path).pictures[0].data == bytes(range(256)) * 9
    assert len(soundfile.read(path)[0]) == 96_000

    remove_tags(path)
    assert FLAC(path)["title"] == ["Café"]
    assert "mood" not in FLAC(path)


def test_a_flac_file_without_a_comment_gets_one(song: Song, happy: SongEmotion) -> None:
    path = song("a.flac")
    data = path.read_bytes()
    audio = data[4 + sum(4 + len(content) for _, content in flac_blocks(path)) :]
    path.write_bytes(b"fLaC\x80" + (34).to_bytes(3, "big") + flac_blocks(path)[0][1] + audio)

    write_tags(path, happy)

    assert FLAC(path)["mood"] == ["Happy"]
    assert path.read_bytes().endswith(audio)


def test_an_id3_tag_before_a_flac_stream_stays(song: Song, happy: SongEmotion) -> None:
    path = song("a.flac")
    prefix = b"ID3\x03\0\0\0\0\0\x14TIT2\0\0\0\x04\0\0\0old" + bytes(6)
    path.write_bytes(prefix + path.read_bytes())

    assert write_tags(path, happy).container == "FLAC"
    assert path.read_bytes().startswith(prefix + b"fLaC")
    assert FLAC(path)["mood"] == ["Happy"]


def test_metadata_that_do_not_lead_to_the_audio_are_refused(song: Song, happy: SongEmotion) -> None:
    path = song("a.flac")
    data = bytearray(path.read_bytes())
    data[4 + 4 + 34 + 3] += 1  # the length of the second block
    path.write_bytes(data)
    with pytest.raises(TagWriteError, match="damaged"):
        write_tags(path, happy)


# Ogg


def all_pages(data: bytes) -> tuple[Source, list[Page]]:
    source = Source(io.BytesIO(data))
    return source, list(pages(source, 0))


def assert_sound(path: Path) -> None:
    """Check that pages follow each other in each stream, all with the right checksum, up to the end."""
    source, found = all_pages(path.read_bytes())
    assert found[-1].stop == source.size
    assert all(page.intact(source) for page in found)
    serial = found[0].serial
    assert [p.number for p in found if p.serial == serial] == list(range(sum(p.serial == serial for p in found)))


@pytest.mark.parametrize("name", ["a.ogg", "a.opus", "a.oga"])
def test_pages_are_sound_and_the_audio_pages_untouched(name: str, song: Song, happy: SongEmotion) -> None:
    path = song(name)
    old = path.read_bytes()
    _, before = all_pages(old)

    write_tags(path, happy)

    assert_sound(path)
    new = path.read_bytes()
    assert len(all_pages(new)[1]) == len(before)
    assert new[-4000:] == old[-4000:]
    remove_tags(path)
    assert_sound(path)


def brimful(path: Path, full_pages: int) -> str:
    """Give an Ogg file lyrics until not one segment is free on its header pages; return them."""
    source = Source(io.BytesIO(path.read_bytes()))
    old = ogg.read(source)
    text = "la" * (full_pages * 32_512 - 4_000)
    while True:
        raw = b"LYRICS=" + text.encode()
        entry = Entry(None, (), struct.pack("<I", len(raw)) + raw)
        comment = replace(old.comment, entries=(*old.comment.entries, entry))
        pieces = replace(old, comment=comment).rebuilt({})
        path.write_bytes(b"".join(p if isinstance(p, bytes) else source.peek(p.start, len(p)) for p in pieces))
        with path.open("rb") as file:
            free = sum(255 - len(page.lacing) for page in ogg.read(Source(file)).before)
        if not free:
            return text
        text += "l" * (255 * free)


@pytest.mark.parametrize("name", ["a.ogg", "a.opus", "a.oga"])
@pytest.mark.parametrize("full_pages", [1, 3])
def test_more_pages_are_made_where_the_tag_needs_them(
    name: str, full_pages: int, song: Song, make_emotion: Callable[..., SongEmotion]
) -> None:
    path = song(name)
    lyrics = brimful(path, full_pages)
    digest, before = audio_digest(path), len(all_pages(path.read_bytes())[1])

    write_tags(path, make_emotion(model="m" * 400))  # two segments, at least

    assert_sound(path)
    assert len(all_pages(path.read_bytes())[1]) == before + 1
    assert audio_digest(path) == digest
    assert mutagen.File(path)["lyrics"] == [lyrics]
    assert mutagen.File(path)["mood"] == ["Happy"]
    remove_tags(path)
    assert_sound(path)


def test_a_damaged_page_is_not_made_to_look_sound(song: Song, make_emotion: Callable[..., SongEmotion]) -> None:
    path = song("a.ogg")
    brimful(path, 1)
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)

    with pytest.raises(TagWriteError, match="checksum"):
        write_tags(path, make_emotion(model="m" * 400))  # two segments, at least
    assert path.read_bytes() == data


def test_chained_streams_stay_as_they_are(song: Song, happy: SongEmotion) -> None:
    path = song("a.ogg")
    second = song("a.opus").read_bytes()
    path.write_bytes(path.read_bytes() + second)

    write_tags(path, happy)

    assert path.read_bytes().endswith(second)
    assert read_tags(path)["MOOD"] == ("Happy",)


def test_interleaved_streams_stay_as_they_are(song: Song, happy: SongEmotion) -> None:
    path = song("a.ogg")
    source, found = all_pages(path.read_bytes())
    other = [
        render_page(flags=2 * (i == 0), granule=0, serial=7, number=i, lacing=bytes((9,)), body=b"kate data")
        for i in range(len(found))
    ]
    raw = [source.peek(page.start, page.stop - page.start) for page in found]
    path.write_bytes(b"".join(a + b for a, b in zip(raw, other, strict=True)))
    tagged = [page for page in all_pages(path.read_bytes())[1] if page.serial != 7]
    assert len(tagged) == len(found)

    write_tags(path, happy)

    source, after = all_pages(path.read_bytes())
    assert [source.peek(p.start, p.stop - p.start) for p in after if p.serial == 7] == other
    assert [p.serial == 7 for p in after] == [i % 2 == 1 for i in range(len(after))]
    assert all(page.intact(source) for page in after)


def test_headers_that_are_cut_off_are_refused(song: Song, happy: SongEmotion) -> None:
    path = song("a.ogg")
    data = path.read_bytes()
    _, found = all_pages(data)
    for cut in (found[1].start, found[1].start + 40):
        path.write_bytes(data[:cut])
        with pytest.raises(TagWriteError):
            write_tags(path, happy)
        assert path.read_bytes() == data[:cut]


def test_a_packet_ends_with_a_segment_below_255() -> None:
    assert [lacing_of(n) for n in (0, 1, 254, 255, 256)] == [[0], [1], [254], [255, 0], [255, 1]]
