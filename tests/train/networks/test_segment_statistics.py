"""Statistics of a segment by hand, those of its pitch classes and onsets too; and a head that sees them."""

from __future__ import annotations

import re

import librosa
import numpy as np
import pytest
import scipy.fft
import torch

from mertag.listen.windows import FrontEnd
from mertag_train.data.frontend import LogMel, mel_centres_hz
from mertag_train.networks import segment_statistics
from mertag_train.networks.segment_statistics import (
    LAGS_TOGETHER,
    LONGEST_LAG,
    MAJOR,
    MINOR,
    MODULATION_BINS,
    N_CEPSTRA,
    ONSET_GROUPS,
    PITCH_CLASSES,
    SHORTEST_LAG,
    Harmony,
    Onsets,
    Statistics,
    autocorrelation,
    cosines,
    key_profiles,
    magnitude,
    modulation,
    pitch_class_weights,
)
from mertag_train.networks.vgg import SegmentNetwork

RATE = 22_050
NAMES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]


def test_the_cosines_are_the_orthonormal_dct() -> None:
    rows = np.random.default_rng(0).normal(size=(5, 128)).astype(np.float32)
    expected = scipy.fft.dct(rows, axis=1, norm="ortho")[:, :N_CEPSTRA]
    np.testing.assert_allclose((torch.from_numpy(rows) @ cosines(128)).numpy(), expected, atol=1e-4)


def test_two_frames_by_hand() -> None:
    statistics = Statistics(FrontEnd(n_mels=8))
    statistics.normal = torch.nn.Identity()  # type: ignore[assignment]
    statistics.cosines = torch.eye(8)[:, :1]  # the "cepstrum" is the first band
    first, second = torch.zeros(8), torch.zeros(8)
    first[0], second[0], second[1] = 1.0, 3.0, 8.0
    found = statistics(torch.stack([first, second])[None])[0]
    rest = [0.0] * 6
    middle, spread, change = [2.0, 4.0, *rest, 2.0], [1.0, 4.0, *rest, 1.0], [2.0, 8.0, *rest, 2.0]
    # Loudest less softest: 1 and 8; loudest less mean: 1 - 1/8 and 8 - 11/8.
    contrast = [4.5, (7 / 8 + 53 / 8) / 2]
    expected = torch.tensor([*middle, *spread, *change, *contrast])
    torch.testing.assert_close(found[: len(expected)], expected, rtol=0, atol=1e-3)  # a spread of 0 is 1e-4


def test_a_pulse_shows_in_its_bin_of_the_modulation_spectrum() -> None:
    time = torch.arange(128)
    envelopes = torch.cos(2 * torch.pi * 8 * time / 128)[None, :, None] * 3.0  # eight pulses a segment
    found = modulation(envelopes).reshape(len(MODULATION_BINS))
    expected = np.abs(np.fft.rfft(envelopes[0, :, 0].numpy() * np.hanning(128)))
    for (first, stop), value in zip(MODULATION_BINS, found.tolist(), strict=True):
        assert value == pytest.approx(np.log1p(expected[first:stop].mean()), abs=0.02)
    assert int(found.argmax()) == MODULATION_BINS.index((7, 10))


def test_a_short_segment_has_no_modulation_above_what_its_frames_can_tell() -> None:
    found = modulation(torch.randn(2, 32, 16)).reshape(2, len(MODULATION_BINS), 16)
    assert (found[:, -1] < 1e-3).all()  # bins 26 to 40 of 32 frames
    assert (found[:, 0] > 0).all()


def test_silence_has_finite_statistics_and_gradients() -> None:
    segments = torch.zeros(4, 40, 128, requires_grad=True)
    found = Statistics(FrontEnd())(segments)
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert segments.grad is not None
    assert torch.isfinite(segments.grad).all()


