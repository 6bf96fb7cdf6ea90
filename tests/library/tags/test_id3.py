"""ID3v2 tags made by hand: every version, every flag, and foreign frames byte for byte."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutagen.id3 import ID3

from mertag.emotion import SongEmotion
from mertag.errors import TagWriteError
from mertag.library.tags import TagOptions, read_tags, remove_tags, write_tags
from mertag.library.tags.container import MalformedError
from mertag.library.tags.id3_bytes import Unsynchronised, syncsafe, unsynchronise
from mertag.library.tags.id3_tag import parse, tag_length

Song = Callable[[str], Path]
FIELDS = {"MOOD": ("Happy", "Sad"), "MERTAG_MODEL": ("modèl@1",)}
UNICODE = {"MOOD": ("楽しい", "Sad"), "MERTAG_MODEL": ("\u00ff\u20ff@1",)}


def frame(version: int, name: bytes, content: bytes, flags: int = 0, size: int | None = None) -> bytes:
    length = len(content) if size is None else size
    if version == 2:
        return name + length.to_bytes(3, "big") + content
    field = syncsafe(length) if version == 4 else length.to_bytes(4, "big")
    return name + field + flags.to_bytes(2, "big") + content


def tag(version: int, body: bytes, flags: int = 0, padding: int = 0) -> bytes:
    body += bytes(padding)
    head = bytes((version, 0, flags)) + syncsafe(len(body))
    return b"ID3" + head + body + (b"3DI" + head if flags & 0x10 else b"")


def foreign(version: int) -> list[bytes]:
    if version == 2:
        return [frame(2, b"TT2", b"\x00Title"), frame(2, b"PIC", b"\0JPG\0\0\xff\xd8\xff\xe0\xff\0")]
    return [
        frame(version, b"TIT2", b"\x01\xff\xfeT\0i\0\xff\xfe\0\0"),  # as an odd tagger writes it
        frame(version, b"TXXX", b"\x00MERTAG\0not ours"),
        frame(version, b"TYER", b"\x001999\0\0"),
        frame(version, b"PRIV", b"x\0\xff\xe3\xff\x00\xff\xff", flags=0x6000),
        frame(version, b"APIC", b"\0image/png\0\3\0" + bytes(range(256)) * 2),
    ]


def test_the_mood_is_a_frame_of_its_own_only_in_version_4() -> None:
    for version, mood in ((2, b"TXX\0\0\x0b\0MOOD\0Happy"), (3, b"TXXX\0\0\0\x0b\0\0\0MOOD\0Happy")):
        assert mood in parse(tag(version, b"")).rendered({"MOOD": ("Happy",)})
    new = parse(tag(4, b"")).rendered({"MOOD": ("Happy", "Sad")})
    assert new[10:].rstrip(b"\0") == b"TMOO\0\0\0\x0a\0\0\0Happy\0Sad"


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("fields", [FIELDS, UNICODE])
@pytest.mark.parametrize("unsynchronised", [False, True])
@pytest.mark.parametrize("padding", [0, 500])
def test_foreign_frames_stay_byte_for_byte(
    version: int, fields: dict[str, tuple[str, ...]], unsynchronised: bool, padding: int
) -> None:
    frames = foreign(version)
    body = b"".join(frames)
    if unsynchronised and version < 4:
        body = unsynchronise(body)
    data = tag(version, body, 0x80 if unsynchronised else 0, padding)
    old = parse(data)

    new_data = old.rendered(fields)
    new = parse(new_data)

    assert new_data.startswith(b"ID3" + bytes((version,)))
    assert new_data[10 : 10 + len(body)] == body
    assert new.fields == fields
    assert new.foreign() == old.foreign()
    assert new.frames == tuple(frames)
    assert tag_length(new_data[:10]) == len(new_data)
    assert len(new_data) == len(data) if padding else len(new_data) > len(data)
    assert parse(new.rendered({})).foreign() == old.foreign()
    assert new.rendered(fields) == new_data

    seen = ID3(io.BytesIO(new_data + b"\xff\xfb"), translate=False, load_v1=False)
    texts = [f.text for f in seen.values() if f.FrameID == "TMOO" or getattr(f, "desc", "") == "MOOD"]
    assert texts == [list(fields["MOOD"])]


names = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=4, max_size=4).filter(lambda n: n != "TMOO")
contents = st.binary(min_size=1, max_size=300) | st.sampled_from([b"\xff", b"\xff\x00", b"\xff\xfb\x90", b"\0" * 20])


@given(
    version=st.sampled_from([3, 4]),
    frames=st.lists(st.tuples(names, contents, st.integers(0, 0x7FFF)), max_size=6),
    padding=st.integers(0, 300),
    unsynchronised=st.booleans(),
)
def test_any_foreign_frames_survive_a_write_and_a_removal(
    version: int, frames: list[tuple[str, bytes, int]], padding: int, unsynchronised: bool
) -> None:
    raw = [frame(version, name.encode(), content, flags) for name, content, flags in frames]
    body = b"".join(raw)
    if unsynchronised and version == 3:
        body = unsynchronise(body)
    old = parse(tag(version, body, 0x80 if unsynchronised else 0, padding))
    if old.fields:
        return

    new = parse(old.rendered(FIELDS))
    bare = parse(new.rendered({}))

    assert new.fields == FIELDS
    assert bare.fields == {}
    assert new.frames == bare.frames == tuple(raw)


@given(st.binary(max_size=200).map(lambda b: b.replace(b"\x01", b"\xff\x00").replace(b"\x02", b"\xff\xe0")))
def test_unsynchronised_bytes_come_back_and_know_where_they_stood(data: bytes) -> None:
    raw = unsynchronise(data)
    body = Unsynchronised(raw)
    assert body.decoded == data
    for cut in range(len(data) + 1):
        index = body.raw_index(cut)
        assert raw[:index].replace(b"\xff\x00", b"\xff") + raw[index:].replace(b"\xff\x00", b"\xff") == data


def test_frame_sizes_of_old_itunes_are_kept() -> None:
    picture = b"APIC" + struct.pack(">I", 300) + bytes(2) + b"\0image/png\0\3\0" + b"\x01" * 287
    data = tag(4, picture + b"TIT2" + struct.pack(">I", 6) + bytes(2) + b"\0Title", padding=99)
    old = parse(data)
    assert old.plain_sizes

    long = {"MERTAG_MODEL": ("m" * 200,)}
    new = parse(old.rendered(long))
    assert new.plain_sizes
    assert new.fields == long
    assert new.frames == old.frames


def test_a_footer_is_kept_and_stays_equal_to_the_header() -> None:
    data = tag(4, frame(4, b"TIT2", b"\0Title"), flags=0x10)
    new = parse(data).rendered(FIELDS)
    assert new[-10:] == b"3DI" + new[3:10]
    assert parse(new).fields == FIELDS
    assert tag_length(new[:10]) == len(new)


def test_extended_headers_are_kept_and_their_padding_counted() -> None:
    title = frame(3, b"TIT2", b"\0Title")
    old3 = parse(tag(3, struct.pack(">IHI", 6, 0, 300) + title, 0x40, 300))
    new3 = old3.rendered(FIELDS)
    padding = len(new3) - len(new3.rstrip(b"\0"))
    assert new3[10:24] == struct.pack(">IHI", 6, 0, padding) + b"TIT2"
    assert parse(new3).foreign() == old3.foreign()

    extended = syncsafe(6) + b"\x01\x00"
    old4 = parse(tag(4, extended + frame(4, b"TIT2", b"\0Title"), 0x40))
    assert old4.rendered(FIELDS)[10:20] == extended + b"TIT2"


def test_checksums_are_those_of_the_new_frames() -> None:
    title = frame(3, b"TIT2", b"\0Title")
    old3 = parse(tag(3, struct.pack(">IHII", 10, 0x8000, 300, 1) + title, 0x40, 300))
    new3 = old3.rendered(FIELDS)
    frames = new3[24:].rstrip(b"\0")
    assert new3[20:24] == struct.pack(">I", zlib.crc32(frames))
    assert parse(new3).foreign() == old3.foreign()

    title = frame(4, b"TIT2", b"\0Title")
    for flags, before in ((0x20, b""), (0x60, b"\0")):
        extended = syncsafe(12 + len(before)) + bytes((1, flags)) + before + b"\x05" + bytes(5)
        old4 = parse(tag(4, extended + title, 0x40, 300))
        new4 = old4.rendered(FIELDS)
        crc = zlib.crc32(new4[10 + len(extended) :])
        stored = new4[10 + len(extended) - 5 : 10 + len(extended)]
        assert sum(byte << 7 * i for i, byte in enumerate(reversed(stored))) == crc
        assert parse(new4).foreign() == old4.foreign()


@pytest.mark.parametrize("text", [b"MP3ext V3.3.19(ansi)" * 9 + b"MP3ext", bytes(9) + b"by some tagger" + bytes(40)])
@pytest.mark.parametrize("version", [3, 4])
def test_text_in_the_padding_stays_behind_the_frames(version: int, text: bytes) -> None:
    old = parse(tag(version, frame(version, b"TIT2", b"\0Title") + text))
    new = parse(old.rendered(FIELDS))
    assert new.fields == FIELDS
    assert new.foreign() == old.foreign()
    assert text.rstrip(b"\0") in old.rendered(FIELDS)
    assert parse(new.rendered({})).foreign() == old.foreign()


def test_a_plain_size_is_believed_where_audio_follows(song: Song, happy: SongEmotion) -> None:
    path = song("bare.mp3")
    audio, body = path.read_bytes(), frame(3, b"TIT2", b"\0Title") + bytes(300)
    path.write_bytes(b"ID3\x03\0\0" + struct.pack(">I", len(body)) + body + audio)
    assert path.read_bytes()[9] & 0x80 or len(body) > 255
    write_tags(path, happy)
    assert ID3(path)["TIT2"].text == ["Title"]
    assert read_tags(path)["MOOD"] == ("Happy",)
    assert path.read_bytes().endswith(audio)


def test_an_extended_header_that_is_only_announced_is_no_obstacle() -> None:
    old = parse(tag(3, frame(3, b"TIT2", b"\0Title"), 0x40))
    assert parse(old.rendered(FIELDS)).frames == old.frames


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tag(3, struct.pack(">IHII", 10, 0x8000, 0, 1) + b"TIT2"), "after the padding"),
        (tag(4, syncsafe(12) + b"\x01\x20\x04\0\0\0\0\0", 0x40, 20), "checksum"),
        (tag(3, struct.pack(">I", 2**31) + bytes(20), 0x40), "extended header"),
        (tag(3, b"\0\0", 0x40), "extended header"),
        (tag(3, frame(3, b"TIT2", b"\0T", size=999)), "longer than the tag"),
        (tag(4, frame(4, b"TIT2", b"\0T", size=999)), "longer than the tag"),
        (tag(3, frame(3, b"TIT2", b"\0T") + bytes(30) + b"j\xffnk"), "after the padding"),
        (tag(3, b"tit2\0\0\0\1\0\0x"), "no frame"),
        (tag(3, b"TIT"), "no frame"),
        (tag(2, b"", flags=0x40), "compressed"),
        (tag(5, b""), "ID3v2.5"),
        (tag(4, b"", flags=0x10)[:-1] + b"\x01", "footer"),
    ],
)
def test_damaged_tags_are_refused_with_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        parse(data)


def test_a_tag_whose_length_is_no_number_is_refused() -> None:
    with pytest.raises(MalformedError, match="length"):
        tag_length(b"ID3\x03\0\0\xff\0\0\0")


@pytest.mark.parametrize(
    ("version", "raw"),
    [
        (4, frame(4, b"TMOO", b"\x03Dreamy\0")),
        (3, frame(3, b"TMOO", b"\x01\xff\xfeD\0r\0e\0a\0m\0y\0\0\0")),
        (3, frame(3, b"TXXX", b"\x01" + "mood\0".encode("utf-16") + "Dreamy".encode("utf-16"))),
        (4, frame(4, b"TXXX", b"\x02" + "Mood\0Dreamy".encode("utf-16-be"))),
        (2, frame(2, b"TXX", b"\0MOOD\0Dreamy")),
        (3, frame(3, b"TXXX", struct.pack(">I", 12) + zlib.compress(b"\0MOOD\0Dreamy"), flags=0x80)),
        (4, frame(4, b"TXXX", syncsafe(12) + zlib.compress(b"\0MOOD\0Dreamy"), flags=0x09)),
        (4, frame(4, b"TMOO", b"g" + b"\0Dreamy", flags=0x40)),
        (4, frame(4, b"TXXX", b"\x01\xff\0\xfe" + "MOOD\0Dreamy".encode("utf-16-le"), flags=0x02)),
    ],
)
def test_a_mood_is_read_however_it_is_written_and_can_be_replaced(version: int, raw: bytes) -> None:
    found = parse(tag(version, raw))
    assert found.fields == {"MOOD": ("Dreamy",)}
    replaced = parse(found.rendered({"MOOD": ("Happy",)}))
    assert replaced.fields == {"MOOD": ("Happy",)}
    assert len(replaced.entries) == 1


def test_an_encrypted_mood_stays_as_it_is() -> None:
    raw = frame(4, b"TMOO", b"\x80secret", flags=0x04)
    old = parse(tag(4, raw))
    assert old.fields == {}
    assert raw in old.rendered(FIELDS)


def test_a_bomb_of_zeros_in_a_text_frame_is_not_unpacked() -> None:
    bomb = zlib.compress(bytes(2**24))
    assert parse(tag(3, frame(3, b"TXXX", struct.pack(">I", 2**24) + bomb, flags=0x80))).fields == {}


# Files


@pytest.mark.parametrize(("name", "version"), [("v23.mp3", 3), ("v24.mp3", 4)])
def test_the_version_of_a_file_is_kept(name: str, version: int, song: Song, happy: SongEmotion) -> None:
    path = song(name)
    write_tags(path, happy)
    assert path.read_bytes()[3] == version
    remove_tags(path)
    assert path.read_bytes()[3] == version


@pytest.mark.parametrize("version", [2, 3, 4])
def test_audio_does_not_move_if_the_padding_is_enough(version: int, song: Song, happy: SongEmotion) -> None:
    path = song("bare.mp3")
    audio = path.read_bytes()
    path.write_bytes(tag(version, b"".join(foreign(version)), padding=600) + audio)
    size = path.stat().st_size

    write_tags(path, happy, TagOptions(moods=2))

    assert path.stat().st_size == size
    assert path.read_bytes().endswith(audio)
    assert read_tags(path)["MOOD"] == ("Happy", "Angry")


ID3V1 = b"TAG" + b"Caf\xe9".ljust(30, b"\0") + b"Somebody".ljust(30) + bytes(30) + b"1999" + b"Hi".ljust(28, b"\0")
ID3V1 += b"\0\x07\x08"


def test_tags_behind_the_audio_stay_as_they_are(song: Song, happy: SongEmotion) -> None:
    path = song("bare.mp3")
    ape = b"APETAGEX" + struct.pack("<IIIIQ", 2000, 32 + 17, 1, 0, 0)
    tail = struct.pack("<II", 3, 0) + b"Title\0Old" + ape + b"LYRICSBEGIN" + b"000011LYRICS200" + ID3V1
    path.write_bytes(path.read_bytes() + tail)

    write_tags(path, happy)
    assert path.read_bytes().endswith(tail)
    remove_tags(path)
    assert path.read_bytes().endswith(tail)


def test_a_new_tag_repeats_what_an_old_kind_of_tag_says(song: Song, happy: SongEmotion) -> None:
    path = song("bare.mp3")
    path.write_bytes(path.read_bytes() + ID3V1)

    write_tags(path, happy)

    seen = ID3(path, load_v1=False)
    texts = {name: str(seen[name]) for name in ("TIT2", "TPE1", "TDRC", "TRCK", "TCON", "COMM::eng")}
    assert texts == {
        "TIT2": "Café",
        "TPE1": "Somebody",
        "TDRC": "1999",
        "TRCK": "7",
        "TCON": "Jazz",
        "COMM::eng": "Hi",
    }
    assert "TALB" not in seen
    assert path.read_bytes().endswith(ID3V1)


def test_aac_is_tagged_where_it_has_a_tag(song: Song, happy: SongEmotion) -> None:
    path = song("raw.aac")
    audio = path.read_bytes()
    path.write_bytes(tag(4, frame(4, b"TIT2", b"\0Title")) + audio)

    assert write_tags(path, happy).container == "AAC (ID3v2.4)"
    assert path.read_bytes().endswith(audio)
    assert ID3(path)["TMOO"].text == ["Happy"]


def test_a_file_that_ends_inside_its_tag_is_refused(song: Song, happy: SongEmotion) -> None:
    path = song("bare.mp3")
    path.write_bytes(tag(3, foreign(3)[0], padding=5000)[:600])
    with pytest.raises(TagWriteError, match="truncated"):
        write_tags(path, happy)
