"""Augmentation of log-mel segments, and made-up sounds that are no music.

A network that has only ever heard music is sure of anything: white noise is Angry. Shown such sounds with the label
that nothing is known, it learns to say so (outlier exposure: Hendrycks et al., 2019). They are drawn band by band.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mertag_train.arrays import Floats32
from mertag_train.learn.config import AugmentConfig

KNOTS = 5
"""Bands, spread evenly over all, at which a random spectrum draws its levels."""

FLOOR_DB = -100.0
"""Of a log-mel: 10 log10 of 1e-10."""


def augment(segments: Tensor, fill: Tensor, config: AugmentConfig, rng: np.random.Generator) -> Tensor:
    """Return segments (batch, n_frames, n_mels) in dB with another gain, and hidden stretches.

    Hidden stretches of time and frequency are set to `fill` (n_mels,), the band means in dB.
    """
    batch, n_frames, n_mels = segments.shape
    device = segments.device
    if config.gain_db:
        gain = rng.uniform(-config.gain_db, config.gain_db, size=(batch, 1, 1)).astype(np.float32)
        segments = segments + torch.from_numpy(gain).to(device)
    hidden = torch.zeros(batch, n_frames, n_mels, dtype=torch.bool, device=device)
    for _ in range(config.time_masks):
        hidden |= _stretches(batch, n_frames, config.max_time_mask, rng).to(device)[:, :, None]
    for _ in range(config.frequency_masks):
        hidden |= _stretches(batch, n_mels, config.max_frequency_mask, rng).to(device)[:, None, :]
    return torch.where(hidden, fill, segments)


def _stretches(batch: int, length: int, widest: float, rng: np.random.Generator) -> Tensor:
    """Return one random stretch a row, True inside: shape (batch, length)."""
    width = rng.integers(0, int(widest * length) + 1, size=(batch, 1))
    start = rng.integers(0, length - width + 1)
    place = np.arange(length)[None, :]
    return torch.from_numpy((place >= start) & (place < start + width))


def not_music(count: int, n_frames: int, n_mels: int, rng: np.random.Generator) -> Floats32:
    """Return log-mels of made-up sounds, shape (count, n_frames, n_mels), in dB.

    Each is noise, tones or clicks, by chance; of any level.
    """
    found = np.empty((count, n_frames, n_mels), dtype=np.float32)
    for row, kind in enumerate(rng.choice(3, size=count, p=(0.5, 0.25, 0.25))):
        found[row] = (_noise, _tones, _clicks)[kind](n_frames, n_mels, rng)
    return np.maximum(found, FLOOR_DB)


def _curve(n_mels: int, most_db: float, rng: np.random.Generator) -> Floats32:
    """Return one level a band, shape (n_mels,), in dB: straight lines between `KNOTS` random levels."""
    levels = rng.uniform(-most_db, most_db, size=KNOTS)
    return np.interp(np.linspace(0, KNOTS - 1, n_mels), np.arange(KNOTS), levels).astype(np.float32)


def _noise(n_frames: int, n_mels: int, rng: np.random.Generator) -> Floats32:
    """Return noise of a smooth random spectrum.

    Its power in a band is gamma distributed, and the steadier the wider the band is: high ones hold several bins of
    the Fourier transform.
    """
    spectrum = _curve(n_mels, rng.uniform(0, 30), rng) + rng.uniform(-80, 10)
    shape = rng.choice([1.0, 2.0, 4.0, 1000.0]) * np.linspace(1, rng.uniform(1, 10), n_mels)
    power = rng.gamma(shape, 1 / shape, size=(n_frames, n_mels))
    return np.asarray(spectrum + 10 * np.log10(np.maximum(power, 1e-10)), dtype=np.float32)


def _tones(n_frames: int, n_mels: int, rng: np.random.Generator) -> Floats32:
    """Return a few steady lines, with the skirts that a window leaves, above a floor."""
    bands = np.arange(n_mels)
    spectrum = np.full(n_mels, rng.uniform(FLOOR_DB, -70))
    for centre in rng.integers(0, n_mels, size=rng.integers(1, 7)):
        line = rng.uniform(-40, 30) - rng.uniform(3, 15) * np.abs(bands - centre)
        spectrum = np.maximum(spectrum, line)
    return np.asarray(spectrum + rng.normal(0, rng.uniform(0, 1), size=(n_frames, n_mels)), dtype=np.float32)


def _clicks(n_frames: int, n_mels: int, rng: np.random.Generator) -> Floats32:
    """Return short broad-band events, regular or not, above a floor."""
    spectrum = _curve(n_mels, 20.0, rng) + rng.uniform(-50, 0)
    floor = rng.uniform(FLOOR_DB, -60)
    period = int(rng.integers(4, 60))
    regular = np.arange(n_frames) % period == rng.integers(0, period)
    hit = regular if rng.random() < 0.5 else rng.random(n_frames) < 1 / period
    return np.where(hit[:, None], spectrum, floor + rng.normal(0, 1, size=(n_frames, n_mels))).astype(np.float32)
