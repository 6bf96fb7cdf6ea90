"""The command ``mertag evaluate``: methods on the folds of a data set, and the paper's tables with ours beside them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mertag.cli import console
from mertag.cli.outputs import print_json
from mertag.cli.tag_options import Json
from mertag.emotion import Target
from mertag.errors import ConfigError
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
    device_of,
    durations_of,
    group_of,
    methods_of,
    songs_to_judge,
    split_words,
    targets_to_judge,
    use_threads,
)
from mertag_train.commands.printed import print_sheets, say_what_is_left_out
from mertag_train.commands.recipe import music_without_label, runnable_methods, teacher_targets
from mertag_train.evaluation.methods import METHODS
from mertag_train.evaluation.methods import method as find_method

if TYPE_CHECKING:
    import torch

    from mertag_train.commands.progress import EvaluationProgress
    from mertag_train.data.datasets import Dataset
    from mertag_train.data.folds import Group
    from mertag_train.data.store import LogMelStore
    from mertag_train.data.teacher import TeacherTargets
    from mertag_train.data.unlabelled import Unlabelled
    from mertag_train.evaluation.runner import Surroundings
    from mertag_train.evaluation.sheet import Sheet
    from mertag_train.learn.config import Recipe, TeacherConfig, TrainConfig

OUT = Path("evaluation")
DEFAULT_SEGMENT = {BudgetChoice.full: "3", BudgetChoice.small: "1"}
TABLE_SEGMENTS = "1,2,3,4,5"


def evaluate(
    dataset: Annotated[
        str | None,
        typer.Option(metavar=DATASETS, help="The data set's layout (mertag info --datasets)."),
    ] = None,
    data_dir: DataDir = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="M[,M...]",
            help=f"What to run: {', '.join(METHODS)}, or all. If not given, only report what is there.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="T[,T...]",
            help="quadrant, valence, arousal; if not given, what the table needs, or what the data set was rated for.",
        ),
    ] = None,
    segment: Annotated[
        str | None,
        typer.Option(
            metavar="S[,S...]", help="Segment durations in seconds [default: 3; table 2: 1 to 5; --budget small: 1]"
        ),
    ] = None,
    folds: Annotated[
        int | None, typer.Option(min=2, help="How many folds; if not given, those that are there, else 10.")
    ] = None,
    fold: Annotated[
        str | None,
        typer.Option(metavar="K[,K...]", help="Only these folds, by name (0, 1, ...); the others may run elsewhere."),
    ] = None,
    folds_file: Annotated[
        Path | None, typer.Option(metavar="CSV|official", help="Folds of others (song_id,fold), or eim's own split.")
    ] = None,
    group: Annotated[
        str, typer.Option(metavar="recording|artist", help="What never stands on both sides of a fold.")
    ] = "recording",
    seeds: Annotated[int, typer.Option(min=1, help="Run each fold so often, each time with another seed.")] = 1,
    table: Annotated[
        int | None, typer.Option(min=1, max=3, help="Print this table of the paper, with ours beside it.")
    ] = None,
    shuffle_labels: Annotated[
        bool,
        typer.Option(
            "--shuffle-labels", help="Leak test: shuffle the labels by artist; an honest method then falls to chance."
        ),
    ] = False,
    recipe: Annotated[
        RecipeChoice, typer.Option(help="Where the defaults of the networks come from: our recipe, or the paper's.")
    ] = (RecipeChoice.ours),
    budget: Annotated[
        BudgetChoice, typer.Option(help="small: for machines without a GPU; the same for all methods.")
    ] = (BudgetChoice.full),
    epochs: Epochs = None,
    warm_up: WarmUp = None,
    crops: Crops = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    svm_songs: SvmSongs = None,
    flip_labels: Annotated[
        float,
        typer.Option(min=0.0, max=0.9, metavar="SHARE", help="Give this share of the training songs a wrong label."),
    ] = 0.0,
    splice_segments: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=0.5,
            metavar="SHARE",
            help="Replace this share of each training song by a stretch of one of another class: segments whose label "
            "is wrong. How well they are found is reported.",
        ),
    ] = 0.0,
    embedding_model: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="An ONNX model that embeds audio (VGGish, OpenL3, or any other with a waveform input), for "
            "embedding-svm; if not given, the music taggers that come with mertag.",
        ),
    ] = None,
    teacher: Teacher = None,
    unlabelled: UnlabelledDir = None,
    unlabelled_stretches: UnlabelledStretches = 1,
    unlabelled_in: UnlabelledIn = UnlabelledUse.pre_training,
    scale: Scale = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="V,A",
            help="Ratings at which classes part: two for pmemo, such as 0.5,0.5; one for eim and deam, such as 5. Use "
            "another --out.",
        ),
    ] = None,
    log_mels: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the log-mels here, or use those that are here.")
    ] = None,
    device: Device = TrainDevice.auto,
    threads: Threads = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where everything is kept, a folder for each data set.")] = (
        OUT
    ),
    figures: Annotated[bool, typer.Option(help="Draw confusion matrices and reliability diagrams.")] = True,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure methods by cross-validation, and print the paper's tables with ours beside them.

    Every finished fold is kept in --out: called again, the command goes on where it stopped. Several machines
    may each run some folds (--fold); copy their files into one folder, and call it again to join them.
    """
    from mertag_train.commands.progress import EvaluationProgress
    from mertag_train.data.embedding_model import BUNDLED
    from mertag_train.evaluation import output
    from mertag_train.evaluation.protocol import on_purpose
    from mertag_train.evaluation.report import brief, narrow

    by, embeds = group_of(group), embedding_model or BUNDLED
    if flip_labels and splice_segments:
        raise ConfigError("--flip-labels and --splice-segments are two kinds of wrong labels; give one of them.")
    wrong = on_purpose(shuffled=shuffle_labels, flipped=flip_labels, spliced=splice_segments)
    if dataset is None and (method is not None or table is None):
        raise ConfigError("which data set? Give --dataset; without it, only a --table of what is there can be printed.")
    with answered_interrupts(), EvaluationProgress(quiet=quiet) as progress:
        try:
            if dataset is not None and (method is not None or table == 1):
                songs, store = songs_to_judge(dataset, data_dir, scale, threshold, log_mels)
                progress.note(songs.audio_in_words("audio" if store is None else "log-mels"))
                budgeted = {
                    "budget": budget,
                    "epochs": epochs,
                    "warm_up_epochs": warm_up,
                    "crops_per_clip": crops,
                    "batch_size": batch_size,
                    "learning_rate": learning_rate,
                    "svm_songs": svm_songs,
                }
                methods, recipes = runnable_methods(method, recipe, budgeted, embeds, teacher, progress)
                others = music_without_label(
                    unlabelled if methods else None,
                    songs,
                    recipes.values(),
                    stretches=unlabelled_stretches,
                    use=unlabelled_in,
                    progress=progress,
                )
                _run(
                    out,
                    songs,
                    store,
                    methods=methods,
                    targets=targets_to_judge(target, table, songs),
                    segments_s=durations_of(segment or (TABLE_SEGMENTS if table == 2 else DEFAULT_SEGMENT[budget])),
                    seeds=range(seeds),
                    only=None if fold is None else split_words(fold),
                    table=table,
                    dealing={
                        "group": by,
                        "n_folds": folds,
                        "folds_file": folds_file,
                        "shuffle": shuffle_labels,
                        "flip": flip_labels,
                        "splice": splice_segments,
                    },
                    around=lambda: _surroundings(
                        songs, by, recipes, recipe, log_mels, store, embeds, teacher, others, device, threads, progress
                    ),
                    progress=progress,
                )
            sheets: list[Sheet] = []
            plain: dict[str, Any] = {}
            if dataset is not None and table != 1:
                folder = out / f"{dataset.casefold()}-{by}{wrong}"
                if method is None and not (folder / "results").exists():
                    raise ConfigError(f"nothing was run in {folder}; give --method, and --data-dir for the data set.")
                made = output.make_report(folder)
                written = output.write_report(
                    folder, made, pictures=figures, on_picture=lambda n, of: progress.show("figures", n, of)
                )
                seen = console.stream_is_terminal("stdout")
                sheets = narrow(made.summaries) if seen else [brief(made.summaries)]
                sheets += [made.told_apart] if made.told_apart else []
                plain = made.json
                drawn = f", {folder / output.FIGURES}" if figures else ""
                progress.note(f"written: {written[0].with_suffix('.{json,md,tex}')}{drawn}")
            if table is not None:
                shown_s = durations_of(segment or DEFAULT_SEGMENT[budget])
                sheets = _table(out, table, method, shown_s, group=by, wrong=wrong)
                written = output.write_table(out, table, sheets, wrong=wrong)
                plain = {"table": table, "sheets": [sheet.to_json() for sheet in sheets]}
                progress.note(f"written: {written[0].with_suffix('.{json,md,tex}')}")
                say_what_is_left_out(out, progress, group=by, wrong=wrong, segments_s=shown_s if table == 3 else None)
        except KeyboardInterrupt:
            console.say(f"finished folds are kept in {out}; the same command goes on from there")
            raise
    if json:
        print_json(plain)
    else:
        print_sheets(sheets, quiet=quiet)


