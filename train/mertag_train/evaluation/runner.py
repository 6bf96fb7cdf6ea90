"""Runs methods on folds, one task after the other, and keeps each as soon as it is done."""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mertag._version import __version__
from mertag.emotion import Target
from mertag.errors import ConfigError, DatasetError
from mertag.files import json_digest
from mertag.listen.windows import Segmentation
from mertag_train.data.datasets.base import Song
from mertag_train.data.folds import Folds, Group
from mertag_train.evaluation.methods import Context, Fold, Method, NeedsModel, method
from mertag_train.evaluation.methods.base import Shared
from mertag_train.evaluation.protocol import Protocol
from mertag_train.evaluation.results import (
    Result,
    Task,
    difference,
    read_result,
    shape_fault,
    without_seed,
    write_result,
)
from mertag_train.evaluation.splicing import SplicedFolds, refuse_unspliced

if TYPE_CHECKING:
    from mertag_train.learn.config import Recipe, TrainConfig

PACKAGES = ("torch", "scikit-learn", "librosa", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings(Shared):
    """What every task shares, and what its own settings are made of.

    Attributes
    ----------
    songs : tuple of Song
        With the classes that are judged.
    config : TrainConfig
        Settings of methods that have no recipe of their own.
    recipes : mapping of str to TrainConfig
        Settings of those that have one (`mertag_train.evaluation.methods.Method.recipe`).
    own : mapping of str to Method
        Methods by name that are not in the registry.
    wrong : mapping of str to mapping
        Other classes by target and song id, given on purpose: they are learnt from, never judged by.
    splice : float
        Share of each training song that is spliced in from one of another class on purpose.
    """

    songs: tuple[Song, ...]
    group: Group
    config: TrainConfig
    recipes: Mapping[Recipe, TrainConfig]
    own: Mapping[str, Method] = field(default_factory=dict)
    wrong: Mapping[Target, Mapping[str, int]] = field(default_factory=dict)
    splice: float = 0.0

    def method(self, name: str) -> Method:
        """Return the method of a name; ConfigError if there is none."""
        return self.own.get(name) or method(name)


def plan(
    methods: Sequence[str | Method],
    *,
    targets: Sequence[Target],
    segments_s: Sequence[float],
    seeds: Sequence[int],
    folds: Sequence[str],
) -> list[Task]:
    """Return the tasks, those that may share a network next to each other, and none twice.

    A method that does not use segments stands there once and not once a duration; one in which nothing is random,
    with the first seed only. ConfigError is raised if there is no such method.
    """
    known = [each if isinstance(each, Method) else method(each) for each in methods]
    tasks = (
        Task(
            method=each.name,
            target=target,
            segment_s=segment_s if each.uses_segments else None,
            seed=seed if each.uses_seed else seeds[0],
            fold=fold,
        )
        for target, segment_s, seed, fold, each in product(targets, segments_s, seeds, folds, known)
    )
    return list(dict.fromkeys(tasks))


def chosen_folds(asked: Sequence[str] | None, names: Sequence[str]) -> tuple[str, ...]:
    """Return the folds that were asked for, all if none were; raise ConfigError for one that is not there."""
    absent = [name for name in asked or () if name not in names]
    if absent:
        raise ConfigError(f"--fold {absent[0]}: the folds are {', '.join(names)}.")
    return tuple(name for name in names if asked is None or name in asked)


def task_config(around: Surroundings, task: Task) -> TrainConfig:
    """Return the settings of one task: those of its method's recipe, with its seed, duration and the grouping."""
    recipe = around.method(task.method).recipe
    config = around.config if recipe is None else around.recipes[recipe]
    cut = config.segmentation
    if task.segment_s is not None:
        cut = Segmentation(duration_s=task.segment_s, hop_s=cut.hop_s)
    return dataclasses.replace(config, segmentation=cut, seed=task.seed, group=around.group)


def settings_of(around: Surroundings, task: Task) -> Mapping[str, Any]:
    """Return everything that a task's result depends on, as its method says it.

    ConfigError is raised if the method needs an embedding model and there is none.
    """
    chosen = around.method(task.method)
    config = task_config(around, task)
    found = dict(chosen.settings(config))
    if isinstance(chosen, NeedsModel):
        found |= chosen.model_settings(around.embedding_model)
    music = around.unlabelled
    if music is not None and chosen.learns_without_labels(config, pseudo_labels=music.pseudo_labels):
        found["unlabelled"] = music.to_json()
    if around.splice:
        found["spliced"] = around.splice
    return found


def run(
    folder: Path,
    protocol: Protocol,
    dealt: Folds,
    tasks: Sequence[Task],
    around: Surroundings,
    *,
    on_task: Callable[[int, int, Result, bool], None] = lambda done, total, result, kept: None,
) -> None:
    """Run the tasks that are not done yet.

    Parameters
    ----------
    folder, protocol, dealt
        What `prepare` gave.
    tasks, around
        What `plan` gave, and what they share.
    on_task : callable
        Told ``(done, total, result, kept)`` after each; `kept` if it was on disk already.

    Raises
    ------
    ConfigError
        If a task is on disk with other settings.
    MertagError
        What a method raises; all tasks before it are kept.
    """
    # What is there is checked before anything is computed: a mismatch must not come up after a night's work.
    if around.splice:
        refuse_unspliced([around.method(name) for name in dict.fromkeys(task.method for task in tasks)])
    spliced = SplicedFolds(around, around.splice) if around.splice else None
    there = {task: _kept(folder, protocol, task, around) for task in tasks if task.path(folder).exists()}
    environment = environment_of(str(around.device))
    for done, task in enumerate(tasks, start=1):
        result = there.get(task)
        if result is None:
            result = _run_one(folder, dealt, task, around, environment, spliced)
            write_result(folder, protocol, result)
        on_task(done, len(tasks), result, task in there)


def _kept(folder: Path, protocol: Protocol, task: Task, around: Surroundings) -> Result:
    path = task.path(folder)
    result = read_result(path, folder, protocol)
    wanted = without_seed(settings_of(around, task))
    if json_digest(wanted) != json_digest(result.settings):
        raise ConfigError(
            f"{path}: made with other settings: {difference(result.settings, wanted)}. "
            "Give the same options, name another --out, or delete the file."
        )
    return result


def _run_one(
    folder: Path,
    dealt: Folds,
    task: Task,
    around: Surroundings,
    environment: dict[str, str],
    spliced: SplicedFolds | None,
) -> Result:
    began = time.monotonic()
    by_id = {song.id: song for song in around.songs}
    train = tuple(by_id[i] for i in dealt.others(task.fold))
    wrong = around.wrong.get(task.target, {})
    fold = Fold(
        name=task.fold,
        target=task.target,
        train=tuple(
            dataclasses.replace(s, targets={**s.targets, task.target: wrong[s.id]}) if s.id in wrong else s
            for s in train
        ),
        test=tuple(by_id[i] for i in dealt.ids(task.fold)),
        seed=task.seed,
        group=around.group,
        truth={song.id: song.targets[task.target] for song in train} if wrong else None,
    )
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    around.cache.mkdir(parents=True, exist_ok=True)
    here, made = (around, None) if spliced is None else spliced.around(fold)
    shared = {each.name: getattr(here, each.name) for each in dataclasses.fields(Shared)}
    context = Context(**shared, config=task_config(around, task), work=work, spliced=made)
    found = around.method(task.method).predict(fold, context)
    if found.song_ids != fold.test_ids:
        raise DatasetError(f"method {task.method!r} did not predict every song of fold {fold.name!r}, in order")
    probabilities = np.asarray(found.probabilities, dtype=np.float64)
    fault = shape_fault(probabilities, len(fold.test), fold.n_classes)
    if fault:
        raise DatasetError(f"method {task.method!r}, fold {fold.name!r}: it gave {fault}")
    return Result(
        task=task,
        song_ids=found.song_ids,
        labels=np.array([song.targets[task.target] for song in fold.test], dtype=np.int64),
        probabilities=probabilities,
        settings=without_seed(settings_of(around, task)),
        diagnostics=found.diagnostics,
        epochs=tuple(found.epochs),
        environment=environment,
        elapsed_s=time.monotonic() - began,
        songs_per_s=found.songs_per_s,
    )


def environment_of(device: str) -> dict[str, str]:
    """Return the versions of what figures may depend on, and the device."""
    found = {"mertag": __version__, "python": platform.python_version(), "machine": platform.machine()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):  # librosa is absent where training runs from saved log-mels
            found[package] = version(package)
    return {**found, "device": device}
