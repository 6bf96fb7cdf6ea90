"""Deltas: whatever two files are, the old one comes back; for what tag writers do, in a few bytes."""

from __future__ import annotations

import base64
import contextlib
import io
import random
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mertag.library.state.delta import DeltaError, make_delta, old_pieces, read_pieces
from mertag.library.tags.container import Range

AUDIO = random.Random(1).randbytes(3_000_000)


def back(delta: bytes, new: bytes) -> bytes:
    file = io.BytesIO(new)
    return b"".join(read_pieces(old_pieces(delta, file), file))


def size_of(old: bytes, new: bytes) -> int:
    """Return the size of the delta, after a check that it gives the old file back."""
    delta = make_delta(io.BytesIO(old), io.BytesIO(new))
    assert back(delta, new) == old
    return len(delta)


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def test_the_format_is_as_its_module_says() -> None:
    old = b"H" * 200 + b"old!" + b"T" * 300  # 200 and 300 are alike in both, 4 differ in place
    new = b"H" * 200 + b"new?" + b"T" * 300
    copy, differ = 0, 1
    steps = bytes([200 * 3 % 128 + 128, 200 * 3 >> 7, 0, 4 * 3 + differ, 0, 300 * 3 % 128 + 128, 300 * 3 >> 7, 0])
    assert steps[0] & 0x7F | steps[1] << 7 == 200 * 3 + copy
    differences = bytes((a - b) % 256 for a, b in zip(b"old!", b"new?", strict=True))
    packed = [raw_deflate(steps), raw_deflate(differences)]
    wanted = b"\x01" + bytes([len(packed[0]), 8]) + packed[0] + bytes([len(packed[1]), 4]) + packed[1] + bytes(2)
    assert make_delta(io.BytesIO(old), io.BytesIO(new)) == wanted
    assert old_pieces(wanted, io.BytesIO(new)) == [Range(0, 200), b"old!", Range(204, 504)]


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_two_files_give_the_old_one_back(old: bytes, new: bytes) -> None:
    size_of(old, new)


edits = st.lists(
    st.tuples(st.integers(0, 200_000), st.integers(0, 3000), st.binary(max_size=300), st.booleans()), max_size=6
)


@settings(max_examples=60, deadline=None)
@given(edits, edits)
def test_files_with_parts_put_in_taken_out_and_changed_give_the_old_one_back(
    ours: list[tuple[int, int, bytes, bool]], theirs: list[tuple[int, int, bytes, bool]]
) -> None:
    def edited(data: bytes, changes: list[tuple[int, int, bytes, bool]]) -> bytes:
        for at, length, text, padded in changes:
            data = data[:at] + text + bytes(length if padded else 0) + data[at + length :]
        return data

    old, new = edited(AUDIO[:200_000], ours), edited(AUDIO[:200_000], theirs)
    assert size_of(old, new) < 300 + 4000 * (len(ours) + len(theirs))


@pytest.mark.parametrize("grown", [-700, 700])
def test_audio_that_moved_costs_nothing(grown: int) -> None:
    short, long = b"ID3 a" + AUDIO, b"ID3 bcd" + bytes(700) + AUDIO
    assert size_of(*((short, long) if grown > 0 else (long, short))) < 60


def test_a_size_at_the_head_and_a_chunk_at_the_end_cost_nothing() -> None:
    assert size_of(b"RIFF0042WAVE" + AUDIO, b"RIFF1742WAVE" + AUDIO + b"id3 " + AUDIO[:300]) < 40


@pytest.mark.parametrize("at", [10, 100_000, 300_000])
def test_a_frame_put_in_before_a_picture_costs_nothing(at: int) -> None:
    size = struct.pack(">I", 400_000)
    picture, frame = AUDIO[:400_000], b"TXXX\0\0\0\x20MERTAG_MODEL some@1.0.0+01234567"
    old = b"TAG!" + size + picture + bytes(900) + AUDIO[500_000:]
    new = b"TAG!" + size + picture[:at] + frame + picture[at:] + bytes(300) + AUDIO[500_000:]
    assert size_of(old, new) < 100
    assert size_of(new, old) < 150


