"""Songs of a run's data set, decoded as the runtime does: what parity is proved on, and what int8 is calibrated on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from mertag.errors import DatasetError, ExportError, FileError
from mertag.listen.decode.audio import decode_all
from mertag_export.graphs import Clip
from mertag_train.data.datasets import Dataset, read
from mertag_train.runs.run import Run

Part = Literal["train", "validation", "test"]
Example = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]
"""Waveform (n_samples,) and starts (n_segments,): the inputs of a segment graph."""


def dataset_of(run: Run, data_dir: Path | None) -> Dataset:
    """Read a run's data set again.

    Parameters
    ----------
    run : Run
        A finished run.
    data_dir : Path or None
        Where the data set lies now; None for where it lay when the run was trained.

    Raises
    ------
    DatasetError
        If it is not there; the message says how to name its place.
    """
    try:
        return read(run.dataset["name"], data_dir or Path(run.dataset["root"]), **run.dataset.get("options", {}))
    except DatasetError as error:
        if data_dir is not None:
            raise
        raise DatasetError(
            f"{error} The export is proved on songs of the run's data set; if it has moved, say where it lies now "
            "with --data-dir."
        ) from error


def clips_of(run: Run, dataset: Dataset, part: Part, count: int) -> list[Clip]:
    """Return `count` decoded songs of one part of a run, spread evenly over it; all, if it has fewer.

    Songs that cannot be decoded, or are shorter than one segment, are left out.

    Raises
    ------
    ExportError
        If none is left.
    """
    songs = sorted((s for s in dataset.songs if run.fold_of.get(s.id) == part and s.path), key=lambda s: s.id)
    if len(songs) > count:
        songs = [songs[i] for i in np.linspace(0, len(songs) - 1, count).round().astype(int)]
    front_end, segmentation = run.config.front_end, run.config.segmentation
    clips: list[Clip] = []
    trouble = ""
    for song in songs:
        assert song.path is not None
        try:
            waveform = decode_all(song.path, front_end=front_end)
        except FileError as error:
            trouble = f" ({error})"
            continue
        starts = segmentation.start_frames(len(waveform), front_end)
        if len(starts):
            clips.append(Clip(id=song.id, waveform=waveform, starts=starts))
    if not clips:
        raise ExportError(
            f"the export is proved on the audio of {run.dataset['name']}, and none of the run's {part} songs can be "
            f"read below {dataset.root}{trouble}; say where the data set lies with --data-dir"
        )
    return clips


def calibration(clips: list[Clip], n_segments: int) -> list[Example]:
    """Return up to `n_segments` segments of each clip, spread evenly over it, as the inputs of a graph."""
    chosen = [np.linspace(0, len(c.starts) - 1, min(n_segments, len(c.starts))).round().astype(int) for c in clips]
    return [(clip.waveform, clip.starts[index]) for clip, index in zip(clips, chosen, strict=True)]
