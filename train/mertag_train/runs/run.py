"""A run: begun with a split of the songs, trained target by target, and measured.

What it leaves on disk is described in `mertag_train.runs.run_folder`. A run that was interrupted goes on after the last
epoch that was finished.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import sklearn
import torch
from torch import Tensor

from mertag._version import __version__
from mertag.emotion import Target
from mertag_train.arrays import Floats32, Ints
from mertag_train.data.datasets import Dataset, Song
from mertag_train.data.folds import Folds, finest_target, load_folds, split
from mertag_train.data.heard import unheard
from mertag_train.data.store import LogMelStore
from mertag_train.data.teacher import TeacherTargets
from mertag_train.data.unlabelled import Unlabelled
from mertag_train.learn.config import TrainConfig
from mertag_train.learn.predict import predict
from mertag_train.measure.metrics import Metrics, coverage, measure, predicted_classes
from mertag_train.networks.vgg import SegmentNetwork
from mertag_train.runs.experiment import (
    CrossValidation,
    NetworkToTrain,
    SongResult,
    cross_validated,
    fit_and_predict,
    networks_to_train,
    train_one,
    trunk_of,
)
from mertag_train.runs.forecast import Forecast, forecast
from mertag_train.runs.processes import frames_on, train_side_by_side
from mertag_train.runs.run_folder import (
    METRICS,
    Run,
    load,
    make_folder,
    new_folder,
    newest,
    refuse_used,
    settings,
    write_json,
    write_target,
)
from mertag_train.runs.watch import DurationLog, EpochLog, StepsOnly
from mertag_train.runs.work import (
    Parts,
    Watcher,
    Watchers,
    Work,
    check_parts,
    groups_of,
    inner_parts,
    labels_of,
    truth_of,
)

__all__ = ["Run", "begin", "load", "new_folder", "newest", "refuse_used", "settings", "train"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetResult:
    """What came of one target.

    The network is in evaluation mode. The metrics are by method, and for the quadrant there are also those of the
    valence and the arousal that follow from it. The cross-validation has the same of the songs that are learnt from,
    where the song classifier learns from cross-fitted probabilities.
    """

    network: SegmentNetwork
    songs: SongResult
    metrics: Mapping[Target, Mapping[str, Metrics]]
    cross_validation: CrossValidation | None


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
    unlabelled: Unlabelled | None = None,
) -> Folds:
    """Make a run's folder, with its configuration and its split.

    The folder must not exist yet, or be empty. The songs that are in both the data set and the store are split. The
    `command` is the one that makes the run, without paths. The data set was read from `root`, where that is not
    `Dataset.root` (a table in a folder), and with the `options`, plain JSON values; `log_mels` is the folder of the
    store, where it was named. Songs that are `unlabelled` are in the store, too.

    Raises
    ------
    ConfigError
        If the folder is there and holds something, or cannot be made.
    DatasetError
        If the songs cannot be split; no folder is made.
    """
    songs = _heard(dataset, store, config)
    by = split_target(dataset, config)
    dealt = split(songs, by, fractions=config.fractions, group=config.group, seed=config.seed)
    for work in _works(dataset, songs, store, dealt, config, unlabelled):
        check_parts(work)
        for inner in work.parts.inner:  # a song classifier is fitted without each of them
            check_parts(replace(work, parts=replace(work.parts, song=np.setdiff1d(work.parts.song, inner))))
    make_folder(
        folder,
        dealt,
        dataset,
        config,
        command=command,
        root=root,
        options=options,
        log_mels=log_mels,
        unlabelled=unlabelled,
    )
    return dealt


def split_target(dataset: Dataset, config: TrainConfig) -> Target:
    """Return the target whose classes a run spreads evenly over its parts."""
    return Target.QUADRANT if config.targets == (Target.QUADRANT,) else finest_target(dataset)


def _heard(dataset: Dataset, store: LogMelStore, config: TrainConfig) -> list[Song]:
    here = set(store.ids) - set(unheard(dataset.songs, store, config.segmentation))
    return [song for song in dataset.songs if song.id in here]


def _works(
    dataset: Dataset,
    songs: Sequence[Song],
    store: LogMelStore,
    dealt: Folds,
    config: TrainConfig,
    unlabelled: Unlabelled | None,
) -> Iterator[Work]:
    """Yield the work of each target; its frames are on the CPU."""
    train, validation, test = (store.index_of(dealt.ids(fold)) for fold in ("train", "validation", "test"))
    held_out = config.song.features == "held_out"
    learnt = frozenset(dealt.ids("train"))
    pseudo_labels = unlabelled is not None and unlabelled.pseudo_labels
    others = unlabelled if config.takes_unlabelled(pseudo_labels=pseudo_labels) else None
    without_label = store.index_of(() if others is None else others.store.ids)
    of_network = [song for song in songs if song.id in learnt]
    for target in config.targets:
        yield Work(
            store=store,
            frames=lambda: frames_on(store, torch.device("cpu")),
            labels=labels_of(songs, store, target),
            groups=groups_of(songs, store, config.group),
            truth=truth_of(of_network, store, target, config, dataset),
            parts=Parts(
                network=train,
                song=validation if held_out else train,
                figures=test,
                inner=inner_parts(of_network, store, target, config),
                unlabelled=without_label,
                pseudo_labels=pseudo_labels,
                shares=(config.fractions[0], config.fractions[1] or config.fractions[0]),
            ),
            target=target,
            config=config,
        )


class RunNetworks:
    """The networks of a target, trained when they are asked for the first time; see `experiment.Predict`.

    The watcher of the work is told, of epochs by the first network only.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._networks = networks_to_train(work)

    @cached_property
    def trunk(self) -> Mapping[str, Tensor] | None:
        """The weights that all networks begin with, trained when asked for the first time; None for random ones."""
        work, one = self._work, trunk_of(self._work)
        if one is None:
            return None
        checkpoint = None if work.folder is None else work.folder / one.checkpoint
        watcher = StepsOnly(work.watcher)
        work.watcher.on_network(0, len(self._networks))
        return train_one(
            work, one, begin_with=None, checkpoint=checkpoint, resume=work.resume, watcher=watcher
        ).state_dict()

    def __call__(self, one: NetworkToTrain, clips: Ints) -> list[Floats32]:
        """Return what a network says of the segments of some clips."""
        work = self._work
        network = self._trained(one) if one.inner else self.model
        return predict(network, work.store, work.frames(), clips, work.config.segmentation)

    @cached_property
    def model(self) -> SegmentNetwork:
        """The one that is kept, in evaluation mode."""
        return self._trained(self._networks[0])

    def _trained(self, one: NetworkToTrain) -> SegmentNetwork:
        work, trunk = self._work, self.trunk
        work.watcher.on_network(one.inner + 1, len(self._networks))
        return train_one(
            work,
            one,
            begin_with=trunk,
            checkpoint=None if work.folder is None else work.folder / one.checkpoint,
            resume=work.resume,
            watcher=_told(work, one, StepsOnly(work.watcher) if one.inner else work.watcher),
        )


