"""A run on disk: all that training leaves, as JSON, CSV, safetensors and plain arrays. Nothing of it is pickled.

::

    runs/4q-robust-20260101-120000/
      run.json                     configuration, data set, command
      split.csv                    which song served what
      epochs.<target>.jsonl        one line an epoch
      losses.<target>.<epoch>.png, curves.<target>.png, tensorboard/
                                   pictures and scalars (`run_figures`, `scalars`), where a person trains
      checkpoint.<target>.pt       while training (see `checkpoint`); removed when it is done
      checkpoint.<target>.<n>.pt, cross-fitted.<target>.<n>.npz
                                   of the networks that only the song classifier needs; likewise
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
import dataclasses
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import sklearn
import torch
from safetensors.torch import save_file

from mertag._version import __version__
from mertag.emotion import CLASS_NAMES, Target
from mertag.errors import ConfigError
from mertag.files import write_whole
from mertag_train.data.datasets import Dataset, Song
from mertag_train.data.folds import Folds, folds, load_folds, save_folds, split
from mertag_train.data.store import LogMelStore
from mertag_train.learn import song
from mertag_train.learn.config import TrainConfig
from mertag_train.learn.trainer import EpochReport, Progress
from mertag_train.measure.metrics import coverage, predicted_classes
from mertag_train.runs.cross_fitting import CrossValidation
from mertag_train.runs.experiment import (
    Parts,
    TargetResult,
    Truth,
    check_parts,
    checkpoint_name,
    durations_name,
    train_share,
    train_target,
)
from mertag_train.runs.helpers import Helpers
from mertag_train.runs.saved_run import SCHEMA, Run, load, newest, settings
from mertag_train.runs.segment_truth import segment_truth

__all__ = ["Run", "begin", "help_to_train", "load", "new_folder", "newest", "refuse_used", "settings", "train"]

PART_OF_FOLD = {"train": "network", "validation": "song", "test": "figures"}


def new_folder(root: Path, dataset: str, recipe: str) -> Path:
    """Return a run folder that does not exist yet: ``<dataset>-<recipe>-<time>``."""
    name = f"{dataset}-{recipe}-{time.strftime('%Y%m%d-%H%M%S')}"
    return next(p for i in range(1000) if not (p := root / (f"{name}-{i}" if i else name)).exists())


def begin(
    folder: Path,
    dataset: Dataset,
    store: LogMelStore,
    config: TrainConfig,
    *,
    command: str,
    root: Path | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
    log_mels: Path | None = None,
) -> Folds:
    """Make a run's folder, with its configuration and its split.

    Parameters
    ----------
    folder : Path
        It must not exist yet, or be empty.
    dataset, store : Dataset, LogMelStore
        Labels and log-mels; the songs that are in both are split.
    config : TrainConfig
        The whole configuration.
    command : str
        The command that makes the run, without paths.
    root : Path or None
        What the data set was read from, where that is not `Dataset.root` (a table in a folder).
    options : mapping
        What else the data set was read with; plain JSON values.
    log_mels : Path or None
        The folder of the store, where it was named.

    Raises
    ------
    ConfigError
        If the folder is there and holds something, or cannot be made.
    DatasetError
        If the songs cannot be split; no folder is made.
    """
    songs = _heard(dataset, store)
    by = Target.QUADRANT if Target.QUADRANT in dataset.targets else config.targets[0]
    parts = split(songs, by, fractions=config.fractions, group=config.group, seed=config.seed)
    for target in config.targets:
        labels = _labels(songs, store, target)
        check_parts(store, _parts(parts, store, songs, target, config), labels, target, config)
    refuse_used(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder}: the run's folder cannot be made ({error.strerror}); name another --out"
        ) from error
    save_folds(parts, folder / "split.csv")
    about = {
        "schema": SCHEMA,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": command,
        "config": config.to_json(),
        "dataset": {
            "name": dataset.name,
            "root": str((root or dataset.root).expanduser().resolve()),
            "options": dict(options),
            "log_mels": None if log_mels is None else str(log_mels.expanduser().resolve()),
            "songs": len(songs),
            "missing_audio": len(dataset.missing_audio),
            "labelling": dataset.labelling,
            "citation": dataset.citation,
        },
    }
    _write_json(folder / "run.json", about)
    return parts


def refuse_used(folder: Path) -> None:
    """Raise ConfigError if something is where a new run shall be."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    hint = f"go on with it (mertag train --resume {folder}), or " if (folder / "run.json").exists() else ""
    raise ConfigError(f"{folder} exists; {hint}name another --out")


