"""The command ``mertag train``: options in, one run, its figures out."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mertag.cli import console
from mertag.cli.outputs import print_json
from mertag.cli.tag_options import Json
from mertag.emotion import Target
from mertag.errors import ConfigError, DatasetError, TrainingError
from mertag.files import path_text
from mertag.library.records import path_fields
from mertag_train.commands.interrupts import answered_interrupts
from mertag_train.commands.options import (
    DATASETS,
    BatchSize,
    BudgetChoice,
    Crops,
    DataDir,
    Device,
    Epochs,
    LearningRate,
    Quiet,
    RecipeChoice,
    Scale,
    SvmSongs,
    Teacher,
    Threads,
    TrainDevice,
    UnlabelledDir,
    UnlabelledIn,
    UnlabelledStretches,
    UnlabelledUse,
    WarmUp,
    check_targets,
    command_of,
    device_of,
    given_options,
    read_dataset,
    scale_of,
    settings_to_resume,
    targets_of,
    use_threads,
)
from mertag_train.commands.printed import print_sheets
from mertag_train.commands.recipe import config_of, music_without_label, teacher_targets, with_teacher
from mertag_train.data.datasets.base import default_targets

if TYPE_CHECKING:
    from mertag_train.commands.progress import TrainingProgress
    from mertag_train.data.datasets import Dataset
    from mertag_train.data.store import LogMelStore
    from mertag_train.data.unlabelled import Unlabelled
    from mertag_train.learn.config import TrainConfig
    from mertag_train.runs.run import TargetResult

RUNS = Path("runs")


def train(
    ctx: typer.Context,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar=DATASETS,
            help="The data set's layout (mertag info --datasets); needed unless --resume is given.",
        ),
    ] = None,
    data_dir: DataDir = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="quadrant|valence,arousal",
            help="What is learnt: one head or two; if not given, what the data set was rated for: both axes of PMEmo, "
            "else the quadrant where there is one.",
        ),
    ] = None,
    recipe: Annotated[
        RecipeChoice,
        typer.Option(help="Where all defaults come from: our recipe, or the paper's."),
    ] = RecipeChoice.ours,
    budget: Annotated[
        BudgetChoice, typer.Option(help="small: minutes on two CPU cores, for a model that is worth less.")
    ] = BudgetChoice.full,
    learner: Annotated[
        str | None,
        typer.Option(
            metavar="sssl|inherited|soft-labels|elr", help="What is learnt from the labels; if not given, the recipe's."
        ),
    ] = None,
    epochs: Epochs = None,
    warm_up: WarmUp = None,
    crops: Crops = None,
    segment: Annotated[
        float | None,
        typer.Option(min=1.0, max=30.0, metavar="SECONDS", help="Segment duration; if not given, the recipe's."),
    ] = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="artist|recording", help="What never stands on both sides of the split; if not given, artist."
        ),
    ] = None,
    svm_songs: SvmSongs = None,
    scale: Scale = None,
    teacher: Teacher = None,
    unlabelled: UnlabelledDir = None,
    unlabelled_stretches: UnlabelledStretches = 1,
    unlabelled_in: UnlabelledIn = UnlabelledUse.pre_training,
    seed: Annotated[int, typer.Option(help="Seed of all that is random.")] = 0,
    device: Device = TrainDevice.auto,
    threads: Threads = None,
    jobs: Annotated[
        int,
        typer.Option(
            min=1,
            help="Train so many networks at a time, where there are several (cross-fitting), each in a process of its "
            "own. --threads then counts for each.",
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
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on a labelled data set.

    The songs are split by artist, where artists are known: network and song classifier learn from 90 % (85 % with the
    paper's recipe), and the figures that are printed come from the others. Then `mertag export` makes a model bundle
    of the run.
    """
    from mertag_train.commands.figures import at_chance, figures, split_in_words, training_in_words
    from mertag_train.commands.progress import TrainingProgress
    from mertag_train.data.heard import heard
    from mertag_train.data.store import INDEX
    from mertag_train.data.store import log_mels as log_mels_of
    from mertag_train.learn.recipes import RECIPES, on_cpu
    from mertag_train.runs import run

    chosen = device_of(device)
    if resume is not None:
        plan = _resumed(resume, given_options(ctx), data_dir, log_mels, unlabelled)
    else:
        base = RECIPES[recipe.value]
        if chosen.type == "cpu" and budget is BudgetChoice.full:
            base = on_cpu(base)
        config = config_of(
            base,
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
        config = with_teacher(config, teacher)
        options = {} if scale is None else {"scale": scale_of(scale)}
        plan = _Plan(
            config=config,
            dataset=dataset,
            options=options,
            data_dir=data_dir,
            log_mels=log_mels,
            unlabelled=unlabelled,
            stretches=unlabelled_stretches,
            use=unlabelled_in,
        )
        if out is not None:
            run.refuse_used(out)
    if plan.dataset is None:
        raise ConfigError("which data set? Give --dataset, or --resume with the folder of a run")
    use_threads(threads, jobs)
    songs = read_dataset(plan.dataset, plan.data_dir, plan.options)
    config = plan.config
    if resume is None and target is None:
        config = dataclasses.replace(config, targets=default_targets(songs))
    check_targets(config, songs)
    with answered_interrupts(), TrainingProgress(quiet=quiet) as progress:
        progress.note(songs.audio_in_words())
        if resume is None and not (plan.log_mels and (plan.log_mels / INDEX).exists()):
            _check_split(songs, config)  # now, not after an hour of decoding
        store = log_mels_of(
            songs, config.front_end, folder=plan.log_mels, workers=os.cpu_count() or 1, on_clip=progress.on_clip
        )
        progress.note(f"log-mels: {len(store.ids)} songs")
        others = music_without_label(
            plan.unlabelled, songs, [config], stretches=plan.stretches, use=plan.use, progress=progress
        )
        if others is not None:
            _refuse_other_music(others, plan.known_music)
            store, _ = others.beside(store)
        songs, remarks = heard(songs, store, config.segmentation)
        for remark in remarks:
            progress.note(remark)
        targets = teacher_targets(
            songs.songs, store, config.teacher, teacher, unlabelled=others, on_clip=progress.on_heard
        )
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
                "--teacher": None if teacher is None else config.teacher.name or "none",
                "--unlabelled": None if unlabelled is None else "DIR",
                "--unlabelled-stretches": None if unlabelled_stretches == 1 else unlabelled_stretches,
                "--unlabelled-in": None if unlabelled is None else unlabelled_in.value,
                "--group": group,
                "--scale": scale,
            }
            dealt = run.begin(
                folder,
                songs,
                store,
                config,
                command=command_of(songs.name, recipe.value, seed, given),
                root=plan.data_dir,
                options=plan.options,
                log_mels=plan.log_mels,
                unlabelled=others,
            )
            progress.note(split_in_words({name: dealt.ids(name) for name in dealt.names}, songs, config.group))
        progress.note(f"run: {folder} (on {chosen})")
        forecasts = run.forecasts(folder, songs, store, chosen, others)
        progress.expect(forecasts)
        progress.note(training_in_words(config, list(forecasts.values()), jobs=jobs))
        how = {"device": chosen, "teacher": targets, "unlabelled": others, "resume": resume is not None, "jobs": jobs}
        results = _trained(folder, songs, store, progress, **how)
    doubtful = at_chance(results, config)
    following = f"mertag export {shlex.quote(str(folder))}{' --force' if doubtful else ''}"
    if json:
        finished = run.load(folder)
        figures_of = {"metrics": finished.metrics, "cross_validation": finished.cross_validation}
        print_json({**path_fields(folder), **figures_of, "at_chance": doubtful, "next": path_text(following)})
    else:
        print_sheets([figures(results, songs, folder)], quiet=quiet)
    if not quiet:
        for sentence in doubtful:
            console.warn(sentence)
        console.say(console.clean(f"next: {following}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is trained on what: as the options say, or as the run that goes on."""

    config: TrainConfig
    dataset: str | None
    options: Mapping[str, Any]
    data_dir: Path | None
    log_mels: Path | None
    unlabelled: Path | None
    stretches: int
    use: UnlabelledUse
    known_music: Mapping[str, Any] | None = None


def _resumed(
    folder: Path, given: set[str], data_dir: Path | None, log_mels: Path | None, unlabelled: Path | None
) -> _Plan:
    from mertag_train.learn.config import TrainConfig

    about = settings_to_resume(folder, given)
    source, music = about["dataset"], about.get("unlabelled")
    if music is None and unlabelled is not None:
        raise ConfigError(f"--unlabelled {unlabelled}: the run was begun without such music; leave it out")
    return _Plan(
        config=TrainConfig.from_json(about["config"]),
        dataset=source["name"],
        options=source.get("options", {}),
        data_dir=data_dir or Path(source["root"]),
        log_mels=log_mels or (Path(source["log_mels"]) if source.get("log_mels") else None),
        unlabelled=None if music is None else unlabelled or Path(music["root"]),
        stretches=1 if music is None else music["count"],
        use=UnlabelledUse.both if music is None or music.get("pseudo_labels") else UnlabelledUse.pre_training,
        known_music=music,
    )


def _refuse_other_music(found: Unlabelled, known: Mapping[str, Any] | None) -> None:
    """Raise ConfigError if a run that goes on was begun with other music without a label."""
    if known is not None and found.fingerprint != known["sha256"]:
        raise ConfigError(
            f"--unlabelled {found.root}: not the music that the run was begun with ({known['stretches']} stretches "
            f"there, {len(found.store.ids)} here, or others); give that one, or begin a run of its own"
        )


def _check_split(songs: Dataset, config: TrainConfig) -> None:
    """Raise DatasetError if the songs cannot be split; where audio is missing, that is said first."""
    from mertag_train.data.folds import split
    from mertag_train.runs.run import split_target

    try:
        split(
            songs.with_audio().songs,
            split_target(songs, config),
            fractions=config.fractions,
            group=config.group,
            seed=config.seed,
        )
    except DatasetError as error:
        raise songs.because_of_audio(error) from error


def _trained(
    folder: Path, dataset: Dataset, store: LogMelStore, progress: TrainingProgress, **how: Any
) -> Mapping[Target, TargetResult]:
    """Train a run; an error or an interruption says how to go on."""
    from mertag_train.runs import run
    from mertag_train.runs.song_picture import SongPicture
    from mertag_train.runs.watch import RunFigures, Scalars
    from mertag_train.runs.work import Watchers

    watcher = Watchers(progress, RunFigures(folder), SongPicture(folder), Scalars(folder))
    again = f"go on with: mertag train --resume {shlex.quote(str(folder))}"
    try:
        return run.train(folder, dataset, store, watcher=watcher, **how)
    except KeyboardInterrupt:
        console.say(console.clean(again))
        raise
    except OSError as error:
        raise TrainingError(f"{folder} cannot be written ({error}); mend that, and {again}") from error
    finally:
        watcher.close()
