"""Cutting segments out of a log-mel store: the fixed grid, random crops, and what is done to them.

A segment is (n_frames, n_mels) in dB. Rows are indices into the store's frames; all cutting happens on the device
that holds them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mertag.listen.frontend import Segmentation
from mertag_train.data.store import LogMelStore
from mertag_train.learn.config import AugmentConfig

Ints = npt.NDArray[np.int64]

EQUALISER_KNOTS = 5
"""Bands, spread evenly over all, at which a random equaliser draws its gains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentTable:
    """Segments, each with its clip and its place.

    Attributes
    ----------
    clip : int64 array, shape (n_segments,)
        Position of the clip in the store.
    row : int64 array, shape (n_segments,)
        First row of the segment in the store's frames.
    """

    clip: Ints
    row: Ints

    def __len__(self) -> int:
        return len(self.clip)

    def select(self, which: Ints) -> SegmentTable:
        """Return some of the segments, by their positions in the table."""
        return SegmentTable(clip=self.clip[which], row=self.row[which])


def grid(store: LogMelStore, clips: Ints, segmentation: Segmentation) -> SegmentTable:
    """Return every full segment of the clips, on the fixed grid, clip after clip.

    A clip shorter than one segment has none.
    """
    clip: list[Ints] = []
    row: list[Ints] = []
    for index in clips:
        starts = segmentation.start_frames(int(store.n_samples[index]), store.front_end)
        clip.append(np.full(len(starts), index, dtype=np.int64))
        row.append(store.offsets[index] + starts)
    empty = np.zeros(0, dtype=np.int64)
    return SegmentTable(clip=np.concatenate([empty, *clip]), row=np.concatenate([empty, *row]))


def random_crops(
    store: LogMelStore, clips: Ints, segmentation: Segmentation, *, per_clip: int, rng: np.random.Generator
) -> SegmentTable:
    """Return `per_clip` segments of each clip, starting at any frame."""
    n_frames = segmentation.segment_frames(store.front_end)
    free = store.offsets[clips + 1] - store.offsets[clips] - n_frames + 1
    long_enough = clips[free > 0]
    clip = np.repeat(long_enough, per_clip)
    start = rng.integers(0, np.repeat(free[free > 0], per_clip))
    return SegmentTable(clip=clip, row=store.offsets[clip] + start)


def some_of_each_clip(table: SegmentTable, per_clip: int, rng: np.random.Generator) -> Ints:
    """Return the positions, ascending, of `per_clip` segments of each clip, drawn by chance; all where it has fewer."""
    chance = rng.random(len(table))
    # By clip, and by chance within it; the first of each clip are taken.
    order = np.lexsort((chance, table.clip))
    clip = table.clip[order]
    first = np.searchsorted(clip, clip)
    return np.sort(order[np.arange(len(order)) - first < per_clip])


def cut(frames: Tensor, rows: Tensor, n_frames: int) -> Tensor:
    """Return the segments (batch, n_frames, n_mels) that start at `rows` (batch,) of frames (total, n_mels)."""
    return frames[rows[:, None] + torch.arange(n_frames, device=rows.device)].float()


def augment(segments: Tensor, fill: Tensor, config: AugmentConfig, rng: np.random.Generator) -> Tensor:
    """Return segments with what a recipe asks for: another pitch, equaliser and gain, and hidden stretches.

    Hidden stretches of time and frequency are set to the band means.

    Parameters
    ----------
    segments : Tensor, shape (batch, n_frames, n_mels)
        dB.
    fill : Tensor, shape (n_mels,)
        The band means, in dB.
    config : AugmentConfig
        How much.
    rng : numpy Generator
        What chance there is in it.
    """
    batch, n_frames, n_mels = segments.shape
    device = segments.device
    if config.pitch_bands:
        segments = _moved(segments, config.pitch_bands, rng)
    if config.equaliser_db:
        curve = random_curves(batch, n_mels, config.equaliser_db, rng)
        segments = segments + torch.from_numpy(curve).to(device)[:, None, :]
    if config.gain_db:
        gain = rng.uniform(-config.gain_db, config.gain_db, size=(batch, 1, 1)).astype(np.float32)
        segments = segments + torch.from_numpy(gain).to(device)
    hidden = torch.zeros(batch, n_frames, n_mels, dtype=torch.bool, device=device)
    for _ in range(config.time_masks):
        hidden |= _stretches(batch, n_frames, config.max_time_mask, rng).to(device)[:, :, None]
    for _ in range(config.frequency_masks):
        hidden |= _stretches(batch, n_mels, config.max_frequency_mask, rng).to(device)[:, None, :]
    return torch.where(hidden, fill, segments)


def _moved(segments: Tensor, most: int, rng: np.random.Generator) -> Tensor:
    """Return segments moved by up to `most` bands either way; the outermost band fills what becomes free."""
    batch, n_frames, n_mels = segments.shape
    moved = rng.integers(-most, most + 1, size=(batch, 1))
    source = torch.from_numpy(np.clip(np.arange(n_mels) + moved, 0, n_mels - 1)).to(segments.device)
    return segments.gather(2, source[:, None, :].expand(batch, n_frames, n_mels))


def random_curves(batch: int, n_mels: int, most_db: float, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return one gain a band, shape (batch, n_mels), in dB: straight lines between `EQUALISER_KNOTS` random gains."""
    gains = rng.uniform(-most_db, most_db, size=(batch, EQUALISER_KNOTS))
    place = np.linspace(0, EQUALISER_KNOTS - 1, n_mels)
    below = np.minimum(place.astype(np.int64), EQUALISER_KNOTS - 2)
    share = place - below
    return ((1 - share) * gains[:, below] + share * gains[:, below + 1]).astype(np.float32)


def _stretches(batch: int, length: int, widest: float, rng: np.random.Generator) -> Tensor:
    """Return one random stretch a row, True inside: shape (batch, length)."""
    width = rng.integers(0, int(widest * length) + 1, size=(batch, 1))
    start = rng.integers(0, length - width + 1)
    place = np.arange(length)[None, :]
    return torch.from_numpy((place >= start) & (place < start + width))
