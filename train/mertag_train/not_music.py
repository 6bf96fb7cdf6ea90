"""Log-mels of sounds that are no music, made up: noise of any colour, hum and tones, clicks.

A network that has only ever heard music is sure of anything: white noise is Angry. Shown such sounds with the label
that nothing is known, it learns to say so (outlier exposure: Hendrycks et al., 2019).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .segments import random_curves

Floats = npt.NDArray[np.float32]

FLOOR_DB = -100.0
"""Of a log-mel: 10 log10 of 1e-10."""


def not_music(count: int, n_frames: int, n_mels: int, rng: np.random.Generator) -> Floats:
    """Return log-mels of made-up sounds, shape (count, n_frames, n_mels), in dB.

    Each is noise, tones or clicks, by chance; of any level.
    """
    found = np.empty((count, n_frames, n_mels), dtype=np.float32)
    for row, kind in enumerate(rng.choice(3, size=count, p=(0.5, 0.25, 0.25))):
        found[row] = (_noise, _tones, _clicks)[kind](n_frames, n_mels, rng)
    return np.maximum(found, FLOOR_DB)


def _noise(n_frames: int, n_mels: int, rng: np.random.Generator) -> Floats:
    """Return noise of a smooth random spectrum.

    Its power in a band is gamma distributed, and the steadier the wider the band is: high ones hold several bins of
    the Fourier transform.
    """
    spectrum = random_curves(1, n_mels, rng.uniform(0, 30), rng)[0] + rng.uniform(-80, 10)
    shape = rng.choice([1.0, 2.0, 4.0, 1000.0]) * np.linspace(1, rng.uniform(1, 10), n_mels)
    power = rng.gamma(shape, 1 / shape, size=(n_frames, n_mels))
    return np.asarray(spectrum + 10 * np.log10(np.maximum(power, 1e-10)), dtype=np.float32)


def _tones(n_frames: int, n_mels: int, rng: np.random.Generator) -> Floats:
    """Return a few steady lines, with the skirts that a window leaves, above a floor."""
    bands = np.arange(n_mels)
    spectrum = np.full(n_mels, rng.uniform(FLOOR_DB, -70))
    for centre in rng.integers(0, n_mels, size=rng.integers(1, 7)):
        line = rng.uniform(-40, 30) - rng.uniform(3, 15) * np.abs(bands - centre)
        spectrum = np.maximum(spectrum, line)
    return np.asarray(spectrum + rng.normal(0, rng.uniform(0, 1), size=(n_frames, n_mels)), dtype=np.float32)


def _clicks(n_frames: int, n_mels: int, rng: np.random.Generator) -> Floats:
    """Return short broad-band events, regular or not, above a floor."""
    spectrum = random_curves(1, n_mels, 20.0, rng)[0] + rng.uniform(-50, 0)
    floor = rng.uniform(FLOOR_DB, -60)
    period = int(rng.integers(4, 60))
    regular = np.arange(n_frames) % period == rng.integers(0, period)
    hit = regular if rng.random() < 0.5 else rng.random(n_frames) < 1 / period
    return np.where(hit[:, None], spectrum, floor + rng.normal(0, 1, size=(n_frames, n_mels))).astype(np.float32)
