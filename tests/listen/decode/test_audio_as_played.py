"""Files that a player plays to their end, however odd, are decoded to their end."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sound_files import RATE, encode, mp3, music, reason, samples_or_reason, write

from mertag.listen.decode.audio import decode_all

pytestmark = pytest.mark.command


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("an ID3v1 tag", lambda d: d + b"TAG" + bytes(125)),
        ("other bytes at the end", lambda d: d + b"TAG" + bytes(125) + b"\xa5garbage\x01" * 400),
        ("a truncated last frame", lambda d: d[:-150]),
        ("half of it, as cut by a splitter", lambda d: d[: len(d) // 2 + 33]),
        ("zeros before the first frame", lambda d: bytes(3000) + d),
        ("an empty ID3v2 tag and padding", lambda d: b"ID3\4\0\0\0\0\x07\x76" + bytes(1014) + d),
        (
            "100 wrong bytes in the middle",
            lambda d: d[: len(d) // 2] + b"\x5a" * 100 + d[len(d) // 2 + 100 :],
        ),
        ("3,000 bytes missing", lambda d: d[: len(d) // 2] + d[len(d) // 2 + 3000 :]),
        ("a hole of 10,000 zeros", lambda d: d[: len(d) // 2] + bytes(10000) + d[len(d) // 2 + 10000 :]),
    ],
)
def test_an_mp3_that_a_player_plays_is_no_error(tmp_path: Path, what: str, change: Callable[[bytes], bytes]) -> None:
    data = change(mp3(20.0))
    whole_s = 10.0 if what.startswith("half") else 20.0
    path = tmp_path / "a.mp3"
    path.write_bytes(data)
    assert len(decode_all(path)) / RATE == pytest.approx(whole_s, abs=1.3), what


def test_an_mp3_without_an_info_header_is_read_to_its_end(tmp_path: Path) -> None:
    loud = mp3(3.0)
    frames = loud[loud.index(b"\xff\xfb", 10) :]  # without the ID3v2 tag
    frames = frames[frames.index(b"\xff\xfb", 4) :]  # without the Info frame
    path = tmp_path / "b.mp3"
    path.write_bytes(frames)
    assert len(decode_all(path)) / RATE == pytest.approx(3.0, abs=0.15)


def test_joined_mp3_files_are_played_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "joined.mp3"
    path.write_bytes(mp3(3.0) + mp3(20.0))
    assert len(decode_all(path)) / RATE == pytest.approx(23.0, abs=0.2)


def test_an_mp3_with_seconds_of_garbage_inside_is_damaged(tmp_path: Path) -> None:
    data = mp3(20.0)
    half = len(data) // 2
    path = tmp_path / "bad.mp3"
    path.write_bytes(data[:half] + np.random.default_rng(1).bytes(len(data) // 4) + data[half + len(data) // 4 :])
    assert reason(path).startswith("damaged after 10.")


def test_a_chained_ogg_is_played_to_the_end(tmp_path: Path) -> None:
    one = write(tmp_path / "1.ogg", music(8.0, 44100), 44100, subtype="VORBIS").read_bytes()
    path = tmp_path / "chain.ogg"
    path.write_bytes(one + one)
    assert len(decode_all(path)) / RATE == pytest.approx(16.0, abs=0.1)


def test_a_chained_ogg_that_changes_its_rate_is_played_or_refused_with_a_reason(tmp_path: Path) -> None:
    one = write(tmp_path / "1.ogg", music(8.0, 44100), 44100, subtype="VORBIS").read_bytes()
    two = write(tmp_path / "2.ogg", music(8.0, 22050, 1), 22050, subtype="VORBIS").read_bytes()
    path = tmp_path / "chain.ogg"
    path.write_bytes(one + two)
    found = samples_or_reason(path)
    if isinstance(found, str):
        assert "damaged after 8." in found
    else:
        assert len(found) / RATE == pytest.approx(16.0, abs=0.1)


def test_a_stream_that_changes_its_rate_is_joined(tmp_path: Path) -> None:
    path = tmp_path / "a.aac"
    one = encode(tmp_path / "1.aac", "aac", music(4.0, 44100), 44100, "adts").read_bytes()
    two = encode(tmp_path / "2.aac", "aac", music(4.0, 32000), 32000, "adts").read_bytes()
    path.write_bytes(one + two)
    assert len(decode_all(path)) / RATE == pytest.approx(8.0, abs=0.2)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_a_stream_that_changes_its_channels_is_joined(tmp_path: Path, order: tuple[int, int]) -> None:
    sound = music(4.0, 44100)
    parts = [sound if channels == 2 else sound.mean(axis=1, keepdims=True) for channels in order]
    files = [encode(tmp_path / f"{i}.aac", "aac", part, 44100, "adts") for i, part in enumerate(parts)]
    path = tmp_path / "a.aac"
    path.write_bytes(b"".join(file.read_bytes() for file in files))
    found = decode_all(path)
    assert len(found) / RATE == pytest.approx(8.0, abs=0.2)
    levels = [np.sqrt(np.mean(np.square(half))) for half in np.array_split(found, 2)]
    assert levels[0] == pytest.approx(levels[1], rel=0.05)


@pytest.mark.parametrize(("codec", "container"), [("aac", "ipod"), ("libopus", "ogg"), ("wavpack", "wv")])
def test_eight_channels_are_one_mean(tmp_path: Path, codec: str, container: str) -> None:
    sound = np.repeat(music(4.0, 48000).mean(axis=1, keepdims=True), 8, axis=1)
    path = encode(tmp_path / "a.file", codec, sound, 48000, container)
    found = decode_all(path)
    assert len(found) / RATE == pytest.approx(4.0, abs=0.1)
    level, expected = (np.sqrt(np.mean(np.square(samples))) for samples in (found, sound))
    assert level == pytest.approx(expected, rel=0.15)  # the channel of low frequencies holds little of it


def test_a_wav_that_states_no_length_is_read_to_its_end(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "a.wav", music(4.0, 44100), 44100, subtype="PCM_16").read_bytes())
    at = data.index(b"data") + 4
    for size in (0xFFFFFFFF, 0):
        data[4:8] = data[at : at + 4] = struct.pack("<I", size)
        path = tmp_path / f"{size}.wav"
        path.write_bytes(data)
        assert len(decode_all(path)) == 4 * RATE


@functools.cache
def whole_length(clip: Path) -> int:
    return len(decode_all(clip))


@pytest.mark.realdata
@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_real_mp3_files_cut_short_are_shorter_songs(real_data: Path, tmp_path: Path, share: float) -> None:
    for clip in sorted((real_data / "4q").rglob("*.mp3"))[::60]:
        data = clip.read_bytes()
        path = tmp_path / "cut.mp3"
        path.write_bytes(data[: round(len(data) * share)])
        assert len(decode_all(path)) == pytest.approx(share * whole_length(clip), rel=0.15)
