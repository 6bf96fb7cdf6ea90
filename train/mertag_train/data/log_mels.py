"""The log-mels of a data set: computed once from its audio, and found again in the user's cache."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from mertag.errors import DatasetError, FileError
from mertag.listen.windows import FrontEnd
from mertag_train.data.datasets import Dataset, Song
from mertag_train.data.frontend import LogMel
from mertag_train.data.store import INDEX, SCHEMA, LogMelStore, open_store, refuse_other_folder, write_store

Clip = tuple[str, int, npt.NDArray[np.floating]]
SHOWN = 5
"""How many broken clips an error names."""


def log_mels(
    dataset: Dataset,
    front_end: FrontEnd,
    *,
    folder: Path | None = None,
    workers: int = 2,
    on_clip: Callable[[int, int], None] = lambda done, total: None,
) -> LogMelStore:
    """Return the log-mels of a data set, computing those that are not on disk.

    Parameters
    ----------
    dataset : Dataset
        Its songs with audio are taken.
    front_end : FrontEnd
        The constants.
    folder : Path or None
        Where the store lies or shall lie. A store that is there is used as it is, so that training also runs
        where the audio is not. None: in the user's cache, under a name that changes with the audio files.
    workers : int
        How many processes decode.
    on_clip : callable
        Told (done, total) while computing.

    Raises
    ------
    DatasetError
        If clips cannot be decoded (the first few are named); if the folder holds something else; or if the store
        that is there was made with another front end, or lacks clips whose audio is there.
    """
    place = folder or cache_folder(dataset, front_end)
    if (place / INDEX).exists():
        store = open_store(place)
        _check_fits(store, place, dataset, front_end)
        return store
    refuse_other_folder(place)  # now, not after an hour of decoding
    songs = dataset.with_audio().songs
    return write_store(place, _computed(songs, front_end, workers, on_clip), front_end)


def _check_fits(store: LogMelStore, place: Path, dataset: Dataset, front_end: FrontEnd) -> None:
    if store.front_end != front_end:
        raise DatasetError(f"{place}: made with another front end; name another --log-mels folder")
    here = set(store.ids)
    lacking = [song.id for song in dataset.songs if song.path is not None and song.id not in here]
    if lacking:
        raise DatasetError(
            f"{place}: {len(lacking)} songs of {dataset.name} are not in these log-mels, such as {lacking[0]!r}; "
            "name another --log-mels folder"
        )
    if not any(song.id in here for song in dataset.songs):
        raise DatasetError(f"{place}: no song of {dataset.name} is in these log-mels; name another --log-mels folder")


def _computed(
    songs: tuple[Song, ...], front_end: FrontEnd, workers: int, on_clip: Callable[[int, int], None]
) -> Iterator[Clip]:
    from mertag.listen.decode.pool import DecoderPool  # here: it needs audio libraries, a store that is there does not

    log_mel = LogMel(front_end)
    paths = [(index, song.path) for index, song in enumerate(songs) if song.path is not None]
    chunks: dict[int, list[npt.NDArray[np.float32]]] = {}
    broken: list[FileError] = []
    done = 0
    with DecoderPool(workers=workers, front_end=front_end) as pool, torch.inference_mode():
        for piece in pool.decode(paths):
            of_song = chunks.setdefault(piece.index, [])
            if piece.chunk is not None:
                of_song.append(np.array(piece.chunk))
            if piece.error is not None:
                broken.append(piece.error)
            if not piece.last:
                continue
            done += 1
            on_clip(done, len(songs))
            del chunks[piece.index]
            if piece.error is None:
                waveform = np.concatenate([np.zeros(0, dtype=np.float32), *of_song])
                if len(waveform) >= front_end.n_fft:
                    yield songs[piece.index].id, len(waveform), log_mel(torch.from_numpy(waveform)).numpy()
                else:
                    broken.append(FileError(piece.path, "shorter than one frame"))
    if broken:
        named = "; ".join(str(error) for error in broken[:SHOWN])
        more = f"; and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
        raise DatasetError(
            f"{len(broken)} of {len(songs)} clips cannot be read: {named}{more}. Repair them, or remove them"
        )


def cache_folder(dataset: Dataset, front_end: FrontEnd) -> Path:
    """Return where the log-mels of a data set are kept; it changes when an audio file does."""
    import platformdirs

    stats = [(song.id, song.path.stat()) for song in dataset.songs if song.path is not None]
    seen = [(song_id, found.st_size, found.st_mtime_ns) for song_id, found in stats]
    key = json.dumps([SCHEMA, dataclasses.asdict(front_end), seen], sort_keys=True)
    name = f"{dataset.name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    return Path(platformdirs.user_cache_path("mertag")) / "log-mels" / name
