"""A run on disk: all that training leaves, as JSON, CSV, safetensors and plain arrays. Nothing is pickled.

::

    runs/4q-robust-20260101-120000/
      run.json                     configuration, data set, command, versions
      split.csv                    which song served what
      epochs.<target>.jsonl        one line an epoch
      checkpoint.<target>.pt       while training; removed when it is done
      network.<target>.safetensors
      song.<target>.npz            what the song classifier was fitted on
      predictions.<target>.csv     the songs that the figures come from
      metrics.json                 written last: a run that has it is finished
"""

from __future__ import annotations

import csv
import dataclasses
import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from safetensors.torch import load_file, save_file
from sklearn.pipeline import Pipeline

from mertag._version import __version__
from mertag.emotion import CLASS_NAMES, Target
from mertag.errors import ConfigError, TrainingError

from . import song
from .config import TrainConfig
from .datasets import Dataset
from .experiment import Parts, TargetResult, train_target
from .folds import Folds, load_folds, save_folds, split
from .store import LogMelStore
from .trainer import EpochReport, Progress
from .vgg import SegmentNetwork

SCHEMA = 1
PART_OF_FOLD = {"train": "network", "validation": "song", "test": "figures"}


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
        Name, root, number of songs, citation.
    command : str
        The command that made it, without paths.
    environment : mapping
        Versions and device.
    metrics : mapping
        As in ``metrics.json``: target, then method, then figure.
    fold_of : mapping of str to str
        ``"train"``, ``"validation"`` or ``"test"``, by song id.
    networks : mapping of Target to SegmentNetwork
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
    networks: Mapping[Target, SegmentNetwork]
    classifiers: Mapping[Target, Pipeline]


def new_folder(root: Path, dataset: str, recipe: str) -> Path:
    """Return a run folder that does not exist yet: ``<dataset>-<recipe>-<time>``."""
    name = f"{dataset}-{recipe}-{time.strftime('%Y%m%d-%H%M%S')}"
    return next(p for i in range(1000) if not (p := root / (f"{name}-{i}" if i else name)).exists())


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


def begin(folder: Path, dataset: Dataset, store: LogMelStore, config: TrainConfig, *, command: str) -> Folds:
    """Make a run's folder, with its configuration and its split."""
    here = set(store.ids)
    songs = [s for s in dataset.songs if s.id in here]
    by = Target.QUADRANT if Target.QUADRANT in dataset.targets else config.targets[0]
    parts = split(songs, by, fractions=config.fractions, group=config.group, seed=config.seed)
    folder.mkdir(parents=True)
    save_folds(parts, folder / "split.csv")
    about = {
        "schema": SCHEMA,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": command,
        "config": config.to_json(),
        "dataset": {
            "name": dataset.name,
            "root": str(dataset.root.resolve()),
            "songs": len(songs),
            "missing_audio": len(dataset.missing_audio),
            "labelling": dataset.labelling,
            "citation": dataset.citation,
        },
    }
    _write_json(folder / "run.json", about)
    return parts


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
    if not isinstance(about, dict) or about.get("schema") != SCHEMA:
        raise ConfigError(f"{path}: of a schema that mertag {__version__} does not read")
    return about


def train(
    folder: Path,
    dataset: Dataset,
    store: LogMelStore,
    *,
    device: torch.device,
    resume: bool = False,
    on_target: Callable[[Target], None] = lambda target: None,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    on_step: Callable[[Progress], None] = lambda progress: None,
) -> dict[Target, TargetResult]:
    """Train all that a run's configuration asks for, into its folder, which `begin` made.

    Parameters
    ----------
    folder : Path
        The run.
    dataset, store : Dataset, LogMelStore
        Labels and log-mels.
    device : torch.device
        What trains.
    resume : bool
        Go on where an interrupted run was; targets that are done are trained again only if this is False.
    on_target, on_epoch, on_step : callables
        Progress.
    """
    about = settings(folder)
    config = TrainConfig.from_json(about["config"])
    here = set(store.ids)
    songs = [s for s in dataset.songs if s.id in here]
    folds = load_folds(folder / "split.csv", songs, group=config.group)
    parts = Parts(**{part: store.index_of(folds.ids(fold)) for fold, part in PART_OF_FOLD.items()})
    frames = torch.from_numpy(np.array(store.frames)).to(device)
    class_of = {s.id: s.targets for s in songs}
    results: dict[Target, TargetResult] = {}
    began = time.monotonic()
    for target in config.targets:
        on_target(target)
        labels = np.array([class_of[i][target] if i in class_of else -1 for i in store.ids], dtype=np.int64)
        epochs = folder / f"epochs.{target}.jsonl"
        if not resume:
            epochs.unlink(missing_ok=True)

        def record(report: EpochReport, log: Path = epochs) -> None:
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dataclasses.asdict(report)) + "\n")
            on_epoch(report)

        result = train_target(
            store,
            frames,
            parts,
            labels,
            target,
            config,
            checkpoint_path=folder / f"checkpoint.{target}.pt",
            resume=resume,
            on_epoch=record,
            on_step=on_step,
        )
        _write_target(folder, target, result, config, store, parts)
        results[target] = result
    environment = {
        "mertag": __version__,
        "torch": torch.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"{platform.machine()} CPU",
        "training_s": f"{time.monotonic() - began:.0f}",
    }
    figures = {
        str(view): {method: metrics.to_json() for method, metrics in by_method.items()}
        for result in results.values()
        for view, by_method in result.metrics.items()
    }
    _write_json(folder / "metrics.json", {"environment": environment, "figures": figures})
    for target in config.targets:
        (folder / f"checkpoint.{target}.pt").unlink(missing_ok=True)
    return results


def _write_target(
    folder: Path,
    target: Target,
    result: TargetResult,
    config: TrainConfig,
    store: LogMelStore,
    parts: Parts,
) -> None:
    weights = {name: value.cpu().contiguous() for name, value in result.network.state_dict().items()}
    save_file(weights, folder / f"network.{target}.safetensors")
    song.save(
        folder / f"song.{target}.npz",
        result.table,
        result.classifier,
        n_classes=len(CLASS_NAMES[target]),
        c=config.song.c,
        seed=config.seed,
    )
    with (folder / f"predictions.{target}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = CLASS_NAMES[target]
        writer.writerow(["song_id", "label", *(f"{m}:{n}" for m in result.probabilities for n in names)])
        for row, index in enumerate(result.songs):
            found = [f"{p:.6f}" for method in result.probabilities.values() for p in method[row]]
            writer.writerow([store.ids[index], names[result.labels[row]], *found])


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
    networks: dict[Target, SegmentNetwork] = {}
    classifiers: dict[Target, Pipeline] = {}
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        with (folder / "split.csv").open(newline="", encoding="utf-8") as file:
            fold_of = {row["song_id"]: row["fold"] for row in csv.DictReader(file)}
        for target in config.targets:
            network = SegmentNetwork(
                config.network.architecture,
                n_classes=len(CLASS_NAMES[target]),
                n_mels=config.front_end.n_mels,
                dropout=config.network.dropout,
            )
            network.load_state_dict(load_file(folder / f"network.{target}.safetensors"))
            networks[target] = network.eval()
            classifiers[target] = song.load(folder / f"song.{target}.npz")[1]
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise TrainingError(f"{folder}: a part of the run cannot be read ({error})") from error
    return Run(
        folder=folder,
        config=config,
        dataset=about["dataset"],
        command=about["command"],
        environment=metrics["environment"],
        metrics=metrics["figures"],
        fold_of=fold_of,
        networks=networks,
        classifiers=classifiers,
    )


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
