"""Segment probabilities of whole clips, from a trained network."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mertag.listen.windows import Segmentation
from mertag_train.arrays import Floats32, Ints
from mertag_train.data import segments
from mertag_train.data.store import LogMelStore
from mertag_train.learn.optimise import autocast


@torch.no_grad()
def predict(
    network: nn.Module,
    store: LogMelStore,
    frames: Tensor,
    clips: Ints,
    segmentation: Segmentation,
    *,
    at_most: int | None = None,
    batch_size: int = 256,
) -> list[Floats32]:
    """Return the segment probabilities of each clip, in evaluation mode, in which the network is left.

    The store's frames (total_frames, n_mels) are on the network's device; the clips (n_clips,) are positions in the
    store. With `at_most`, only so many segments of the fixed grid a clip are taken, spread evenly. Returns an array
    (n_segments, n_classes) a clip; a clip shorter than one segment has no segment.
    """
    network.eval()
    if len(clips) == 0:
        return []
    n_frames = segmentation.segment_frames(store.front_end)
    rows: list[Ints] = []
    for index in clips:
        of_clip = segments.grid(store, np.array([index]), segmentation).row
        if at_most is not None and len(of_clip) > at_most:
            of_clip = of_clip[np.linspace(0, len(of_clip) - 1, at_most).round().astype(np.int64)]
        rows.append(of_clip)
    logits = segment_logits(network, frames, np.concatenate(rows), n_frames, batch_size=batch_size)
    probabilities = torch.softmax(logits, dim=1).cpu().numpy()
    return np.split(probabilities, np.cumsum([len(r) for r in rows])[:-1])


@torch.no_grad()
def segment_logits(network: nn.Module, frames: Tensor, rows: Ints, n_frames: int, *, batch_size: int = 256) -> Tensor:
    """Return the logits (n_segments, n_classes), float32, of segments in evaluation mode, in which the network is left.

    They begin at `rows` (n_segments,) of `frames` (total_frames, n_mels), on the network's device, and are `n_frames`
    long. Without a segment, the shape is (0, 1).
    """
    network.eval()
    device = frames.device
    found: list[Tensor] = []
    for start in range(0, len(rows), batch_size):
        batch = segments.cut(frames, torch.from_numpy(rows[start : start + batch_size]).to(device), n_frames)
        with autocast(device):
            logits = network(batch)
        found.append(logits.float())
    return torch.cat(found) if found else torch.zeros(0, 1, device=device)
