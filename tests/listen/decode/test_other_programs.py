"""Files as other programs leave them are heard to their end, and nothing in them is called damage that is none."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sound_files import RATE, encode, music, reason, write

from mertag.listen.decode.audio import decode, decode_all
from mertag.listen.decode.damage import Losses
from mertag.listen.decode.returning import Returning

pytestmark = pytest.mark.command

ID3 = b"ID3\3\0\0\0\1\x10\0" + b"TIT2\0\0\0\5\0\0\0Song" + bytes(128 * 0x90 - 15)  # 18 KB, as of a tag with a picture
ID3V1 = b"TAG" + b"Song".ljust(125, b"\0")
APE = b"APETAGEX" + struct.pack("<4I8x", 2000, 32, 0, 0)


def heard(path: Path) -> tuple[float, str]:
    """Return how many seconds are heard, and what is said of damage."""
    chunks = Returning(decode(path))
    return sum(map(len, chunks)) / RATE, chunks.value


def frames(path: Path, seconds: float, level: float) -> bytes:
    """Return MP3 frames of one bit rate, without the header that counts them."""
    soundfile.write(path, music(seconds, 44100), 44100, format="MP3", bitrate_mode="CONSTANT", compression_level=level)
    data = path.read_bytes()
    return data[data.index(b"\xff\xfb", data.index(b"\xff\xfb") + 4) :]


def pages(data: bytes) -> list[bytes]:
    return [b"OggS" + page for page in data.split(b"OggS")[1:]]


def test_an_mp3_without_a_header_whose_first_frames_are_its_longest_is_heard_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(frames(path, 0.5, 0.0) + frames(path, 3.0, 0.8))
    seconds, damage = heard(path)
    assert (seconds, damage) == (pytest.approx(3.5, abs=0.2), "")


def test_an_mp3_in_a_wav_is_heard_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    data = frames(path, 0.5, 0.0) + frames(path, 3.0, 0.8)
    fmt = struct.pack("<HHIIHHHHIHHH", 0x55, 2, 44100, 16000, 1, 0, 12, 1, 2, 1152, 1, 1393)
    chunks = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
    assert heard(path) == (pytest.approx(3.5, abs=0.2), "")


def test_a_short_song_chained_behind_another_is_heard(tmp_path: Path) -> None:
    parts = [write(tmp_path / "1.ogg", music(s, 44100), 44100, subtype="VORBIS").read_bytes() for s in (4.0, 1.5)]
    path = tmp_path / "chain.ogg"
    path.write_bytes(b"".join(parts))
    assert heard(path) == (pytest.approx(5.5, abs=0.1), "")


def test_of_two_streams_side_by_side_the_first_is_heard(tmp_path: Path) -> None:
    first, second = (
        pages(write(tmp_path / "1.ogg", music(8.0, 48000), 48000, subtype=kind).read_bytes())
        for kind in ("VORBIS", "OPUS")
    )
    path = tmp_path / "both.ogg"
    path.write_bytes(b"".join([first[0], second[0], *first[1:], *second[1:]]))
    assert heard(path) == (pytest.approx(8.0, abs=0.1), "")


@pytest.mark.parametrize("tail", [ID3V1, APE, APE + ID3V1, b"other bytes" * 30])
def test_tags_and_other_bytes_behind_a_flac_stream_are_no_damage(tmp_path: Path, tail: bytes) -> None:
    path = write(tmp_path / "a.flac", music(3.0, 44100), 44100)
    path.write_bytes(path.read_bytes() + tail)
    assert heard(path) == (pytest.approx(3.0, abs=0.001), "")


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "FLAC", "CAF", "AU", "W64", "RF64"])
def test_behind_an_id3_tag_a_song_is_heard_as_without_it(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.file", music(1.0, 44100), 44100, format=kind, subtype="PCM_16")
    plain, data = decode_all(path), path.read_bytes()
    path.write_bytes(ID3 + data)
    np.testing.assert_array_equal(decode_all(path), plain)
    assert heard(path)[1] == ""


@pytest.mark.parametrize("kind", ["WAV", "AIFF"])
def test_behind_an_id3_tag_a_song_that_is_cut_off_is_called_so(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.file", music(10.0, 44100), 44100, format=kind, subtype="PCM_16")
    data = path.read_bytes()
    path.write_bytes(ID3 + data[: len(data) // 2])
    assert reason(path) == "the file is incomplete: it holds 5.0 s of 10.0 s of sound"


def test_a_picture_in_the_tags_of_a_wma_is_not_taken_for_sound_that_is_missing(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.wma", "wmav2", music(3.0, 44100), 44100, "asf")
    data = path.read_bytes()
    length, count = struct.unpack_from("<QI", data, 16)
    picture = bytes.fromhex("74d40618dfca0945a4ba9aabcb96aae8") + struct.pack("<Q", 24 + len(data)) + bytes(len(data))
    head = data[:16] + struct.pack("<QI", length + len(picture), count + 1) + data[28:length]
    path.write_bytes(head + picture + data[length:])  # the size of the file in its properties is the old one
    assert heard(path) == (pytest.approx(3.0, abs=0.1), "")


def test_the_header_of_a_song_that_was_joined_to_another_is_no_sound_that_is_lost() -> None:
    losses = Losses(raw=True)
    losses.good(bytes(417))
    losses.bad(b"3000\xff\xfb\x90d" + bytes(32) + b"Info" + bytes(377), 0.026, "invalid data")
    losses.good(bytes(417))
    losses.frame(0.052, None)
    assert losses.found(None) == ("", False)
