"""What a segment is like on the whole: statistics over time of its bands, cepstrum, rhythm, harmony and onsets.

They are hand-made, and nothing of them is learnt: on a few hundred songs a small network that sees nothing else is a
match for one with convolutions, and both together are better (``docs/model.md``). Segments are (batch, n_frames,
n_mels), each band normalised. With 128 bands the 687 features are, in this order:

======== ========== ===========================================================================================
index    class      feature
======== ========== ===========================================================================================
0-157    Statistics mean of each of the 128 bands, then of each of the 30 cepstral coefficients
158-315  Statistics standard deviation of each
316-473  Statistics mean absolute difference of neighbouring frames of each
474-489  Statistics contrast of each of the 16 groups of bands: loudest band minus softest
490-505  Statistics contrast of each group: loudest band minus mean
506-633  Statistics modulation: for each of the 8 `MODULATION_BINS`, each group
634-636  Harmony    fit of the best major key, of the best minor key, and their difference
637-642  Harmony    magnitudes of the mean chroma's Fourier transform over pitch classes, coefficients 1 to 6
643-648  Harmony    mean over the frames of the magnitudes of each frame's transform, coefficients 1 to 6
649-654  Harmony    shares of the 6 strongest pitch classes, the largest first
655      Harmony    harmonic change over `CHANGE_FRAMES` frames
656      Harmony    strength of the mean chroma
657-664  Onsets     mean onset strength of each of the 8 groups of bands
665-672  Onsets     standard deviation of the onset strength of each group
673-684  Onsets     autocorrelation of the onset strength, the largest of each 5 lags
685-686  Onsets     largest and standard deviation over all lags
======== ========== ===========================================================================================

Sources: spectral contrast: Jiang et al., 2002. Chroma: Fujishima, 1999. Key profiles: Krumhansl and Kessler, 1982.
Fourier transform over pitch classes, whose magnitudes a transposition leaves alone: Quinn, 2006. Harmonic change:
Harte, Sandler and Gasser, 2006, here with all of that transform's coefficients. Onset strength is spectral flux: Bello
et al., 2005. Clarity of a pulse, a clear peak of its autocorrelation: Lartillot et al., 2008.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from mertag.listen.windows import FrontEnd
from mertag_train.arrays import Floats
from mertag_train.data.frontend import mel_centres_hz

N_CEPSTRA = 30
GROUP = 8
"""Neighbouring bands that contrast and modulation take together."""
MODULATION_BINS = ((1, 3), (3, 5), (5, 7), (7, 10), (10, 14), (14, 19), (19, 26), (26, 41))
"""Bins of the modulation spectrum, first and one past the last, whose magnitudes are averaged.

A bin is one over the segment's duration: 0.33 Hz for 3 s, so that these reach from 0.3 to 13 Hz."""

PITCH_CLASSES = 12
LOWEST_HZ, HIGHEST_HZ = 350.0, 4_000.0
"""Of the bands that count: below, they are wider than a semitone; above, there are more overtones than notes."""
WIDTH_SEMITONES = 0.6
"""Standard deviation with which a band counts for the pitch classes beside its own: as wide as a band is, about."""
NEIGHBOURS = 4
"""On either side of a band: a partial is what exceeds their mean."""
CHANGE_FRAMES = 4
"""Over how many frames harmonic change is measured: 93 ms."""
LOUDEST = 6
"""How many of the strongest pitch classes have their share among the features."""
# C major and C minor; Krumhansl and Kessler, "Tracing the dynamic changes in perceived tonal organization", 1982.
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)

ONSET_GROUPS = 8
"""Groups of neighbouring bands whose onsets are measured apart."""
SHORTEST_LAG, LONGEST_LAG = 5, 64
"""Frames between onsets: 0.12 s to 1.5 s, hence 517 to 40 a minute."""
LAGS_TOGETHER = 5
"""Neighbouring lags of which the largest counts."""


