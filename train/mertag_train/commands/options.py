"""What the options of ``mertag train`` mean: the words that a person types, as configuration, device, data set."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mertag.emotion import Target
from mertag.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    import torch

    from mertag_train.data.datasets import Dataset
    from mertag_train.learn.config import TrainConfig

WITH_RESUME = {"resume", "data_dir", "log_mels", "device", "threads", "jobs", "quiet"}
"""What may be given again when a run goes on: where things lie now, and what trains."""


class RecipeChoice(StrEnum):
    """Which defaults of the paper's method."""

    robust = "robust"
    paper = "paper"


class TrainRecipe(StrEnum):
    """Which defaults of a training."""

    robust = "robust"
    paper = "paper"
    bundled = "bundled"


class BudgetChoice(StrEnum):
    """How much work a training may be."""

    full = "full"
    small = "small"


class TrainDevice(StrEnum):
    """What trains."""

    auto = "auto"
    cuda = "cuda"
    cpu = "cpu"


def given_options(ctx: typer.Context) -> set[str]:
    """Return the parameters that stand on the command line itself: a setting may be for other runs."""
    sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def settings_to_resume(folder: Path, given: set[str]) -> dict[str, Any]:
    """Return the settings of a run to go on with.

    Raises
    ------
    ConfigError
        If there is none, it is finished, or an option was given that the run has decided already.
    """
    from mertag_train.runs import run

    about = run.settings(folder)
    if (folder / "metrics.json").exists():
        raise ConfigError(f"{folder}: the run is finished; export it with `mertag export {shlex.quote(str(folder))}`")
    decided = sorted(f"--{name.replace('_', '-')}" for name in given - WITH_RESUME)
    if decided:
        raise ConfigError(
            f"--resume goes on with the options that the run was begun with; leave out {', '.join(decided)}, "
            "or begin a run of its own"
        )
    return about


def read_dataset(name: str, data_dir: Path | None, options: dict[str, Any]) -> Dataset:
    """Read the data set; an option that its reader does not take is a ConfigError."""
    from mertag_train.data.datasets import read

    if "scale" in options and name.casefold() != "folder":
        raise ConfigError(f"--scale is for --dataset folder; the scale of {name} is known")
    return read(name, data_dir, **options)


def config_of(base: TrainConfig, **given: Any) -> TrainConfig:
    """Return a recipe with the options that were given."""
    from mertag.listen.windows import Segmentation
    from mertag_train.learn.recipes import small

    segment_s, budget = given.pop("segment_s"), given.pop("budget", BudgetChoice.full)
    if budget is BudgetChoice.small:
        base = small(base)
    features = given.pop("svm_songs", None)
    if features is not None:
        base = _with_song_features(base, features)
    _refuse_for_ensemble(base, given)
    optimiser = {k: v for k in ("batch_size", "learning_rate") if (v := given.pop(k)) is not None}
    changes = {key: value for key, value in given.items() if value is not None}
    if segment_s is not None:
        changes["segmentation"] = Segmentation(duration_s=segment_s, hop_s=base.segmentation.hop_s)
    return dataclasses.replace(base, optimiser=dataclasses.replace(base.optimiser, **optimiser), **changes)


def _refuse_for_ensemble(base: TrainConfig, given: Mapping[str, Any]) -> None:
    """Raise ConfigError if an option was given of which each network of an ensemble has its own value."""
    own = {"epochs": "--epochs", "crops_per_clip": "--crops"}
    own |= {"batch_size": "--batch-size", "learning_rate": "--learning-rate"}
    refused = [option for name, option in own.items() if given.get(name) is not None]
    if base.ensemble and refused:
        raise ConfigError(
            f"each network of the recipe {base.recipe} has its own; leave out {', '.join(refused)}, "
            "or take --recipe robust"
        )


def _with_song_features(base: TrainConfig, text: str) -> TrainConfig:
    """Return a recipe whose song classifier learns as ``--svm-songs`` says."""
    network, song, figures = base.fractions
    whole = network + song
    named = {"in-sample": "in_sample", "cross-fitted": "cross_fitted"}
    if text in named:
        features, fractions = named[text], (whole, 0.0, figures)
    else:
        try:
            share = float(text)
        except ValueError:
            share = math.nan
        if not 0 < share < 1:
            raise ConfigError(f"--svm-songs {text}: choose in-sample, cross-fitted, or a share such as 0.15")
        features, fractions = "held_out", (whole * (1 - share), whole * share, figures)
    song_config = dataclasses.replace(base.song, features=features)  # type: ignore[arg-type]  # one of three names
    return dataclasses.replace(base, song=song_config, fractions=fractions)


def targets_of(text: str) -> tuple[Target, ...]:
    """Return the targets that ``--target`` names."""
    try:
        return tuple(Target(name.strip().lower()) for name in text.split(","))
    except ValueError:
        raise ConfigError(f"--target {text!r}: choose quadrant, or valence,arousal") from None


def default_targets(dataset: Dataset) -> tuple[Target, ...]:
    """Return what a data set was rated for: one quadrant head, or a head for each axis.

    PMEmo's songs were rated on two axes, and the paper learns them one by one; its quadrants are only derived.
    """
    if dataset.name == "pmemo" or Target.QUADRANT not in dataset.targets:
        return (Target.VALENCE, Target.AROUSAL)
    return (Target.QUADRANT,)


def check_targets(config: TrainConfig, dataset: Dataset) -> None:
    """Raise ConfigError if the data set has no labels for a target."""
    absent = [str(t) for t in config.targets if t not in dataset.targets]
    if absent:
        raise ConfigError(
            f"{dataset.name} has no {' and no '.join(absent)} labels; it has {', '.join(dataset.targets)}, and a model "
            "is trained on quadrants, or on valence and arousal"
        )


def scale_of(text: str) -> tuple[float, float]:
    """Return the lowest and the highest rating that ``--scale`` names."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--scale {text!r}: give the lowest and the highest rating, such as 1,9") from None
    return low, high


def device_of(choice: TrainDevice) -> torch.device:
    """Return what trains; raise DeviceError if it is not there."""
    import torch

    if choice is TrainDevice.cuda and not torch.cuda.is_available():
        raise DeviceError("--device cuda: torch finds no GPU here; train with --device cpu")
    wants = torch.cuda.is_available() if choice is TrainDevice.auto else choice is TrainDevice.cuda
    if wants:
        torch.backends.cudnn.benchmark = True
    return torch.device("cuda" if wants else "cpu")


def use_threads(threads: int | None, jobs: int = 1) -> int:
    """Have torch use so many CPU threads, or its own choice shared among `jobs`; return how many these are."""
    import torch

    if threads is None and jobs > 1:
        threads = max(1, torch.get_num_threads() // jobs)
    if threads is not None:
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def command_of(dataset: str, recipe: str, seed: int, given: Mapping[str, object]) -> str:
    """Return the command that would make the run again, without paths of this machine."""
    words = f"mertag train --dataset {dataset} --data-dir DIR --recipe {recipe} --seed {seed}".split()
    for option, value in given.items():
        if value is not None:
            words += [option, str(value)]
    return " ".join(words)