def test_tables_of_offsets_that_all_moved_cost_a_tenth() -> None:
    offsets = [40_000 + 1732 * i + i * i % 177 for i in range(5000)]
    old, new = (struct.pack(">5000I", *(offset + moved for offset in offsets)) + AUDIO[:100_000] for moved in (0, 1234))
    assert size_of(old, new) < len(offsets) * 4 // 10


def test_pages_with_new_numbers_and_checksums_cost_some_bytes_each() -> None:
    def pages(first: int) -> bytes:
        found = []
        for i in range(600):
            body = AUDIO[i * 4400 : i * 4400 + 4400]
            number = struct.pack("<I", first + i)
            found.append(b"OggS\0\0" + bytes(12) + number + struct.pack("<I", zlib.crc32(number + body)) + body)
        return b"".join(found)

    old, new = b"a comment" + pages(3), b"a longer comment" * 5000 + pages(4)
    assert size_of(old, new) < 600 * 7
    assert size_of(old, new) < len(old) / 500


def test_a_picture_that_moved_within_its_pages_costs_some_bytes_a_page() -> None:
    picture = base64.b64encode(AUDIO[:400_000])

    def pages(comment: bytes) -> bytes:
        packet = comment + bytes(3) + picture
        return b"".join(
            b"OggS" + zlib.crc32(packet[i : i + 4000]).to_bytes(4, "big") + packet[i : i + 4000]
            for i in range(0, len(packet), 4000)
        )

    assert size_of(pages(b"MOOD=Happy"), pages(b"MOOD=Relaxed and more")) < 100 + 30 * len(picture) // 4000


def test_padding_that_is_taken_up_costs_nothing() -> None:
    text = random.Random(2).randbytes(5000)
    assert size_of(b"x" * 100 + bytes(20_000) + AUDIO, b"x" * 100 + text + bytes(15_000) + AUDIO) < 60


def test_files_that_are_altogether_different_cost_no_hours() -> None:
    a = b"".join(AUDIO[i * 300 : i * 300 + 300] + bytes(40) for i in range(2000))
    b = b"".join(AUDIO[i * 301 + 1_000_000 : i * 301 + 1_000_300] + bytes(40) for i in range(2000))
    assert size_of(a, b) < len(a)


def test_a_delta_that_would_be_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mertag.library.state.delta.MOST_BYTES", 2**20)
    with pytest.raises(DeltaError, match="differ in more than 1 MiB"):
        make_delta(io.BytesIO(AUDIO), io.BytesIO(AUDIO[::-1]))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    for name, head in (("old", b"RIFF0000"), ("new", b"RIFF1111" + bytes(500))):
        with (tmp_path / name).open("wb") as file:
            file.write(head)
            for _ in range(20):
                file.write(AUDIO)
    tracemalloc.start()
    try:
        with (tmp_path / "old").open("rb", buffering=0) as a, (tmp_path / "new").open("rb", buffering=0) as b:
            old, new = cast(BinaryIO, a), cast(BinaryIO, b)
            delta = make_delta(old, new)
            total = sum(map(len, read_pieces(old_pieces(delta, new), new)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == (tmp_path / "old").stat().st_size
    assert len(delta) < 50
    assert peak < 8 * 2**20


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 255), st.booleans())
def test_a_damaged_delta_is_an_error_or_gives_other_bytes_but_no_crash(at: int, flip: int, cut: bool) -> None:
    old, new = AUDIO[:5000] + b"old" * 100 + AUDIO[5000:9000], AUDIO[:5000] + b"newer" * 70 + AUDIO[5000:9000]
    delta = bytearray(make_delta(io.BytesIO(old), io.BytesIO(new)))
    at %= len(delta)
    if cut:
        del delta[at:]
    else:
        delta[at] ^= flip
    with contextlib.suppress(DeltaError):
        back(bytes(delta), new)


def test_a_delta_of_another_file_is_an_error() -> None:
    delta = make_delta(io.BytesIO(AUDIO), io.BytesIO(b"ID3" + AUDIO))
    with pytest.raises(DeltaError, match="outside of the file"):
        old_pieces(delta, io.BytesIO(AUDIO[:1000]))


def test_a_file_that_becomes_shorter_meanwhile_is_an_error() -> None:
    class Shrinking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(size)[:-1]

    with pytest.raises(DeltaError, match="became shorter"):
        make_delta(Shrinking(AUDIO), io.BytesIO(b"ID3" + AUDIO))
