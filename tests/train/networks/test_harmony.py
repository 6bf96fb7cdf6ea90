"""Pitch classes of a segment: where they come from, and that no transposition changes what they tell."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

from mertag.listen.windows import FrontEnd
from mertag_train.data.frontend import LogMel, mel_centres_hz
from mertag_train.networks.harmony import (
    MAJOR,
    MINOR,
    PITCH_CLASSES,
    Harmony,
    key_profiles,
    magnitude,
    pitch_class_weights,
)

RATE = 22_050
NAMES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]


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