def _run(
    out: Path,
    dataset: Dataset,
    store: LogMelStore | None,
    *,
    methods: Sequence[str],
    targets: Sequence[Target],
    segments_s: Sequence[float],
    seeds: Sequence[int],
    only: Sequence[str] | None,
    table: int | None,
    dealing: Mapping[str, Any],
    around: Callable[[], Surroundings],
    progress: EvaluationProgress,
) -> None:
    """Run what is asked for and is not there yet; where segments are used, songs that cannot be heard are left out."""
    from mertag.listen.windows import Segmentation
    from mertag_train.data.heard import heard
    from mertag_train.evaluation import durations, protocol, runner

    if table == 2 and methods and not any(find_method(name).uses_segments for name in methods):
        raise ConfigError(f"table 2 compares segment durations, which {', '.join(methods)} does not use.")
    within = around() if methods else None
    if within is not None and any(find_method(name).uses_segments for name in methods):
        dataset, remarks = heard(dataset, within.log_mels(), Segmentation(duration_s=max(segments_s)))
        for remark in remarks:
            progress.note(remark)
    folder, fixed, dealt, songs = protocol.prepare(out, dataset, targets=targets, **dealing)
    progress.note(f"{dataset.name}: {len(songs)} songs are judged; kept in {folder}")
    for remark in fixed.notes:
        progress.note(f"  {remark}")
    if table == 1:
        measured = durations.measure(songs, store, on_clip=lambda n, of: progress.show("durations", n, of))
        durations.write_durations(folder / durations.FILE, measured)
    chosen = runner.chosen_folds(only, dealt.names)
    tasks = runner.plan(methods, targets=targets, segments_s=segments_s, seeds=seeds, folds=chosen)
    if within is not None and tasks:
        wrong = {target: protocol.wrong_labels(songs, target, fixed.flipped) for target in targets if fixed.flipped}
        runner.run(
            folder,
            fixed,
            dealt,
            tasks,
            dataclasses.replace(within, dataset=dataset, songs=songs, wrong=wrong, splice=fixed.spliced),
            on_task=progress.on_task,
        )


