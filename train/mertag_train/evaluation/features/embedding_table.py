"""The embeddings that a model gives of clips: computed once a clip, and kept on disk.

On disk, ``embeddings/<hash of the model>-<version>/<hash of the clip's file>.npy``, float32 of shape
(n_embeddings, dim), each written in one step as soon as it is there: a computation that is killed goes on where it
was, and a clip that changes, or another model, is never mistaken for what was there.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mertag.errors import DatasetError
from mertag.files import write_whole
from mertag.listen.windows import FrontEnd
from mertag_train.arrays import Floats32
from mertag_train.data.datasets.base import Song
from mertag_train.evaluation.features.embedding_model import EmbeddingModel
from mertag_train.evaluation.files import first_few

VERSION = 1
"""Raised whenever the same clip and the same model would give other embeddings."""


def embeddings(
    songs: Sequence[Song],
    model: EmbeddingModel,
    *,
    cache: Path,
    workers: int = 1,
    on_clip: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Floats32]:
    """Return the embeddings of songs, by id, computing those that are not on disk.

    Parameters
    ----------
    songs : sequence of Song
        Each with audio.
    model : EmbeddingModel
        What is asked.
    cache : Path
        Folder that the embeddings are kept in.
    workers : int
        How many processes decode.
    on_clip : callable
        Told (done, total); those that were on disk are done from the start.

    Raises
    ------
    DatasetError
        If a song has no audio, clips cannot be read or are shorter than a window (the first few are named, the others
        are kept), or what is on disk is damaged.
    ConfigError
        If the model does not do what it says.
    """
    silent = [song.id for song in songs if song.path is None]
    if silent:
        raise DatasetError(
            f"{len(silent)} of {len(songs)} songs have no audio here, such as {silent[0]!r}, and log-mels cannot be "
            "embedded: give the data set's audio with --data-dir, or leave this method out."
        )
    folder = cache / "embeddings" / f"{model.sha256}-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    place = {song.id: folder / f"{_content(song.path)}.npy" for song in songs if song.path is not None}
    wanted = [song for song in songs if not place[song.id].exists()]
    if wanted:
        on_clip(len(songs) - len(wanted), len(songs))
        _compute(wanted, model, place, workers, lambda done: on_clip(len(songs) - len(wanted) + done, len(songs)))
    return {song.id: _read(place[song.id]) for song in songs}


def _compute(
    songs: Sequence[Song],
    model: EmbeddingModel,
    place: dict[str, Path],
    workers: int,
    on_done: Callable[[int], None],
) -> None:
    from mertag.listen.decode.pool import DecoderPool  # here: it needs audio libraries, what is on disk does not

    paths = [(index, song.path) for index, song in enumerate(songs) if song.path is not None]
    chunks: dict[int, list[Floats32]] = {}
    broken: list[str] = []
    done = 0
    with DecoderPool(workers=workers, front_end=FrontEnd(sample_rate=model.sample_rate)) as pool:
        for piece in pool.decode(paths):
            of_song = chunks.setdefault(piece.index, [])
            if piece.chunk is not None:
                of_song.append(np.array(piece.chunk))
            if piece.error is not None:
                broken.append(str(piece.error))
            if not piece.last:
                continue
            done += 1
            del chunks[piece.index]
            if piece.error is None:
                waveform = np.concatenate([np.zeros(0, dtype=np.float32), *of_song])
                if model.n_windows(len(waveform)):
                    _write(place[songs[piece.index].id], model.embed(waveform))
                else:
                    window_s = model.window_samples / model.sample_rate
                    broken.append(f"{piece.path}: shorter than one window of {window_s:g} s")
            on_done(done)
    if broken:
        named = first_few(broken)
        raise DatasetError(f"{len(broken)} clips have no embeddings: {named}. Repair them, or remove them.")


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}. Was it moved just now?") from error


def _write(path: Path, found: Floats32) -> None:
    data = io.BytesIO()
    np.save(data, found)
    try:
        write_whole(path, data.getvalue())
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written: {error.strerror or error}. Free some space.") from error


def _read(path: Path) -> Floats32:
    try:
        found: Floats32 = np.load(path, allow_pickle=False)
        if found.ndim != 2 or found.dtype != np.float32:
            raise ValueError(f"{found.dtype} of the shape {found.shape}")
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(f"{path}: not readable ({error}). Delete it, and it is made anew.") from error
    return found
