"""A run's folder, read back: its settings at any time, and all of it when it is finished. See
`mertag_train.runs.run`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from sklearn.pipeline import Pipeline

from mertag._version import __version__
from mertag.emotion import CLASS_NAMES, Target
from mertag.errors import ConfigError, TrainingError
from mertag_train.learn import song
from mertag_train.learn.config import TrainConfig
from mertag_train.learn.trainer import network_of
from mertag_train.networks.ensemble import Ensemble
from mertag_train.networks.vgg import SegmentNetwork

SCHEMA = 4
SETTINGS = {"schema", "command", "config", "dataset"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A finished run, read back.

    Attributes
    ----------
    folder : Path
        Where it lies.
    config : TrainConfig
        What it was trained with.
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
    networks : mapping of Target to SegmentNetwork or Ensemble
        In evaluation mode.
    classifiers : mapping of Target to Pipeline
        The song classifiers.
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
    networks: Mapping[Target, SegmentNetwork | Ensemble]
    classifiers: Mapping[Target, Pipeline]


def newest(root: Path) -> Path:
    """Return the finished run that was made last.

    Raises
    ------
    ConfigError
        If there is none.
    """
    finished = [path.parent for path in root.glob("*/metrics.json")]
    if not finished:
        raise ConfigError(f"no finished run in {root.resolve()}; train one with `mertag train`, or name a run's folder")
    return max(finished, key=lambda path: (path / "metrics.json").stat().st_mtime)


def settings(folder: Path) -> dict[str, Any]:
    """Return what ``run.json`` says, of a finished or an interrupted run.

    Raises
    ------
    ConfigError
        If there is none, or it is of another schema.
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
    if not (folder / "metrics.json").exists():
        raise TrainingError(f"{folder}: the run is not finished; go on with `mertag train --resume {folder}`")
    config = TrainConfig.from_json(about["config"])
    networks: dict[Target, SegmentNetwork | Ensemble] = {}
    classifiers: dict[Target, Pipeline] = {}
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        with (folder / "split.csv").open(newline="", encoding="utf-8") as file:
            fold_of = {row["song_id"]: row["fold"] for row in csv.DictReader(file)}
        if len(fold_of) != about["dataset"]["songs"]:
            raise ValueError(f"split.csv has {len(fold_of)} of {about['dataset']['songs']} songs")
        for target in config.targets:
            network = _untrained(config, len(CLASS_NAMES[target]))
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


def _untrained(config: TrainConfig, n_classes: int) -> SegmentNetwork | Ensemble:
    """Return what a run's weights are loaded into."""
    if not config.ensemble:
        return network_of(config, n_classes)
    kinds = [config.of_member(number) for number in range(len(config.ensemble))]
    return Ensemble([network_of(kind, n_classes) for _ in range(config.song.inner_folds) for kind in kinds])
