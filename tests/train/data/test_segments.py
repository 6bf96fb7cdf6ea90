"""Segments and crops out of the store: where they lie, that they stay in their clip, what is done to them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mertag.listen.windows import FrontEnd, Segmentation
from mertag_train.data.segments import cut, grid, random_crops
from mertag_train.data.store import LogMelStore

FRONT_END = FrontEnd()
RATE = FRONT_END.sample_rate


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
