"""The one log-mel equals librosa's, from silence to a range of 120 dB, on synthetic and on real sounds."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch

from mertag.listen.windows import FrontEnd
from mertag_train.data.frontend import LogMel, mel_filters

FRONT_END = FrontEnd()
RATE = FRONT_END.sample_rate
LIMIT_DB = 1e-4


@pytest.fixture(scope="module")
def log_mel() -> LogMel:
    return LogMel(FRONT_END)


def by_librosa(waveform: np.ndarray) -> np.ndarray:
    power = librosa.feature.melspectrogram(
        y=waveform,
        sr=RATE,
        n_fft=1024,
        hop_length=512,
        window="hann",
        center=False,
        power=2.0,
        n_mels=128,
        fmin=0.0,
        fmax=11_025.0,
    )
    return 10 * np.log10(np.maximum(power, 1e-10)).T


def sounds() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    t = np.arange(2 * RATE) / RATE
    tone = np.sin(2 * np.pi * 1000 * t)
    return {
        "noise": rng.normal(0, 0.1, len(t)),
        "tone": tone,
        "tone over noise 120 dB below": tone + 1e-6 * rng.normal(0, 1, len(t)),
        "clipped square wave": np.sign(tone),
        "very quiet": 1e-5 * tone,
        "impulse": np.eye(1, len(t), 3000).ravel(),
        "sweep": np.sin(2 * np.pi * (20 * t + 2500 * t**2)),
        "noise that fades 120 dB": rng.normal(0, 1, len(t)) * 10 ** (-6 * t / 2),
    }


@pytest.mark.parametrize("name", sounds())
def test_the_log_mel_equals_librosa(name: str, log_mel: LogMel) -> None:
    waveform = sounds()[name].astype(np.float32)
    found = log_mel(torch.from_numpy(waveform)).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_librosa(waveform), atol=LIMIT_DB, rtol=0)


def test_silence_is_minus_100_db(log_mel: LogMel) -> None:
    found = log_mel(torch.zeros(RATE))
    assert found.shape == (42, 128)
    assert (found == -100.0).all()


@pytest.mark.parametrize("n_samples", [0, 1, 511, 512, 1023, 1024, 1535, 1536, 22_050, 66_150])
def test_the_number_of_frames_is_that_of_the_runtime(n_samples: int, log_mel: LogMel) -> None:
    assert log_mel(torch.zeros(n_samples)).shape == (FRONT_END.n_frames(n_samples), 128)


def test_a_stretch_has_the_log_mel_that_it_has_in_the_whole(log_mel: LogMel) -> None:
    waveform = torch.from_numpy(np.random.default_rng(1).normal(0, 0.1, 3 * RATE).astype(np.float32))
    whole, part = log_mel(waveform), log_mel(waveform[10 * 512 : 10 * 512 + RATE])
    torch.testing.assert_close(part, whole[10 : 10 + len(part)], atol=1e-6, rtol=0)


def test_the_filters_are_librosas() -> None:
    np.testing.assert_array_equal(mel_filters(FRONT_END), librosa.filters.mel(sr=RATE, n_fft=1024, n_mels=128))


@pytest.mark.parametrize("constants", [{"n_fft": 2048}, {"hop_length": 256}, {"n_fft": 2048, "hop_length": 1024}])
def test_other_windows_are_refused(constants: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="n_fft must be a square and twice hop_length"):
        LogMel(FrontEnd(**constants))


def test_other_rates_and_bands_are_as_librosas() -> None:
    other = FrontEnd(sample_rate=16_000, n_fft=256, hop_length=128, n_mels=32, fmin_hz=50.0, fmax_hz=7000.0)
    waveform = np.random.default_rng(2).normal(0, 0.1, 4000).astype(np.float32)
    power = librosa.feature.melspectrogram(
        y=waveform, sr=16_000, n_fft=256, hop_length=128, center=False, n_mels=32, fmin=50.0, fmax=7000.0
    )
    found = LogMel(other)(torch.from_numpy(waveform)).numpy()
    np.testing.assert_allclose(found, 10 * np.log10(np.maximum(power, 1e-10)).T, atol=LIMIT_DB, rtol=0)


@pytest.mark.realdata
def test_real_music_has_librosas_log_mel(real_data: Path, log_mel: LogMel) -> None:
    clips = [*sorted((real_data / "music").glob("*.ogg"))[:2], *sorted((real_data / "4q").rglob("*.mp3"))[:2]]
    if not clips:
        pytest.skip("no music here")
    for path in clips:
        with soundfile.SoundFile(path) as file:
            samples = file.read(10 * file.samplerate, dtype="float32", always_2d=True).mean(1)
            waveform = librosa.resample(samples, orig_sr=file.samplerate, target_sr=RATE).astype(np.float32)
        found = log_mel(torch.from_numpy(waveform)).numpy()
        np.testing.assert_allclose(found, by_librosa(waveform), atol=LIMIT_DB, rtol=0, err_msg=path.name)
