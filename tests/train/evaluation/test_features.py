"""Hand-made features: what they are of signals that one can work out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from mertag.errors import TooShortError
from mertag.listen.decode.audio import decode_all
from mertag.listen.windows import FrontEnd
from mertag_train.evaluation.features import features
from mertag_train.evaluation.features.features import (
    FEATURE_NAMES,
    N_FFT,
    SAMPLE_RATE,
    clip_features,
    decode_features,
    key_fit,
)

SEMITONE = 2 ** (1 / 12)


def sine(frequency_hz: float, duration_s: float = 3.0, amplitude: float = 0.5) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(round(duration_s * SAMPLE_RATE)) / SAMPLE_RATE)


def noise(duration_s: float = 3.0, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(duration_s * SAMPLE_RATE))


def beats(bpm: float, duration_s: float = 20.0) -> np.ndarray:
    signal = np.zeros(round(duration_s * SAMPLE_RATE))
    hit = noise(0.05) * np.exp(-np.arange(round(0.05 * SAMPLE_RATE)) / 200)
    for start in np.arange(0, len(signal) - len(hit), 60 / bpm * SAMPLE_RATE).astype(int):
        signal[start : start + len(hit)] += hit
    return signal


def named(signal: np.ndarray) -> dict[str, float]:
    return dict(zip(FEATURE_NAMES, clip_features(signal).tolist(), strict=True))


def test_every_number_has_a_name_of_its_own() -> None:
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) == 153
    assert clip_features(noise()).shape == (153,)
    assert clip_features(noise()).dtype == np.float32


def test_a_sine_has_its_centroid_at_its_frequency_and_crosses_zero_twice_a_period() -> None:
    found = named(sine(1_000))
    assert found["centroid.mean"] == pytest.approx(1_000, abs=3)
    assert found["rolloff.mean"] == pytest.approx(1_000, abs=2 * SAMPLE_RATE / N_FFT)
    assert found["bandwidth.mean"] < 40
    assert found["zero_crossings.mean"] == pytest.approx(2 * 1_000 / SAMPLE_RATE, rel=0.02)
    assert found["centroid.std"] < 1


def test_the_loudness_of_a_sine_is_three_db_under_its_amplitude() -> None:
    found = named(sine(1_000, amplitude=0.5))
    assert found["loudness.mean"] == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.02)
    assert found["loudness.std"] == pytest.approx(0, abs=0.02)
    assert found["loudness.low_share"] == 0


def test_ten_db_more_raise_the_loudness_and_the_first_mfcc_and_nothing_of_the_shape() -> None:
    quiet, loud = named(noise()), named(noise() * np.sqrt(10))
    assert loud["loudness.mean"] - quiet["loudness.mean"] == pytest.approx(10, abs=1e-3)
    assert loud["mfcc0.mean"] - quiet["mfcc0.mean"] == pytest.approx(10 * np.sqrt(features.N_MELS), rel=1e-4)
    for name in ("centroid.mean", "flatness.mean", "contrast3.mean", "zero_crossings.mean", "tempo"):
        assert loud[name] == pytest.approx(quiet[name], rel=1e-3)


def test_a_clip_that_is_half_silent_is_known_by_its_loudness() -> None:
    found = named(np.concatenate([sine(440), np.zeros(3 * SAMPLE_RATE)]))
    assert found["loudness.low_share"] == pytest.approx(0.5, abs=0.02)
    assert found["loudness.p05"] == pytest.approx(-100)
    assert found["loudness.p95"] == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.1)


def test_noise_is_flat_and_a_tone_is_not() -> None:
    assert -6 < named(noise())["flatness.mean"] < 0
    assert named(sine(1_000))["flatness.mean"] < -60


def test_a_tone_is_its_pitch_class_and_another_octave_is_the_same_one() -> None:
    for frequency_hz in (440.0, 880.0):
        found = named(sine(frequency_hz))
        classes = [found[f"chroma{i}.mean"] for i in range(12)]
        assert int(np.argmax(classes)) == 9  # A
        assert classes[9] == pytest.approx(1)


def test_a_major_chord_sounds_major_and_a_minor_chord_minor() -> None:
    def chord(*semitones: int) -> np.ndarray:
        return np.sum([sine(261.63 * SEMITONE**step, amplitude=0.2) for step in semitones], axis=0)

    assert named(chord(0, 4, 7))["key.mode"] > 0.02
    assert named(chord(0, 3, 7))["key.mode"] < -0.02


def test_the_key_profiles_fit_themselves_in_every_key() -> None:
    for key in range(12):
        assert key_fit(np.roll(features.MAJOR, key))[0] == pytest.approx(1)
        assert key_fit(np.roll(features.MINOR, key))[1] == pytest.approx(1)
    np.testing.assert_array_equal(key_fit(np.full(12, 0.3)), 0)


@pytest.mark.parametrize("bpm", [90.0, 120.0, 150.0])
def test_beats_give_their_tempo_their_rate_and_a_pulse(bpm: float) -> None:
    found = named(beats(bpm))
    assert found["tempo"] == pytest.approx(bpm, rel=0.04)  # lags are whole frames
    assert found["onset.rate"] == pytest.approx(bpm / 60, rel=0.06)
    assert found["pulse"] > 0.5
    assert named(noise(20.0))["pulse"] < 0.2


@pytest.mark.parametrize("n_samples", [N_FFT, N_FFT + 511, 3 * N_FFT, 5 * SAMPLE_RATE])
def test_silence_and_the_shortest_clips_give_finite_numbers(n_samples: int) -> None:
    for signal in (np.zeros(n_samples), np.ones(n_samples), noise(6.0)[:n_samples]):
        assert np.isfinite(clip_features(signal)).all()


def test_less_than_a_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2048 samples"):
        clip_features(np.zeros(N_FFT - 1))
    with pytest.raises(ValueError, match="one dimension"):
        clip_features(np.zeros((2, N_FFT)))


def test_the_same_clip_gives_the_same_bits() -> None:
    signal = noise() + sine(300)
    np.testing.assert_array_equal(clip_features(signal), clip_features(signal.copy()))


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    signal = noise(4.0) * np.linspace(0, 1, 4 * SAMPLE_RATE) + sine(300, 4.0)
    whole = clip_features(signal)
    monkeypatch.setattr(features, "BLOCK_FRAMES", 17)
    np.testing.assert_allclose(clip_features(signal), whole, rtol=1e-3, atol=1e-3)


def test_a_file_gives_one_chunk_of_features_and_a_short_one_an_error(tmp_path: Path) -> None:
    signal = noise().astype(np.float32)
    soundfile.write(tmp_path / "a.wav", signal, SAMPLE_RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "b.wav", signal[:2_000], SAMPLE_RATE)
    (chunk,) = decode_features(tmp_path / "a.wav", front_end=FrontEnd(), chunk_s=30.0)
    np.testing.assert_array_equal(chunk, clip_features(signal))
    with pytest.raises(TooShortError, match=r"shorter than 0\.09 s"):
        next(decode_features(tmp_path / "b.wav", front_end=FrontEnd(), chunk_s=30.0))


@pytest.mark.realdata
def test_real_music_is_within_what_music_is(real_data: Path) -> None:
    clips = [*sorted((real_data / "pmemo").rglob("*.mp3"))[:2], *sorted((real_data / "eim").rglob("*.mp3"))[:3]]
    assert len(clips) == 5
    rows = []
    for clip in clips:
        found = named(decode_all(clip))
        rows.append(list(found.values()))
        assert np.isfinite(rows[-1]).all()
        assert -60 < found["loudness.mean"] < 0
        assert 200 < found["centroid.mean"] < 6_000
        assert 30 < found["tempo"] < 300
        assert 0.5 < found["onset.rate"] < 12
        assert 0 < found["key.major"] < 1
    assert np.ptp(rows, axis=0).min() > 0  # no number is the same for all
