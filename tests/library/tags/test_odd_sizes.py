"""Files that players play, though their writers got a size, a place or a kind of tag wrong."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from crafted_songs import id3v1, noise
from mutagen.asf import ASF
from three_readers import assert_nothing_hidden, three_readers

from mertag.emotion import SongEmotion
from mertag.errors import TagWriteError
from mertag.library.tags import TagOptions, audio_digest, read_tags, remove_tags, write_tags

Song = Callable[[str], Path]


def tagged_and_back(path: Path, happy: SongEmotion) -> None:
    before, old, digest = three_readers(path), dict(read_tags(path)), audio_digest(path)
    assert write_tags(path, happy).changed
    assert_nothing_hidden(before, three_readers(path))
    assert audio_digest(path) == digest
    remove_tags(path)
    assert_nothing_hidden(before, three_readers(path))
    assert read_tags(path) == old


@pytest.mark.parametrize("off_by", [-8, -2, -1, 1, 8, 12])
@pytest.mark.parametrize("name", ["a.wav", "a.aiff"])
def test_a_declared_size_may_be_a_few_bytes_off(off_by: int, name: str, song: Song, happy: SongEmotion) -> None:
    path, order = song(name), "<I" if name == "a.wav" else ">I"
    data = path.read_bytes()
    path.write_bytes(data[:4] + struct.pack(order, len(data) - 8 + off_by) + data[8:])
    tagged_and_back(path, happy)
    assert path.read_bytes() == data


def test_the_last_chunk_may_promise_a_few_bytes_more(song: Song, happy: SongEmotion) -> None:
    path = song("a.wav")
    path.write_bytes(path.read_bytes()[:-2])
    tagged_and_back(path, happy)


def test_a_file_that_is_cut_off_is_refused(song: Song, happy: SongEmotion) -> None:
    path = song("a.wav")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(TagWriteError, match="truncated"):
        write_tags(path, happy)


def test_frames_of_free_format_are_audio(tmp_path: Path, happy: SongEmotion) -> None:
    path = tmp_path / "free.mp3"
    frames = [bytes((0xFF, 0xFB, 0x02 * (i % 3 == 0), 0xC4)) + noise(700 + (i % 3 == 0)) for i in range(20)]
    path.write_bytes(b"".join(frames))
    tagged_and_back(path, happy)


@pytest.mark.parametrize("tail", [id3v1(), b"\r\n", noise(50), bytes(3)])
@pytest.mark.parametrize("name", ["a.m4a", "fast.m4a"])
def test_stray_bytes_behind_an_mp4_stay(tail: bytes, name: str, song: Song, happy: SongEmotion) -> None:
    path = song(name)
    path.write_bytes(path.read_bytes() + tail)
    tagged_and_back(path, happy)
    assert path.read_bytes().endswith(tail)


@pytest.mark.parametrize("first", [b"free", b"skip", b"wide"])
def test_an_mp4_may_begin_with_free_space(first: bytes, song: Song, happy: SongEmotion) -> None:
    path = song("a.m4a")  # its audio stands before its header, so that the offsets in this must move, too
    data = bytearray(path.read_bytes())
    at = data.index(b"stco") + 4
    count = int.from_bytes(data[at + 4 : at + 8], "big")
    for i in range(at + 8, at + 8 + 4 * count, 4):
        data[i : i + 4] = (int.from_bytes(data[i : i + 4], "big") + 16).to_bytes(4, "big")
    path.write_bytes(struct.pack(">I", 16) + first + bytes(8) + bytes(data))
    tagged_and_back(path, happy)


def test_quicktime_keys_beside_the_list_of_itunes_are_no_obstacle(song: Song, happy: SongEmotion) -> None:
    path = song("fast.m4a")
    data = path.read_bytes()
    hdlr = struct.pack(">I", 33) + b"hdlr" + bytes(8) + b"mdta" + bytes(13)
    keys = struct.pack(">I", 37) + b"keys" + struct.pack(">III", 0, 1, 21) + b"mdta" + b"com.x.example"
    meta = struct.pack(">I", 8 + len(hdlr) + len(keys)) + b"meta" + hdlr + keys
    start = data.index(b"moov") - 4
    size = int.from_bytes(data[start : start + 4], "big")
    moov = struct.pack(">I", size + len(meta)) + data[start + 4 : start + size] + meta
    at = moov.index(b"stco") + 4
    count = int.from_bytes(moov[at + 4 : at + 8], "big")
    offsets = struct.unpack(f">{count}I", moov[at + 8 : at + 8 + 4 * count])
    table = struct.pack(f">{count}I", *(offset + len(meta) for offset in offsets))
    path.write_bytes(data[:start] + moov[: at + 8] + table + moov[at + 8 + 4 * count :] + data[start + size :])
    tagged_and_back(path, happy)
    write_tags(path, happy, TagOptions(fields=("MERTAG_MODEL",)))
    assert meta in path.read_bytes()


def test_a_mood_in_the_metadata_library_of_asf_is_the_owners(song: Song, happy: SongEmotion) -> None:
    path = song("a.wma")
    data = path.read_bytes()
    name, value = "WM/Mood\0".encode("utf-16-le"), "Dreamy\0".encode("utf-16-le")
    record = struct.pack("<HHHHI", 0, 0, len(name), 0, len(value)) + name + value
    library = UUID("44231C94-9498-49D1-A141-1D134E457054").bytes_le
    library += struct.pack("<QH", 26 + len(record), 1) + record
    extension = UUID("5FBF03B5-A92E-11CF-8EE3-00C00C205365").bytes_le
    at = data.find(extension)
    length = int.from_bytes(data[16:24], "little") + len(library)
    if at < 0:
        count = int.from_bytes(data[24:28], "little") + 1
        head = extension + struct.pack("<Q", 46 + len(library)) + bytes(18) + struct.pack("<I", len(library))
        at, rest, length = 30, data[30:], length + len(head)
    else:
        count = int.from_bytes(data[24:28], "little")
        size, inner = (int.from_bytes(data[i : i + n], "little") for i, n in ((at + 16, 8), (at + 42, 4)))
        head = data[at : at + 16] + struct.pack("<Q", size + len(library)) + data[at + 24 : at + 42]
        head += struct.pack("<I", inner + len(library)) + data[at + 46 : at + size]
        rest = data[at + size :]
    path.write_bytes(data[:16] + struct.pack("<QI", length, count) + data[28:at] + head + library + rest)
    assert read_tags(path) == {"MOOD": ("Dreamy",)}
    assert write_tags(path, happy).new["MOOD"] == ("Dreamy",)
    remove_tags(path)
    assert read_tags(path) == {"MOOD": ("Dreamy",)}
    assert write_tags(path, happy, TagOptions(overwrite=True)).new["MOOD"] == ("Happy",)
    seen = ASF(path)
    assert [str(value) for value in seen["WM/Mood"]] == ["Happy"]  # of all objects
    assert "Dreamy\0".encode("utf-16-le") not in path.read_bytes()
    remove_tags(path)
    assert read_tags(path) == {}


@pytest.mark.parametrize("moods", [["Calm", "Dreamy"], ["Calm", "Happy"], ["Happy", "Calm", "Dreamy"]])
def test_moods_that_taglib_put_into_two_places_of_asf_stay(moods: list[str], song: Song, happy: SongEmotion) -> None:
    taglib = pytest.importorskip("taglib")
    path = song("a.wma")
    with taglib.File(path, save_on_exit=True) as file:
        file.tags["MOOD"] = moods  # the first comes into the description, the others into the library
    assert read_tags(path) == {"MOOD": tuple(moods)}
    assert write_tags(path, happy).new["MOOD"] == tuple(moods)
    remove_tags(path)
    assert [str(value) for value in ASF(path)["WM/Mood"]] == moods
    write_tags(path, happy, TagOptions(overwrite=True))
    assert [str(value) for value in ASF(path)["WM/Mood"]] == ["Happy"]


def test_our_moods_of_asf_are_ours_after_taglib_has_put_them_into_two_places(song: Song, happy: SongEmotion) -> None:
    taglib = pytest.importorskip("taglib")
    path = song("a.wma")
    write_tags(path, happy, TagOptions(moods=2))
    with taglib.File(path, save_on_exit=True) as file:
        assert file.tags["MOOD"] == ["Happy", "Angry"]
        file.tags["MOOD"] = ["Happy", "Angry"]
        file.tags["ALBUM"] = ["An album"]
    assert read_tags(path)["MOOD"] == ("Happy", "Angry")
    assert not write_tags(path, happy, TagOptions(moods=2)).changed
    remove_tags(path)
    assert read_tags(path) == {}
    assert "WM/Mood" not in ASF(path)