def _told(work: Work, one: NetworkToTrain, watcher: Watcher) -> Watcher:
    """Return who is told of one network: `watcher`, and the log of how long its epochs took."""
    if work.folder is None:
        return watcher
    return Watchers(DurationLog(work.folder / durations_name(work.target), one.checkpoint), watcher)


def durations_name(target: Target) -> str:
    """Return the name of the file that has a line of JSON for each epoch of each network: how long it took."""
    return f"durations.{target}.jsonl"


def train(
    folder: Path,
    dataset: Dataset,
    store: LogMelStore,
    *,
    device: torch.device,
    teacher: TeacherTargets | None = None,
    unlabelled: Unlabelled | None = None,
    resume: bool = False,
    watcher: Watcher | None = None,
    jobs: int = 1,
) -> dict[Target, TargetResult]:
    """Train all that a run's configuration asks for, into its folder, which `begin` made.

    With `resume`, it goes on where an interrupted run was: after the last epoch that was finished, target by target. As
    many networks as `jobs` are trained at a time, each in a process of its own. The `teacher` is there if the
    configuration names one, and the songs that are `unlabelled` if the run was begun with them.

    Raises
    ------
    ConfigError
        If there is no run.
    TrainingError, DatasetError
        As `mertag_train.runs.experiment.fit_and_predict` does; and if the split is not that of these songs.
    """
    config = TrainConfig.from_json(settings(folder)["config"])
    songs = _heard(dataset, store, config)
    dealt = load_folds(folder / "split.csv", songs, group=config.group)
    frames = frames_on(store, device)
    told = Watchers(EpochLog(folder), watcher or Watcher())
    results: dict[Target, TargetResult] = {}
    for prepared in _works(dataset, songs, store, dealt, config, unlabelled):
        work = replace(prepared, frames=lambda: frames, folder=folder, resume=resume, watcher=told, teacher=teacher)
        told.on_target(work.target)
        if jobs > 1:
            networks = networks_to_train(work)
            check_parts(work)
            trunk = RunNetworks(work).trunk
            of_first = _told(work, networks[0], told.elsewhere())
            others = [_told(work, one, Watcher()) for one in networks[1:]]
            train_side_by_side(work, networks, [of_first, *others], begin_with=trunk, jobs=jobs)
            work = replace(work, resume=True, watcher=Watcher())
        result = results[work.target] = train_target(work)
        write_target(folder, work, result.network, result.songs, result.cross_validation)
    told.close()
    _write_metrics(folder, config, results, device)
    for left in (*folder.glob("checkpoint.*.pt"), *folder.glob("durations.*")):
        left.unlink()
    return results


