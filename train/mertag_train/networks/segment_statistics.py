"""What a segment is like on the whole: how its bands, its cepstrum and its rhythm are distributed over time.

Timbre, loudness, pulse, mode, as hand-made features have them, and little that must be learnt: on a few hundred songs a
small network that sees nothing else is a match for one with convolutions, and both together are better
(``docs/model.md``).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mertag.listen.windows import FrontEnd
from mertag_train.networks.harmony import Harmony
from mertag_train.networks.onsets import Onsets

N_CEPSTRA = 30
GROUP = 8
"""Neighbouring bands that contrast and modulation take together."""
MODULATION_BINS = ((1, 3), (3, 5), (5, 7), (7, 10), (10, 14), (14, 19), (19, 26), (26, 41))
"""Bins of the modulation spectrum, first and one past the last, whose magnitudes are averaged.

A bin is one over the segment's duration: 0.33 Hz for 3 s, so that these reach from 0.3 to 13 Hz."""


def cosines(n_mels: int, n_cepstra: int = N_CEPSTRA) -> Tensor:
    """Return the orthonormal DCT-II, shape (n_mels, n_cepstra): log-mel times it is the mel cepstrum."""
    band, order = torch.arange(n_mels, dtype=torch.float64), torch.arange(n_cepstra, dtype=torch.float64)
    table = torch.cos(math.pi / n_mels * (band[:, None] + 0.5) * order[None, :]) * math.sqrt(2 / n_mels)
    table[:, 0] /= math.sqrt(2)
    return table.float()


def modulation(envelopes: Tensor) -> Tensor:
    """Return the logarithm of 1 + the mean magnitude in `MODULATION_BINS`.

    Parameters
    ----------
    envelopes : Tensor, shape (batch, n_frames, n_groups)
        How loud groups of bands are in each frame.

    Returns
    -------
    Tensor, shape (batch, n_groups * len(MODULATION_BINS))
        Of the discrete Fourier transform over time, under a Hann window; a bin above the Nyquist rate counts as 0.
    """
    n_frames = envelopes.shape[1]
    last = MODULATION_BINS[-1][1]
    time = torch.arange(n_frames, dtype=torch.float32, device=envelopes.device)
    window = 0.5 - 0.5 * torch.cos(2 * math.pi * time / max(n_frames - 1, 1))
    bins = torch.arange(last, dtype=torch.float32, device=envelopes.device)
    angle = 2 * math.pi / n_frames * bins[:, None] * time[None, :]  # (n_bins, n_frames)
    heard = (bins <= n_frames // 2).float()[:, None] * window
    level = envelopes - envelopes.mean(1, keepdim=True)
    real, imaginary = (angle.cos() * heard) @ level, (angle.sin() * heard) @ level  # (batch, n_bins, n_groups)
    magnitude = (real.square() + imaginary.square()).clamp(min=1e-8).sqrt()
    means = [magnitude[:, first:stop].mean(1) for first, stop in MODULATION_BINS]
    return torch.cat(means, dim=1).log1p()


class Statistics(nn.Module):
    """Segments to statistics over time, normalised like any layer's output by batch norm.

    Of each band and of each cepstral coefficient the mean, the standard deviation, and the mean absolute difference
    of neighbouring frames; of each group of neighbouring bands by how much its loudest band exceeds its softest and
    its mean (spectral contrast: Jiang et al., 2002), and its `modulation` spectrum. Then what `Harmony` and `Onsets`
    tell.

    Parameters
    ----------
    front_end : FrontEnd
        Says how many bands there are, a multiple of `GROUP`, and where they lie.
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
        """Return shape (batch, n_features) of segments (batch, n_frames, n_mels), each band normalised."""
        found: Tensor = self.normal(self.measure(segments))
        return found

    def measure(self, segments: Tensor) -> Tensor:
        """Return the same before it is normalised: nothing of it is learnt."""
        seen = torch.cat([segments, segments @ self.cosines], dim=2)
        change = (seen[:, 1:] - seen[:, :-1]).abs().mean(1)
        middle = seen.mean(1)
        # By hand: one formula for training, export, and every runtime.
        spread = (seen - middle[:, None]).square().mean(1).clamp(min=1e-8).sqrt()
        batch, n_frames, n_mels = segments.shape
        groups = segments.reshape(batch, n_frames, n_mels // GROUP, GROUP)
        envelope, loudest = groups.mean(3), groups.amax(3)
        contrast = [(loudest - groups.amin(3)).mean(1), (loudest - envelope).mean(1)]
        told = [middle, spread, change, *contrast, modulation(envelope), self.harmony(segments), self.onsets(segments)]
        return torch.cat(told, dim=1)
