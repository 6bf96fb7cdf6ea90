"""How notes begin in a segment: how strongly, in which bands, and how regularly.

Onset strength is spectral flux: Bello et al., "A tutorial on onset detection in music signals", 2005. That its
autocorrelation has a clear peak is the clarity of a pulse: Lartillot et al., "Multi-feature modeling of pulse
clarity", 2008.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

GROUPS = 8
"""Groups of neighbouring bands whose onsets are told apart."""

SHORTEST_LAG, LONGEST_LAG = 5, 64
"""Frames between onsets: 0.12 s to 1.5 s, hence 517 to 40 a minute."""

LAGS_TOGETHER = 5
"""Neighbouring lags of which the largest counts."""


def autocorrelation(strength: Tensor) -> Tensor:
    """Return the autocorrelation at lags `SHORTEST_LAG` to `LONGEST_LAG`, shape (batch, n_lags).

    Parameters
    ----------
    strength : Tensor, shape (batch, n_frames)
        With mean 0.

    Returns
    -------
    Tensor
        The mean of the products over the frames that both have, over the variance; 0 for a lag as long as the segment.
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


class Onsets(nn.Module):
    """Segments to how their notes begin.

    Of each group of bands the mean and the standard deviation of the onset strength; of all together the
    autocorrelation, the largest of `LAGS_TOGETHER` neighbouring lags, and of all lags the largest and the standard
    deviation.

    """

    n_features = 2 * GROUPS + (LONGEST_LAG - SHORTEST_LAG + 1) // LAGS_TOGETHER + 2

    def forward(self, segments: Tensor) -> Tensor:
        """Return shape (batch, n_features) of segments (batch, n_frames, n_mels), each band normalised.

        `n_mels` must be a multiple of `GROUPS`.
        """
        batch, n_frames, n_mels = segments.shape
        loudness = segments.reshape(batch, n_frames, GROUPS, n_mels // GROUPS).mean(3)
        onset = torch.relu(loudness[:, 1:] - loudness[:, :-1])
        together = onset.mean(2)
        pulse = autocorrelation(together - together.mean(1, keepdim=True))
        told = [
            onset.mean(1),
            _deviation(onset, dim=1),
            pulse.reshape(batch, -1, LAGS_TOGETHER).amax(2),
            pulse.amax(1, keepdim=True),
            _deviation(pulse, dim=1)[:, None],
        ]
        return torch.cat(told, dim=1)


def _deviation(values: Tensor, *, dim: int) -> Tensor:
    # By hand: one formula for training, export, and every runtime.
    middle = values.mean(dim, keepdim=True)
    return (values - middle).square().mean(dim).clamp(min=1e-8).sqrt()