def _surroundings(
    dataset: Dataset,
    group: Group,
    recipes: Mapping[Recipe, TrainConfig],
    recipe: RecipeChoice,
    log_mels: Path | None,
    opened: LogMelStore | None,
    embedding_model: Path,
    teacher: str | None,
    unlabelled: Unlabelled | None,
    device: TrainDevice,
    threads: int | None,
    progress: EvaluationProgress,
) -> Surroundings:
    """Return what all tasks share; log-mels are computed, and frames loaded, when they are first asked for."""
    import platformdirs

    from mertag_train.evaluation.runner import Surroundings

    workers = os.cpu_count() or 1
    chosen, config = device_of(device), recipes[recipe.value]
    use_threads(threads)

    @cache
    def store() -> LogMelStore:
        from mertag_train.data.store import log_mels as log_mels_of

        found = opened or log_mels_of(
            dataset, config.front_end, folder=log_mels, workers=workers, on_clip=progress.on_clip
        )
        return found if unlabelled is None else unlabelled.beside(found)[0]

    @cache
    def frames() -> torch.Tensor:
        from mertag_train.runs.processes import frames_on

        return frames_on(store(), chosen)

    @cache
    def heard(wanted: TeacherConfig) -> TeacherTargets | None:
        return teacher_targets(
            dataset.songs,
            store(),
            wanted,
            teacher,
            unlabelled=unlabelled,
            on_clip=lambda n, of: progress.show("teacher", n, of),
        )

    return Surroundings(
        dataset=dataset,
        songs=dataset.songs,
        group=group,
        config=config,
        recipes=recipes,
        log_mels=store,
        frames=frames,
        device=chosen,
        cache=Path(platformdirs.user_cache_path("mertag")) / "evaluation" / dataset.name,
        embedding_model=embedding_model,
        teacher=heard,
        unlabelled=unlabelled,
        workers=workers,
        on_progress=progress.show,
    )


def _table(out: Path, table: int, method: str | None, shown: Sequence[float], *, group: str, wrong: str) -> list[Sheet]:
    from mertag_train.evaluation import output, tables

    found = output.gather(out, group=group, wrong=wrong)
    if table == 1:
        return tables.table_1(found)
    if table == 2:
        return tables.table_2(found, methods_of(method) or None)
    return [sheet for s in shown for sheet in tables.table_3(found, segment_s=s)]
