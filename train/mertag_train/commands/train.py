"""The command ``mertag train``: options in, one run, its figures out."""

from __future__ import annotations

import dataclasses
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mertag.cli import console
from mertag.errors import ConfigError, TrainingError
from mertag_train.commands.options import (
    BudgetChoice,
    TrainDevice,
    TrainRecipe,
    check_targets,
    command_of,
    config_of,
    default_targets,
    device_of,
    given_options,
    read_dataset,
    scale_of,
    settings_to_resume,
    targets_of,
    use_threads,
)

if TYPE_CHECKING:
    from mertag.emotion import Target
    from mertag_train.data.datasets import Dataset
    from mertag_train.learn.trainer import EpochReport

RUNS = Path("runs")


def train(
    ctx: typer.Context,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="4q|pmemo|eim|folder", help="The data set's layout; needed unless --resume is given."),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Its folder; if not given, $MERTAG_DATA/<dataset>."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="quadrant|valence,arousal",
            help="What is learnt: one head or two; if not given, what the data set was rated for: both axes of PMEmo, "
            "else the quadrant where there is one.",
        ),
    ] = None,
    recipe: Annotated[
        TrainRecipe,
        typer.Option(help="Whose defaults: ours, the paper's, or the bundled model's."),
    ] = TrainRecipe.robust,
    budget: Annotated[
        BudgetChoice, typer.Option(help="small: minutes on two CPU cores, for a model that is worth less.")
    ] = BudgetChoice.full,
    learner: Annotated[
        str | None,
        typer.Option(
            metavar="sssl|inherited|soft-labels|elr", help="What is learnt from the labels; if not given, the recipe's."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes; if not given, the recipe's.")] = None,
    warm_up: Annotated[
        int | None, typer.Option(min=0, help="The first epochs, with inherited labels; if not given, the recipe's.")
    ] = None,
    crops: Annotated[
        int | None,
        typer.Option(min=0, help="Random segments of each clip an epoch; 0 for all, on the fixed grid."),
    ] = None,
    segment: Annotated[
        float | None, typer.Option(min=1.0, max=30.0, metavar="SECONDS", help="Segment duration.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Segments a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0.0, help="The schedule's highest rate.")] = None,
    group: Annotated[
        str | None,
        typer.Option(metavar="artist|recording", help="What never stands on both sides of the split."),
    ] = None,
    svm_songs: Annotated[
        str | None,
        typer.Option(
            metavar="in-sample|cross-fitted|SHARE",
            help="What the song SVM learns from: the network's own songs, all songs by cross-fitting, or a share of "
            "the songs that only it learns from. If not given, the recipe's.",
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(metavar="MIN,MAX", help="Scale of the ratings in one's own table (--dataset folder)."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all that is random.")] = 0,
    device: Annotated[TrainDevice, typer.Option(help="What trains. cuda fails if there is none.")] = TrainDevice.auto,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; if not given, all cores.")] = None,
    jobs: Annotated[
        int,
        typer.Option(
            min=1,
            help="Train so many networks at a time, where there are several (ensembles, cross-fitting); on the CPU. "
            "--threads then counts for each.",
        ),
    ] = 1,
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
        typer.Option(
            metavar="RUN", help="Go on with an interrupted run. It knows its options; give none that change it."
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Figures and errors only.")] = False,
) -> None:
    """Train a model on a labelled data set.

    The songs are split by artist: network and song classifier learn from 85 %, and the figures that are printed
    come from the remaining 15 %. Then `mertag export` makes a model bundle of the run.
    """
    from mertag_train.commands.progress import TrainingProgress
    from mertag_train.data.store import log_mels as log_mels_of
    from mertag_train.learn.config import TrainConfig
    from mertag_train.learn.recipes import RECIPES
    from mertag_train.runs import run
    from mertag_train.runs.helpers import Helpers
    from mertag_train.runs.run_figures import RunFigures
    from mertag_train.runs.scalars import Scalars

    options: dict[str, Any] = {}
    if resume is not None:
        about = settings_to_resume(resume, given_options(ctx))
        config = TrainConfig.from_json(about["config"])
        source = about["dataset"]
        dataset, options = source["name"], source.get("options", {})
        data_dir = data_dir or Path(source["root"])
        log_mels = log_mels or (Path(source["log_mels"]) if source.get("log_mels") else None)
    else:
        config = config_of(
            RECIPES[recipe.value],
            budget=budget,
            learner=learner,
            epochs=epochs,
            warm_up_epochs=warm_up,
            crops_per_clip=crops,
            group=group,
            seed=seed,
            targets=None if target is None else targets_of(target),
            segment_s=segment,
            batch_size=batch_size,
            learning_rate=learning_rate,
            svm_songs=svm_songs,
        )
        if scale is not None:
            options["scale"] = scale_of(scale)
        if out is not None:
            run.refuse_used(out)
    if dataset is None:
        raise ConfigError("which data set? Give --dataset, or --resume with the folder of a run")
    chosen = device_of(device)
    if jobs > 1 and chosen.type != "cpu":
        raise ConfigError("--jobs is for the CPU; a GPU trains one network after the other. Or give --device cpu")
    threads = use_threads(threads, jobs)
    songs = read_dataset(dataset, data_dir, options)
    if resume is None and target is None:
        config = dataclasses.replace(config, targets=default_targets(songs))
    check_targets(config, songs)
    with TrainingProgress(quiet=quiet) as progress:
        progress.note(_described(songs))
        store = log_mels_of(
            songs, config.front_end, folder=log_mels, workers=os.cpu_count() or 1, on_clip=progress.on_clip
        )
        progress.note(f"log-mels: {len(store.ids)} songs")
        folder = resume or out or run.new_folder(RUNS, songs.name, config.recipe)
        if resume is None:
            given = {
                "--target": ",".join(config.targets),
                "--budget": None if budget is BudgetChoice.full else budget.value,
                "--learner": learner,
                "--epochs": epochs,
                "--warm-up": warm_up,
                "--crops": crops,
                "--segment": segment,
                "--batch-size": batch_size,
                "--learning-rate": learning_rate,
                "--svm-songs": svm_songs,
                "--group": group,
                "--scale": scale,
            }
            run.begin(
                folder,
                songs,
                store,
                config,
                command=command_of(songs.name, recipe.value, seed, given),
                root=data_dir,
                options=options,
                log_mels=log_mels,
            )
        progress.note(f"run: {folder} (on {chosen})")
        if chosen.type == "cpu" and config.network.width == 1.0 and not config.ensemble:
            progress.note("the full budget is made for a GPU; on a CPU it takes days, and --budget small minutes")
        figures, scalars = RunFigures(folder), Scalars(folder)
        watchers = (progress, figures, scalars)

        def on_target(target: Target) -> None:
            for watcher in watchers:
                watcher.on_target(target)

        def on_epoch(report: EpochReport) -> None:
            for watcher in watchers:
                watcher.on_epoch(report)

        def helpers(target: Target) -> Helpers:
            told = {
                "folder": str(folder),
                "target": str(target),
                "root": str(data_dir or songs.root),
                "log_mels": None if log_mels is None else str(log_mels),
                "threads": threads,
            }
            return Helpers([{**told, "share": (number, jobs)} for number in range(1, jobs)])

        try:
            results = run.train(
                folder,
                songs,
                store,
                device=chosen,
                resume=resume is not None,
                on_target=on_target,
                on_network=progress.on_network,
                on_epoch=on_epoch,
                on_step=progress.on_step,
                helpers=helpers if jobs > 1 else None,
            )
        except KeyboardInterrupt:
            console.say(console.clean(f"go on with: mertag train --resume {shlex.quote(str(folder))}"))
            raise
        except OSError as error:
            again = f"mertag train --resume {shlex.quote(str(folder))}"
            raise TrainingError(f"{folder} cannot be written ({error}); mend that, and go on with: {again}") from error
        finally:
            scalars.close()
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
    if not quiet:
        console.say(console.clean(f"next: mertag export {shlex.quote(str(folder))}"))


def _described(dataset: Dataset) -> str:
    heard = sum(song.path is not None for song in dataset.songs)
    return f"{dataset.name}: {len(dataset.songs)} labelled songs, {heard} of them with audio"
