"""Frames, segments and windows, in integers, and the seven statistics of eq. 11 to 15: by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mertag.listen.windows import FEATURES_PER_CLASS, FrontEnd, Segmentation, WindowRule, song_features, windows

FRONT_END = FrontEnd()
RATE = FRONT_END.sample_rate


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


def windows_of(
    n_samples: int, rule: WindowRule | None = None, *, duration_s: float = 3.0, hop_s: float = 1.0
) -> list[slice]:
    segmentation = Segmentation(duration_s=duration_s, hop_s=hop_s)
    return windows(
        segmentation.start_samples(n_samples, FRONT_END),
        segment_samples=segmentation.segment_samples(FRONT_END),
        n_samples=n_samples,
        sample_rate=RATE,
        rule=rule or WindowRule(),
    )


def test_the_seven_statistics_by_hand() -> None:
    p = np.array([[0.1, 0.9], [0.2, 0.8], [0.6, 0.4], [0.5, 0.5]])
    # sorted, the first class is 0.1 0.2 0.5 0.6: quartiles lie at 0.75, 1.5 and 2.25 of its positions 0..3
    first = [0.6, 0.1, 0.175, 0.35, 0.525, 0.35, 1 / 4]
    second = [0.9, 0.4, 0.475, 0.65, 0.825, 0.65, 2 / 4]
    expected = np.stack([first, second], axis=1).ravel()  # statistic by statistic, each for all classes
    np.testing.assert_allclose(song_features(p), expected, atol=1e-12)


def test_a_probability_of_exactly_theta_is_not_above_it() -> None:
    assert song_features([[0.5], [0.5]])[-1] == 0
    assert song_features([[0.5], [0.5]], theta=0.4)[-1] == 1


def test_one_segment_is_its_own_maximum_minimum_quartiles_and_mean() -> None:
    np.testing.assert_allclose(song_features([[0.7, 0.3]]), [0.7, 0.3] * 6 + [1, 0])


@pytest.mark.parametrize("bad", [np.zeros((0, 2)), np.zeros(3), np.zeros((2, 2, 2))])
def test_statistics_of_nothing_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="n_segments, n_classes"):
        song_features(bad)


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 40), st.integers(1, 4)), elements=st.floats(0, 1)))
def test_statistics_are_in_order_and_do_not_mind_the_order_of_segments(p: np.ndarray) -> None:
    found = song_features(p)
    assert found.shape == (FEATURES_PER_CLASS * p.shape[1],)
    top, bottom, q1, q2, q3, mean, share = found.reshape(FEATURES_PER_CLASS, -1)
    assert ((bottom <= q1) & (q1 <= q2) & (q2 <= q3) & (q3 <= top)).all()
    assert ((bottom <= mean + 1e-12) & (mean <= top + 1e-12) & (share >= 0) & (share <= 1)).all()
    np.testing.assert_allclose(song_features(p[::-1]), found, atol=1e-12)


@given(p=hnp.arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 4)), elements=st.floats(0, 1, width=32)))
def test_quartiles_are_those_of_numpy_to_the_last_bit(p: np.ndarray) -> None:
    exact = p.astype(np.float64)
    quartiles = song_features(p).reshape(FEATURES_PER_CLASS, -1)[2:5]
    np.testing.assert_array_equal(quartiles, np.quantile(exact, (0.25, 0.5, 0.75), axis=0))


def test_up_to_45_seconds_a_song_is_one_window() -> None:
    assert windows_of(45 * RATE) == [slice(0, 43)]
    assert windows_of(3 * RATE) == [slice(0, 1)]


def test_a_longer_song_has_windows_every_15_seconds_and_one_at_the_end() -> None:
    # 70 s: segments start at 0..67 s; windows at 0, 15, 30 s, and 40 s for the end
    assert windows_of(70 * RATE) == [slice(0, 28), slice(15, 43), slice(30, 58), slice(40, 68)]
    # 60 s: the window at 30 s ends with the song, and needs no other
    assert windows_of(60 * RATE) == [slice(0, 28), slice(15, 43), slice(30, 58)]


def test_a_song_without_a_segment_has_no_window() -> None:
    with pytest.raises(ValueError, match="without a segment"):
        windows_of(RATE)


@settings(deadline=None, max_examples=50)
@given(
    n_samples=st.integers(5 * RATE, 400 * RATE),
    duration_s=st.sampled_from([1.0, 3.0, 5.0]),
    hop_s=st.sampled_from([0.5, 1.0, 2.5, 15.0, 60.0]),
)
def test_every_window_holds_a_segment_and_lies_in_the_song(n_samples: int, duration_s: float, hop_s: float) -> None:
    found = windows_of(n_samples, duration_s=duration_s, hop_s=hop_s)
    n = Segmentation(duration_s=duration_s, hop_s=hop_s).n_segments(n_samples, FRONT_END)
    assert found
    assert all(0 <= w.start < w.stop <= n for w in found)
    assert found[-1].stop == n
    assert [w.start for w in found] == sorted(w.start for w in found)
    if hop_s <= 1:  # with a hop below the window's length no segment is left out
        assert set().union(*(range(w.start, w.stop) for w in found)) == set(range(n))
    if n_samples > 45 * RATE and hop_s == 1.0:  # windows hold as many segments, so that maxima do not drift
        assert len({w.stop - w.start for w in found}) <= 2
