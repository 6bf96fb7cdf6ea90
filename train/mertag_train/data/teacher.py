"""What a teacher, a music tagger, says of each window of each clip: further targets for a segment network.

A tagger that heard hundreds of thousands of songs knows more of music than a few hundred labels tell. Times are in
seconds from a clip's start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mertag_train.arrays import Floats, Floats32, Ints
from mertag_train.data.datasets.base import Song
from mertag_train.data.embedding_model import EmbeddingModel
from mertag_train.data.embeddings import embeddings, embeddings_of_stretches
from mertag_train.data.store import LogMelStore
from mertag_train.data.unlabelled import Unlabelled

FARTHEST = 6.0
"""Standardised targets are clipped to so many standard deviations: a unit that seldom fires would rule the loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherTargets:
    """Outputs of a teacher, for the clips of a store.

    Attributes
    ----------
    values : float32 array, shape (n_windows, dim)
        Of all windows, clip after clip.
    offsets : int64 array, shape (n_clips + 1,)
        The windows of the clip at position i of the store are ``offsets[i]`` to ``offsets[i + 1]``.
    window_s, hop_s : float
        Of the windows.
    """

    values: Floats32
    offsets: Ints
    window_s: float
    hop_s: float

    @classmethod
    def of(
        cls, embeddings: Mapping[str, Floats32], ids: Sequence[str], *, window_s: float, hop_s: float
    ) -> TeacherTargets:
        """Join the embeddings (n_windows, dim) of the clips of a store, by id; a clip without any has no window."""
        none = np.zeros((0, next(iter(embeddings.values())).shape[1]), dtype=np.float32)
        each = [embeddings.get(clip, none) for clip in ids]
        offsets = np.concatenate([[0], np.cumsum([len(e) for e in each])]).astype(np.int64)
        return cls(values=np.concatenate(each).astype(np.float32), offsets=offsets, window_s=window_s, hop_s=hop_s)

    @property
    def dim(self) -> int:
        """How many outputs."""
        return int(self.values.shape[1])

    def standardised(self, clips: Ints) -> TeacherTargets:
        """Return it with mean 0 and standard deviation 1 of each output over the windows of some clips."""
        mine = np.concatenate([self.of_clip(int(clip)) for clip in clips]).astype(np.float64)
        scale = mine.std(0)
        # A unit that never fires is 0 after this, and not noise blown up.
        scale = np.where(scale > 1e-6, scale, np.inf)
        values = np.clip((self.values - mine.mean(0)) / scale, -FARTHEST, FARTHEST)
        return replace(self, values=values.astype(np.float32))

    def of_clip(self, clip: int) -> Floats32:
        """Return the outputs of the clip at a position of the store, shape (n_windows, dim)."""
        return self.values[self.offsets[clip] : self.offsets[clip + 1]]

    def rows(self, clip: Ints, middle_s: Floats) -> Ints:
        """Return the row of `values` of the window nearest to each segment (n_segments,), by clip and middle."""
        last = self.offsets[clip + 1] - self.offsets[clip] - 1
        nearest = np.rint((middle_s - self.window_s / 2) / self.hop_s).astype(np.int64)
        found: Ints = self.offsets[clip] + np.clip(nearest, 0, last)
        return found


def hear(
    songs: Sequence[Song],
    store: LogMelStore,
    model: EmbeddingModel,
    *,
    cache: Path,
    unlabelled: Unlabelled | None = None,
    workers: int = 1,
    on_clip: Callable[[int, int], None] = lambda done, total: None,
) -> TeacherTargets:
    """Return what a teacher says of the clips of a store, computed once a clip and kept below `cache`.

    The store holds songs, and may hold the `unlabelled` ones; a clip of it that is neither has no window. `on_clip` is
    told (done, total). Raises DatasetError if a song has no audio or cannot be read, and ConfigError if the model does
    not do what it says.
    """
    here = set(store.ids)
    wanted = [song for song in songs if song.id in here]
    found = embeddings(wanted, model, cache=cache, workers=workers, on_clip=on_clip)
    if unlabelled is not None:
        found |= embeddings_of_stretches(unlabelled, model, cache=cache, workers=workers, on_clip=on_clip)
    rate = model.sample_rate
    return TeacherTargets.of(found, store.ids, window_s=model.window_samples / rate, hop_s=model.hop_samples / rate)
