"""Damage that is tolerated is said; a file that is whole is never called damaged."""

from __future__ import annotations

import functools
import random
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from sound_files import encode, music, write

from mertag.errors import DecodeError
from mertag.listen.decode.audio import decode
from mertag.listen.decode.pool import DecoderPool
from mertag.listen.decode.returning import Returning

pytestmark = pytest.mark.command

SOUND = music(20.0, 44100)


def damage(path: Path) -> str:
    chunks = Returning(decode(path))
    for _ in chunks:
        pass
    return chunks.value


def made(folder: Path, kind: str) -> Path:
    """Return a file of 20 s of one kind."""
    path = folder / f"a.{kind.partition(' ')[0]}"
    path.write_bytes(content(kind))
    return path


@functools.cache
def content(kind: str) -> bytes:
    """Return what is in a file of one kind; each is encoded once for all tests."""
    if kind == "mp3 without a header":
        data = content("mp3")
        at = data.index(b"\xff\xfb")
        return data[data.index(b"\xff\xfb", at + 4) :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.file")
        if kind in ("wav", "aiff", "flac", "caf", "au", "w64", "rf64"):
            write(path, SOUND, 44100, format=kind.upper(), subtype="PCM_16")
        elif kind == "ogg":
            write(path, SOUND, 44100, format="OGG", subtype="VORBIS")
        else:
            codec, container = CODECS[kind]
            encode(path, codec, SOUND, 48000 if kind == "opus" else 44100, container)
        return path.read_bytes()


CODECS = {
    "mp3": ("mp3", "mp3"),
    "aac": ("aac", "adts"),
    "m4a": ("aac", "ipod"),
    "alac": ("alac", "ipod"),
    "opus": ("libopus", "ogg"),
    "ogg flac": ("flac", "ogg"),
    "matroska flac": ("flac", "matroska"),
    "wma": ("wmav2", "asf"),
    "wavpack": ("wavpack", "wv"),
    "tta": ("tta", "tta"),
}
KINDS = (
    *("wav", "rf64", "aiff", "flac", "caf", "au", "w64", "ogg", "mp3", "mp3 without a header", "aac"),
    *("m4a", "alac", "opus", "ogg flac", "wma", "wavpack", "tta", "matroska flac"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_has_no_damage(tmp_path: Path, kind: str) -> None:
    assert damage(made(tmp_path, kind)) == ""


@pytest.mark.parametrize("kind", ["flac", "mp3", "mp3 without a header", "aac", "m4a", "ogg", "opus", "tta"])
def test_zeros_in_the_middle_are_said(tmp_path: Path, kind: str) -> None:
    path = made(tmp_path, kind)
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes(3000) + data[middle + 3000 :])
    found = damage(path)
    assert "could not be decoded" in found or (kind == "ogg" and "of 20.0 s of sound" in found)


@pytest.mark.parametrize("kind", ["flac", "wavpack", "tta"])
def test_a_changed_byte_is_said_where_frames_have_checksums(tmp_path: Path, kind: str) -> None:
    path = made(tmp_path, kind)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x55
    path.write_bytes(data)
    assert "could not be decoded" in damage(path)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("mp3", "the file is incomplete: it holds 10."),
        ("mp3 without a header", "the file is incomplete: it ends inside a frame, after 10."),
        ("aac", "the file is incomplete: it ends inside a frame, after"),
        ("ogg", "the file is incomplete: it ends inside a page, after"),
        ("opus", "the file is incomplete: it ends inside a page, after"),
        ("ogg flac", "the file is incomplete: it ends inside a page, after"),
    ],
)
def test_a_stream_that_is_cut_in_half_is_heard_and_said(tmp_path: Path, kind: str, says: str) -> None:
    path = made(tmp_path, kind)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2 + 7])
    assert damage(path).startswith(says)


