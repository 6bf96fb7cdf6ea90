"""The hand-made features of a data set: computed once a clip in worker processes, and kept on disk.

On disk, ``features-<data set>-<hash of its folder>.npz``: one row a clip, with the id, size and time of change of its
file, and which definition of the features made it. A clip whose file or whose definition has changed is computed
anew. The file is replaced in one step, every few seconds while clips are computed and whenever that ends: a
computation that is killed goes on where it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from mertag.errors import DatasetError, FileError
from mertag.files import write_whole
from mertag.listen.windows import FrontEnd
from mertag_train.arrays import Floats32
from mertag_train.data.datasets.base import Dataset, Song
from mertag_train.evaluation.features import features

SAVE_EVERY_S = 2.0
SHOWN = 5
MOST_SILENT_S = 600.0
"""For how long a process may say nothing: a machine that is busy with a training takes its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureTable:
    """The features of some clips.

    Attributes
    ----------
    names : tuple of str
        What each column is: `mertag_train.evaluation.features.features.FEATURE_NAMES`.
    values : mapping of str to float32 array, shape (n_features,)
        By clip id.
    """

    names: tuple[str, ...]
    values: Mapping[str, Floats32]

    def rows(self, ids: Sequence[str]) -> Floats32:
        """Return the features of some clips, shape (len(ids), n_features); KeyError for one that is not here."""
        return np.stack([self.values[clip] for clip in ids]) if ids else np.zeros((0, len(self.names)), np.float32)


@dataclass(frozen=True, slots=True)
class _Row:
    """What the file holds of one clip."""

    size: int
    mtime_ns: int
    values: Floats32


def feature_table(
    dataset: Dataset,
    *,
    cache: Path,
    workers: int = 1,
    on_clip: Callable[[int, int], None] = lambda done, total: None,
) -> FeatureTable:
    """Return the features of a data set's songs with audio, computing those that are not on disk.

    Parameters
    ----------
    dataset : Dataset
        Its songs with audio are taken.
    cache : Path
        The folder that holds the file; it must exist.
    workers : int
        How many processes decode and compute.
    on_clip : callable
        Told (done, total) while computing; those that were on disk are done from the start.

    Raises
    ------
    DatasetError
        If a clip cannot be read (all of them are named; the features of the others are kept), or the file on disk
        is damaged.
    """
    songs = dataset.with_audio().songs
    folder = hashlib.sha256(os.fsencode(dataset.root.resolve())).hexdigest()[:8]
    place = cache / f"features-{dataset.name}-{folder}.npz"
    kept = _read(place)
    known: dict[str, _Row] = {}
    wanted: list[tuple[Song, Path, int, int]] = []
    for song in songs:
        assert song.path is not None  # with_audio
        size, mtime_ns = _stamp(song.path)
        row = kept.get(song.id)
        if row is not None and (row.size, row.mtime_ns) == (size, mtime_ns):
            known[song.id] = row
        else:
            wanted.append((song, song.path, size, mtime_ns))
    if wanted:
        saved_s = time.monotonic()
        paths = [path for _, path, _, _ in wanted]
        on_clip(len(known), len(songs))
        try:
            with contextlib.closing(_computed(paths, workers)) as computed:
                for index, values in computed:
                    song, _, size, mtime_ns = wanted[index]
                    known[song.id] = _Row(size, mtime_ns, values)
                    on_clip(len(known), len(songs))
                    if time.monotonic() - saved_s >= SAVE_EVERY_S:
                        _write(place, known)
                        saved_s = time.monotonic()
        finally:  # an interruption and a damaged clip must not cost what is computed
            _write(place, known)
    return FeatureTable(names=features.FEATURE_NAMES, values={song.id: known[song.id].values for song in songs})


def made_by() -> str:
    """Return which definition of the features is in use: ours, and the version of librosa."""
    names = hashlib.sha256(" ".join(features.FEATURE_NAMES).encode()).hexdigest()[:8]
    return f"features {features.VERSION}, names {names}, librosa {metadata.version('librosa')}"


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}. Was it moved just now?") from error
    return stat.st_size, stat.st_mtime_ns


def _computed(paths: Sequence[Path], workers: int) -> Generator[tuple[int, Floats32]]:
    """Yield (index, features) as they come; at the end raise DatasetError if there were clips without."""
    from mertag.listen.decode.pool import DecoderPool

    # numba compiles some of librosa when that is first loaded, and keeps the result on disk; several processes that
    # do so at once can mix it up and crash (numba/numba#10128). So it is loaded here once, before them.
    features.clip_features(np.zeros(features.N_FFT, np.float32))
    broken: list[FileError] = []
    found: dict[int, Floats32] = {}
    with DecoderPool(
        workers=workers,
        front_end=FrontEnd(),
        timeout_s=MOST_SILENT_S,
        decoder="mertag_train.evaluation.features.features:decode_features",
    ) as pool:
        for piece in pool.decode(enumerate(paths)):
            if piece.chunk is not None:
                found[piece.index] = np.array(piece.chunk)
            if piece.error is not None:
                broken.append(piece.error)
            elif piece.last:
                yield piece.index, found.pop(piece.index)
    if broken:
        named = "; ".join(str(error) for error in broken[:SHOWN])
        more = f"; and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
        raise DatasetError(f"{len(broken)} clips have no features: {named}{more}. Repair them, or remove them")


def _read(path: Path) -> dict[str, _Row]:
    """Return the rows on disk; none if there is no file, or another definition of the features made it."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["made_by"]) != made_by():
                return {}
            rows = zip(file["ids"], file["sizes"], file["mtimes_ns"], file["values"], strict=True)
            return {str(i): _Row(int(size), int(mtime), values) for i, size, mtime, values in rows}
    except FileNotFoundError:
        return {}
    except Exception as error:  # numpy and zipfile raise many kinds for a damaged file
        raise DatasetError(f"{path}: not a readable table of features ({error}); delete it, it is made anew") from error


def _write(path: Path, rows: Mapping[str, _Row]) -> None:
    """Put the rows on disk, beside those that are there (of another part of the data set, or another process)."""
    merged = _read(path) | dict(rows)
    if not merged:
        return
    ids = sorted(merged)
    data = io.BytesIO()
    np.savez(
        data,
        made_by=np.array(made_by()),
        ids=np.array(ids),
        sizes=np.array([merged[i].size for i in ids], dtype=np.int64),
        mtimes_ns=np.array([merged[i].mtime_ns for i in ids], dtype=np.int64),
        values=np.stack([merged[i].values for i in ids]),
    )
    try:
        write_whole(path, data.getvalue())
    except OSError as error:
        raise DatasetError(
            f"{path}: the features cannot be kept: {error.strerror or error}. Free some space"
        ) from error