class Statistics(nn.Module):
    """Segments to all features above, normalised like any layer's output by batch norm.

    The number of bands of the front end is a multiple of `GROUP`.
    """

    cosines: Tensor

    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        n_mels = front_end.n_mels
        n_groups = n_mels // GROUP
        self.harmony, self.onsets = Harmony(front_end), Onsets()
        self.n_features = 3 * (n_mels + N_CEPSTRA) + n_groups * (2 + len(MODULATION_BINS))
        self.n_features += self.harmony.n_features + self.onsets.n_features
        self.register_buffer("cosines", cosines(n_mels))
        self.normal = nn.BatchNorm1d(self.n_features)

    def forward(self, segments: Tensor) -> Tensor:
        """Return features (batch, n_features) of segments (batch, n_frames, n_mels), normalised by batch norm."""
        found: Tensor = self.normal(self.measure(segments))
        return found

    def measure(self, segments: Tensor) -> Tensor:
        """Return the same before batch norm: nothing of it is learnt."""
        seen = torch.cat([segments, segments @ self.cosines], dim=2)  # (batch, n_frames, n_mels + N_CEPSTRA)
        change = (seen[:, 1:] - seen[:, :-1]).abs().mean(1)
        batch, n_frames, n_mels = segments.shape
        groups = segments.reshape(batch, n_frames, n_mels // GROUP, GROUP)
        envelope, loudest = groups.mean(3), groups.amax(3)  # (batch, n_frames, n_groups)
        features = [
            *(seen.mean(1), deviation(seen), change),
            *((loudest - groups.amin(3)).mean(1), (loudest - envelope).mean(1)),
            modulation(envelope),
            self.harmony(segments),
            self.onsets(segments),
        ]
        return torch.cat(features, dim=1)


def deviation(values: Tensor) -> Tensor:
    """Return the standard deviation along axis 1; by hand: one formula for training, export, and every runtime."""
    return (values - values.mean(1, keepdim=True)).square().mean(1).clamp(min=1e-8).sqrt()


def magnitude(spectrum: Tensor) -> Tensor:
    """Return the magnitudes of coefficients: in the last axis, their real parts come first, then the imaginary ones."""
    real, imaginary = spectrum.chunk(2, dim=-1)
    # Never quite 0, where a square root has no gradient.
    return (real.square() + imaginary.square()).clamp(min=1e-8).sqrt()


def cosines(n_mels: int, n_cepstra: int = N_CEPSTRA) -> Tensor:
    """Return the orthonormal DCT-II, shape (n_mels, n_cepstra): log-mel times it is the mel cepstrum."""
    band, order = torch.arange(n_mels, dtype=torch.float64), torch.arange(n_cepstra, dtype=torch.float64)
    table = torch.cos(math.pi / n_mels * (band[:, None] + 0.5) * order[None, :]) * math.sqrt(2 / n_mels)
    table[:, 0] /= math.sqrt(2)
    return table.float()


def modulation(envelopes: Tensor) -> Tensor:
    """Return the logarithm of 1 + the mean magnitude in `MODULATION_BINS`: (batch, len(MODULATION_BINS) * n_groups).

    It is that of the discrete Fourier transform over time, under a Hann window, of how loud groups of bands are (batch,
    n_frames, n_groups); a bin above the Nyquist rate counts as 0.
    """
    n_frames = envelopes.shape[1]
    last = MODULATION_BINS[-1][1]
    time = torch.arange(n_frames, dtype=torch.float32, device=envelopes.device)
    window = 0.5 - 0.5 * torch.cos(2 * math.pi * time / max(n_frames - 1, 1))
    bins = torch.arange(last, dtype=torch.float32, device=envelopes.device)
    angle = 2 * math.pi / n_frames * bins[:, None] * time[None, :]  # (n_bins, n_frames)
    weights = (bins <= n_frames // 2).float()[:, None] * window
    level = envelopes - envelopes.mean(1, keepdim=True)
    real, imaginary = (angle.cos() * weights) @ level, (angle.sin() * weights) @ level  # (batch, n_bins, n_groups)
    size = (real.square() + imaginary.square()).clamp(min=1e-8).sqrt()
    return torch.cat([size[:, first:stop].mean(1) for first, stop in MODULATION_BINS], dim=1).log1p()


class Harmony(nn.Module):
    """Segments to features of their pitch classes, much the same in every key; the front end says where the bands lie.

    Mode is the oldest cue for valence there is, and nothing that a mean over frequency bands can show. Mel bands show
    it coarsely: a band is a semitone wide at 430 Hz, and pitch classes do not all weigh the same, so that the features
    are only nearly the same in every key.
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
        """Return features (batch, n_features) of segments of more frames than `CHANGE_FRAMES`."""
        chroma = self.chroma(segments)
        mean = chroma.mean(1)
        strength = mean.mean(1, keepdim=True)
        share = mean / (strength + 1e-3)
        apart = share - share.mean(1, keepdim=True)
        fit = apart / apart.square().mean(1, keepdim=True).clamp(min=1e-6).sqrt() @ self.keys
        major, minor = fit[:, :PITCH_CLASSES].amax(1, keepdim=True), fit[:, PITCH_CLASSES:].amax(1, keepdim=True)
        each = chroma / (chroma.mean(2, keepdim=True) + 1e-2) @ self.fourier  # (batch, n_frames, re|im)
        change = (each[:, CHANGE_FRAMES:] - each[:, :-CHANGE_FRAMES]).square().sum(2).clamp(min=1e-8).sqrt()
        features = [
            *(major, minor, major - minor),
            magnitude(share @ self.fourier),
            magnitude(each).mean(1),
            share.topk(LOUDEST, dim=1).values,
            change.mean(1, keepdim=True),
            strength,
        ]
        return torch.cat(features, dim=1)


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


class Onsets(nn.Module):
    """Segments to features of how their notes begin: how strongly, in which bands, and how regularly."""

    n_features = 2 * ONSET_GROUPS + (LONGEST_LAG - SHORTEST_LAG + 1) // LAGS_TOGETHER + 2

    def forward(self, segments: Tensor) -> Tensor:
        """Return features (batch, n_features) of segments whose `n_mels` is a multiple of `ONSET_GROUPS`."""
        batch, n_frames, n_mels = segments.shape
        loudness = segments.reshape(batch, n_frames, ONSET_GROUPS, n_mels // ONSET_GROUPS).mean(3)
        onset = torch.relu(loudness[:, 1:] - loudness[:, :-1])
        together = onset.mean(2)
        pulse = autocorrelation(together - together.mean(1, keepdim=True))
        features = [
            onset.mean(1),
            deviation(onset),
            pulse.reshape(batch, -1, LAGS_TOGETHER).amax(2),
            pulse.amax(1, keepdim=True),
            deviation(pulse)[:, None],
        ]
        return torch.cat(features, dim=1)


def autocorrelation(strength: Tensor) -> Tensor:
    """Return the autocorrelation at lags `SHORTEST_LAG` to `LONGEST_LAG`, (batch, n_lags), of values with mean 0.

    It is the mean of the products over the frames that both have, over the variance; 0 for a lag as long as the
    segment.
    """
    n_frames = strength.shape[1]
    lags = torch.arange(SHORTEST_LAG, LONGEST_LAG + 1, device=strength.device)
    # By the power spectrum of the frames with zeros behind them (Wiener and Khinchin), as products of matrices: every
    # runtime has these. Twice the frames, so that no lag wraps around.
    size = 2 * n_frames
    bins = torch.arange(n_frames + 1, dtype=torch.float32, device=strength.device)
    twice = 2.0 - ((bins == 0) | (bins == n_frames)).float()  # all others stand for their mirror images, too
    time = torch.arange(n_frames, dtype=torch.float32, device=strength.device)
    angle = 2 * math.pi / size * time[:, None] * bins[None, :]
    power = (strength @ angle.cos()).square() + (strength @ angle.sin()).square()
    products = power @ (twice[:, None] / size * torch.cos(2 * math.pi / size * bins[:, None] * lags.float()[None, :]))
    both = (n_frames - lags).float()
    mean = torch.where(both > 0, products / both.clamp(min=1.0), torch.zeros_like(products))
    return mean / (strength.square().mean(1, keepdim=True) + 1e-3)
