"""Segments and crops out of the store: where they lie, that they stay in their clip, what is done to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mertag.listen.windows import FrontEnd, Segmentation
from mertag_train.data.segments import cut, grid, random_crops
from mertag_train.data.store import LogMelStore
from mertag_train.learn.augment import augment
from mertag_train.learn.config import AugmentConfig

FRONT_END = FrontEnd()
RATE = FRONT_END.sample_rate
NOTHING = AugmentConfig(mixup_alpha=0.0, gain_db=0.0, time_masks=0, frequency_masks=0)


def store_of(*n_samples: int) -> LogMelStore:
    """A store whose every frame says in its first band to which clip it belongs."""
    n_frames = [FRONT_END.n_frames(n) for n in n_samples]
    frames = np.zeros((sum(n_frames), 128), dtype=np.float32)
    frames[:, 0] = np.repeat(np.arange(len(n_samples)), n_frames)
    return LogMelStore(
        frames=frames,
        ids=tuple(str(i) for i in range(len(n_samples))),
        offsets=np.concatenate([[0], np.cumsum(n_frames)]).astype(np.int64),
        n_samples=np.array(n_samples, dtype=np.int64),
        front_end=FRONT_END,
    )


def test_the_grid_of_two_clips_by_hand() -> None:
    store = store_of(5 * RATE, 2 * RATE, 30 * RATE)  # 214, 85 and 1290 frames
    table = grid(store, np.array([2, 1, 0]), Segmentation(duration_s=3.0, hop_s=1.0))
    assert len(table) == 28 + 0 + 3
    assert table.clip.tolist() == [2] * 28 + [0] * 3
    assert table.row[:3].tolist() == [299, 299 + 43, 299 + 86]
    assert table.row[-3:].tolist() == [0, 43, 86]


def test_no_clip_has_no_segments() -> None:
    store = store_of(RATE)
    assert len(grid(store, np.array([0]), Segmentation(duration_s=3.0))) == 0
    assert (
        len(random_crops(store, np.array([0]), Segmentation(duration_s=3.0), per_clip=2, rng=np.random.default_rng(0)))
        == 0
    )


lengths = st.lists(st.integers(1024, 12 * RATE), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(n_samples=lengths, duration_s=st.sampled_from([1.0, 2.5, 3.0]), seed=st.integers(0, 99))
def test_segments_and_crops_lie_in_their_clip(n_samples: list[int], duration_s: float, seed: int) -> None:
    store = store_of(*n_samples)
    segmentation = Segmentation(duration_s=duration_s)
    n_frames = segmentation.segment_frames(FRONT_END)
    clips = np.arange(len(n_samples))
    crops = random_crops(store, clips, segmentation, per_clip=4, rng=np.random.default_rng(seed))
    for table in (grid(store, clips, segmentation), crops):
        found = cut(torch.from_numpy(store.frames), torch.from_numpy(table.row), n_frames)
        assert found.shape == (len(table), n_frames, 128)
        np.testing.assert_array_equal(found[:, :, 0].numpy(), np.repeat(table.clip[:, None], n_frames, axis=1))
    enough = [i for i in clips if FRONT_END.n_frames(n_samples[i]) >= n_frames]
    assert crops.clip.tolist() == [i for i in enough for _ in range(4)]


def test_crops_start_anywhere_up_to_the_last_frame() -> None:
    store = store_of(RATE + 2 * 512)  # 44 frames, segments of 42: starts 0, 1, 2
    rng = np.random.default_rng(0)
    crops = random_crops(store, np.array([0]), Segmentation(duration_s=1.0), per_clip=300, rng=rng)
    assert sorted(set(crops.row.tolist())) == [0, 1, 2]
    assert min(np.bincount(crops.row)) > 60


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_cutting_is_slicing(dtype: torch.dtype) -> None:
    frames = torch.randn(50, 4).to(dtype)
    found = cut(frames, torch.tensor([0, 7, 40]), 10)
    assert found.dtype == torch.float32
    for segment, row in zip(found, (0, 7, 40), strict=True):
        assert torch.equal(segment, frames[row : row + 10].float())


def test_without_augmentation_segments_stay_as_they_are() -> None:
    segments = torch.randn(3, 42, 128)
    assert torch.equal(augment(segments, torch.zeros(128), NOTHING, np.random.default_rng(0)), segments)


@settings(max_examples=40, deadline=None)
@given(
    n_time=st.integers(0, 2),
    n_frequency=st.integers(0, 2),
    share=st.floats(0, 1),
    seed=st.integers(0, 999),
)
def test_masks_hide_whole_stretches_no_wider_than_allowed(
    n_time: int, n_frequency: int, share: float, seed: int
) -> None:
    config = AugmentConfig(
        mixup_alpha=0.0,
        time_masks=n_time,
        max_time_mask=share,
        frequency_masks=n_frequency,
        max_frequency_mask=share,
    )
    fill = torch.arange(16.0)
    found = augment(torch.full((4, 42, 16), 99.0), fill, config, np.random.default_rng(seed))
    hidden = found != 99.0
    assert torch.equal(found[hidden], fill.expand_as(found)[hidden])
    for one in hidden:
        times, bands = one.all(1), one.all(0)
        assert torch.equal(one, times[:, None] | bands[None, :])  # only whole rows and columns
        assert int(times.sum()) <= n_time * int(share * 42) or bool(bands.all())
        assert int(bands.sum()) <= n_frequency * int(share * 16) or bool(times.all())
        assert _runs(times) <= max(n_time, 1)
        assert _runs(bands) <= max(n_frequency, 1)


def _runs(flags: torch.Tensor) -> int:
    padded = torch.cat([torch.zeros(1, dtype=torch.int), flags.int()])
    return int((padded.diff() == 1).sum())


def test_masks_differ_between_segments_and_reach_both_ends() -> None:
    config = AugmentConfig(mixup_alpha=0.0, time_masks=1, max_time_mask=0.5, frequency_masks=0)
    found = augment(torch.ones(400, 42, 1), torch.zeros(1), config, np.random.default_rng(0))[:, :, 0] == 0
    assert len({tuple(row.tolist()) for row in found}) > 100
    assert found[:, 0].any()
    assert found[:, -1].any()
    assert int(found.sum(1).max()) == 21


def test_a_gain_is_one_number_of_decibels_a_segment_within_its_limits() -> None:
    config = AugmentConfig(mixup_alpha=0.0, gain_db=6.0, time_masks=0, frequency_masks=0)
    segments = torch.randn(200, 5, 3)
    difference = augment(segments, torch.zeros(3), config, np.random.default_rng(0)) - segments
    gain = difference[:, 0, 0]
    torch.testing.assert_close(difference, gain[:, None, None].expand_as(difference), atol=1e-5, rtol=0)
    assert float(gain.abs().max()) <= 6.0
    assert float(gain.min()) < -5 < 5 < float(gain.max())


def test_another_pitch_moves_the_bands_and_the_outermost_fills_what_becomes_free() -> None:
    ramp = torch.arange(128.0).expand(64, 10, 128)
    found = augment(ramp, torch.zeros(128), replace(NOTHING, pitch_bands=2), np.random.default_rng(0))
    expected = {move: torch.clamp(torch.arange(128.0) + move, 0, 127) for move in range(-2, 3)}
    moves = [next(m for m, row in expected.items() if torch.equal(row, segment[0])) for segment in found]
    assert set(moves) == set(expected)  # all of them are drawn, among 64
    assert all(torch.equal(segment[0], segment[9]) for segment in found)  # one move a segment


def test_a_random_equaliser_is_smooth_bounded_and_the_same_at_all_times() -> None:
    flat = torch.full((64, 10, 128), -50.0)
    found = augment(flat, torch.zeros(128), replace(NOTHING, equaliser_db=6.0), np.random.default_rng(0))
    gain = found[:, 0] + 50
    assert float(gain.abs().max()) <= 6.0
    assert float(gain.std()) > 1.0
    steepest = 12.0 * 4 / 127  # from one end of the range to the other, between two of five knots
    assert float(gain.diff(dim=1).abs().max()) <= steepest + 1e-4
    torch.testing.assert_close(found, found[:, :1].expand_as(found))