def test_a_network_of_statistics_has_no_convolutions_but_sees_the_order_of_frames() -> None:
    torch.manual_seed(0)
    network = SegmentNetwork("statistics", n_classes=4, width=0.25)
    network.train()(torch.randn(8, 64, 128))
    network.eval()
    assert not network.convolves
    assert not [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    segments = torch.randn(3, 64, 128)
    assert network(segments).shape == (3, 4)
    shuffled = torch.cat([segments[:, ::2], segments[:, 1::2]], dim=1)
    assert not torch.allclose(network(segments), network(shuffled), atol=1e-4)


def test_the_table_of_features_counts_them_all() -> None:
    assert Statistics(FrontEnd()).n_features == 687
    rows = re.findall(r"^(\d+)(?:-(\d+))? +[A-Z]", segment_statistics.__doc__ or "", re.MULTILINE)
    first, last = [int(a) for a, _ in rows], [int(b or a) for a, b in rows]
    assert first == [0, *(n + 1 for n in last[:-1])]
    assert last[-1] == 686


# ---- pitch classes


@pytest.mark.parametrize("front_end", [FrontEnd(), FrontEnd(n_mels=64, fmin_hz=30.0, fmax_hz=8_000.0)])
def test_the_centres_of_the_bands_are_librosas(front_end: FrontEnd) -> None:
    hz = librosa.mel_frequencies(front_end.n_mels + 2, fmin=front_end.fmin_hz, fmax=front_end.fmax_hz)
    np.testing.assert_allclose(mel_centres_hz(front_end), hz[1:-1], rtol=1e-12)


def test_a_band_counts_for_the_note_that_it_is() -> None:
    weights = pitch_class_weights(FrontEnd())
    band = int(np.abs(mel_centres_hz(FrontEnd()) - 880).argmin())
    assert NAMES[int(weights[band].argmax())] == "A"
    assert weights[band].max() > 0.9
    assert (weights[0] == 0).all()  # too low to tell a semitone
    assert (weights[-1] == 0).all()


def test_each_key_fits_itself_best() -> None:
    heard = np.stack([np.roll(p, k) for p in (MAJOR, MINOR) for k in range(PITCH_CLASSES)])
    standard = (heard - heard.mean(1, keepdims=True)) / heard.std(1, keepdims=True)
    fit = standard @ key_profiles().numpy()
    np.testing.assert_allclose(np.diag(fit), 1, atol=1e-5)
    np.testing.assert_array_equal(fit.argmax(1), np.arange(24))


def _chord(notes: list[int]) -> torch.Tensor:
    """Return the normalised log-mel, (1, n_frames, n_mels), of notes, MIDI's numbers, with four overtones each."""
    time_s = np.arange(2 * RATE) / RATE
    sound = sum(np.sin(2 * np.pi * librosa.midi_to_hz(n) * k * time_s) / k for n in notes for k in range(1, 6))
    return (LogMel(FrontEnd())(torch.from_numpy(0.05 * sound).float())[None] + 40) / 20


def test_the_note_of_a_tone_is_its_pitch_class() -> None:
    for note in (72, 76, 81):
        assert int(Harmony(FrontEnd()).chroma(_chord([note])).mean(1).argmax()) == note % PITCH_CLASSES


@pytest.mark.parametrize("tonic", range(60, 72))
def test_clean_major_chords_are_told_from_minor_ones_in_every_key(tonic: int) -> None:
    harmony = Harmony(FrontEnd())
    major, minor = (harmony(_chord([tonic, tonic + third, tonic + 7, tonic + 12]))[0, 2] for third in (4, 3))
    assert major > minor


def _of_chroma(chroma: torch.Tensor) -> torch.Tensor:
    """Return the features of a chroma, (batch, n_frames, 12), as if bands were pitch classes."""
    harmony = Harmony(FrontEnd())
    harmony.partials, harmony.pitch_classes = torch.eye(PITCH_CLASSES), torch.eye(PITCH_CLASSES)
    found: torch.Tensor = harmony(chroma)
    assert found.shape[1] == harmony.n_features
    return found


def test_pitch_classes_that_move_by_a_semitone_tell_the_same() -> None:
    chroma = torch.rand(2, 40, PITCH_CLASSES, generator=torch.Generator().manual_seed(0))
    for semitones in range(1, PITCH_CLASSES):
        torch.testing.assert_close(_of_chroma(chroma.roll(semitones, dims=2)), _of_chroma(chroma), rtol=1e-4, atol=1e-4)


def test_one_steady_pitch_class_by_hand() -> None:
    chroma = torch.zeros(1, 10, PITCH_CLASSES)
    chroma[..., 3] = 24.0
    found = _of_chroma(chroma)[0]
    # Its mean over the classes is 2, its share of that mean 12; each coefficient's magnitude is then 12 as well.
    torch.testing.assert_close(found[3:9], torch.full((6,), 12.0), rtol=1e-2, atol=0)
    torch.testing.assert_close(found[15:21], torch.tensor([12.0, 0, 0, 0, 0, 0]), rtol=1e-2, atol=0)
    assert found[21] == pytest.approx(1e-4)  # nothing changes
    assert found[22] == pytest.approx(2.0)


def test_harmony_that_changes_is_told_from_one_that_does_not() -> None:
    steady = torch.zeros(1, 40, PITCH_CLASSES)
    steady[..., [0, 4, 7]] = 1.0
    moving = steady.clone()
    moving[:, 20:] = moving[:, 20:].roll(2, dims=2)
    assert _of_chroma(moving)[0, 21] > _of_chroma(steady)[0, 21] + 0.1


def test_the_level_of_all_bands_together_changes_nothing() -> None:
    segments = torch.randn(2, 40, 128, generator=torch.Generator().manual_seed(0))
    harmony = Harmony(FrontEnd())
    torch.testing.assert_close(harmony(segments + 3.0), harmony(segments), rtol=1e-3, atol=1e-3)


def test_magnitudes_by_hand() -> None:
    torch.testing.assert_close(magnitude(torch.tensor([[3.0, 0.0, 4.0, 0.0]])), torch.tensor([[5.0, 1e-4]]))


# ---- onsets


@pytest.mark.parametrize("n_frames", [30, 41, 127])
def test_autocorrelation_is_the_mean_of_products_over_the_variance(n_frames: int) -> None:
    strength = np.random.default_rng(0).normal(size=n_frames)
    strength -= strength.mean()
    found = autocorrelation(torch.from_numpy(strength).float()[None])[0]
    expected = [
        float(np.mean(strength[lag:] * strength[: n_frames - lag])) / (strength.var() + 1e-3) if lag < n_frames else 0.0
        for lag in range(SHORTEST_LAG, LONGEST_LAG + 1)
    ]
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-4)


