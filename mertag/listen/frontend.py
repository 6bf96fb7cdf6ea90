"""The signal constants, and which frames each segment takes, in integers.

The mel spectrogram itself is computed in one place only, `mertag_train.data.frontend`, from the constants here; the
exported graph contains it, so that the runtime never computes one.

Conventions: a sample index counts samples at `FrontEnd.sample_rate`; a frame index counts hops of
`FrontEnd.hop_length` samples; a frame starts where it says (``center=False``), so a signal of n samples has
``1 + (n - n_fft) // hop_length`` frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontEnd:
    """The constants of the log-mel front end.

    Attributes
    ----------
    sample_rate : int
        Hz, mono: the mean of the channels, resampled by soxr HQ (what ``librosa.load`` gives).
    n_fft, hop_length : int
        Length of the periodic Hann window and its step, in samples (paper, "Experiment Setup").
    n_mels, fmin_hz, fmax_hz : int, float, float
        Slaney mel filters, area-normalised, as ``librosa.filters.mel`` makes them.
    amin : float
        Power below which the logarithm is cut: ``10 * log10(max(S, amin))``. No ``top_db`` and no maximum of
        the segment: either would remove loudness, the main cue for arousal.
    """

    sample_rate: int = 22_050
    n_fft: int = 1_024
    hop_length: int = 512
    n_mels: int = 128
    fmin_hz: float = 0.0
    fmax_hz: float = 11_025.0
    amin: float = 1e-10

    def n_frames(self, n_samples: int) -> int:
        """Return how many full frames a signal of `n_samples` has."""
        return max(0, 1 + (n_samples - self.n_fft) // self.hop_length)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """How a clip is cut into segments: only full ones, no padding (paper, "Audio Pre-process").

    Attributes
    ----------
    duration_s : float
        Segment duration in seconds.
    hop_s : float
        Step from one segment's start to the next, in seconds. The paper's overlap is ``duration_s - 1``, hence
        a hop of 1 s.
    """

    duration_s: float = 3.0
    hop_s: float = 1.0

    def segment_samples(self, front_end: FrontEnd) -> int:
        """Return the segment's duration in samples."""
        return round(self.duration_s * front_end.sample_rate)

    def hop_samples(self, front_end: FrontEnd) -> int:
        """Return the segment hop in samples."""
        return round(self.hop_s * front_end.sample_rate)

    def segment_frames(self, front_end: FrontEnd) -> int:
        """Return the frames of one segment: 128 for 3 s, 42 for 1 s."""
        return front_end.n_frames(self.segment_samples(front_end))

    def n_segments(self, n_samples: int, front_end: FrontEnd) -> int:
        """Return how many full segments a clip of `n_samples` has."""
        return max(0, (n_samples - self.segment_samples(front_end)) // self.hop_samples(front_end) + 1)

    def start_samples(self, n_samples: int, front_end: FrontEnd) -> npt.NDArray[np.int64]:
        """Return the first sample of each segment, shape (n_segments,)."""
        return np.arange(self.n_segments(n_samples, front_end), dtype=np.int64) * self.hop_samples(front_end)

    def start_frames(self, n_samples: int, front_end: FrontEnd) -> npt.NDArray[np.int64]:
        """Return the first frame of each segment, shape (n_segments,).

        ``start_samples // hop_length``: rounded down, so that the last segment never reaches past the clip.
        """
        starts: npt.NDArray[np.int64] = self.start_samples(n_samples, front_end) // front_end.hop_length
        return starts
