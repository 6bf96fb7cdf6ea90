"""What a segment is like on the whole: means and standard deviations over time of its bands and of its cepstrum.

Timbre and loudness, as hand-made features have them, and little that must be learnt: on a few hundred songs a network
that sees them beside what its convolutions find is better than one that does not (``docs/model.md``).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

N_CEPSTRA = 30


def cosines(n_mels: int, n_cepstra: int = N_CEPSTRA) -> Tensor:
    """Return the orthonormal DCT-II, shape (n_mels, n_cepstra): log-mel times it is the mel cepstrum."""
    band, order = torch.arange(n_mels, dtype=torch.float64), torch.arange(n_cepstra, dtype=torch.float64)
    table = torch.cos(math.pi / n_mels * (band[:, None] + 0.5) * order[None, :]) * math.sqrt(2 / n_mels)
    table[:, 0] /= math.sqrt(2)
    return table.float()


class Statistics(nn.Module):
    """Segments to statistics over time, normalised like any layer's output by batch norm.

    Of each band and of each cepstral coefficient: the mean, the standard deviation, and the mean absolute difference
    of neighbouring frames.

    Parameters
    ----------
    n_mels : int
        Bands.
    """

    cosines: Tensor

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        self.n_features = 3 * (n_mels + N_CEPSTRA)
        self.register_buffer("cosines", cosines(n_mels))
        self.normal = nn.BatchNorm1d(self.n_features)

    def forward(self, segments: Tensor) -> Tensor:
        """Return shape (batch, n_features) of segments (batch, n_frames, n_mels), each band normalised."""
        seen = torch.cat([segments, segments @ self.cosines], dim=2)
        change = (seen[:, 1:] - seen[:, :-1]).abs().mean(1)
        middle = seen.mean(1)
        # By hand: one formula for training, export, and every runtime.
        spread = (seen - middle[:, None]).square().mean(1).clamp(min=1e-8).sqrt()
        found: Tensor = self.normal(torch.cat([middle, spread, change], dim=1))
        return found
