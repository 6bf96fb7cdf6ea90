"""Write a short song: a chord with a beat, 20 s, stereo. Usage: python make_song.py FILE.

It needs only what mertag itself brings (numpy, soundfile).
"""

import sys

import numpy as np
import soundfile

RATE_HZ, DURATION_S, BEAT_HZ = 44_100, 20.0, 2.0


def song() -> np.ndarray:
    """Return float64 samples, shape (n_samples, 2), within -0.5..0.5."""
    time_s = np.arange(int(RATE_HZ * DURATION_S)) / RATE_HZ
    chord = sum(np.sin(2 * np.pi * hz * time_s) for hz in (220.0, 277.18, 329.63)) / 3
    beat = np.random.default_rng(0).uniform(-1, 1, len(time_s)) * np.exp(-30 * (time_s * BEAT_HZ % 1) / BEAT_HZ)
    return np.stack([0.3 * chord + 0.2 * beat, 0.3 * chord - 0.2 * beat], axis=1)


if __name__ == "__main__":
    soundfile.write(sys.argv[1], song(), RATE_HZ)
