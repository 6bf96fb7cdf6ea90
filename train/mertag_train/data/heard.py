"""What of a clip sounds, and which songs of a data set can be heard: the others are left out, named and counted.

Silence is no mood: silent segments are left out, by the rule by which they are where songs are tagged. numpy only.

A clip is left out that is silent, shorter than one segment, or whose samples are no music (NaN, infinity, many times
full scale).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mertag.errors import DatasetError
from mertag.listen.silence import SILENT_DBFS, sounding
from mertag.listen.windows import Segmentation
from mertag_train.arrays import Bools, Ints
from mertag_train.data.datasets.base import Dataset, Song
from mertag_train.data.store import LogMelStore

SHOWN = 10


def segment_starts(store: LogMelStore, index: int, segmentation: Segmentation) -> Ints:
    """Return the first frame of each full segment of a clip that sounds, on the fixed grid, shape (n_segments,)."""
    starts = segmentation.start_frames(int(store.n_samples[index]), store.front_end)
    return starts[sounding_at(store, index, starts, segmentation)]


def sounding_at(store: LogMelStore, index: int, starts: Ints, segmentation: Segmentation) -> Bools:
    """Return which segments of a clip sound, beside the loudest one of the fixed grid."""
    power = store.power_of(index)
    if power is None:
        return np.ones(len(starts), dtype=np.bool_)
    on_grid = segmentation.start_frames(int(store.n_samples[index]), store.front_end)
    return sounding(power, starts, segmentation, store.front_end, among=on_grid if len(on_grid) else None)


def _reason(store: LogMelStore, index: int, segmentation: Segmentation) -> str:
    """Return why the clip at this position of the store cannot be heard; "" if it can."""
    n_samples = int(store.n_samples[index])
    if segmentation.n_segments(n_samples, store.front_end) == 0:
        seconds = n_samples / store.front_end.sample_rate
        return f"{seconds:.2f} s, shorter than one segment of {segmentation.duration_s:g} s"
    if len(segment_starts(store, index, segmentation)) == 0:
        return f"silent: nothing in it is louder than {SILENT_DBFS:.0f} dBFS"
    return ""


def unheard(songs: Sequence[Song], store: LogMelStore, segmentation: Segmentation) -> dict[str, str]:
    """Return the songs that cannot be heard, by id, and why; a song that the store does not know is not among them."""
    index_of = {song_id: index for index, song_id in enumerate(store.ids)}
    found = dict(store.left_out)
    for song in songs:
        if song.id in index_of:
            found[song.id] = _reason(store, index_of[song.id], segmentation)
    return {song.id: found[song.id] for song in songs if found.get(song.id)}


def heard(dataset: Dataset, store: LogMelStore, segmentation: Segmentation) -> tuple[Dataset, tuple[str, ...]]:
    """Return the data set without the songs that cannot be heard, and what is to be said of these, line by line.

    Raises DatasetError if no song is left.
    """
    without = unheard(dataset.songs, store, segmentation)
    if not without:
        return dataset, ()
    songs = tuple(song for song in dataset.songs if song.id not in without)
    named = [f"  {song.path or song.id}: {without[song.id]}" for song in dataset.songs if song.id in without]
    if not songs:
        raise DatasetError(f"no song of {dataset.name} can be heard; {named[0].strip()}")
    more = [f"  and {len(named) - SHOWN} more"] if len(named) > SHOWN else []
    count = f"left out: {len(named)} of {len(dataset.songs)} songs, which cannot be learnt from or judged"
    return replace(dataset, songs=songs), (count, *named[:SHOWN], *more)
