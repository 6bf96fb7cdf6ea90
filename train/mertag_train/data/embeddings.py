"""Embeddings of clips: computed once a clip and a model, and kept on disk.

``embeddings/<hash of the model>-<version>/<hash of the clip's file>.npy``: float32 of shape (n_embeddings, dim), each
written in one step as soon as it is there. A clip that changes, or another model, is never mistaken for what was there,
and a computation that is killed goes on where it was.
"""

from __future__ import annotations

import contextlib
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mertag.errors import DatasetError, FileError
from mertag.files import write_whole
from mertag.listen.windows import FrontEnd
from mertag_train.arrays import Floats32
from mertag_train.data.datasets.base import Song, first_few
from mertag_train.data.embedding_model import EmbeddingModel
from mertag_train.data.unlabelled import Unlabelled, sha256_of, source_of, stretches_of

if TYPE_CHECKING:
    from mertag.listen.decode.pool import DecoderPool

EMBEDDINGS_VERSION = 1
"""Raised whenever the same clip and the same model would give other embeddings."""


def embeddings(
    songs: Sequence[Song],
    model: EmbeddingModel,
    *,
    cache: Path,
    workers: int = 1,
    on_clip: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Floats32]:
    """Return the embeddings of songs, by id, computed where they are not on disk.

    They are kept below `cache`; `workers` processes decode, and `on_clip` is told (done, total). A clip that is shorter
    than one window is filled up with silence.

    Raises
    ------
    DatasetError
        If a song has no audio, clips cannot be read (the first few are named, the others are kept), or what is on disk
        is damaged.
    ConfigError
        If the model does not do what it says.
    """
    silent = [song.id for song in songs if song.path is None]
    if silent:
        raise DatasetError(
            f"{len(silent)} of {len(songs)} songs have no audio here, such as {silent[0]!r}, and log-mels cannot be "
            "embedded: give the data set's audio with --data-dir, or leave this method out."
        )
    folder = _folder(cache, model)
    place = {song.id: folder / f"{_sha256(song.path)}.npy" for song in songs if song.path is not None}
    wanted = [song for song in songs if not place[song.id].exists()]
    if wanted:
        on_clip(len(songs) - len(wanted), len(songs))
        _embed(wanted, model, place, workers, lambda done: on_clip(len(songs) - len(wanted) + done, len(songs)))
    return {song.id: _read_embeddings(place[song.id]) for song in songs}


def embeddings_of_stretches(
    music: Unlabelled,
    model: EmbeddingModel,
    *,
    cache: Path,
    workers: int = 1,
    on_clip: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Floats32]:
    """Return the embeddings of the stretches of songs without a label, by id; as `embeddings` in all else."""
    folder = _folder(cache, model)
    of_file: dict[str, list[str]] = defaultdict(list)
    for clip in music.store.ids:
        of_file[source_of(clip)].append(clip)
    place: dict[str, Path] = {}
    for name, clips in of_file.items():
        digest = _sha256(music.paths[name])
        cut = f"{music.rule.count}x{music.rule.duration_s:g}s"
        place |= {clip: folder / f"{digest}-{cut}-{k}.npy" for k, clip in enumerate(clips, start=1)}
    wanted = [name for name, clips in of_file.items() if not all(place[clip].exists() for clip in clips)]
    if wanted:
        from mertag.listen.decode.pool import DecoderPool  # here: it needs audio libraries, what is on disk does not

        rate = model.sample_rate
        paths = enumerate(music.paths[name] for name in wanted)
        with DecoderPool(workers=workers, front_end=FrontEnd(sample_rate=rate)) as pool:
            for done, (index, found) in enumerate(stretches_of(pool, paths, rate, music.rule), start=1):
                clips = of_file[wanted[index]]
                if isinstance(found, FileError) or len(found) != len(clips):
                    raise DatasetError(
                        f"{music.paths[wanted[index]]}: not what its log-mels were made of; was it changed just now?"
                    )
                for clip, waveform in zip(clips, found, strict=True):
                    _write_embeddings(place[clip], model.embed(_filled_up(waveform, model)))
                on_clip(len(of_file) - len(wanted) + done, len(of_file))
    return {clip: _read_embeddings(path) for clip, path in place.items()}


def _folder(cache: Path, model: EmbeddingModel) -> Path:
    folder = cache / "embeddings" / f"{model.sha256}-{EMBEDDINGS_VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _filled_up(waveform: Floats32, model: EmbeddingModel) -> Floats32:
    """Return samples with silence after them, if they are fewer than one window has."""
    silence = np.zeros(max(0, model.window_samples - len(waveform)), dtype=np.float32)
    return np.concatenate([waveform, silence])


def _embed(
    songs: Sequence[Song], model: EmbeddingModel, place: dict[str, Path], workers: int, on_done: Callable[[int], None]
) -> None:
    from mertag.listen.decode.pool import DecoderPool  # here: it needs audio libraries, what is on disk does not

    paths = [(index, song.path) for index, song in enumerate(songs) if song.path is not None]
    broken: list[str] = []
    with DecoderPool(workers=workers, front_end=FrontEnd(sample_rate=model.sample_rate)) as pool:
        for done, (index, found) in enumerate(decoded(pool, paths), start=1):
            if isinstance(found, FileError):
                broken.append(str(found))
            else:
                _write_embeddings(place[songs[index].id], model.embed(_filled_up(found, model)))
            on_done(done)
    if broken:
        named = first_few(broken)
        raise DatasetError(f"{len(broken)} clips have no embeddings: {named}. Repair them, or remove them.")


def decoded(pool: DecoderPool, paths: Iterable[tuple[int, Path]]) -> Iterator[tuple[int, Floats32 | FileError]]:
    """Yield the index of each file with all that was decoded of it, or with what is wrong with it."""
    chunks: dict[int, list[Floats32]] = defaultdict(list)
    for piece in pool.decode(paths):
        if piece.chunk is not None:
            chunks[piece.index].append(np.array(piece.chunk))
        if piece.last:
            of_file = [np.zeros(0, dtype=np.float32), *chunks.pop(piece.index, [])]
            yield piece.index, piece.error or np.concatenate(of_file)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn an operating system's error within it into a DatasetError that names the path."""
    try:
        yield
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}. Was it moved just now?") from error


def _sha256(path: Path) -> str:
    with reading(path):
        return sha256_of(path)


def _write_embeddings(path: Path, found: Floats32) -> None:
    data = io.BytesIO()
    np.save(data, found)
    try:
        write_whole(path, data.getvalue())
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written: {error.strerror or error}. Free some space.") from error


def _read_embeddings(path: Path) -> Floats32:
    try:
        found: Floats32 = np.load(path, allow_pickle=False)
        if found.ndim != 2 or found.dtype != np.float32:
            raise ValueError(f"{found.dtype} of the shape {found.shape}")
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(f"{path}: not readable ({error}). Delete it, and it is made anew.") from error
    return found
