"""Data sets: songs with path, recording, artist and a class for each target, from the layouts as published.

>>> dataset = read("pmemo", "~/data/pmemo")             # or $MERTAG_DATA/pmemo     # doctest: +SKIP
>>> dataset.counts(Target.VALENCE)                                                  # doctest: +SKIP
{'V-': 383, 'V+': 384}

Reading checks everything at once: a table that contradicts itself is an error now, not after a night of
training. A labelled song without audio is reported in `Dataset.missing_audio`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mertag.errors import ConfigError
from mertag_train.data.datasets import deam, eim, folder, four_q, mtg_jamendo, pmemo
from mertag_train.data.datasets.base import Dataset, Dynamics, Song, class_counts

__all__ = ["READERS", "Dataset", "Dynamics", "Song", "class_counts", "read"]

READERS: Mapping[str, Callable[..., Dataset]] = MappingProxyType(
    {
        "pmemo": pmemo.read,
        "4q": four_q.read,
        "eim": eim.read,
        "deam": deam.read,
        "mtg-jamendo": mtg_jamendo.read,
        folder.NAME: folder.read,
    }
)
"""The readers by name, as ``--dataset`` spells it."""


def read(name: str, data_dir: Path | str | None = None, **options: Any) -> Dataset:
    """Read the data set of a name, from `data_dir` (for ``folder``, also a table) or ``$MERTAG_DATA/<name>``.

    The options are those of the reader of that name: `pmemo.read`, `eim.read` and so on.

    Raises
    ------
    ConfigError
        If there is no such data set, or an option cannot be.
    DatasetError
        If it is missing, or not as its format says: with file, line and remedy.
    """
    reader = READERS.get(name.casefold())
    if reader is None:
        raise ConfigError(f"unknown data set {name!r}; choose from {', '.join(READERS)}.")
    return reader(data_dir, **options)
