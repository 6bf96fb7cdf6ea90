"""Which frames a segment takes: in integers, by hand, and never past the clip."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mertag.listen.frontend import FrontEnd, Segmentation

FRONT_END = FrontEnd()


@pytest.mark.parametrize(
    ("n_samples", "frames"), [(0, 0), (1023, 0), (1024, 1), (1535, 1), (1536, 2), (22_050, 42), (66_150, 128)]
)
def test_a_signal_has_only_full_frames(n_samples: int, frames: int) -> None:
    assert FRONT_END.n_frames(n_samples) == frames


@pytest.mark.parametrize(("duration_s", "frames"), [(1, 42), (2, 85), (3, 128), (4, 171), (5, 214)])
def test_segments_of_the_paper_have_these_frames(duration_s: int, frames: int) -> None:
    assert Segmentation(duration_s=duration_s).segment_frames(FRONT_END) == frames


@pytest.mark.parametrize(("duration_s", "segments"), [(1, 30), (2, 29), (3, 28), (4, 27), (5, 26)])
def test_a_clip_of_thirty_seconds_has_only_full_segments(duration_s: int, segments: int) -> None:
    assert Segmentation(duration_s=duration_s).n_segments(30 * 22_050, FRONT_END) == segments


def test_starts_by_hand() -> None:
    segmentation = Segmentation(duration_s=3.0, hop_s=1.0)
    assert segmentation.start_samples(6 * 22_050 - 1, FRONT_END).tolist() == [0, 22_050, 44_100]
    # 22050 / 512 = 43.07, 44100 / 512 = 86.13: rounded down
    assert segmentation.start_frames(6 * 22_050 - 1, FRONT_END).tolist() == [0, 43, 86]
    assert segmentation.start_frames(6 * 22_050, FRONT_END).tolist() == [0, 43, 86, 129]


def test_a_clip_shorter_than_a_segment_has_none() -> None:
    segmentation = Segmentation(duration_s=3.0)
    assert segmentation.n_segments(66_149, FRONT_END) == 0
    assert segmentation.n_segments(66_150, FRONT_END) == 1
    assert segmentation.n_segments(0, FRONT_END) == 0
    assert segmentation.start_frames(66_149, FRONT_END).shape == (0,)


@settings(deadline=None, max_examples=50)
@given(
    n_samples=st.integers(0, 22_050 * 400),
    duration_s=st.floats(0.1, 10, allow_nan=False),
    hop_s=st.floats(0.05, 10, allow_nan=False),
)
def test_no_segment_reaches_past_the_clip_and_none_is_left_out(n_samples: int, duration_s: float, hop_s: float) -> None:
    segmentation = Segmentation(duration_s=duration_s, hop_s=hop_s)
    starts = segmentation.start_samples(n_samples, FRONT_END)
    length, hop = segmentation.segment_samples(FRONT_END), segmentation.hop_samples(FRONT_END)
    assert len(starts) == segmentation.n_segments(n_samples, FRONT_END)
    assert len(starts) * hop + length > n_samples  # one more would not fit
    if len(starts):
        frames = segmentation.start_frames(n_samples, FRONT_END)
        assert starts[-1] + length <= n_samples
        assert frames[-1] + segmentation.segment_frames(FRONT_END) <= FRONT_END.n_frames(n_samples)
        assert (np.diff(starts) == hop).all()