def test_a_pulse_shows_at_its_lag() -> None:
    segments = torch.zeros(1, 128, 128)
    segments[:, 10::22] = 5.0
    found = Onsets()(segments)[0]
    pulse = found[2 * ONSET_GROUPS : -2]
    assert int(pulse.argmax()) in {(lag - SHORTEST_LAG) // LAGS_TOGETHER for lag in (22, 44)}
    assert found[-2] > 0.9


def test_one_onset_by_hand() -> None:
    segments = torch.zeros(1, 33, 128)
    segments[:, 16:, :16] = 8.0  # begins in the lowest group, and stays
    found = Onsets()(segments)[0]
    assert found.shape == (Onsets.n_features,)
    assert found[0] == pytest.approx(8 / 32)
    assert found[ONSET_GROUPS] == pytest.approx(np.sqrt(64 / 32 - (8 / 32) ** 2), rel=1e-4)
    assert (found[1:ONSET_GROUPS] == 0).all()


def test_what_ends_is_no_onset() -> None:
    segments = torch.zeros(1, 33, 128)
    segments[:, :16] = 8.0
    assert (Onsets()(segments)[0, :ONSET_GROUPS] == 0).all()


def test_noise_has_no_clear_pulse() -> None:
    torch.manual_seed(0)
    assert Onsets()(torch.randn(1, 128, 128))[0, -2] < 0.6
