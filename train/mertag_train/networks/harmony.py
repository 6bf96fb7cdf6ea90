"""Which pitch classes a segment has, whatever its key: how clear a key there is, major or minor, and how it changes.

Mode is the oldest cue for valence there is, and nothing that a mean over frequency bands can show. Mel bands show it
coarsely: a band is a semitone wide at 430 Hz, and pitch classes do not all weigh the same, so that what is told here is
only nearly the same in every key. Chroma: Fujishima,
"Realtime chord recognition of musical sound", 1999. Key profiles: Krumhansl and Kessler, 1982. The Fourier transform
over pitch classes, whose magnitudes a transposition leaves alone: Quinn, 2006. Harmonic change: Harte, Sandler and
Gasser, 2006, here with all of that transform's coefficients.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mertag.listen.windows import FrontEnd
from mertag_train.data.frontend import mel_centres_hz

PITCH_CLASSES = 12
LOWEST_HZ, HIGHEST_HZ = 350.0, 4_000.0
"""Of the bands that count: below, they are wider than a semitone; above, there are more overtones than notes."""

WIDTH_SEMITONES = 0.6
"""Standard deviation with which a band counts for the pitch classes beside its own: as wide as a band is, about."""

NEIGHBOURS = 4
"""On either side of a band: a partial is what exceeds their mean."""

CHANGE_FRAMES = 4
"""Over how many frames harmony is said to change: 93 ms."""

LOUDEST = 6
"""Pitch classes whose share is told, the largest first."""

# C major and C minor; Krumhansl and Kessler, "Tracing the dynamic changes in perceived tonal organization", 1982.
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)

Floats = npt.NDArray[np.float64]


def pitch_class_weights(front_end: FrontEnd) -> Tensor:
    """Return how much a mel band counts for each pitch class, C first: shape (n_mels, 12)."""
    centre_hz = mel_centres_hz(front_end)
    semitone = 69 + 12 * np.log2(centre_hz / 440)  # MIDI's numbers: 60 is C
    apart = (semitone[:, None] - np.arange(PITCH_CLASSES) + 6) % PITCH_CLASSES - 6
    counts = (centre_hz > LOWEST_HZ) & (centre_hz < HIGHEST_HZ)
    return torch.from_numpy(np.exp(-0.5 * (apart / WIDTH_SEMITONES) ** 2) * counts[:, None]).float()


def key_profiles() -> Tensor:
    """Return the profiles of the 12 major and the 12 minor keys, shape (12, 24).

    The product of them and of 12 values with mean 0 and variance 1 are their correlations.
    """
    keys = [_standard(np.roll(profile, tonic)) for profile in (MAJOR, MINOR) for tonic in range(PITCH_CLASSES)]
    return torch.from_numpy(np.stack(keys, axis=1) / PITCH_CLASSES).float()


def _standard(values: Floats) -> Floats:
    standard: Floats = (values - values.mean()) / values.std()
    return standard


def _partials(n_mels: int) -> Tensor:
    """Return what takes from each band the mean of its neighbourhood, itself included: shape (n_mels, n_mels)."""
    band = np.arange(n_mels)
    near = (np.abs(band[:, None] - band[None, :]) <= NEIGHBOURS).astype(np.float64)
    return torch.from_numpy(np.eye(n_mels) - near / near.sum(0)).float()


class Harmony(nn.Module):
    """Segments to what their pitch classes tell, much the same in every key.

    Of the mean chroma of the segment: how well the best major key fits, the best minor one, and by how much the first
    fits better; the magnitudes of its Fourier transform over pitch classes; the shares of the `LOUDEST` classes; how
    strong it is. Of the frames: the mean of those magnitudes, and how fast the harmony changes.

    Parameters
    ----------
    front_end : FrontEnd
        Says where the bands lie.
    """

    partials: Tensor
    pitch_classes: Tensor
    keys: Tensor
    fourier: Tensor

    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        coefficients = np.arange(1, PITCH_CLASSES // 2 + 1)
        angle = torch.from_numpy(2 * math.pi / PITCH_CLASSES * np.outer(np.arange(PITCH_CLASSES), coefficients))
        self.n_features = 3 + 2 * len(coefficients) + LOUDEST + 2
        # Constants, not weights: made anew wherever the network is.
        self.register_buffer("partials", _partials(front_end.n_mels), persistent=False)
        self.register_buffer("pitch_classes", pitch_class_weights(front_end), persistent=False)
        self.register_buffer("keys", key_profiles(), persistent=False)
        self.register_buffer("fourier", torch.cat([angle.cos(), angle.sin()], dim=1).float(), persistent=False)

    def chroma(self, segments: Tensor) -> Tensor:
        """Return how strong each pitch class is in each frame, shape (batch, n_frames, 12).

        Partials are what exceeds its neighbourhood, in the units of the input, so that neither loudness nor a smooth
        equaliser matters.
        """
        return torch.relu(segments @ self.partials) @ self.pitch_classes

    def forward(self, segments: Tensor) -> Tensor:
        """Return shape (batch, n_features) of segments (batch, n_frames, n_mels), each band normalised.

        There must be more frames than `CHANGE_FRAMES`.
        """
        chroma = self.chroma(segments)
        heard = chroma.mean(1)
        strength = heard.mean(1, keepdim=True)
        share = heard / (strength + 1e-3)
        apart = share - share.mean(1, keepdim=True)
        fit = apart / apart.square().mean(1, keepdim=True).clamp(min=1e-6).sqrt() @ self.keys
        major, minor = fit[:, :PITCH_CLASSES].amax(1, keepdim=True), fit[:, PITCH_CLASSES:].amax(1, keepdim=True)
        each = chroma / (chroma.mean(2, keepdim=True) + 1e-2) @ self.fourier  # (batch, n_frames, re|im)
        change = (each[:, CHANGE_FRAMES:] - each[:, :-CHANGE_FRAMES]).square().sum(2).clamp(min=1e-8).sqrt()
        told = [
            *(major, minor, major - minor),
            magnitude(share @ self.fourier),
            magnitude(each).mean(1),
            share.topk(LOUDEST, dim=1).values,
            change.mean(1, keepdim=True),
            strength,
        ]
        return torch.cat(told, dim=1)


def magnitude(spectrum: Tensor) -> Tensor:
    """Return the magnitudes of coefficients: in the last axis, their real parts come first, then the imaginary ones."""
    real, imaginary = spectrum.chunk(2, dim=-1)
    # Never quite 0, where a square root has no gradient.
    return (real.square() + imaginary.square()).clamp(min=1e-8).sqrt()
