"""From segments to songs: what every method that trains a segment network does behind it.

A rule looks at each song alone. The song classifier (a support vector machine) learns from segment probabilities of
training songs: of those that the network learnt from, of songs that it has not seen, or of all, each seen by a
network that was trained without it (`SongConfig.features`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mertag.emotion import CLASS_NAMES
from mertag.errors import DatasetError
from mertag_train.data.datasets.base import Song
from mertag_train.data.folds import bound_groups, folds, split
from mertag_train.evaluation.methods.base import Context, Fold, Predictions
from mertag_train.evaluation.methods.networks import Floats, SegmentOutputs, segment_outputs

if TYPE_CHECKING:
    from mertag_train.learn.config import Recipe, TrainConfig

Rule = Callable[[npt.ArrayLike], npt.NDArray[np.float64]]

MIN_GROUPS = 2
VERSION = 2
"""To be raised when the same settings come to mean something else, so that old results are not mixed with new."""

RECORDED = ("clean_share", "right_share", "partition_auroc", "clean_precision")
"""Of the last epoch, what stands beside a result."""


def settings(config: TrainConfig) -> Mapping[str, Any]:
    """Return the settings of a method that trains a network."""
    return {"version": VERSION, "config": config.to_json()}


def song_share(config: TrainConfig) -> float:
    """Return which share of a fold's training songs only the song classifier learns from (`TrainConfig.fractions`)."""
    network, song, _ = config.fractions
    return song / (network + song)


def network_songs(fold: Fold, config: TrainConfig) -> tuple[tuple[Song, ...], tuple[Song, ...]]:
    """Return the training songs that the network, and those that the song classifier learns from.

    Where the song classifier learns from held-out songs, the two are apart by class-stratified groups, as the folds
    are; otherwise both learn from all.
    """
    if config.song.features != "held_out":
        return fold.train, fold.train
    share = song_share(config)
    parts = split(fold.train, fold.target, fractions=(1 - share, share, 0.0), group=fold.group, seed=fold.seed)
    part_of = parts.fold_of
    return (
        tuple(song for song in fold.train if part_of[song.id] == "train"),
        tuple(song for song in fold.train if part_of[song.id] == "validation"),
    )


def by_rule(fold: Fold, context: Context, config: TrainConfig, rule: Rule) -> Predictions:
    """Return the predictions of a rule that looks at the segments of each song alone."""
    outputs = segment_outputs(fold, context, config, network_songs(fold, config)[0])
    segments, _ = outputs.of(fold.test)
    return Predictions(
        song_ids=fold.test_ids,
        probabilities=np.stack([rule(p) for p in segments]),
        diagnostics=_diagnostics(outputs, segments),
    )


def by_song_svm(fold: Fold, context: Context, config: TrainConfig) -> Predictions:
    """Return the predictions of the song classifier.

    Raises
    ------
    DatasetError
        Before a network is trained, if it could not be calibrated on these songs.
    """
    from mertag_train.learn import song

    for_network, learnt_from = network_songs(fold, config)
    refuse_few(fold, learnt_from)
    outputs = segment_outputs(fold, context, config, for_network)
    seen, lengths = outputs.of(learnt_from)
    if config.song.features == "cross_fitted":
        seen = _cross_fitted(fold, context, config)
    table = song.song_table(
        seen,
        lengths,
        np.array([s.targets[fold.target] for s in learnt_from], dtype=np.int64),
        config,
        sub_windows_s=config.song.sub_windows_s,
        seed=fold.seed,
    )
    # Calibrated on inner folds that keep together what the outer folds keep together.
    bound = {s.id: i for i, group in enumerate(bound_groups(learnt_from, fold.group)) for s in group}
    group_of = np.array([bound[s.id] for s in learnt_from], dtype=np.int64)
    table = replace(table, song=group_of[table.song])
    classifier = song.fit(table, n_classes=fold.n_classes, c=config.song.c, kind=config.song.classifier, seed=fold.seed)
    unseen, unseen_lengths = outputs.of(fold.test)
    return Predictions(
        song_ids=fold.test_ids,
        probabilities=song.predict_songs(classifier, unseen, unseen_lengths, config),
        diagnostics={**_diagnostics(outputs, unseen), "song_classifier_songs": float(len(learnt_from))},
    )


def _cross_fitted(fold: Fold, context: Context, config: TrainConfig) -> list[Floats]:
    """Return the segment probabilities of each training song from a network that was trained without it."""
    inner = folds(fold.train, fold.target, n=config.song.inner_folds, group=fold.group, seed=fold.seed)
    found: dict[str, Floats] = {}
    for name in inner.names:
        here = frozenset(inner.ids(name))
        rest = tuple(song for song in fold.train if song.id not in here)
        outputs = segment_outputs(fold, context, config, rest)
        found |= {song_id: outputs.probabilities[song_id] for song_id in here}
    return [found[song.id] for song in fold.train]


def _diagnostics(outputs: SegmentOutputs, tested: list[Floats]) -> dict[str, float]:
    last = outputs.epochs[-1]["figures"] if outputs.epochs else {}
    told = {name: float(last[name]) for name in RECORDED if name in last}
    return {"test_segments": float(sum(len(p) for p in tested)), **told}


def refuse_few(fold: Fold, songs: tuple[Song, ...]) -> None:
    """Raise DatasetError, before a network is trained, if a song classifier could not be calibrated on these songs."""
    groups = [{s.targets[fold.target] for s in bound} for bound in bound_groups(songs, fold.group)]
    of_class = {name: sum(k in found for found in groups) for k, name in enumerate(CLASS_NAMES[fold.target])}
    few = [f"{count} of {name}" for name, count in of_class.items() if count < MIN_GROUPS]
    if few:
        raise DatasetError(
            f"fold {fold.name!r}, {fold.target}: the song SVM needs {MIN_GROUPS} songs of each class (songs of one "
            f"{fold.group} count once), and has {', '.join(few)}. Add songs, or let it learn from the network's own "
            "songs with --svm-songs in-sample."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SongSvmMethod:
    """A learner and the song classifier behind it; what differs is which settings it makes of those asked for."""

    name: str
    summary: str
    uses_segments: bool = True
    uses_seed: bool = True
    paper_row: str | None = None
    recipe: Recipe | None = None

    def adapted(self, config: TrainConfig) -> TrainConfig:
        """Return the settings with which this method trains."""
        raise NotImplementedError

    def settings(self, config: TrainConfig) -> Mapping[str, Any]:
        """Return the training settings, all of them."""
        return settings(self.adapted(config))

    def predict(self, fold: Fold, context: Context) -> Predictions:
        """Return the song classifier's probabilities."""
        return by_song_svm(fold, context, self.adapted(context.config))
