"""WAV, AIFF, DSF, ASF and APEv2: what is not ours stays."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from mutagen.aiff import AIFF
from mutagen.apev2 import APEv2, APEv2File
from mutagen.asf import ASF
from mutagen.dsf import DSF
from mutagen.id3 import TIT2
from mutagen.wave import WAVE

from mertag.emotion import SongEmotion
from mertag.errors import TagWriteError
from mertag.library.tags import read_tags, remove_tags, write_tags
from mertag.library.tags.apev2 import read as read_ape
from mertag.library.tags.container import MalformedError, Source

Song = Callable[[str], Path]


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def wav(*chunks: bytes, size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


FMT = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16))
DATA = chunk(b"data", bytes(range(200)))


# WAV and AIFF


def test_the_tag_of_a_wav_file_is_a_chunk_at_its_end(tmp_path: Path, happy: SongEmotion) -> None:
    path = tmp_path / "a.wav"
    info = chunk(b"LIST", b"INFOINAM\x05\0\0\0Title\0")
    old = wav(FMT, info, DATA, chunk(b"bext", b"odd"))
    path.write_bytes(old + b"junk after the end")

    write_tags(path, happy)

    new = path.read_bytes()
    assert new[8 : len(old)] == old[8:]
    assert new[len(old) : len(old) + 4] == b"id3 "
    assert new.endswith(b"junk after the end")
    assert struct.unpack("<I", new[4:8])[0] == len(new) - 8 - len(b"junk after the end")
    assert WAVE(path)["TMOO"].text == ["Happy"]


def test_a_tag_in_the_middle_of_a_wav_file_stays_there(tmp_path: Path, happy: SongEmotion) -> None:
    path = tmp_path / "a.wav"
    tag = b"ID3\x03\0\0\0\0\0\x0fTIT2\0\0\0\x05\0\0\0Song"
    path.write_bytes(wav(FMT, chunk(b"ID3 ", tag), DATA))

    assert write_tags(path, happy).container == "WAV (ID3v2.3)"

    assert path.read_bytes().endswith(DATA)
    assert path.read_bytes()[12 + len(FMT) :].startswith(b"ID3 ")
    remove_tags(path)
    assert WAVE(path)["TIT2"].text == ["Song"]


def test_a_missing_pad_byte_is_supplied(tmp_path: Path, happy: SongEmotion) -> None:
    path = tmp_path / "a.wav"
    odd = b"data" + struct.pack("<I", 101) + bytes(101)
    path.write_bytes(wav(FMT, odd))
    write_tags(path, happy)
    assert path.read_bytes()[12:].startswith(FMT + odd + b"\0id3 ")
    assert read_tags(path)["MOOD"] == ("Happy",)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (wav(FMT, DATA, size=2**32 - 1), "truncated"),
        (wav(FMT, b"data\xff\xff\xff\xff" + bytes(50)), "past the end"),
        (wav(FMT), "exactly one"),
        (wav(FMT, DATA, DATA), "exactly one"),
        (wav(FMT, DATA, chunk(b"id3 ", b""), chunk(b"ID3 ", b"")), "2 ID3 tags"),
        (wav(FMT, DATA, chunk(b"id3 ", b"nothing of the kind")), "fill its chunk"),
        (wav(FMT, DATA, chunk(b"id3 ", b"ID3\x04\0\0\0\0\x7f\x7f")), "fill its chunk"),
        (wav(*[chunk(b"JUNK", b"")] * 10_001), "more than 10000"),
    ],
)
def test_damaged_wav_files_are_refused(data: bytes, reason: str, tmp_path: Path, happy: SongEmotion) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    with pytest.raises(TagWriteError, match=reason):
        write_tags(path, happy)
    assert path.read_bytes() == data


def test_a_tag_that_another_program_wrote_into_aiff_is_kept(song: Song, happy: SongEmotion) -> None:
    path = song("a.aiff")
    tagged = AIFF(path)
    tagged.add_tags()
    tagged.tags.add(TIT2(encoding=3, text="Café"))
    tagged.save()

    write_tags(path, happy)

    assert AIFF(path)["TIT2"].text == ["Café"]
    assert AIFF(path)["TMOO"].text == ["Happy"]


# DSF


def dsf(tag: bytes = b"", *, pointer: int | None = None, size: int | None = None) -> bytes:
    fmt = b"fmt " + struct.pack("<QIIIIIIQII", 52, 1, 0, 2, 2, 2_822_400, 1, 4096 * 8, 4096, 0)
    data = b"data" + struct.pack("<Q", 12 + 8192) + bytes(range(256)) * 32
    end = 28 + len(fmt) + len(data)
    at = (end if tag else 0) if pointer is None else pointer
    head = b"DSD " + struct.pack("<QQQ", 28, end + len(tag) if size is None else size, at)
    return head + fmt + data + tag


def test_dsf_gets_a_tag_at_its_end_and_points_to_it(tmp_path: Path, happy: SongEmotion) -> None:
    path = tmp_path / "a.dsf"
    path.write_bytes(dsf())
    write_tags(path, happy)
    assert DSF(path)["TMOO"].text == ["Happy"]
    assert path.read_bytes()[28 : len(dsf())] == dsf()[28:]
    assert struct.unpack("<QQ", path.read_bytes()[12:28]) == (path.stat().st_size, len(dsf()))


@pytest.mark.parametrize(
    "data", [dsf(pointer=20), dsf(pointer=2**60), dsf(size=5), dsf(b"no tag, but something"), dsf()[:-9], b"DSD "]
)
def test_damaged_dsf_files_are_refused(data: bytes, tmp_path: Path, happy: SongEmotion) -> None:
    path = tmp_path / "a.dsf"
    path.write_bytes(data)
    with pytest.raises(TagWriteError):
        write_tags(path, happy)


# ASF


def test_all_other_descriptors_and_objects_of_asf_stay(song: Song, happy: SongEmotion) -> None:
    path = song("a.wma")
    tagged = ASF(path)
    tagged["WM/Picture"] = bytes(range(256)) * 3
    tagged["WM/TrackNumber"] = 7
    tagged["WM/AlbumTitle"] = ["One", "Two"]
    tagged.save()
    before = dict(ASF(path).tags.as_dict())

    write_tags(path, happy)

    after = ASF(path).tags.as_dict()
    assert {k: v for k, v in after.items() if k in before} == before
    assert set(after) - set(before) == {
        "WM/Mood",
        *(f"MERTAG/{n}" for n in ("QUADRANT", "VALENCE", "AROUSAL", "CONFIDENCE", "MODEL")),
    }
    remove_tags(path)
    assert ASF(path).tags.as_dict() == before


def test_the_size_that_an_asf_header_notes_is_the_size_of_the_file(song: Song, happy: SongEmotion) -> None:
    path = song("a.wma")
    ASF(path).save(padding=lambda info: 0)
    write_tags(path, happy)
    data = path.read_bytes()
    at = data.index(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")) + 40
    assert struct.unpack("<Q", data[at : at + 8])[0] == len(data)


@pytest.mark.parametrize(("at", "value"), [(16, b"\xff" * 8), (16, bytes(8)), (24, b"\xff" * 4), (46, b"\xff" * 8)])
def test_damaged_asf_headers_are_refused(at: int, value: bytes, song: Song, happy: SongEmotion) -> None:
    path = song("a.wma")
    data = bytearray(path.read_bytes())
    data[at : at + len(value)] = value
    path.write_bytes(data)
    with pytest.raises(TagWriteError):
        write_tags(path, happy)


# APEv2


def ape(items: list[bytes], *, version: int = 2000, count: int | None = None, length: int | None = None) -> bytes:
    body = b"".join(items)
    flags = 1 << 31 if version == 2000 else 0

    def frame(extra: int) -> bytes:
        size = len(body) + 32 if length is None else length
        n = len(items) if count is None else count
        return b"APETAGEX" + struct.pack("<IIII", version, size, n, flags | extra) + bytes(8)

    return (frame(1 << 29) if flags else b"") + body + frame(0)


def item(key: bytes, value: bytes, flags: int = 0) -> bytes:
    return struct.pack("<II", len(value), flags) + key + b"\0" + value


@pytest.mark.parametrize("id3v1", [b"", b"TAG" + bytes(125)])
def test_items_of_others_stay_byte_for_byte(id3v1: bytes, song: Song, happy: SongEmotion) -> None:
    path = song("a.wv")
    data = path.read_bytes()
    data = data[: data.index(b"APETAGEX")]
    items = [
        item(b"Title", b"Caf\xc3\xa9"),
        item(b"Cover Art (Front)", bytes(range(256)), 2),
        item(b"Lyrics", b"", 1),
    ]
    path.write_bytes(data + ape(items) + id3v1)

    write_tags(path, happy)

    new = path.read_bytes()
    assert new.startswith(data)
    assert new[len(data) + 32 :].startswith(b"".join(items))
    assert new.endswith(id3v1)
    remove_tags(path)
    assert path.read_bytes() == data + ape(items) + id3v1


def test_an_old_ape_tag_without_a_header_keeps_its_version(song: Song, happy: SongEmotion) -> None:
    path = song("a.wv")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"APETAGEX")] + ape([item(b"Title", b"Old")], version=1000))

    assert write_tags(path, happy).container == "WavPack (APEv1)"
    assert APEv2(path)["Title"] == "Old"
    assert APEv2File(path)["mood"] == "Happy"


@pytest.mark.parametrize(
    "tag",
    [
        ape([], count=9),
        ape([], count=2**31),
        ape([item(b"Title", b"x")], count=0),
        ape([], length=31),
        ape([], length=2**31),
        ape([], version=3000),
        ape([struct.pack("<II", 99, 0) + b"Title\0x"]),
        ape([struct.pack("<II", 1, 0) + b"T" * 300]),
    ],
)
def test_damaged_ape_tags_are_refused(tag: bytes) -> None:
    with pytest.raises(MalformedError, match="APE tag is damaged"):
        read_ape(Source(io.BytesIO(b"wvpk" + bytes(400) + tag)), "WavPack")


def test_a_mood_that_is_no_text_is_someone_elses(song: Song, happy: SongEmotion) -> None:
    path = song("a.wv")
    data = path.read_bytes()
    binary = item(b"MOOD", b"\1\2", 2)
    path.write_bytes(data[: data.index(b"APETAGEX")] + ape([binary]))
    write_tags(path, happy)
    assert binary in path.read_bytes()
    assert b"Happy" not in path.read_bytes()

    path = song("a.wma")
    tagged = ASF(path)
    tagged["WM/Mood"] = 5
    tagged.save()
    write_tags(path, happy)
    assert [int(value) for value in ASF(path)["WM/Mood"]] == [5]
