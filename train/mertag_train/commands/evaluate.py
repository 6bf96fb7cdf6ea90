"""The command ``mertag evaluate``: methods on the folds of a data set, and the paper's tables with ours beside them."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mertag.cli import console
from mertag.emotion import Target
from mertag.errors import ConfigError
from mertag_train.commands.options import (
    BudgetChoice,
    RecipeChoice,
    TrainDevice,
    config_of,
    default_targets,
    device_of,
    read_dataset,
    scale_of,
    use_threads,
)
from mertag_train.evaluation.methods import METHODS
from mertag_train.evaluation.methods import method as find_method

if TYPE_CHECKING:
    import torch

    from mertag_train.commands.progress import EvaluationProgress
    from mertag_train.data.datasets import Dataset
    from mertag_train.data.folds import Group
    from mertag_train.data.store import LogMelStore
    from mertag_train.evaluation.runner import Surroundings
    from mertag_train.evaluation.sheet import Sheet
    from mertag_train.learn.config import Recipe, TrainConfig

OUT = Path("evaluation")
SEGMENT = "3"
DEFAULT_SEGMENT = {BudgetChoice.full: SEGMENT, BudgetChoice.small: "1"}
TABLE_SEGMENTS = "1,2,3,4,5"


def evaluate(
    dataset: Annotated[str | None, typer.Option(metavar="4q|pmemo|eim|folder", help="The data set's layout.")] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Its folder; if not given, $MERTAG_DATA/<dataset>."),
    ] = None,
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
    seeds: Annotated[int, typer.Option(min=1, help="How often, each time with another seed.")] = 1,
    table: Annotated[
        int | None, typer.Option(min=1, max=3, help="Print this table of the paper, with ours beside it.")
    ] = None,
    shuffle_labels: Annotated[
        bool, typer.Option("--shuffle-labels", help="Leak test: shuffle the labels by artist; only chance is right.")
    ] = False,
    recipe: Annotated[RecipeChoice, typer.Option(help="Whose defaults networks are trained with.")] = (
        RecipeChoice.robust
    ),
    budget: Annotated[
        BudgetChoice, typer.Option(help="small: for machines without a GPU; the same for all methods.")
    ] = (BudgetChoice.full),
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes; if not given, the recipe's.")] = None,
    warm_up: Annotated[
        int | None, typer.Option(min=0, help="The first epochs, with inherited labels; if not given, the recipe's.")
    ] = None,
    crops: Annotated[
        int | None, typer.Option(min=0, help="Random segments of each clip an epoch; 0 for all, on the fixed grid.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Segments a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0.0, help="The schedule's highest rate.")] = None,
    svm_songs: Annotated[
        str | None,
        typer.Option(
            metavar="in-sample|cross-fitted|SHARE",
            help="What the song SVM learns from: the network's own songs, all songs by cross-fitting, or a share of "
            "the songs that only it learns from. If not given, the recipe's.",
        ),
    ] = None,
    flip_labels: Annotated[
        float,
        typer.Option(min=0.0, max=0.9, metavar="SHARE", help="Give this share of the training songs a wrong label."),
    ] = 0.0,
    embedding_model: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="An ONNX model that embeds audio (VGGish, OpenL3, or any other with a waveform input), for the "
            "methods whose names begin with embedding.",
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(metavar="MIN,MAX", help="Scale of the ratings in one's own table (--dataset folder)."),
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(metavar="V,A", help="Ratings at which classes part (pmemo; eim takes one). Use another --out."),
    ] = None,
    log_mels: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the log-mels here, or use those that are here.")
    ] = None,
    device: Annotated[TrainDevice, typer.Option(help="What trains. cuda fails if there is none.")] = TrainDevice.auto,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; if not given, all cores.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where everything is kept, a folder for each data set.")] = (
        OUT
    ),
    figures: Annotated[bool, typer.Option(help="Draw confusion matrices and reliability diagrams.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Figures and errors only.")] = False,
) -> None:
    """Measure methods by cross-validation, and print the paper's tables with ours beside them.

    Every finished fold is kept in --out: called again, the command goes on where it stopped. Several machines
    may each run some folds (--fold); copy their files into one folder, and call it again to join them.
    """
    from mertag_train.commands.progress import EvaluationProgress
    from mertag_train.evaluation import output
    from mertag_train.evaluation.protocol import folder_name
    from mertag_train.evaluation.report import brief, narrow

    by = _group(group)
    if dataset is None and (method is not None or table is None):
        raise ConfigError("which data set? Give --dataset; without it, only a --table of what is there can be printed.")
    with EvaluationProgress(quiet=quiet) as progress:
        try:
            if dataset is not None and (method is not None or table == 1):
                songs, store = _songs(dataset, data_dir, scale, threshold, log_mels)
                recipes = _recipes(
                    budget=budget,
                    epochs=epochs,
                    warm_up_epochs=warm_up,
                    crops_per_clip=crops,
                    batch_size=batch_size,
                    learning_rate=learning_rate,
                    svm_songs=svm_songs,
                )
                _run(
                    out,
                    songs,
                    store,
                    recipes,
                    recipe=recipe,
                    methods=_runnable(method, embedding_model, progress),
                    targets=_targets(target, table, songs),
                    segments_s=_durations(segment or (TABLE_SEGMENTS if table == 2 else DEFAULT_SEGMENT[budget])),
                    seeds=range(seeds),
                    n_folds=folds,
                    only=None if fold is None else _split(fold),
                    folds_file=folds_file,
                    group=by,
                    shuffle=shuffle_labels,
                    flip=flip_labels,
                    embedding_model=embedding_model,
                    table=table,
                    log_mels=log_mels,
                    device=device,
                    threads=threads,
                    progress=progress,
                )
            sheets: list[Sheet] = []
            plain: dict[str, Any] = {}
            if dataset is not None and table != 1:
                folder = out / folder_name(dataset.casefold(), by, shuffled=shuffle_labels, flipped=flip_labels)
                _something(folder, method)
                made = output.make_report(folder)
                written = output.write_report(
                    folder, made, pictures=figures, on_picture=lambda n, of: progress.show("figures", n, of)
                )
                seen = console.stream_is_terminal("stdout")
                sheets = narrow(made.summaries) if seen else [brief(made.summaries)]
                plain = made.json
                drawn = f", {folder / output.FIGURES}" if figures else ""
                progress.note(f"written: {written[0].with_suffix('.{json,md,tex}')}{drawn}")
            if table is not None:
                sheets = _table(out, table, method, segment, group=by, shuffled=shuffle_labels)
                written = output.write_table(out, table, sheets)
                plain = {"table": table, "sheets": [sheet.to_json() for sheet in sheets]}
                progress.note(f"written: {written[0].with_suffix('.{json,md,tex}')}")
        except KeyboardInterrupt:
            console.say(f"finished folds are kept in {out}; the same command goes on from there")
            raise
    if as_json:
        console.out(json.dumps(plain, indent=1))
    else:
        _print(sheets, quiet=quiet)


def _run(
    out: Path,
    dataset: Dataset,
    store: LogMelStore | None,
    recipes: Mapping[Recipe, TrainConfig],
    *,
    recipe: RecipeChoice,
    methods: Sequence[str],
    targets: Sequence[Target],
    segments_s: Sequence[float],
    seeds: Sequence[int],
    n_folds: int | None,
    only: Sequence[str] | None,
    folds_file: Path | None,
    group: Group,
    shuffle: bool,
    flip: float,
    embedding_model: Path | None,
    table: int | None,
    log_mels: Path | None,
    device: TrainDevice,
    threads: int | None,
    progress: EvaluationProgress,
) -> None:
    """Run what is asked for and is not there yet."""
    from mertag_train.evaluation import durations, protocol, runner

    if table == 2 and methods and not any(find_method(name).uses_segments for name in methods):
        raise ConfigError(f"table 2 compares segment durations, which {', '.join(methods)} does not use.")
    folder, fixed, dealt, songs = protocol.prepare(
        out, dataset, targets=targets, group=group, n_folds=n_folds, folds_file=folds_file, shuffle=shuffle, flip=flip
    )
    missing = f", {len(dataset.missing_audio)} more are labelled but missing" if dataset.missing_audio else ""
    progress.note(f"{dataset.name}: {len(songs)} songs{missing}; kept in {folder}")
    for remark in fixed.notes:
        progress.note(f"  {remark}")
    if table == 1:
        measured = durations.measure(songs, store, on_clip=lambda n, of: progress.show("durations", n, of))
        durations.write_durations(folder / durations.FILE, measured)
    chosen = runner.chosen_folds(only, dealt.names)
    tasks = runner.plan(methods, targets=targets, segments_s=segments_s, seeds=seeds, folds=chosen)
    if tasks:
        wrong = {target: protocol.wrong_labels(songs, target, flip) for target in targets} if flip else {}
        around = _surroundings(dataset, songs, recipes, recipe, group, log_mels, store, device, threads, progress)
        around = dataclasses.replace(around, wrong=wrong, embedding_model=embedding_model)
        runner.run(folder, fixed, dealt, tasks, around, on_task=progress.on_task)


def _surroundings(
    dataset: Dataset,
    songs: tuple[Any, ...],
    recipes: Mapping[Recipe, TrainConfig],
    recipe: RecipeChoice,
    group: Group,
    log_mels: Path | None,
    opened: LogMelStore | None,
    device: TrainDevice,
    threads: int | None,
    progress: EvaluationProgress,
) -> Surroundings:
    import platformdirs

    from mertag_train.evaluation.runner import Surroundings

    workers = os.cpu_count() or 1
    chosen = device_of(device)
    use_threads(threads)

    @cache
    def store() -> LogMelStore:
        from mertag_train.data.store import log_mels as log_mels_of

        if opened is not None:
            return opened
        return log_mels_of(
            dataset, recipes[recipe.value].front_end, folder=log_mels, workers=workers, on_clip=progress.on_clip
        )

    @cache
    def frames() -> torch.Tensor:
        import numpy as np
        import torch

        return torch.from_numpy(np.array(store().frames)).to(chosen)

    return Surroundings(
        dataset=dataset,
        songs=songs,
        group=group,
        config=recipes[recipe.value],
        recipes=recipes,
        log_mels=store,
        frames=frames,
        device=chosen,
        cache=Path(platformdirs.user_cache_path("mertag")) / "evaluation" / dataset.name,
        workers=workers,
        on_progress=progress.show,
    )


def _songs(
    name: str, data_dir: Path | None, scale: str | None, threshold: str | None, log_mels: Path | None
) -> tuple[Dataset, LogMelStore | None]:
    """Return the data set with the songs that can be heard: those with audio, or those in a log-mel store."""
    options: dict[str, Any] = {} if scale is None else {"scale": scale_of(scale)}
    songs = read_dataset(name, data_dir, {**options, **_thresholds(name.casefold(), threshold)})
    if log_mels is None or not (log_mels / "index.json").exists():
        return songs.with_audio(), None
    from mertag_train.data.store import log_mels as log_mels_of
    from mertag_train.learn.config import TrainConfig

    store = log_mels_of(songs, TrainConfig().front_end, folder=log_mels)
    here = frozenset(store.ids)
    kept = tuple(song for song in songs.songs if song.id in here)
    if not kept:
        raise ConfigError(f"--log-mels {log_mels}: holds no song of {songs.name}; name the store of this data set.")
    missing = tuple(song.id for song in songs.songs if song.id not in here)
    return dataclasses.replace(songs, songs=kept, missing_audio=missing), store


def _thresholds(name: str, text: str | None) -> dict[str, float]:
    if text is None:
        return {}
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if name == "pmemo" and len(values) == 2:
        return {"valence_threshold": values[0], "arousal_threshold": values[1]}
    if name == "eim" and len(values) == 1:
        return {"threshold": values[0]}
    raise ConfigError(f"--threshold {text}: pmemo takes two, such as 0.5,0.5; eim takes one, such as 5; others none.")


def _recipes(**given: Any) -> dict[Recipe, TrainConfig]:
    """Return both recipes with the options that were given: a method may have one of its own."""
    from mertag_train.learn.recipes import RECIPES

    return {name: config_of(base, segment_s=None, **given) for name, base in RECIPES.items() if not base.ensemble}


def _methods(text: str | None) -> list[str]:
    if text is None:
        return []
    names = list(METHODS) if text.strip() == "all" else _split(text)
    for name in names:
        if name not in METHODS:
            find_method(name)  # says which there are
    return names


def _runnable(text: str | None, embedding_model: Path | None, progress: EvaluationProgress) -> list[str]:
    """Return the methods that were asked for; of all, those that lack their embedding model are left out."""
    from mertag_train.evaluation.methods import NeedsModel

    names = _methods(text)
    needing = {name: chosen for name in names if isinstance(chosen := find_method(name), NeedsModel)}
    if needing and embedding_model is None and str(text).strip() == "all":
        progress.note(f"left out, for want of an --embedding-model: {', '.join(needing)}")
        return [name for name in names if name not in needing]
    for chosen in needing.values():
        chosen.model_settings(embedding_model)  # says now, and not after an hour, if there is no such file
    return names


def _targets(text: str | None, table: int | None, dataset: Dataset) -> list[Target]:
    from mertag_train.evaluation.paper import TABLE_3

    if text is not None:
        try:
            targets = [Target(name.lower()) for name in _split(text)]
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


def _durations(text: str) -> list[float]:
    try:
        found = [float(part) for part in _split(text)]
    except ValueError:
        found = [0.0]
    if not all(0.5 <= s <= 30 for s in found):
        raise ConfigError(f"--segment {text}: give durations from 0.5 to 30 seconds, such as 1,2,3.")
    return found


def _group(text: str) -> Group:
    if text == "artist":
        return "artist"
    if text == "recording":
        return "recording"
    raise ConfigError(f"--group {text}: choose recording or artist.")


def _split(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _something(folder: Path, method: str | None) -> None:
    if method is None and not (folder / "results").exists():
        raise ConfigError(f"nothing was run in {folder}; give --method, and --data-dir for the data set.")


def _table(
    out: Path, number: int, method: str | None, segment: str | None, *, group: str, shuffled: bool
) -> list[Sheet]:
    from mertag_train.evaluation import output, tables

    found = output.gather(out, group=group, shuffled=shuffled)
    if number == 1:
        return tables.table_1(found)
    if number == 2:
        return tables.table_2(found, _methods(method) or None)
    return [sheet for s in _durations(segment or SEGMENT) for sheet in tables.table_3(found, segment_s=s)]


def _print(sheets: Sequence[Sheet], *, quiet: bool) -> None:
    """Print tables; on a terminal, wide ones in panels that fit."""
    from mertag_train.evaluation.sheet import panels

    room = console.rich_console().width - 1 if console.stream_is_terminal("stdout") else None
    for sheet in sheets:
        console.say(console.clean(sheet.title))
        # Between two columns there are a line and two spaces.
        for panel in [sheet] if room is None else panels(sheet, room, between=3, fold_heads=True):
            console.table(panel.columns, panel.rows, right=panel.columns[panel.text_columns :])
        for i, note in enumerate(sheet.notes, start=1):
            console.say(console.clean(f"[{i}] {note}"))
        if not quiet:
            for remark in sheet.remarks:
                console.say(console.clean(remark))
