"""The log-mels that VibeNet hears, and how its published file is known: it says nothing of itself.

VibeNet (PyPI ``vibenet``, GPL 3, J. Shim) predicts valence, energy and five other attributes of music. Neither its
code nor its file is part of mertag; the file of version 0.1.0 is ``vibenet/artifacts/efficientnet_model.onnx`` there.

Conventions, those of the package: 16,000 Hz mono; frames of 640 samples every 320, periodic Hann, 1024-point FFT,
power; 128 Slaney mels from 0 to 8,000 Hz; dB, at most 80 below the loudest of what is heard at once.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from mertag_train.arrays import Floats, Floats32

NAME = "vibenet"
SHA256 = "efa88450153863a1461989a00846526ac9230665b19fbf82f33e46fdeef7d275"
"""Of the file in version 0.1.0."""
SAMPLE_RATE = 16_000
FRAME_SAMPLES, FRAME_HOP, N_FFT, N_MELS = 640, 320, 1_024, 128
DYNAMIC_RANGE_DB, AMIN = 80.0, 1e-10
WINDOW_S = 10.0
"""How much is heard at once, where the file does not say. The package hears a file whole; its network averages over
time, so that the mean over windows comes near it."""


def log_mels(windows: Floats32) -> Floats32:
    """Return the log-mels, shape (n, 128, n_frames), of windows, shape (n, n_samples)."""
    frames = np.lib.stride_tricks.sliding_window_view(windows, FRAME_SAMPLES, axis=1)[:, ::FRAME_HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME_SAMPLES) / FRAME_SAMPLES)
    power = np.abs(np.fft.rfft(frames * hann, N_FFT)) ** 2
    decibels = 10 * np.log10(np.maximum(AMIN, power @ _weights().T))  # (n, n_frames, 128)
    loudest = decibels.max(axis=(1, 2), keepdims=True)
    found: Floats32 = np.maximum(decibels, loudest - DYNAMIC_RANGE_DB).transpose(0, 2, 1).astype(np.float32)
    return found


@cache
def _weights() -> Floats:
    """Return librosa's Slaney mels, shape (128, 513)."""
    from librosa.filters import mel

    weights: Floats = mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS, fmin=0.0, fmax=8_000.0)
    return weights.astype(np.float64)
