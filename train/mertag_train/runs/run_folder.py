"""A run on disk: all that training leaves, as JSON, CSV, safetensors and plain arrays. Nothing of it is pickled.

::

    runs/4q-ours-20260101-120000/
      run.json                     configuration, data set, music without a label, command
      split.csv                    which song served what
      epochs.<target>.jsonl        one line an epoch
      losses.<target>.<epoch>.png, song.<target>.<epoch>.png, curves.<target>.png, tensorboard/
                                   pictures and scalars (`watch`), where a person trains
      checkpoint.<target>.pt       while training (see `checkpoint`); removed when it is done
      checkpoint.<target>.<n>.pt   of the networks that only the song classifier needs; likewise
      durations.<target>.jsonl     of each epoch of each network; likewise
      network.<target>.safetensors
      song.<target>.npz            what the song classifier was fitted on
      predictions.<target>.csv     the songs that the figures come from
      cross-validation.<target>.csv
                                   the songs that were learnt from, each judged without it, where there is
                                   cross-fitting
      metrics.json                 figures, versions, device; written last: a run that has it is finished
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sklearn.pipeline import Pipeline

from mertag._version import __version__
from mertag.emotion import CLASS_NAMES, Target
from mertag.errors import ConfigError, TrainingError
from mertag.files import write_whole
from mertag_train.data.datasets import Dataset
from mertag_train.data.folds import Folds, save_folds
from mertag_train.data.unlabelled import Unlabelled
from mertag_train.learn import song
from mertag_train.learn.config import TrainConfig
from mertag_train.learn.trainer import network_of
from mertag_train.networks.vgg import SegmentNetwork
from mertag_train.runs.experiment import CrossValidation, SongResult
from mertag_train.runs.work import Work

SCHEMA = 4
SETTINGS = {"schema", "command", "config", "dataset"}
METRICS = "metrics.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A finished run, read back.

    Attributes
    ----------
    dataset : mapping
        ``name``, ``root`` and ``options``, with which `mertag_train.data.datasets.read` reads it again; ``log_mels``,
        the folder of a store that was named, or None; number of songs, labelling, citation.
    command : str
        The command that made it, without paths.
    environment : mapping
        Versions and device.
    metrics : mapping
        As in ``metrics.json``: target, then method, then figure.
    fold_of : mapping of str to str
        ``"train"``, ``"validation"`` or ``"test"``, by song id.
    cross_validation : mapping
        The same of the songs that are learnt from; empty where nothing was cross-fitted.
    confidence : mapping
        By target, what is left of those songs above a confidence (`mertag_train.measure.metrics.coverage`).
    networks : mapping of Target to SegmentNetwork
        In evaluation mode.
    """

    folder: Path
    config: TrainConfig
    dataset: Mapping[str, Any]
    command: str
    environment: Mapping[str, str]
    metrics: Mapping[str, Any]
    fold_of: Mapping[str, str]
    cross_validation: Mapping[str, Any]
    confidence: Mapping[str, Any]
    networks: Mapping[Target, SegmentNetwork]
    classifiers: Mapping[Target, Pipeline]


def new_folder(root: Path, dataset: str, recipe: str) -> Path:
    """Return a run folder that does not exist yet: ``<dataset>-<recipe>-<time>``."""
    name = f"{dataset}-{recipe}-{time.strftime('%Y%m%d-%H%M%S')}"
    return next(p for i in range(1000) if not (p := root / (f"{name}-{i}" if i else name)).exists())


def refuse_used(folder: Path) -> None:
    """Raise ConfigError if something is where a new run shall be."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    hint = f"go on with it (mertag train --resume {folder}), or " if (folder / "run.json").exists() else ""
    raise ConfigError(f"{folder} exists; {hint}name another --out")


def make_folder(
    folder: Path,
    parts: Folds,
    dataset: Dataset,
    config: TrainConfig,
    *,
    command: str,
    root: Path | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
    log_mels: Path | None = None,
    unlabelled: Unlabelled | None = None,
) -> None:
    """Make a run's folder, with ``run.json`` and ``split.csv``; see `mertag_train.runs.run.begin`."""
    refuse_used(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder}: the run's folder cannot be made ({error.strerror}); name another --out"
        ) from error
    save_folds(parts, folder / "split.csv")
    about: dict[str, Any] = {
        "schema": SCHEMA,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": command,
        "config": config.to_json(),
        "dataset": {
            "name": dataset.name,
            "root": str((root or dataset.root).expanduser().resolve()),
            "options": dict(options),
            "log_mels": None if log_mels is None else str(log_mels.expanduser().resolve()),
            "songs": len(parts.fold_of),
            "missing_audio": len(dataset.missing_audio),
            "labelling": dataset.labelling,
            "citation": dataset.citation,
        },
    }
    if unlabelled is not None:
        about["unlabelled"] = {"root": str(unlabelled.root.expanduser().resolve()), **unlabelled.to_json()}
    write_json(folder / "run.json", about)


