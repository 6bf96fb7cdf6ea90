"""What is heard of channels that cancel each other, and of samples that are none."""

from __future__ import annotations

import fractions
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from mertag.errors import DecodeError
from mertag.listen.decode.audio import decode_all
from mertag.listen.decode.mono import channel_mean

RATE = 22_050
SOUND = (0.2 * np.sin(np.arange(4 * RATE) / 9) * np.linspace(0.3, 1, 4 * RATE)).astype(np.float32)
NOISE = (0.1 * np.random.default_rng(0).standard_normal((4 * RATE, 2))).astype(np.float32)


def written(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str | None = None) -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


@pytest.mark.parametrize("suffix", ["wav", "flac"])
@pytest.mark.parametrize("gain", [-1.0, -0.9, -0.99])
def test_of_channels_out_of_phase_one_is_heard(tmp_path: Path, suffix: str, gain: float) -> None:
    song = written(tmp_path / f"song.{suffix}", np.stack([SOUND, gain * SOUND], 1))
    np.testing.assert_allclose(decode_all(song), SOUND, atol=1e-4)


def test_any_other_channels_are_averaged_to_the_last_bit() -> None:
    for other in (NOISE[:, 1], 0.5 * SOUND, -0.7 * SOUND, np.zeros_like(SOUND)):
        pair = np.stack([SOUND, other])
        np.testing.assert_array_equal(channel_mean(pair), (pair[0] + pair[1]) * np.float32(0.5))
    np.testing.assert_array_equal(channel_mean(np.zeros((2, 9), np.float32)), np.zeros(9))
    surround = np.zeros((12, len(SOUND)), np.float32)
    surround[4] = SOUND  # one channel alone: nothing cancels it
    np.testing.assert_allclose(channel_mean(surround), SOUND / 12, atol=1e-7)


def test_a_sample_that_is_no_number_does_not_cost_the_song(tmp_path: Path) -> None:
    for pair in (np.stack([SOUND, SOUND], 1), np.stack([SOUND, -SOUND], 1)):
        pair[RATE, 1], pair[2 * RATE, 0] = np.nan, np.inf
        heard = decode_all(written(tmp_path / "song.wav", pair, subtype="FLOAT"))
        expected = SOUND.copy()
        expected[[RATE, 2 * RATE]] = 0
        np.testing.assert_allclose(heard, expected, atol=1e-6)


def test_many_samples_that_are_no_numbers_are_damage_and_the_place_is_right(tmp_path: Path) -> None:
    broken = SOUND.copy()
    broken[3 * RATE : 3 * RATE + 200] = np.nan
    with pytest.raises(DecodeError, match=r"damaged after 3\.0 s: 200 samples are NaN or infinite"):
        decode_all(written(tmp_path / "song.wav", broken, subtype="FLOAT"))


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff"])
@pytest.mark.parametrize("sync", ["7FFE 8001 FC3C", "FE7F 0180 3CFC", "1FFF E800 07F1", "FF1F 00E8 F107"])
def test_dts_in_the_place_of_samples_is_not_heard_as_noise(tmp_path: Path, suffix: str, sync: str) -> None:
    words = [int(word, 16) for word in sync.split()]
    samples = (NOISE * 32_767).astype(np.int16).reshape(-1)
    for at in range(0, len(samples) - 2, 1_024):
        samples[at : at + 3] = np.array(words, np.uint16).view(np.int16)
    samples = np.concatenate([np.zeros(3 * RATE, np.int16), samples])  # silence first
    song = written(tmp_path / f"song.{suffix}", samples.reshape(-1, 2), subtype="PCM_16")
    with pytest.raises(DecodeError, match=r"DTS in the place of samples; convert|cannot be decoded"):
        decode_all(song)


def test_ac3_in_a_wav_is_decoded_or_refused_but_not_heard_as_noise(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.spdif"), "w", format="spdif") as out:
        stream = out.add_stream("ac3", rate=48_000)
        stream.codec_context.layout = "stereo"
        tone = (0.2 * np.sin(np.arange(4 * 48_000) / 20)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]), format="fltp", layout="stereo")
        frame.sample_rate, frame.time_base, frame.pts = 48_000, fractions.Fraction(1, 48_000), 0
        out.mux([*stream.encode(frame), *stream.encode(None)])
    bursts = np.frombuffer((tmp_path / "song.spdif").read_bytes(), "<i2").reshape(-1, 2)
    song = written(tmp_path / "song.wav", bursts, 48_000, "PCM_16")
    try:
        heard = decode_all(song)
    except DecodeError as error:
        assert "AC-3" in error.reason  # noqa: PT017
    else:
        spectrum = np.abs(np.fft.rfft(heard[RATE : 2 * RATE]))
        assert spectrum.max() > 0.3 * spectrum.sum()  # a tone


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["dts-in.wav", "one-nan.wav", "phase-inverted.wav"])
def test_awkward_files_are_heard(real_data: Path, name: str) -> None:
    heard = decode_all(real_data / "awkward-files" / name)
    assert 0.05 < heard.std() < 0.3
