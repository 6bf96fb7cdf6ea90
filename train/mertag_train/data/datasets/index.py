"""Which files a data set consists of, with their checksums, in the shape of mirdata's indexes.

>>> write_index(index(dataset, version="2019"), Path("pmemo_index_2019.json"))      # doctest: +SKIP

::

    {"version": "2019",
     "tracks": {"1": {"audio": ["chorus/1.mp3", "<MD5>"]}},
     "metadata": {"metadata": ["metadata.csv", "<MD5>"]}}

Paths are relative to the data set's folder. A song without audio has ``[null, null]``, as there. Source: mirdata,
"Contributing", https://mirdata.readthedocs.io/.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mertag.errors import DatasetError
from mertag.files import write_whole
from mertag_train.data.datasets.base import Dataset, first_few

Entry = list[str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Files of an index that are not there, and those that are others; relative paths."""

    missing: tuple[str, ...]
    different: tuple[str, ...]

    def __str__(self) -> str:
        said = [f"missing: {first_few(self.missing, between=', ')}"] if self.missing else []
        said += [f"other than published: {first_few(self.different, between=', ')}"] if self.different else []
        return "; ".join(said) or "whole"


def index(
    dataset: Dataset,
    *,
    version: str,
    files: Mapping[str, str],
    on_file: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Return the index of a data set as it lies here.

    Parameters
    ----------
    version : str
        Of the data set.
    files : mapping of str to str
        The annotations by a name, relative to the data set's folder, such as ``{"metadata": "metadata.csv"}``.
    on_file : callable
        Told (done, total).

    Raises
    ------
    DatasetError
        If a file cannot be read, or lies outside the data set's folder.
    """
    total, done = len(dataset.songs) + len(files), 0

    def entry(path: Path | None) -> Entry:
        nonlocal done
        done += 1
        on_file(done, total)
        return [None, None] if path is None else [_relative(path, dataset.root), _md5(path)]

    return {
        "version": version,
        "tracks": {song.id: {"audio": entry(song.path)} for song in dataset.songs},
        "metadata": {name: entry(dataset.root / path) for name, path in files.items()},
    }


def write_index(found: Mapping[str, Any], path: Path) -> None:
    """Write an index, whole or not at all."""
    write_whole(path, json.dumps(found, indent=2) + "\n")


def check(found: Mapping[str, Any], root: Path) -> Faults:
    """Return which files of an index are not in the folder `root`, and which are there with another checksum."""
    missing, different = [], []
    entries = [entry for track in found.get("tracks", {}).values() for entry in track.values()]
    for path, checksum in [*entries, *found.get("metadata", {}).values()]:
        if path is None:
            continue
        if not (root / path).is_file():
            missing.append(path)
        elif _md5(root / path) != checksum:
            different.append(path)
    return Faults(missing=tuple(missing), different=tuple(different))


def _relative(path: Path, root: Path) -> str:
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        raise DatasetError(f"{path}: lies outside the data set's folder {root}, so an index cannot name it.") from None


def _md5(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error}).") from error