def _heard(dataset: Dataset, store: LogMelStore) -> list[Song]:
    here = set(store.ids)
    return [song for song in dataset.songs if song.id in here]


def _parts(dealt: Folds, store: LogMelStore, songs: Sequence[Song], target: Target, config: TrainConfig) -> Parts:
    index = {part: store.index_of(dealt.ids(fold)) for fold, part in PART_OF_FOLD.items()}
    if config.song.features == "held_out":
        return Parts(network=index["network"], song=index["song"], figures=index["figures"])
    both = Parts(network=index["network"], song=index["network"], figures=index["figures"])
    if config.song.features == "in_sample":
        return both
    learnt = frozenset(dealt.ids("train"))
    inner = folds(
        [song for song in songs if song.id in learnt],
        target,
        n=config.song.inner_folds,
        group=config.group,
        seed=config.seed,
    )
    return dataclasses.replace(both, inner=tuple(store.index_of(inner.ids(name)) for name in inner.names))


def _labels(songs: Sequence[Song], store: LogMelStore, target: Target) -> npt.NDArray[np.int64]:
    """Return the class of each clip of the store, shape (n_clips,); -1 for one that is no song of the data set."""
    class_of = {song.id: song.targets[target] for song in songs}
    return np.array([class_of.get(i, -1) for i in store.ids], dtype=np.int64)


Prepared = tuple[Target, Parts, npt.NDArray[np.int64], Truth]


def _prepared(folder: Path, dataset: Dataset, store: LogMelStore) -> tuple[TrainConfig, Iterator[Prepared]]:
    """Return a run's configuration, and of each target its parts, the class of each clip, and of each segment."""
    config = TrainConfig.from_json(settings(folder)["config"])
    songs = _heard(dataset, store)
    dealt = load_folds(folder / "split.csv", songs, group=config.group)
    by_id = {song.id: song for song in songs}

    def of_each() -> Iterator[Prepared]:
        for target in config.targets:

            def truth(clips: npt.NDArray[np.int64], of: Target = target) -> list[npt.NDArray[np.int64]] | None:
                return segment_truth([by_id[store.ids[i]] for i in clips], store, of, config, dataset)

            yield target, _parts(dealt, store, songs, target, config), _labels(songs, store, target), truth

    return config, of_each()


def help_to_train(folder: Path, dataset: Dataset, store: LogMelStore, target: Target, share: tuple[int, int]) -> None:
    """Train a share of a target's networks on the CPU, for `train` to find: what another process does beside it.

    Parameters
    ----------
    folder, dataset, store
        As for `train`.
    target : Target
        Whose networks.
    share : tuple of int
        As for `mertag_train.runs.experiment.train_share`; not the first one, whose epochs are on record.
    """
    config, prepared = _prepared(folder, dataset, store)
    frames = torch.from_numpy(np.array(store.frames))
    for found, parts, labels, truth in prepared:
        if found == target:
            train_share(store, frames, parts, labels, target, config, share, folder=folder, resume=True, truth=truth)


