"""Augmentation of log-mel segments: pitch, equaliser, gain, and hidden stretches of time and frequency."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mertag_train.learn.config import AugmentConfig

EQUALISER_KNOTS = 5
"""Bands, spread evenly over all, at which a random equaliser draws its gains."""


def augment(segments: Tensor, fill: Tensor, config: AugmentConfig, rng: np.random.Generator) -> Tensor:
    """Return segments with what a recipe asks for: another pitch, equaliser and gain, and hidden stretches.

    Hidden stretches of time and frequency are set to the band means.

    Parameters
    ----------
    segments : Tensor, shape (batch, n_frames, n_mels)
        dB.
    fill : Tensor, shape (n_mels,)
        The band means, in dB.
    config : AugmentConfig
        How much.
    rng : numpy Generator
        What chance there is in it.
    """
    batch, n_frames, n_mels = segments.shape
    device = segments.device
    if config.pitch_bands:
        segments = _moved(segments, config.pitch_bands, rng)
    if config.equaliser_db:
        curve = random_curves(batch, n_mels, config.equaliser_db, rng)
        segments = segments + torch.from_numpy(curve).to(device)[:, None, :]
    if config.gain_db:
        gain = rng.uniform(-config.gain_db, config.gain_db, size=(batch, 1, 1)).astype(np.float32)
        segments = segments + torch.from_numpy(gain).to(device)
    hidden = torch.zeros(batch, n_frames, n_mels, dtype=torch.bool, device=device)
    for _ in range(config.time_masks):
        hidden |= _stretches(batch, n_frames, config.max_time_mask, rng).to(device)[:, :, None]
    for _ in range(config.frequency_masks):
        hidden |= _stretches(batch, n_mels, config.max_frequency_mask, rng).to(device)[:, None, :]
    return torch.where(hidden, fill, segments)


def _moved(segments: Tensor, most: int, rng: np.random.Generator) -> Tensor:
    """Return segments moved by up to `most` bands either way; the outermost band fills what becomes free."""
    batch, n_frames, n_mels = segments.shape
    moved = rng.integers(-most, most + 1, size=(batch, 1))
    source = torch.from_numpy(np.clip(np.arange(n_mels) + moved, 0, n_mels - 1)).to(segments.device)
    return segments.gather(2, source[:, None, :].expand(batch, n_frames, n_mels))


def random_curves(batch: int, n_mels: int, most_db: float, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return one gain a band, shape (batch, n_mels), in dB: straight lines between `EQUALISER_KNOTS` random gains."""
    gains = rng.uniform(-most_db, most_db, size=(batch, EQUALISER_KNOTS))
    place = np.linspace(0, EQUALISER_KNOTS - 1, n_mels)
    below = np.minimum(place.astype(np.int64), EQUALISER_KNOTS - 2)
    share = place - below
    return ((1 - share) * gains[:, below] + share * gains[:, below + 1]).astype(np.float32)


def _stretches(batch: int, length: int, widest: float, rng: np.random.Generator) -> Tensor:
    """Return one random stretch a row, True inside: shape (batch, length)."""
    width = rng.integers(0, int(widest * length) + 1, size=(batch, 1))
    start = rng.integers(0, length - width + 1)
    place = np.arange(length)[None, :]
    return torch.from_numpy((place >= start) & (place < start + width))