@pytest.mark.parametrize("kind", ["wav", "rf64", "aiff", "caf", "au", "w64", "wma", "flac"])
def test_a_container_that_states_more_is_refused_if_much_is_missing_and_said_if_little_is(
    tmp_path: Path, kind: str
) -> None:
    path = made(tmp_path, kind)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DecodeError, match=r"of 20\.\d s of sound"):
        damage(path)
    path.write_bytes(data[: len(data) - len(data) // 50])
    assert "of 20.0 s of sound" in damage(path)


def test_a_chunk_that_is_said_to_be_longer_than_a_file_that_is_whole_is_no_damage(tmp_path: Path) -> None:
    path = made(tmp_path, "wav")
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", len(data))  # RIFF's own size is right
    path.write_bytes(data)
    assert damage(path) == ""


def test_a_wma_that_was_a_stream_states_no_length(tmp_path: Path) -> None:
    path = made(tmp_path, "wma")
    data = bytearray(path.read_bytes())
    properties = data.index(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
    data[properties + 88] |= 1  # as a stream: neither its duration nor its size counts
    data[properties + 64 : properties + 72] = bytes(8)
    data[properties + 100 : properties + 104] = struct.pack("<I", 10_000)  # from which ffmpeg guesses a length
    path.write_bytes(data)
    assert damage(path) == ""


def test_mpeg_in_a_wav_may_state_what_its_encoder_added(tmp_path: Path) -> None:
    assert damage(encode(tmp_path / "a.wav", "mp3", SOUND[: 5 * 44100], 44100, "wav")) == ""


def test_tags_in_the_midst_and_bytes_at_the_end_are_no_damage(tmp_path: Path) -> None:
    data = made(tmp_path, "mp3 without a header").read_bytes()
    id3 = b"ID3\4\0\0\0\0\x08\0" + bytes(1024)
    ape = b"APETAGEX" + struct.pack("<4I8x", 2000, 92, 0, 0xA0000000) + bytes(60)
    ape += b"APETAGEX" + struct.pack("<4I8x", 2000, 92, 0, 0x80000000)
    path = tmp_path / "joined.mp3"
    for tail in (b"", b"LYRICSBEGINla la laLYRICSEND", bytes(700), b"TAG" + bytes(125)):
        path.write_bytes(id3 + data + b"TAG" + bytes(125) + id3 + data + ape + data + tail)
        assert damage(path) == ""


def test_a_sample_that_is_no_number_is_said(tmp_path: Path) -> None:
    samples = SOUND.copy()
    samples[3 * 44100] = np.nan
    assert damage(write(tmp_path / "a.wav", samples, 44100, subtype="FLOAT")) == (
        "damaged after 3.0 s: 1 sample is NaN or infinite"
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_the_pool_passes_damage_on_with_the_end_of_its_file_only(tmp_path: Path, workers: int) -> None:
    cut, whole = tmp_path / "cut.mp3", made(tmp_path, "mp3")
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) // 2 + 7])
    with DecoderPool(workers=workers) as pool:
        parts = list(pool.decode([(0, cut), (1, whole), (2, tmp_path / "gone.mp3")]))
    last = {part.index: part for part in parts if part.last}
    assert last[0].damage.startswith("the file is incomplete")
    assert (last[1].damage, last[2].damage) == ("", "")
    assert last[2].error is not None
    assert not any(part.damage for part in parts if not part.last)


@pytest.mark.realdata
def test_real_clips_that_are_whole_have_no_damage(real_data: Path) -> None:
    clips = sorted(p for name in ("4q", "eim", "pmemo", "music") for p in (real_data / name).rglob("*.[mo][pg][3g]"))
    chosen = random.Random(0).sample(clips, min(40, len(clips)))
    assert {path.name: said for path in chosen if (said := damage(path))} == {}


@pytest.mark.realdata
def test_awkward_files_are_heard_whole(real_data: Path) -> None:
    found = {path.name: damage(path) for path in sorted((real_data / "awkward-files").glob("*.*"))}
    assert found.pop("one-nan.wav") == "damaged after 2.5 s: 1 sample is NaN or infinite"
    assert set(found.values()) == {""}