def train(
    folder: Path,
    dataset: Dataset,
    store: LogMelStore,
    *,
    device: torch.device,
    resume: bool = False,
    on_target: Callable[[Target], None] = lambda target: None,
    on_network: Callable[[int, int], None] = lambda number, total: None,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    on_step: Callable[[Progress], None] = lambda progress: None,
    helpers: Callable[[Target], Helpers] | None = None,
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
        Go on where an interrupted run was: after the last epoch that was finished, target by target.
    on_target, on_network, on_epoch, on_step : callables
        Progress; `on_network` is told the number of the network, from 1, and how many there will be.
    helpers : callable or None
        Told a target, returns the processes that train their shares of its networks; `on_network` is then told of the
        share of this process only.

    Returns
    -------
    dict of Target to TargetResult

    Raises
    ------
    ConfigError
        If there is no run.
    TrainingError, DatasetError
        As `mertag_train.runs.experiment.train_target` does; and if the split is not that of these songs.
    """
    config, prepared = _prepared(folder, dataset, store)
    frames = torch.from_numpy(np.array(store.frames)).to(device)
    results: dict[Target, TargetResult] = {}
    for target, parts, labels, truth in prepared:
        on_target(target)
        epochs, checkpoint = folder / f"epochs.{target}.jsonl", folder / checkpoint_name(target, config)
        if not (resume and checkpoint.exists()):
            epochs.unlink(missing_ok=True)

        def record(report: EpochReport, log: Path = epochs) -> None:
            before = log.read_text(encoding="utf-8") if log.exists() else ""
            write_whole(log, before + json.dumps(report.to_json()) + "\n")
            on_epoch(report)

        what = (store, frames, parts, labels, target, config)
        if helpers is not None:
            with helpers(target) as others:
                share = (0, 1 + others.count)

                def watching(progress: Progress, of: Helpers = others) -> None:
                    of.check()  # not only after hours of this process's own share
                    on_step(progress)

                train_share(
                    *what,
                    share,
                    folder=folder,
                    resume=resume,
                    truth=truth,
                    on_network=on_network,
                    on_epoch=record,
                    on_step=watching,
                )
                others.wait()
        result = train_target(
            *what,
            folder=folder,
            resume=resume or helpers is not None,
            truth=truth,
            on_network=on_network if helpers is None else lambda number, total: None,
            on_epoch=record,
            on_step=on_step,
        )
        _write_target(folder, target, result, config, store)
        results[target] = result
    environment = {
        "mertag": __version__,
        "torch": torch.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"{platform.machine()} CPU",
        "training_s": f"{_training_s(folder, config):.0f}",
    }
    validated = [r.cross_validation.metrics for r in results.values() if r.cross_validation]
    figures, cross_validation = (
        {
            str(view): {method: metrics.to_json() for method, metrics in by_method.items()}
            for of_target in found
            for view, by_method in of_target.items()
        }
        for found in ([r.metrics for r in results.values()], validated)
    )
    measured: dict[str, Any] = {"environment": environment, "figures": figures, "cross_validation": cross_validation}
    measured["confidence"] = {
        str(target): coverage(*_confidence(r.cross_validation))
        for target, r in results.items()
        if r.cross_validation is not None
    }
    _write_json(folder / "metrics.json", measured)
    for left in (*folder.glob("checkpoint.*.pt"), *folder.glob("cross-fitted.*.npz"), *folder.glob("durations.*")):
        left.unlink()
    return results


def _confidence(judged: CrossValidation) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return how sure the song classifier was of each song that it was not fitted on, and whether it was right."""
    said = judged.probabilities["song_classifier"]
    return said.max(1), predicted_classes(said) == judged.labels


def _training_s(folder: Path, config: TrainConfig) -> float:
    """Return how long the epochs of all networks took together, in seconds, whoever trained them and when."""
    logs = [(folder / durations_name(target)).read_text(encoding="utf-8") for target in config.targets]
    return sum(float(json.loads(line)["duration_s"]) for log in logs for line in log.splitlines())


def _write_target(
    folder: Path,
    target: Target,
    result: TargetResult,
    config: TrainConfig,
    store: LogMelStore,
) -> None:
    weights = {name: value.cpu().contiguous() for name, value in result.network.state_dict().items()}
    save_file(weights, folder / f"network.{target}.safetensors")
    song.save(
        folder / f"song.{target}.npz",
        result.table,
        result.classifier,
        n_classes=len(CLASS_NAMES[target]),
        c=config.song.c,
        kind=config.song.classifier,
        seed=config.seed,
    )
    names = CLASS_NAMES[target]
    _write_predictions(
        folder / f"predictions.{target}.csv", result.songs, result.labels, result.probabilities, names, store
    )
    if (judged := result.cross_validation) is not None:
        place = folder / f"cross-validation.{target}.csv"
        _write_predictions(place, judged.songs, judged.labels, judged.probabilities, names, store)


def _write_predictions(
    path: Path,
    songs: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    probabilities: Mapping[str, npt.NDArray[np.float64]],
    names: Sequence[str],
    store: LogMelStore,
) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["song_id", "label", *(f"{m}:{n}" for m in probabilities for n in names)])
        for row, index in enumerate(songs):
            found = [f"{p:.6f}" for method in probabilities.values() for p in method[row]]
            writer.writerow([store.ids[index], names[labels[row]], *found])


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    write_whole(path, json.dumps(value, indent=2) + "\n")
