"""The log-mel patches that VGGish was trained on, for models that take patches in place of a waveform.

16,000 Hz mono in -1..1; frames of 400 samples every 160 (25 and 10 ms), periodic Hann, 512-point FFT, magnitude; 64
mel bands from 125 to 7,500 Hz whose triangles are straight on the mel scale of HTK; ``ln(mel + 0.01)``; a patch is 96
frames. Source: Hershey et al., "CNN architectures for large-scale audio classification", 2017, and the published
model's front end.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

SAMPLE_RATE = 16_000
FRAME, HOP, N_FFT = 400, 160, 512
N_FRAMES, N_MELS = 96, 64
FMIN_HZ, FMAX_HZ = 125.0, 7_500.0
OFFSET = 0.01
PATCH_SAMPLES = (N_FRAMES - 1) * HOP + FRAME
PATCH_HOP = N_FRAMES * HOP


def patches(windows: Floats) -> Floats:
    """Return the patches, shape (n, 96, 64), of windows of `PATCH_SAMPLES` samples, shape (n, PATCH_SAMPLES)."""
    frames = np.lib.stride_tricks.sliding_window_view(windows, FRAME, axis=1)[:, ::HOP]  # (n, 96, 400)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    magnitude = np.abs(np.fft.rfft(frames * hann, N_FFT))  # (n, 96, 257)
    found: Floats = np.log(magnitude @ mel_weights() + OFFSET).astype(np.float32)
    return found


@cache
def mel_weights() -> npt.NDArray[np.float64]:
    """Return the weight of each FFT bin in each band, shape (257, 64); bin 0 weighs nothing."""
    edges = np.linspace(_mel(np.array(FMIN_HZ)), _mel(np.array(FMAX_HZ)), N_MELS + 2)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    bins = _mel(np.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1))[:, None]
    weights: npt.NDArray[np.float64] = np.maximum(
        0.0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
    )
    weights[0] = 0.0
    return weights


def _mel(hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    mel: npt.NDArray[np.float64] = 1_127.0 * np.log1p(hz / 700.0)
    return mel
