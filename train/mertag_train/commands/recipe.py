"""A recipe with the options that were given: its teacher found, its length fitted to what trains."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mertag.errors import ConfigError
from mertag_train.commands.options import BudgetChoice, RecipeChoice, UnlabelledUse, methods_of
from mertag_train.evaluation.methods import method as find_method

if TYPE_CHECKING:
    from mertag_train.commands.progress import EvaluationProgress, TrainingProgress
    from mertag_train.data.datasets import Dataset, Song
    from mertag_train.data.store import LogMelStore
    from mertag_train.data.teacher import TeacherTargets
    from mertag_train.data.unlabelled import Unlabelled
    from mertag_train.learn.config import Recipe, TeacherConfig, TrainConfig


def config_of(base: TrainConfig, **given: Any) -> TrainConfig:
    """Return a recipe with the options that were given."""
    from mertag.listen.windows import Segmentation
    from mertag_train.learn.recipes import small

    if given.get("learner") == "teacher":
        raise ConfigError("--learner teacher is what pre-training does; choose sssl, inherited, soft-labels or elr")
    segment_s, budget = given.pop("segment_s"), given.pop("budget", BudgetChoice.full)
    if budget is BudgetChoice.small:
        base = small(base)
    features = given.pop("svm_songs", None)
    if features is not None:
        base = _with_song_features(base, features)
    optimiser = {k: v for k in ("batch_size", "learning_rate") if (v := given.pop(k)) is not None}
    changes = {key: value for key, value in given.items() if value is not None}
    if segment_s is not None:
        changes["segmentation"] = Segmentation(duration_s=segment_s, hop_s=base.segmentation.hop_s)
    return dataclasses.replace(base, optimiser=dataclasses.replace(base.optimiser, **optimiser), **changes)


def with_teacher(config: TrainConfig, name: str | None) -> TrainConfig:
    """Return a recipe with a teacher's name (the recipe's own, if None) and the hash of its file.

    Raises ConfigError if there is no such file.
    """
    from mertag_train.data.embedding_model import path_of, sha256_of

    wanted = (config.teacher.name if name is None else name) or "none"
    path = path_of(wanted)
    named = "" if path is None else wanted if wanted == "musicnn" else path.name
    teacher = dataclasses.replace(config.teacher, name=named, sha256="" if path is None else sha256_of(path))
    return dataclasses.replace(config, teacher=teacher)


def music_without_label(
    root: Path | None,
    songs: Dataset,
    configs: Iterable[TrainConfig],
    *,
    stretches: int,
    use: UnlabelledUse,
    progress: TrainingProgress,
) -> Unlabelled | None:
    """Return the songs in a folder, none of which is one of the data set's, and say how many; None without a folder.

    Raises ConfigError if no configuration learns anything from them.
    """
    if root is None:
        return None
    from mertag_train.data.unlabelled import Stretches, unlabelled

    every, pseudo_labels = list(configs), use is UnlabelledUse.both
    if not any(config.takes_unlabelled(pseudo_labels=pseudo_labels) for config in every):
        raise ConfigError(
            f"--unlabelled {root}: nothing is learnt from it by the recipe {every[0].recipe} with these options: "
            "without a teacher, or with --budget small, there is no pre-training; with --unlabelled-in both, "
            "--learner sssl learns from it"
        )
    found = unlabelled(
        root,
        songs.songs,
        every[0].front_end,
        rule=Stretches(count=stretches),
        workers=os.cpu_count() or 1,
        on_clip=progress.on_unlabelled,
    )
    for sentence in found.in_words():
        progress.note(sentence)
    return dataclasses.replace(found, pseudo_labels=pseudo_labels)


def teacher_targets(
    songs: Sequence[Song],
    store: LogMelStore,
    config: TeacherConfig,
    name: str | None,
    *,
    unlabelled: Unlabelled | None = None,
    on_clip: Callable[[int, int], None],
) -> TeacherTargets | None:
    """Return what the teacher says of the store's songs, once a clip; None where the recipe has no teacher.

    The name is the one that was given now, if any. ConfigError is raised if that is not the teacher of the recipe.
    """
    if not config.name:
        return None
    import platformdirs

    from mertag_train.data.embedding_model import EmbeddingModel, path_of
    from mertag_train.data.teacher import hear

    path = path_of(name or config.name)
    if path is None or (model := EmbeddingModel(path)).sha256 != config.sha256:
        raise ConfigError(
            f"--teacher {name or config.name}: not the teacher of this run, {config.name} (SHA-256 "
            f"{config.sha256[:8]}...); give that one"
        )
    cache = Path(platformdirs.user_cache_path("mertag"))
    return hear(songs, store, model, cache=cache, unlabelled=unlabelled, workers=os.cpu_count() or 1, on_clip=on_clip)


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


def runnable_methods(
    text: str | None,
    recipe: RecipeChoice,
    options: Mapping[str, Any],
    embedding_model: Path,
    teacher: str | None,
    progress: EvaluationProgress,
) -> tuple[list[str], dict[Recipe, TrainConfig]]:
    """Return the methods that were asked for, and the recipes that they need, with the options that were given.

    Of all methods, those are left out whose recipe does not take the options.
    """
    from mertag_train.evaluation.methods import NeedsModel
    from mertag_train.learn.recipes import RECIPES

    def made(name: Recipe) -> TrainConfig:
        return with_teacher(config_of(RECIPES[name], segment_s=None, **options), teacher)

    everything = str(text).strip() == "all"
    recipes: dict[Recipe, TrainConfig] = {recipe.value: made(recipe.value)}
    runnable: list[str] = []
    for name in methods_of(text):
        chosen = find_method(name)
        if isinstance(chosen, NeedsModel):
            chosen.model_settings(embedding_model)  # says now, and not after an hour, if there is no such file
        if chosen.recipe is not None and chosen.recipe not in recipes:
            try:
                recipes[chosen.recipe] = made(chosen.recipe)
            except ConfigError as error:
                if not everything:
                    raise
                progress.note(f"left out: {name} ({error})")
                continue
        runnable.append(name)
    return runnable, recipes