def newest(root: Path) -> Path:
    """Return the finished run that was made last.

    Raises ConfigError if there is none.
    """
    finished = [path.parent for path in root.glob(f"*/{METRICS}")]
    if not finished:
        raise ConfigError(f"no finished run in {root.resolve()}; train one with `mertag train`, or name a run's folder")
    return max(finished, key=lambda path: (path / METRICS).stat().st_mtime)


def settings(folder: Path) -> dict[str, Any]:
    """Return what ``run.json`` says, of a finished or an interrupted run.

    Raises ConfigError if there is none, or it is of another schema.
    """
    path = folder / "run.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{folder}: no run is here (it has no run.json); name a run's folder") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not readable ({error})") from error
    if not isinstance(about, dict) or about.get("schema") != SCHEMA or not set(about) >= SETTINGS:
        raise ConfigError(f"{path}: of a schema that mertag {__version__} does not read")
    return about


def load(folder: Path) -> Run:
    """Read a finished run back.

    Raises
    ------
    ConfigError
        If there is no run.
    TrainingError
        If it is not finished, or a part of it is damaged.
    """
    about = settings(folder)
    if not (folder / METRICS).exists():
        raise TrainingError(f"{folder}: the run is not finished; go on with `mertag train --resume {folder}`")
    config = TrainConfig.from_json(about["config"])
    networks: dict[Target, SegmentNetwork] = {}
    classifiers: dict[Target, Pipeline] = {}
    try:
        metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        with (folder / "split.csv").open(newline="", encoding="utf-8") as file:
            fold_of = {row["song_id"]: row["fold"] for row in csv.DictReader(file)}
        if len(fold_of) != about["dataset"]["songs"]:
            raise ValueError(f"split.csv has {len(fold_of)} of {about['dataset']['songs']} songs")
        for target in config.targets:
            network = network_of(config, len(CLASS_NAMES[target]))
            network.load_state_dict(load_file(folder / f"network.{target}.safetensors"))
            networks[target] = network.eval()
            classifiers[target] = song.load(folder / f"song.{target}.npz")[1]
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise TrainingError(
            f"{folder}: a part of the run cannot be read ({error}); copy the run anew, or train it again"
        ) from error
    return Run(
        folder=folder,
        config=config,
        dataset=about["dataset"],
        command=about["command"],
        environment=metrics["environment"],
        metrics=metrics["figures"],
        cross_validation=metrics.get("cross_validation", {}),
        confidence=metrics.get("confidence", {}),
        fold_of=fold_of,
        networks=networks,
        classifiers=classifiers,
    )


def write_target(
    folder: Path, work: Work, network: SegmentNetwork, result: SongResult, judged: CrossValidation | None
) -> None:
    """Write what came of one target: network, song classifier, predictions."""
    target, chosen = work.target, work.config.song
    weights = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    save_file(weights, folder / f"network.{target}.safetensors")
    song.save(
        folder / f"song.{target}.npz",
        result.table,
        result.classifier,
        c=chosen.c,
        kind=chosen.classifier,
        seed=work.config.seed,
    )
    _write_predictions(folder / f"predictions.{target}.csv", result, work)
    if judged is not None:
        _write_predictions(folder / f"cross-validation.{target}.csv", judged, work)


def _write_predictions(path: Path, result: SongResult | CrossValidation, work: Work) -> None:
    names = work.class_names
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["song_id", "label", *(f"{m}:{n}" for m in result.probabilities for n in names)])
        for row, index in enumerate(result.songs):
            said = [f"{p:.6f}" for method in result.probabilities.values() for p in method[row]]
            writer.writerow([work.store.ids[index], names[result.labels[row]], *said])


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file whole, for people to read too."""
    write_whole(path, json.dumps(value, indent=2) + "\n")
