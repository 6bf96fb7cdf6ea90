"""What the options of ``mertag train`` and ``mertag evaluate`` mean: the words that a person types, as configuration,
device, data set.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mertag.emotion import Target
from mertag.errors import ConfigError, DeviceError
from mertag_train.data.datasets.base import default_targets
from mertag_train.evaluation.methods import METHODS
from mertag_train.evaluation.methods import method as find_method

if TYPE_CHECKING:
    import torch

    from mertag_train.data.datasets import Dataset
    from mertag_train.data.folds import Group
    from mertag_train.data.store import LogMelStore
    from mertag_train.learn.config import TrainConfig

WITH_RESUME = {
    "resume",
    "data_dir",
    "teacher",
    "unlabelled",
    "log_mels",
    "device",
    "threads",
    "jobs",
    "json",
    "quiet",
}
"""What may be given again when a run goes on: where things lie now, and what trains."""


class RecipeChoice(StrEnum):
    """Which defaults of a training."""

    ours = "ours"
    paper = "paper"


class BudgetChoice(StrEnum):
    """How much work a training may be."""

    full = "full"
    small = "small"


class TrainDevice(StrEnum):
    """What trains."""

    auto = "auto"
    cuda = "cuda"
    cpu = "cpu"


class UnlabelledUse(StrEnum):
    """What music without a label is for."""

    pre_training = "pre-training"
    both = "both"


DATASETS = "pmemo|4q|eim|deam|mtg-jamendo|folder"
"""The readers, for help texts, which import nothing."""
DataDir = Annotated[Path | None, typer.Option(metavar="DIR", help="Its folder; if not given, $MERTAG_DATA/<dataset>.")]
Epochs = Annotated[
    int | None,
    typer.Option(min=1, help="Passes over the training songs, after pre-training; if not given, the recipe's."),
]
WarmUp = Annotated[
    int | None, typer.Option(min=0, help="The first epochs, with inherited labels; if not given, the recipe's.")
]
Crops = Annotated[
    int | None,
    typer.Option(
        min=0, help="Random segments of each clip an epoch; 0: those of a fixed grid. If not given, the recipe's."
    ),
]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Segments a step; if not given, the recipe's.")]
LearningRate = Annotated[
    float | None, typer.Option(min=0.0, help="The schedule's highest rate; if not given, the recipe's.")
]
SvmSongs = Annotated[
    str | None,
    typer.Option(
        metavar="in-sample|cross-fitted|SHARE",
        help="What the song SVM learns from: the network's own songs, all songs by cross-fitting, or a share of "
        "the songs that only it learns from. If not given, the recipe's.",
    ),
]
Teacher = Annotated[
    str | None,
    typer.Option(
        metavar="musicnn|none|FILE",
        help="A music tagger whose outputs are learnt beside the labels: the one that comes with mertag, none, or an "
        "ONNX file (as for mertag evaluate --embedding-model). If not given, the recipe's.",
    ),
]
UnlabelledDir = Annotated[
    Path | None,
    typer.Option(
        "--unlabelled",
        metavar="DIR",
        help="Music without a label, for pre-training by the teacher; it is never judged. Of "
        "each song the 30 s in the middle are heard.",
    ),
]
UnlabelledStretches = Annotated[
    int, typer.Option(min=1, help="Hear up to so many stretches of 30 s, evenly spread, of each song without a label.")
]
UnlabelledIn = Annotated[
    UnlabelledUse,
    typer.Option(help="Where music without a label serves: in pre-training, or (both) in self-learning, too."),
]
Scale = Annotated[
    str | None, typer.Option(metavar="MIN,MAX", help="Scale of the ratings in one's own table (--dataset folder).")
]
Device = Annotated[TrainDevice, typer.Option(help="Where networks are trained. cuda fails if there is none.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; if not given, all cores.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Figures and errors only.")]


def given_options(ctx: typer.Context) -> set[str]:
    """Return the parameters that stand on the command line itself: a setting may be for other runs."""
    sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def settings_to_resume(folder: Path, given: set[str]) -> dict[str, Any]:
    """Return the settings of a run to go on with.

    Raises ConfigError if there is none, it is finished, or an option was given that the run has decided already.
    """
    from mertag_train.runs.run_folder import METRICS, settings

    about = settings(folder)
    if (folder / METRICS).exists():
        raise ConfigError(f"{folder}: the run is finished; export it with `mertag export {shlex.quote(str(folder))}`")
    decided = sorted(f"--{name.replace('_', '-')}" for name in given - WITH_RESUME)
    if decided:
        raise ConfigError(
            f"--resume goes on with the options that the run was begun with; leave out {', '.join(decided)}, "
            "or begin a run of its own"
        )
    return about


def read_dataset(name: str, data_dir: Path | None, options: Mapping[str, Any]) -> Dataset:
    """Read the data set; an option that its reader does not take is a ConfigError."""
    from mertag_train.data.datasets import read

    if "scale" in options and name.casefold() != "folder":
        raise ConfigError(f"--scale is for --dataset folder; the scale of {name} is known")
    return read(name, data_dir, **options)


def targets_of(text: str) -> tuple[Target, ...]:
    """Return the targets that ``--target`` names."""
    try:
        return tuple(Target(name.strip().lower()) for name in text.split(","))
    except ValueError:
        raise ConfigError(f"--target {text!r}: choose quadrant, or valence,arousal") from None


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


def songs_to_judge(
    name: str, data_dir: Path | None, scale: str | None, threshold: str | None, log_mels: Path | None
) -> tuple[Dataset, LogMelStore | None]:
    """Return the data set with the songs that are there: those with audio, or those in a log-mel store."""
    options: dict[str, Any] = {} if scale is None else {"scale": scale_of(scale)}
    songs = read_dataset(name, data_dir, {**options, **thresholds_of(name.casefold(), threshold)})
    if log_mels is None or not (log_mels / "index.json").exists():
        return songs.with_audio(), None
    from mertag_train.data.store import log_mels as log_mels_of
    from mertag_train.learn.config import TrainConfig

    store = log_mels_of(songs, TrainConfig().front_end, folder=log_mels)
    here = frozenset((*store.ids, *store.left_out))
    kept = tuple(song for song in songs.songs if song.id in here)
    if not kept:
        raise ConfigError(f"--log-mels {log_mels}: holds no song of {songs.name}; name the store of this data set.")
    missing = tuple(song.id for song in songs.songs if song.id not in here)
    return dataclasses.replace(songs, songs=kept, missing_audio=missing), store


def thresholds_of(name: str, text: str | None) -> dict[str, float]:
    """Return the ratings at which classes part, as the reader of a data set takes them."""
    if text is None:
        return {}
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if name == "pmemo" and len(values) == 2:
        return {"valence_threshold": values[0], "arousal_threshold": values[1]}
    if name in ("eim", "deam") and len(values) == 1:
        return {"threshold": values[0]}
    raise ConfigError(
        f"--threshold {text}: pmemo takes two, such as 0.5,0.5; eim and deam take one, such as 5; others none."
    )


def methods_of(text: str | None) -> list[str]:
    """Return the names of the methods that were asked for."""
    if text is None:
        return []
    names = list(METHODS) if text.strip() == "all" else split_words(text)
    for name in names:
        if name not in METHODS:
            find_method(name)  # says which there are
    return names


def targets_to_judge(text: str | None, table: int | None, dataset: Dataset) -> list[Target]:
    """Return what is to be predicted: as asked for, else as the table needs, else what the data set was rated for."""
    from mertag_train.evaluation.tables import TABLE_3

    if text is not None:
        try:
            targets = [Target(name.lower()) for name in split_words(text)]
        except ValueError:
            raise ConfigError(f"--target {text}: choose from quadrant, valence, arousal.") from None
    elif table == 2:
        targets = [Target.VALENCE, Target.AROUSAL]
    elif table == 3:
        rows = [row for row in TABLE_3 if row.dataset == dataset.name]
        printed = [t for t in Target if any(any(getattr(row, t.value)) for row in rows)]
        targets = [t for t in printed or Target if t in dataset.targets]
    else:
        targets = list(default_targets(dataset))
    absent = [str(t) for t in targets if t not in dataset.targets]
    if absent:
        raise ConfigError(
            f"{dataset.name} has no {' and no '.join(absent)} labels; it has {', '.join(dataset.targets)}."
        )
    return targets


def durations_of(text: str) -> list[float]:
    """Return segment durations in seconds, from ``1,2,3``."""
    try:
        found = [float(part) for part in split_words(text)]
    except ValueError:
        found = [0.0]
    if not all(0.5 <= s <= 30 for s in found):
        raise ConfigError(f"--segment {text}: give durations from 0.5 to 30 seconds, such as 1,2,3.")
    return found


def group_of(text: str) -> Group:
    """Return what never stands on both sides of a fold."""
    if text == "artist":
        return "artist"
    if text == "recording":
        return "recording"
    raise ConfigError(f"--group {text}: choose recording or artist.")


def split_words(text: str) -> list[str]:
    """Return the words between commas, each once."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
