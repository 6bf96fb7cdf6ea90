"""From channels to what is heard: their mean, or the stronger one where the mean would cancel it.

Also told here is sound that only looks like samples: DTS and AC-3 in the samples of a WAV or FLAC, as on DTS CDs, which
would be heard as noise.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mertag.listen.windows import Float32Array

CANCELLED_DB = 20.0
"""A mean of two channels that lies so far below the stronger one is what is left of one turned upside down."""

# The first three words of a frame, in both byte orders: ETSI TS 102 114, with 16 and with 14 bits a word; IEC 61937-1.
# The third is compared under a mask.
_FRAMES = (
    ("DTS", 0x7FFE, 0x8001, 0xFC00, 0xFC00),
    ("DTS", 0xFE7F, 0x0180, 0x00FC, 0x00FC),
    ("DTS", 0x1FFF, 0xE800, 0xFFF0, 0x07F0),
    ("DTS", 0xFF1F, 0x00E8, 0xF0FF, 0xF007),
    ("AC-3 or DTS", 0xF872, 0x4E1F, 0, 0),
    ("AC-3 or DTS", 0x72F8, 0x1F4E, 0, 0),
)
_LEAST_FRAMES, _LEAST_REGULAR = 4, 0.9


def channel_mean(channels: npt.NDArray[np.floating]) -> Float32Array:
    """Return what is heard of channels (n_channels, n), float32, shape (n,): their mean, if it does not cancel them.

    A sample that is no number in one of the channels is none in the result.
    """
    if len(channels) == 1:
        return np.ascontiguousarray(channels[0], dtype=np.float32)
    if len(channels) == 2:  # what numpy's mean gives, in a third of its time
        mono = channels[0] + channels[1]
        mono *= 0.5
    else:
        mono = channels.mean(axis=0)
    power = float(np.dot(mono, mono))
    if not np.isfinite(power):
        channels = np.nan_to_num(channels, nan=0.0, posinf=0.0, neginf=0.0)
        known = np.where(np.isfinite(mono), mono, 0)
        power = float(np.dot(known, known))
    powers = [float(np.dot(channel, channel)) for channel in channels]
    # For two channels as it says; one of n channels alone, which their mean makes n times as small, is not cancelled.
    limit = 10 ** (-CANCELLED_DB / 10) * max(powers) * (2 / len(channels)) ** 2
    if power <= limit and 0 < limit < np.inf:
        # The first of those as strong as any, within 1 dB: rounding must not turn the sound around from block to block.
        strongest = channels[int(np.argmax(np.array(powers) > 0.8 * max(powers)))]
        mono = np.where(np.isfinite(mono), strongest, mono)
    return np.ascontiguousarray(mono, dtype=np.float32)


def not_samples(samples: npt.NDArray[np.int16]) -> str:
    """Return what 16-bit samples, as they stand in the file, really are: "DTS", "AC-3 or DTS", or "" for sound."""
    words = np.ascontiguousarray(samples).reshape(-1).view(np.uint16)
    for name, first, second, mask, third in _FRAMES:
        at = np.flatnonzero((words[:-2] == first) & (words[1:-1] == second) & (words[2:] & mask == third))
        # Frames follow each other at one distance. Music out of phase may hold the first two words, by chance.
        if len(at) >= _LEAST_FRAMES and np.mean(np.diff(at) == np.median(np.diff(at))) >= _LEAST_REGULAR:
            return name
    return ""
