"""Segment probabilities of many songs in one file, of plain arrays: written whole, read back strictly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from mertag.errors import DatasetError
from mertag.files import replaced_whole

Floats = npt.NDArray[np.float32]


def write_outputs(path: Path, ids: Sequence[str], probabilities: Sequence[Floats]) -> None:
    """Write the segment probabilities of songs, each of shape (n_segments, n_classes)."""
    with replaced_whole(path) as file:
        np.savez(
            file,
            ids=np.array(list(ids)),
            counts=np.array([len(p) for p in probabilities], dtype=np.int64),
            probabilities=np.concatenate(list(probabilities)).astype(np.float32),
        )


def read_outputs(path: Path) -> dict[str, Floats]:
    """Read them back, by song id.

    Raises
    ------
    DatasetError
        If the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as kept:
            ids, counts, flat = kept["ids"].tolist(), kept["counts"], kept["probabilities"]
        return dict(zip(ids, np.split(flat, np.cumsum(counts)[:-1]), strict=True))
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise DatasetError(f"{path}: not readable ({error}). Delete it, and it is made anew.") from error
