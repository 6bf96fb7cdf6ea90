"""One finished fold of one method, as a file: written whole, read back, and never taken for another.

``results/<method>/<target>/<duration or "song">/seed-0.fold-3.json``. Because each is a file of its own and says
what it was made from, an evaluation is continued where it stopped, and results of several machines are joined by
copying their files together.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mertag.emotion import CLASS_NAMES, Target
from mertag.errors import ConfigError, DatasetError
from mertag.files import json_digest
from mertag_train.arrays import Floats, Ints
from mertag_train.data.datasets.base import first_few
from mertag_train.evaluation.files import read_json, write_json
from mertag_train.evaluation.protocol import PROTOCOL, Protocol

SCHEMA = 1
RESULTS = "results"
SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Task:
    """What one file answers; `segment_s` is None for a method that does not use segments."""

    method: str
    target: Target
    segment_s: float | None
    seed: int
    fold: str

    def path(self, folder: Path) -> Path:
        """Return where its result lies in a data set's folder."""
        return folder / RESULTS / self.method / self.target / self.duration / f"seed-{self.seed}.fold-{self.fold}.json"

    @property
    def duration(self) -> str:
        """Segment duration in words: ``"3s"``, or ``"song"``."""
        return "song" if self.segment_s is None else f"{self.segment_s:g}s"

    def __str__(self) -> str:
        return f"{self.method}, {self.target}, {self.duration}, seed {self.seed}, fold {self.fold}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A finished task.

    Attributes
    ----------
    song_ids, labels : tuple of str, and int64 array, shape (n_songs,)
        The test songs, and their classes.
    probabilities : float64 array, shape (n_songs, n_classes)
    settings : mapping
        What the method was run with, as it says itself, without the seed (`without_seed`).
    diagnostics, epochs : mapping, tuple of mapping
        What else is on record, of the whole and of each epoch (`mertag_train.evaluation.methods.base.Predictions`).
    environment : mapping of str to str
        Versions and device. Results of different environments are joined, and the report says so.
    elapsed_s : float
        Seconds that it took; a network that was on disk already costs nothing.
    songs_per_s : float or None
        How many songs a second the method listened to; None where that was not measured.
    """

    task: Task
    song_ids: tuple[str, ...]
    labels: Ints
    probabilities: Floats
    settings: Mapping[str, Any]
    diagnostics: Mapping[str, float]
    environment: Mapping[str, str]
    elapsed_s: float
    epochs: tuple[Mapping[str, float], ...] = ()
    songs_per_s: float | None = None


def write_result(folder: Path, protocol: Protocol, result: Result) -> Path:
    """Write a result to its place; return the path."""
    task = result.task
    path = task.path(folder)
    value = {
        "schema": SCHEMA,
        **asdict(task),
        "songs_sha": protocol.songs_sha,
        "folds_sha": protocol.folds_sha,
        "settings_sha": json_digest(result.settings),
        "settings": dict(result.settings),
        "classes": list(CLASS_NAMES[task.target]),
        "song_ids": list(result.song_ids),
        "labels": result.labels.tolist(),
        "probabilities": result.probabilities.tolist(),
        "diagnostics": dict(result.diagnostics),
        "epochs": [dict(epoch) for epoch in result.epochs],
        "environment": dict(result.environment),
        "elapsed_s": round(result.elapsed_s, 3),
        "songs_per_s": None if result.songs_per_s is None else round(result.songs_per_s, 3),
    }
    write_json(path, value, indent=None)
    return path


def read_result(path: Path, folder: Path, protocol: Protocol) -> Result:
    """Read a result and find that it belongs here.

    DatasetError is raised if it is damaged, lies in the wrong place, or was made from other songs, classes or folds.
    """
    found = read_json(path, schema=SCHEMA)
    try:
        task = Task(
            method=found["method"],
            target=Target(found["target"]),
            segment_s=found["segment_s"],
            seed=found["seed"],
            fold=found["fold"],
        )
        result = Result(
            task=task,
            song_ids=tuple(found["song_ids"]),
            labels=np.array(found["labels"], dtype=np.int64),
            probabilities=np.array(found["probabilities"], dtype=np.float64),
            settings=found["settings"],
            diagnostics=found["diagnostics"],
            environment=found["environment"],
            elapsed_s=found["elapsed_s"],
            epochs=tuple(found.get("epochs", ())),
            songs_per_s=found.get("songs_per_s"),
        )
        shas = found["songs_sha"], found["folds_sha"], found["settings_sha"]
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{path}: not a result ({error!r}). Delete it, and it is made anew.") from error
    if task.path(folder) != path:
        raise DatasetError(f"{path}: this is the result of {task}. Move it to {task.path(folder)}, or delete it.")
    for what, here, there in (
        ("songs or classes", protocol.songs_sha, shas[0]),
        ("folds", protocol.folds_sha, shas[1]),
    ):
        if here != there:
            raise DatasetError(
                f"{path}: made with other {what} ({there[:8]}) than {folder / PROTOCOL} ({here[:8]}). "
                "Delete it, or make it again with the folds.csv of this folder."
            )
    if json_digest(result.settings) != shas[2]:
        raise DatasetError(f"{path}: its settings were changed by hand. Delete it, and it is made anew.")
    fault = shape_fault(result.probabilities, len(result.song_ids), len(CLASS_NAMES[task.target]))
    if fault or len(result.labels) != len(result.song_ids):
        raise DatasetError(f"{path}: {fault or 'labels and songs differ in number'}. Delete it, and it is made anew.")
    return result


def read_results(folder: Path, protocol: Protocol) -> Iterator[Result]:
    """Yield every result of a data set's folder, in the order of the paths.

    ConfigError is raised if the folds of one method have different settings, DatasetError as by `read_result`.
    """
    first: dict[tuple[str, str, str], tuple[Path, Result]] = {}
    for path in sorted((folder / RESULTS).glob("*/*/*/seed-*.fold-*.json")):
        result = read_result(path, folder, protocol)
        key = (result.task.method, result.task.target.value, result.task.duration)
        before, known = first.setdefault(key, (path, result))
        if json_digest(known.settings) != json_digest(result.settings):
            raise ConfigError(
                f"{path}: made with other settings than {before}: {difference(known.settings, result.settings)}. "
                "Delete those that you do not want."
            )
        yield result


def without_seed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without the seed of this task, which the result's place names: seeds are averaged over."""
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    if isinstance(plain.get("config"), dict):
        plain["config"].pop("seed", None)
    return plain


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return in words where two trees of plain values differ, such as ``"config.epochs: 2 there, 14 here"``."""
    one, other = dict(_leaves("", old)), dict(_leaves("", new))
    return first_few(
        f"{key}: {json.dumps(one.get(key))} there, {json.dumps(other.get(key))} here"
        for key in sorted(one.keys() | other.keys())
        if one.get(key) != other.get(key)
    )


def _leaves(where: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(f"{where}.{key}" if where else str(key), item)
    else:
        yield where, value


def shape_fault(probabilities: Floats, n_songs: int, n_classes: int) -> str | None:
    """Return in words what is wrong with song probabilities, None if nothing is."""
    if probabilities.shape != (n_songs, n_classes):
        return f"probabilities of shape {probabilities.shape} for {n_songs} songs and {n_classes} classes"
    if not np.isfinite(probabilities).all() or (n_songs and probabilities.min() < 0):
        return "probabilities that are negative or not finite"
    if any(not math.isclose(total, 1, abs_tol=SUM_TOLERANCE) for total in probabilities.sum(1).tolist()):
        return "probabilities that do not sum to 1"
    return None
