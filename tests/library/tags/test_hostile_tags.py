"""Files made to break a reader: an error with a reason, soon, and never another file than before."""

from __future__ import annotations

import contextlib
import functools
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_songs import TAGGABLE

from mertag.emotion import SongEmotion
from mertag.errors import FileError, TagWriteError
from mertag.library.tags import audio_digest, read_tags, taggable, write_tags
from mertag.library.tags.id3_bytes import syncsafe

pytestmark = [pytest.mark.command, pytest.mark.usefixtures("fast_disk")]
Song = Callable[[str], Path]
ENDS = {"RIFF": b"RIFF\xff\xff\xff\xffWAVE", "ID3": b"ID3\x04\0\0\x7f\x7f\x7f\x7f", "FLAC": b"fLaC\x84\xff\xff\xff"}


def survives(path: Path, data: bytes, emotion: SongEmotion) -> None:
    path.write_bytes(data)
    for ask in (taggable, read_tags, audio_digest):
        with contextlib.suppress(FileError):
            ask(path)
    try:
        write_tags(path, emotion)
        assert read_tags(path)["MERTAG_MODEL"] == (emotion.model,)
    except FileError:
        assert path.read_bytes() == data
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", TAGGABLE)
@settings(max_examples=20, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_bytes_changed_at_random_cause_no_harm(
    name: str, data: st.DataObject, encoded: Callable[[str], Path], tmp_path: Path, happy: SongEmotion
) -> None:
    good = encoded(name).read_bytes()[:20_000]
    broken = bytearray(good)
    near_ends = st.integers(0, min(400, len(good) - 9)) | st.integers(max(0, len(good) - 400), len(good) - 9)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(near_ends)
        broken[at : at + 4] = data.draw(
            st.sampled_from([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4), b"\0\0\0\x01", b"\x01\0\0\0"])
            | st.binary(min_size=1, max_size=4)
        )
    survives(tmp_path / "song", bytes(broken), happy)


@pytest.mark.parametrize("name", TAGGABLE)
def test_a_file_cut_off_anywhere_causes_no_harm(
    name: str, encoded: Callable[[str], Path], tmp_path: Path, happy: SongEmotion
) -> None:
    data = encoded(name).read_bytes()
    for length in sorted({*range(0, 200, 13), *range(200, len(data), len(data) // 20)}):
        survives(tmp_path / "song", data[:length], happy)


@settings(max_examples=100, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.sampled_from(
        [
            b"ID3\x02\0\0\0\0\0\x30",
            b"ID3\x03\0\xc0\0\0\0\x30",
            b"ID3\x04\0\x50\0\0\0\x30",
            b"RIFF\x40\0\0\0WAVE",
            b"FORM\0\0\0\x40AIFF",
            b"fLaC",
            b"OggS\0\2",
            b"\0\0\0\x08ftyp",
            b"0&\xb2u\x8ef\xcf\x11\xa6\xd9\0\xaa\0b\xcel",
            b"DSD \x1c\0\0\0\0\0\0\0",
            b"wvpk",
            b"TTA1",
            b"\xff\xfb\x90\x64",
        ]
    ),
    rest=st.binary(max_size=120),
    end=st.sampled_from([b"", b"APETAGEX\xd0\7\0\0\xff\xff\xff\x7f\xff\xff\xff\xff" + bytes(12), b"TAG" + bytes(125)]),
)
def test_random_bytes_behind_a_magic_number_cause_no_harm(
    start: bytes, rest: bytes, end: bytes, tmp_path: Path, happy: SongEmotion
) -> None:
    survives(tmp_path / "song", start + rest + end, happy)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\x08free" * 20_000 + b"\0\0\0\x08moov",
        b"\0\0\0\x10ftypM4A \0\0\0\0" + b"\0\0\0\x08mdat" * 20_000,
        b"OggS\0\2" + bytes(20) + b"\0" + (b"OggS" + bytes(22) + b"\0") * 50_000,
        b"fLaC" + b"\x01\0\0\0" * 500_000,
        b"ID3\x04\0\0\0\0\0\0" * 100_000,
        b"ID3\x03\0\0\0\x3f\x7f\x7f" + b"TIT2" * 300_000,
        b"\xff\xfb\x90\x64" * 500_000,
        b"\xff" * 2_000_000,
        bytes(2_000_000),
    ],
    ids=range(9),
)
def test_endless_repetition_ends_soon(data: bytes, tmp_path: Path, happy: SongEmotion) -> None:
    survives(tmp_path / "song", data, happy)


@pytest.mark.parametrize("head", ENDS.values(), ids=ENDS.keys())
def test_a_length_that_lies_costs_no_memory(head: bytes, tmp_path: Path, happy: SongEmotion) -> None:
    path = tmp_path / "song"
    path.write_bytes(head + bytes(5000))
    tracemalloc.start()
    try:
        with pytest.raises(TagWriteError):
            write_tags(path, happy)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_a_tag_as_large_as_no_tag_is_is_refused(tmp_path: Path, happy: SongEmotion) -> None:
    path = tmp_path / "a.mp3"
    with path.open("wb") as file:
        file.write(b"ID3\x03\0\0\x7f\x7f\x7f\x7f")
        file.seek(10 + 2**28 - 1)
        file.write((b"\xff\xfb\x90\x64" + bytes(413)) * 2)  # the rest is a hole that takes no space
    tracemalloc.start()
    try:
        with pytest.raises(TagWriteError, match="more than mertag handles"):
            write_tags(path, happy)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@functools.cache
def packed_zeros(mebibytes: int) -> bytes:
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(mebibytes)) + packer.flush()


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("with_length", [True, False])
def test_a_frame_that_unpacks_to_gigabytes_is_refused_and_never_unpacked(
    version: int, with_length: bool, tmp_path: Path, happy: SongEmotion, encoded: Callable[[str], Path]
) -> None:
    n_bytes = 65 * 2**20
    length = n_bytes.to_bytes(4, "big") if version == 3 else syncsafe(n_bytes)
    packed = packed_zeros(65)
    content = (length if with_length or version == 3 else b"") + packed
    size = syncsafe(len(content)) if version == 4 else len(content).to_bytes(4, "big")
    flags = b"\0\x80" if version == 3 else bytes((0, 9 if with_length else 8))
    frame = b"TXXX" + size + flags + content
    data = b"ID3" + bytes((version, 0, 0)) + syncsafe(len(frame)) + frame + encoded("bare.mp3").read_bytes()
    path = tmp_path / "song"
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(TagWriteError, match="unpacks to over 64 MiB"):
        write_tags(path, happy)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * 2**20
    assert path.read_bytes() == data


