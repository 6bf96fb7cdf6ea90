"""One vector a song: hand-made features, embeddings, or somebody's own; as an array, and as a Parquet file.

>>> found = features_of(read("4q", "data/4q"))                  # doctest: +SKIP
>>> found.values.shape, found.names[0]                          # doctest: +SKIP
((719, 208), 'mfcc0.mean')
>>> write_parquet(found, Path("features.parquet"))              # doctest: +SKIP

A Parquet file has a column ``song_id``, and either a column of numbers for each name, or, without names, one column of
lists: ``embedding``. Both are what pandas and polars read and write.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mertag.errors import ConfigError, DatasetError
from mertag.extras import install_command
from mertag.files import write_whole
from mertag_train.arrays import Floats32
from mertag_train.data.datasets.base import Dataset
from mertag_train.data.embedding_model import BUNDLED

SONG_ID = "song_id"
LISTS = "embedding"
OnClip = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vectors:
    """One vector a song.

    Attributes
    ----------
    ids : tuple of str, length n_songs
    values : float32 array, shape (n_songs, n_features)
    names : tuple of str
        Of the features; empty where they have none, as embeddings.
    """

    ids: tuple[str, ...]
    values: Floats32
    names: tuple[str, ...] = ()

    def by_song(self) -> dict[str, Floats32]:
        """Return the vectors by song id."""
        return dict(zip(self.ids, self.values, strict=True))


def features_of(
    dataset: Dataset,
    *,
    cache: Path | None = None,
    workers: int | None = None,
    on_clip: OnClip = lambda done, total: None,
) -> Vectors:
    """Return the hand-made features of the songs with audio (`mertag_train.evaluation.features.features`).

    They are kept below `cache`, by default the user's; `workers` processes compute, by default as many as there are
    cores; `on_clip` is told (done, total). DatasetError is raised if a clip cannot be read.
    """
    from mertag_train.evaluation.features.features import FEATURE_NAMES
    from mertag_train.evaluation.features.kept import feature_table

    table = feature_table(dataset, cache=_cache(dataset, cache), workers=workers or _cores(), on_clip=on_clip)
    return Vectors(ids=tuple(table), values=np.stack(list(table.values())), names=tuple(FEATURE_NAMES))


def embeddings_of(
    dataset: Dataset,
    *,
    model: Path = BUNDLED,
    cache: Path | None = None,
    workers: int | None = None,
    on_clip: OnClip = lambda done, total: None,
) -> Vectors:
    """Return mean and standard deviation over time of the embeddings of the songs with audio.

    `model` is an ONNX file that keeps the contract of `mertag_train.data.embedding_model`; the rest is as in
    `features_of`. ConfigError is raised for a model that is not as it must be, DatasetError for a clip that cannot be
    embedded.
    """
    from mertag_train.data.embedding_model import EmbeddingModel
    from mertag_train.data.embeddings import embeddings
    from mertag_train.evaluation.methods.svm import mean_and_deviation

    songs = dataset.with_audio().songs
    found = embeddings(
        songs, EmbeddingModel(model), cache=_cache(dataset, cache), workers=workers or _cores(), on_clip=on_clip
    )
    return Vectors(ids=tuple(found), values=np.stack([mean_and_deviation(of_song) for of_song in found.values()]))


def write_parquet(vectors: Vectors, path: Path) -> None:
    """Write vectors as a Parquet file, whole or not at all; ConfigError if pyarrow is not installed."""
    arrow, parquet = _pyarrow()
    columns: dict[str, Any] = {SONG_ID: list(vectors.ids)}
    if vectors.names:
        columns |= dict(zip(vectors.names, vectors.values.T, strict=True))
    else:
        flat = arrow.array(np.ascontiguousarray(vectors.values).reshape(-1))
        columns[LISTS] = arrow.FixedSizeListArray.from_arrays(flat, vectors.values.shape[1])
    data = io.BytesIO()
    parquet.write_table(arrow.table(columns), data)
    write_whole(path, data.getvalue())


def read_parquet(path: Path) -> Vectors:
    """Read vectors from a Parquet file.

    Raises DatasetError if it cannot be read, has no column ``song_id``, names a song twice, or holds anything but
    finite numbers; ConfigError if pyarrow is not installed.
    """
    arrow, parquet = _pyarrow()
    try:
        table = parquet.read_table(path)
    except (OSError, arrow.ArrowException) as error:
        raise DatasetError(f"{path}: not readable as Parquet ({error}).") from error
    if SONG_ID not in table.column_names:
        raise DatasetError(f"{path}: no column {SONG_ID!r}; the columns are {', '.join(table.column_names)}.")
    ids = tuple(str(i) for i in table.column(SONG_ID).to_pylist())
    names = tuple(name for name in table.column_names if name != SONG_ID)
    try:
        columns = [np.array(table.column(name).to_pylist(), dtype=np.float32) for name in names]
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{path}: a column beside {SONG_ID!r} does not hold numbers ({error}).") from error
    lists = len(columns) == 1 and columns[0].ndim == 2
    if not columns or not (lists or all(column.ndim == 1 for column in columns)):
        raise DatasetError(
            f"{path}: give columns of numbers, or one column of lists of one length, beside {SONG_ID!r}."
        )
    values = columns[0] if lists else np.stack(columns, axis=1)
    if len(set(ids)) < len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise DatasetError(f"{path}: song {twice!r} stands twice.")
    if not np.isfinite(values).all():
        raise DatasetError(f"{path}: holds NaN or infinity.")
    return Vectors(ids=ids, values=values, names=() if lists else names)


def fingerprint(vectors: Mapping[str, Any]) -> str:
    """Return a hash of vectors by song id."""
    digest = hashlib.sha256()
    for song_id in sorted(vectors):
        values = np.ascontiguousarray(vectors[song_id])
        digest.update(f"{song_id}\0{values.dtype}{values.shape}\0".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise ConfigError(f"Parquet needs pyarrow. Install it with: {install_command('parquet')}") from error
    return pyarrow, pyarrow.parquet


def user_cache(dataset: Dataset) -> Path:
    """Return where the user's machine keeps what depends on a data set's audio alone."""
    import platformdirs

    return Path(platformdirs.user_cache_path("mertag")) / "evaluation" / dataset.name


def _cache(dataset: Dataset, folder: Path | None) -> Path:
    place = folder or user_cache(dataset)
    place.mkdir(parents=True, exist_ok=True)
    return place


def _cores() -> int:
    return os.cpu_count() or 1