def forecasts(
    folder: Path, dataset: Dataset, store: LogMelStore, device: torch.device, unlabelled: Unlabelled | None = None
) -> dict[Target, Forecast]:
    """Return what a run that was begun will train, a forecast for each target, in their order."""
    config = TrainConfig.from_json(settings(folder)["config"])
    songs = _heard(dataset, store, config)
    dealt = load_folds(folder / "split.csv", songs, group=config.group)
    works = _works(dataset, songs, store, dealt, config, unlabelled)
    return {work.target: forecast(work, device) for work in works}


def train_target(work: Work) -> TargetResult:
    """Train and measure one target."""
    networks = RunNetworks(work)
    found = fit_and_predict(work, networks)
    judged = cross_validated(work, found)
    metrics = measure(found.labels, found.probabilities, work.target, seed=work.config.seed)
    return TargetResult(network=networks.model, songs=found, metrics=metrics, cross_validation=judged)


def _write_metrics(
    folder: Path, config: TrainConfig, results: Mapping[Target, TargetResult], device: torch.device
) -> None:
    environment = {
        "mertag": __version__,
        "torch": torch.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"{platform.machine()} CPU",
        "training_s": f"{_training_s(folder, config):.0f}",
    }
    judged = {target: r.cross_validation for target, r in results.items() if r.cross_validation}
    figures, cross_validation = (
        {
            str(view): {method: metrics.to_json() for method, metrics in by_method.items()}
            for of_target in measured
            for view, by_method in of_target.items()
        }
        for measured in ([r.metrics for r in results.values()], [found.metrics for found in judged.values()])
    )
    value: dict[str, Any] = {"environment": environment, "figures": figures, "cross_validation": cross_validation}
    said = {target: found.probabilities["song_classifier"] for target, found in judged.items()}
    value["confidence"] = {
        str(target): coverage(p.max(1), predicted_classes(p) == judged[target].labels) for target, p in said.items()
    }
    write_json(folder / METRICS, value)


def _training_s(folder: Path, config: TrainConfig) -> float:
    """Return how long the epochs of all networks took together, in seconds, whoever trained them and when."""
    logs = [(folder / durations_name(target)).read_text(encoding="utf-8") for target in config.targets]
    return sum(float(json.loads(line)["duration_s"]) for log in logs for line in log.splitlines())