def test_a_frame_that_is_compressed_for_good_reason_stays(
    tmp_path: Path, happy: SongEmotion, encoded: Callable[[str], Path]
) -> None:
    packed = syncsafe(5001) + zlib.compress(b"\x03" + b"lyrics " * 714 + b"..")
    frame = b"TXXX" + syncsafe(len(packed)) + b"\0\x09" + packed
    path = tmp_path / "song"
    path.write_bytes(b"ID3\4\0\0" + syncsafe(len(frame)) + frame + encoded("bare.mp3").read_bytes())
    assert write_tags(path, happy).changed
    assert frame in path.read_bytes()


def frame(name: bytes, content: bytes, flags: int = 0) -> bytes:
    return name + syncsafe(len(content)) + flags.to_bytes(2, "big") + content


BUSY = {
    "many strings": lambda: frame(b"TXXX", bytes(2_000_000)),
    "many people": lambda: frame(b"TIPL", b"\0" + b"a\0" * 1_000_000),
    "a bomb": lambda: frame(b"APIC", syncsafe(2**25) + packed_zeros(32), flags=0x0009),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("what", BUSY)
@pytest.mark.parametrize("name", ["bare.mp3", "a.flac", "a.wav"])
def test_frames_made_to_keep_readers_busy_cost_neither_time_nor_memory(
    name: str, what: str, encoded: Callable[[str], Path], tmp_path: Path, happy: SongEmotion
) -> None:
    made = BUSY[what]()
    tag = b"ID3\x04\0\0" + syncsafe(len(made)) + made
    song = encoded(name).read_bytes()
    if name == "a.wav":
        song += b"id3 " + len(tag).to_bytes(4, "little") + tag + b"\0" * (len(tag) % 2)
        song = song[:4] + (len(song) - 8).to_bytes(4, "little") + song[8:]
    else:
        song = tag + song
    path = tmp_path / "song"
    path.write_bytes(song)
    tracemalloc.start()
    try:
        assert write_tags(path, happy).changed
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()
    assert made in path.read_bytes()


@pytest.mark.timeout(30)
def test_a_musepack_packet_of_size_0_keeps_nobody_reading_for_ever(
    encoded: Callable[[str], Path], tmp_path: Path, happy: SongEmotion
) -> None:
    song = encoded("sv8.mpc").read_bytes()
    path = tmp_path / "song.mpc"
    path.write_bytes(b"MPCK" + b"XX\0" + song[4:])
    assert write_tags(path, happy).changed
    assert path.read_bytes()[:7] == b"MPCKXX\0"
