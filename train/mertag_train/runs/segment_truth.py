"""The real class of each segment, where it is known: to score a partition with, never to learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mertag.emotion import Target
from mertag_train.arrays import Floats, Ints
from mertag_train.data.datasets.base import Dataset, Song, targets_of_signs

if TYPE_CHECKING:
    from mertag_train.data.store import LogMelStore
    from mertag_train.learn.config import TrainConfig

UNKNOWN = -1


def segment_truth(
    songs: Sequence[Song],
    store: LogMelStore,
    target: Target,
    config: TrainConfig,
    dataset: Dataset,
    *,
    right: Mapping[str, int] | None = None,
) -> list[Ints] | None:
    """Return the real class of each segment of the fixed grid, song by song; None where nothing is known.

    Parameters
    ----------
    songs : sequence of Song
        Whose segments.
    store : LogMelStore
        Where their durations stand.
    target : Target
        What is learnt.
    config : TrainConfig
        Front end and segmentation.
    dataset : Dataset
        With the thresholds at which ratings part.
    right : mapping of str to int, or None
        The songs' real classes, where wrong labels were given on purpose: each segment then has its song's class.
        Otherwise it is the class of the mean of the ratings over time (`Song.dynamics`) that lie in the segment.
    """
    rows: list[Ints] = []
    for song in songs:
        n_samples = int(store.n_samples[store.index_of([song.id])[0]])
        starts = config.segmentation.start_frames(n_samples, config.front_end) * config.front_end.hop_length
        if right is not None:
            rows.append(np.full(len(starts), right[song.id], dtype=np.int64))
        else:
            rows.append(dynamic_classes(song, starts / config.front_end.sample_rate, target, config, dataset))
    return rows if any((row != UNKNOWN).any() for row in rows) else None


def dynamic_classes(song: Song, starts_s: Floats, target: Target, config: TrainConfig, dataset: Dataset) -> Ints:
    """Return the class of the mean rating in each segment, shape (n_segments,); -1 without a rating there.

    The thresholds are those of the songs, moved to the scale of the ratings over time.
    """
    found = np.full(len(starts_s), UNKNOWN, dtype=np.int64)
    rated, thresholds, scale = song.dynamics, dataset.thresholds, dataset.scale
    if rated is None or thresholds is None or scale is None:
        return found
    times_s = np.asarray(rated.times_s)
    low, high = rated.scale
    at = [low + (t - scale[0]) / (scale[1] - scale[0]) * (high - low) for t in thresholds]
    for i, start_s in enumerate(starts_s):
        inside = (times_s >= start_s) & (times_s < start_s + config.segmentation.duration_s)
        if inside.any():
            valence, arousal = (float(np.mean(np.asarray(r)[inside])) for r in (rated.valence, rated.arousal))
            classes = targets_of_signs(valence_positive=valence >= at[0], arousal_positive=arousal >= at[1])
            found[i] = classes[target]
    return found
