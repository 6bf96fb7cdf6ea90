"""The command ``mertag train``: options in, one run, its figures out."""

from __future__ import annotations

import dataclasses
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mertag.cli import console
from mertag.emotion import Target
from mertag.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    import torch

    from mertag_train.config import TrainConfig
    from mertag_train.datasets import Dataset

RUNS = Path("runs")


class RecipeChoice(StrEnum):
    """Which defaults."""

    robust = "robust"
    paper = "paper"


class TrainDevice(StrEnum):
    """What trains."""

    auto = "auto"
    cuda = "cuda"
    cpu = "cpu"


def train(
    dataset: Annotated[
        str | None,
        typer.Option(metavar="4q|pmemo|eim|folder", help="The data set's layout; needed unless --resume is given."),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Its folder; if not given, $MERTAG_DATA/<dataset>."),
    ] = None,
    target: Annotated[
        str, typer.Option(metavar="quadrant|valence,arousal", help="What is learnt: one head or two.")
    ] = "quadrant",
    recipe: Annotated[RecipeChoice, typer.Option(help="Whose defaults: ours, or the paper's.")] = RecipeChoice.robust,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes; if not given, the recipe's.")] = None,
    crops: Annotated[
        int | None,
        typer.Option(min=0, help="Random segments of each clip an epoch; 0 for all, on the fixed grid."),
    ] = None,
    segment: Annotated[
        float | None, typer.Option(min=0.5, max=30.0, metavar="SECONDS", help="Segment duration.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Segments a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0.0, help="The schedule's highest rate.")] = None,
    group: Annotated[
        str | None,
        typer.Option(metavar="artist|recording", help="What never stands on both sides of the split."),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(metavar="MIN,MAX", help="Scale of the ratings in one's own table (--dataset folder)."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all that is random.")] = 0,
    device: Annotated[TrainDevice, typer.Option(help="What trains. cuda fails if there is none.")] = TrainDevice.auto,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; if not given, all cores.")] = None,
    log_mels: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep the log-mels here, or use those that are here (the audio is then not needed).",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run's folder; if not given, a new one in ./runs.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Go on with an interrupted run; it knows its own options."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Figures and errors only.")] = False,
) -> None:
    """Train a model on a labelled data set.

    The songs are split by artist: the network learns from 70 %, the song classifier from 15 %, and the figures
    that are printed come from the remaining 15 %. Then `mertag export` makes a model bundle of the run.
    """
    from mertag_train import run
    from mertag_train.datasets import read
    from mertag_train.log_mels import log_mels as log_mels_of
    from mertag_train.progress import TrainingProgress

    if resume is not None:
        about = run.settings(resume)
        if (resume / "metrics.json").exists():
            raise ConfigError(f"{resume}: the run is finished; export it with `mertag export {resume}`")
        dataset = dataset or str(about["dataset"]["name"])
        data_dir = data_dir or Path(about["dataset"]["root"])
    if dataset is None:
        raise ConfigError("which data set? Give --dataset, or --resume with the folder of a run")
    chosen = _device(device)
    _use_threads(threads)
    options: dict[str, Any] = {} if scale is None else {"scale": _scale(scale)}
    songs = read(dataset, data_dir, **options)

    from mertag_train.config import RECIPES, TrainConfig

    if resume is not None:
        config = TrainConfig.from_json(about["config"])
    else:
        config = _config(
            RECIPES[recipe.value],
            epochs=epochs,
            crops_per_clip=crops,
            group=group,
            seed=seed,
            targets=_targets(target),
            segment_s=segment,
            batch_size=batch_size,
            learning_rate=learning_rate,
        )
    _check_targets(config, songs)
    with TrainingProgress(quiet=quiet) as progress:
        progress.note(_described(songs))
        store = log_mels_of(
            songs, config.front_end, folder=log_mels, workers=os.cpu_count() or 1, on_clip=progress.on_clip
        )
        folder = resume or out or run.new_folder(RUNS, songs.name, config.recipe)
        if resume is None:
            if folder.exists():
                raise ConfigError(f"{folder} exists; go on with --resume {folder}, or name another --out")
            given = {
                "--target": target if target != "quadrant" else None,
                "--epochs": epochs,
                "--crops": crops,
                "--segment": segment,
                "--batch-size": batch_size,
                "--learning-rate": learning_rate,
                "--group": group,
                "--scale": scale,
            }
            run.begin(folder, songs, store, config, command=_command(songs.name, recipe.value, seed, given))
        progress.note(f"run: {folder} (on {chosen})")
        try:
            results = run.train(
                folder,
                songs,
                store,
                device=chosen,
                resume=resume is not None,
                on_target=progress.on_target,
                on_epoch=progress.on_epoch,
                on_step=progress.on_step,
            )
        except KeyboardInterrupt:
            console.say(f"go on with: mertag train --resume {folder}")
            raise
    console.table(
        ("target", "method", "songs", "accuracy", "95 % interval", "macro-F1", "calibration error"),
        [
            (
                str(view),
                method,
                str(m.n),
                f"{m.accuracy:.3f}",
                f"{m.accuracy_interval[0]:.3f}..{m.accuracy_interval[1]:.3f}",
                f"{m.macro_f1:.3f}",
                f"{m.calibration_error:.3f} (perfect: {m.calibration_error_if_perfect:.3f})",
            )
            for result in results.values()
            for view, methods in result.metrics.items()
            for method, m in methods.items()
        ],
        right=("songs", "accuracy", "macro-F1"),
    )
    console.say(f"next: mertag export {folder}")


def _config(base: TrainConfig, **given: Any) -> TrainConfig:
    """Return a recipe with the options that were given."""
    from mertag.frontend import Segmentation

    segment_s = given.pop("segment_s")
    optimiser = {k: v for k in ("batch_size", "learning_rate") if (v := given.pop(k)) is not None}
    changes = {key: value for key, value in given.items() if value is not None}
    if segment_s is not None:
        changes["segmentation"] = Segmentation(duration_s=segment_s, hop_s=base.segmentation.hop_s)
    return dataclasses.replace(base, optimiser=dataclasses.replace(base.optimiser, **optimiser), **changes)


def _targets(text: str) -> tuple[Target, ...]:
    try:
        return tuple(Target(name.strip().lower()) for name in text.split(","))
    except ValueError:
        raise ConfigError(f"--target {text!r}: choose quadrant, or valence,arousal") from None


def _check_targets(config: TrainConfig, dataset: Dataset) -> None:
    absent = [str(t) for t in config.targets if t not in dataset.targets]
    if absent:
        raise ConfigError(
            f"{dataset.name} has no {' and no '.join(absent)} labels; it has {', '.join(dataset.targets)}"
        )


def _scale(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--scale {text!r}: give the lowest and the highest rating, such as 1,9") from None
    return low, high


def _device(choice: TrainDevice) -> torch.device:
    import torch

    if choice is TrainDevice.cuda and not torch.cuda.is_available():
        raise DeviceError("--device cuda: torch finds no GPU here; train with --device cpu")
    wants = torch.cuda.is_available() if choice is TrainDevice.auto else choice is TrainDevice.cuda
    if wants:
        torch.backends.cudnn.benchmark = True
    return torch.device("cuda" if wants else "cpu")


def _use_threads(threads: int | None) -> None:
    import torch

    if threads is not None:
        torch.set_num_threads(threads)


def _command(dataset: str, recipe: str, seed: int, given: dict[str, object]) -> str:
    """Return the command that would make the run again, without paths of this machine."""
    words = [
        "mertag",
        "train",
        "--dataset",
        dataset,
        "--data-dir",
        "DIR",
        "--recipe",
        recipe,
        "--seed",
        str(seed),
    ]
    for option, value in given.items():
        if value is not None:
            words += [option, str(value)]
    return " ".join(words)


def _described(dataset: Dataset) -> str:
    heard = len(dataset.songs) - len(dataset.missing_audio)
    missing = f", {len(dataset.missing_audio)} more are labelled but have no audio" if dataset.missing_audio else ""
    return f"{dataset.name}: {heard} songs with audio{missing}"
