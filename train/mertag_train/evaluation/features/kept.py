"""Features of clips: computed once a clip, the decoding in worker processes, and kept on disk.

``features-<data set>-<hash of its folder>.npz``: one row a clip, with the id, size and time of change of its file, and
which definition of the features made it. A clip whose file or whose definition has changed is computed anew. The file
is replaced in one step, every few seconds while clips are computed and whenever that ends.

So a computation that is killed goes on where it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import time
from collections.abc import Callable, Generator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mertag.errors import DatasetError, FileError
from mertag.files import write_whole
from mertag.listen.windows import FrontEnd
from mertag_train.arrays import Floats32
from mertag_train.data.datasets.base import Dataset, first_few
from mertag_train.data.embeddings import decoded, reading
from mertag_train.evaluation.features import features

if TYPE_CHECKING:
    pass

SAVE_EVERY_S = 2.0
CLIPS_A_WORKER = 20
"""For fewer clips, another process is not worth it: it takes two seconds or three to load librosa."""
MOST_SILENT_S = 600.0
"""For how long a process may say nothing: a machine that is busy with a training takes its time."""


Rows = dict[str, tuple[tuple[int, int], Floats32]]
"""By clip id: size and time of change (ns) of its file, and its features."""


def feature_table(
    dataset: Dataset,
    *,
    cache: Path,
    workers: int = 1,
    on_clip: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Floats32]:
    """Return the features of a data set's songs with audio, by id, each of shape (len(FEATURE_NAMES),).

    Parameters
    ----------
    dataset : Dataset
    cache : Path
        The folder that holds the file; it must exist.
    workers : int
        How many processes decode and compute, at most.
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
    kept = _read_features(place)
    paths = {song.id: song.path for song in songs if song.path is not None}
    stamps = {song_id: _stamp(path) for song_id, path in paths.items()}
    known: Rows = {i: kept[i] for i, stamp in stamps.items() if i in kept and kept[i][0] == stamp}
    wanted = [song_id for song_id in paths if song_id not in known]
    if wanted:
        saved_s = time.monotonic()
        on_clip(len(known), len(songs))
        try:
            with contextlib.closing(_computed([paths[song_id] for song_id in wanted], workers)) as computed:
                for index, values in computed:
                    known[wanted[index]] = stamps[wanted[index]], values
                    on_clip(len(known), len(songs))
                    if time.monotonic() - saved_s >= SAVE_EVERY_S:
                        _write_features(place, known)
                        saved_s = time.monotonic()
        finally:  # an interruption and a damaged clip must not cost what is computed
            _write_features(place, known)
    return {song.id: known[song.id][1] for song in songs}


def made_by() -> str:
    """Return which definition of the features is in use: ours, and the version of librosa."""
    names = hashlib.sha256(" ".join(features.FEATURE_NAMES).encode()).hexdigest()[:8]
    return f"features {features.VERSION}, names {names}, librosa {metadata.version('librosa')}"


def _computed(paths: Sequence[Path], workers: int) -> Generator[tuple[int, Floats32]]:
    """Yield (index, features) as they come; at the end raise DatasetError if there were clips without."""
    from mertag.listen.decode.pool import DecoderPool

    workers = min(workers, max(1, len(paths) // CLIPS_A_WORKER))
    if workers > 1:
        # numba compiles some of librosa when that is first loaded, and keeps the result on disk; several processes that
        # do so at once can mix it up and crash (numba/numba#10128). So it is loaded here once, before them.
        features.clip_features(np.zeros(features.N_FFT, np.float32))
    broken: list[str] = []
    with DecoderPool(
        workers=workers,
        front_end=FrontEnd(),
        timeout_s=MOST_SILENT_S,
        decoder="mertag_train.evaluation.features.features:decode_features",
    ) as pool:
        for index, found in decoded(pool, enumerate(paths)):
            if isinstance(found, FileError):
                broken.append(str(found))
            else:
                yield index, found
    if broken:
        named = first_few(broken)
        raise DatasetError(f"{len(broken)} clips have no features: {named}. Repair them, or remove them")


def _read_features(path: Path) -> Rows:
    """Return the rows on disk; none if there is no file, or another definition of the features made it."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["made_by"]) != made_by():
                return {}
            rows = zip(file["ids"], file["sizes"], file["mtimes_ns"], file["values"], strict=True)
            return {str(i): ((int(size), int(mtime)), values) for i, size, mtime, values in rows}
    except FileNotFoundError:
        return {}
    except Exception as error:  # numpy and zipfile raise many kinds for a damaged file
        raise DatasetError(f"{path}: not a readable table of features ({error}); delete it, it is made anew") from error


def _write_features(path: Path, rows: Rows) -> None:
    """Put the rows on disk, beside those that are there (of another part of the data set, or another process)."""
    merged = _read_features(path) | rows
    if not merged:
        return
    ids = sorted(merged)
    data = io.BytesIO()
    np.savez(
        data,
        made_by=np.array(made_by()),
        ids=np.array(ids),
        sizes=np.array([merged[i][0][0] for i in ids], dtype=np.int64),
        mtimes_ns=np.array([merged[i][0][1] for i in ids], dtype=np.int64),
        values=np.stack([merged[i][1] for i in ids]),
    )
    try:
        write_whole(path, data.getvalue())
    except OSError as error:
        raise DatasetError(
            f"{path}: the features cannot be kept: {error.strerror or error}. Free some space"
        ) from error


def _stamp(path: Path) -> tuple[int, int]:
    with reading(path):
        stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
