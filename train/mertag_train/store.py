"""The log-mels of a data set, computed once a clip, on disk as one array and an index.

On disk: ``logmel.npy``, float32 or float16, shape (total_frames, n_mels), clip after clip; ``index.json``, the
front end and each clip's id and number of samples. numpy only, so that a store can be trained from where no
audio library is.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mertag.errors import DatasetError
from mertag.frontend import FrontEnd

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LogMelStore:
    """The log-mels of many clips.

    Attributes
    ----------
    frames : array, shape (total_frames, n_mels)
        dB, clip after clip; a memory map when it was opened from disk.
    ids : tuple of str
        The clips, in the order of `frames`.
    offsets : int64 array, shape (n_clips + 1,)
        Clip i is ``frames[offsets[i]:offsets[i + 1]]``.
    n_samples : int64 array, shape (n_clips,)
        Duration of each clip in samples.
    front_end : FrontEnd
        What the log-mels were made with.
    """

    frames: npt.NDArray[np.floating]
    ids: tuple[str, ...]
    offsets: npt.NDArray[np.int64]
    n_samples: npt.NDArray[np.int64]
    front_end: FrontEnd

    def clip(self, index: int) -> npt.NDArray[np.floating]:
        """Return the log-mel of one clip, shape (n_frames, n_mels)."""
        return self.frames[self.offsets[index] : self.offsets[index + 1]]

    def index_of(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the positions of some clips; raise DatasetError for one that is not here."""
        where = {clip_id: i for i, clip_id in enumerate(self.ids)}
        absent = [clip_id for clip_id in ids if clip_id not in where]
        if absent:
            raise DatasetError(f"{len(absent)} clips are not in the log-mel store, such as {absent[0]}")
        return np.array([where[clip_id] for clip_id in ids], dtype=np.int64)


def write_store(
    folder: Path, clips: Iterable[tuple[str, int, npt.NDArray[np.floating]]], front_end: FrontEnd
) -> LogMelStore:
    """Write clips, one by one, as a store; a folder that is there is replaced only when all is written.

    Parameters
    ----------
    folder : Path
        Where it shall lie.
    clips : iterable of (id, n_samples, log-mel of shape (n_frames, n_mels))
        Read once; one clip is in memory at a time.
    front_end : FrontEnd
        What the log-mels were made with.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    ids: list[str] = []
    n_samples: list[int] = []
    n_frames: list[int] = []
    # Raw first: how many frames there will be is known only at the end, and the header of a .npy holds it.
    with (partial / "frames.raw").open("wb") as raw:
        for clip_id, samples, logmel in clips:
            raw.write(np.ascontiguousarray(logmel, dtype=np.float32).tobytes())
            ids.append(clip_id)
            n_samples.append(samples)
            n_frames.append(len(logmel))
    if not ids:
        raise DatasetError("there is no clip to compute a log-mel of")
    shape = (sum(n_frames), front_end.n_mels)
    frames = np.memmap(partial / "frames.raw", dtype=np.float32, mode="r", shape=shape)
    np.save(partial / "logmel.npy", frames)
    del frames
    (partial / "frames.raw").unlink()
    index = {
        "schema": SCHEMA,
        "front_end": dataclasses.asdict(front_end),
        "ids": ids,
        "n_samples": n_samples,
        "n_frames": n_frames,
    }
    (partial / "index.json").write_text(json.dumps(index), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return open_store(folder)


def open_store(folder: Path) -> LogMelStore:
    """Open a store, its frames memory-mapped.

    Raises
    ------
    DatasetError
        If there is none, or its parts do not belong together.
    """
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        frames = np.load(folder / "logmel.npy", mmap_mode="r", allow_pickle=False)
        if index["schema"] != SCHEMA:
            raise DatasetError(f"{folder}: log-mel store of schema {index['schema']}, expected {SCHEMA}")
        store = LogMelStore(
            frames=frames,
            ids=tuple(index["ids"]),
            offsets=np.concatenate([[0], np.cumsum(index["n_frames"])]).astype(np.int64),
            n_samples=np.array(index["n_samples"], dtype=np.int64),
            front_end=FrontEnd(**index["front_end"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{folder}: not a readable log-mel store ({error}); delete it, it is made anew") from error
    if store.offsets[-1] != len(frames) or len(store.n_samples) != len(store.ids):
        raise DatasetError(f"{folder}: the log-mel store is incomplete; delete it, it is made anew")
    return store
