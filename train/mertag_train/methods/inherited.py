"""Segments that inherit the label of their clip (Sarkar et al., 2020), and four ways from segments to the song.

All four share one network a fold. Where the song classifier learns from songs that the network has not seen
(`song_share`), the network of all four is trained without them: the four differ in their last step only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mertag.emotion import CLASS_NAMES
from mertag.errors import DatasetError
from mertag_train.datasets.base import Song
from mertag_train.dealing import bound_groups
from mertag_train.folds import split
from mertag_train.methods import votes
from mertag_train.methods.base import Context, Fold, Predictions
from mertag_train.methods.networks import Learner, SegmentOutputs, segment_outputs

if TYPE_CHECKING:
    from mertag_train.config import TrainConfig

Floats = npt.NDArray[np.float64]
Rule = Callable[[npt.ArrayLike], Floats]

MIN_GROUPS = 2
VERSION = 1
"""To be raised when the same settings come to mean something else, so that old results are not mixed with new."""


def song_share(config: TrainConfig) -> float:
    """Return which share of a fold's training songs only the song classifier learns from.

    It follows from `TrainConfig.fractions`. At 0, the song classifier learns from the network's own training songs,
    as in the paper, on which the network is surer of itself than it will be on others.
    """
    network, song, _ = config.fractions
    return song / (network + song)


def network_songs(fold: Fold, config: TrainConfig) -> tuple[tuple[Song, ...], tuple[Song, ...]]:
    """Return the training songs that the network, and those that the song classifier learns from.

    The two are apart by class-stratified groups, as the folds are; with a `song_share` of 0 they are the same.
    """
    share = song_share(config)
    if share == 0:
        return fold.train, fold.train
    parts = split(fold.train, fold.target, fractions=(1 - share, share, 0.0), group=fold.group, seed=fold.seed)
    part_of = parts.fold_of
    return (
        tuple(song for song in fold.train if part_of[song.id] == "train"),
        tuple(song for song in fold.train if part_of[song.id] == "validation"),
    )


def refuse_few(fold: Fold, songs: tuple[Song, ...]) -> None:
    """Raise DatasetError, before a network is trained, if a song classifier could not be calibrated on these songs."""
    groups = [{s.targets[fold.target] for s in bound} for bound in bound_groups(songs, fold.group)]
    of_class = {name: sum(k in found for found in groups) for k, name in enumerate(CLASS_NAMES[fold.target])}
    few = [f"{count} of {name}" for name, count in of_class.items() if count < MIN_GROUPS]
    if few:
        raise DatasetError(
            f"fold {fold.name!r}, {fold.target}: the song SVM needs {MIN_GROUPS} songs of each class (songs of one "
            f"{fold.group} count once), and has {', '.join(few)}. Add songs, or let it learn from the network's own "
            "songs with --svm-songs 0."
        )


def settings(learner: str, config: TrainConfig) -> Mapping[str, Any]:
    """Return the settings of a method that trains a network."""
    return {"learner": learner, "version": VERSION, "config": config.to_json()}


def by_rule(fold: Fold, outputs: SegmentOutputs, rule: Rule) -> Predictions:
    """Return the predictions of a rule that looks at each song alone."""
    segments, _ = outputs.of(fold.test)
    return Predictions(
        song_ids=fold.test_ids,
        probabilities=np.stack([rule(p) for p in segments]),
        diagnostics={"test_segments": float(sum(len(p) for p in segments))},
    )


def by_song_svm(fold: Fold, outputs: SegmentOutputs, context: Context, *, learnt_from: tuple[Song, ...]) -> Predictions:
    """Return the predictions of a song classifier fitted on the segment probabilities of some training songs."""
    from mertag_train import song
    from mertag_train.experiment import cutting_of

    config = context.config
    cutting = cutting_of(config)
    seen, lengths = outputs.of(learnt_from)
    table = song.song_table(
        seen,
        lengths,
        np.array([s.targets[fold.target] for s in learnt_from], dtype=np.int64),
        cutting,
        sub_windows_s=config.song.sub_windows_s,
        seed=fold.seed,
    )
    # Calibrated on inner folds that keep together what the outer folds keep together.
    bound = {s.id: i for i, group in enumerate(bound_groups(learnt_from, fold.group)) for s in group}
    group_of = np.array([bound[s.id] for s in learnt_from], dtype=np.int64)
    table = replace(table, song=group_of[table.song])
    classifier = song.fit(table, n_classes=fold.n_classes, c=config.song.c, seed=fold.seed)
    unseen, unseen_lengths = outputs.of(fold.test)
    return Predictions(
        song_ids=fold.test_ids,
        probabilities=song.predict_songs(classifier, unseen, unseen_lengths, cutting),
        diagnostics={
            "test_segments": float(sum(len(p) for p in unseen)),
            "song_classifier_songs": float(len(learnt_from)),
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inherited:
    """What the four have in common."""

    name: str
    summary: str
    uses_segments: bool = True
    uses_seed: bool = True
    paper_row: str | None = None

    def settings(self, config: TrainConfig) -> Mapping[str, Any]:
        """Return the training settings, all of them."""
        return settings("inherited", config)

    def _outputs(self, fold: Fold, context: Context) -> tuple[SegmentOutputs, tuple[Song, ...]]:
        from mertag_train.trainer import train_network

        learner: Learner = train_network
        network, song = network_songs(fold, context.config)
        return segment_outputs(fold, context, name="inherited", learner=learner, train=network), song


@dataclass(frozen=True, slots=True, kw_only=True)
class InheritedVote(_Inherited):
    """Majority vote."""

    name: str = "inherited-vote"
    summary: str = "inherited labels, majority vote of the segments"

    def predict(self, fold: Fold, context: Context) -> Predictions:
        """Return the shares of votes."""
        return by_rule(fold, self._outputs(fold, context)[0], votes.majority_vote)


@dataclass(frozen=True, slots=True, kw_only=True)
class InheritedRun(_Inherited):
    """Maximum run length; ties go to the higher mean probability."""

    name: str = "inherited-run"
    summary: str = "inherited labels, maximum run length of the segments"

    def predict(self, fold: Fold, context: Context) -> Predictions:
        """Return the shares of the longest runs."""
        return by_rule(fold, self._outputs(fold, context)[0], votes.maximum_run_length)


@dataclass(frozen=True, slots=True, kw_only=True)
class InheritedMean(_Inherited):
    """Mean probability."""

    name: str = "inherited-mean"
    summary: str = "inherited labels, mean probability of the segments"

    def predict(self, fold: Fold, context: Context) -> Predictions:
        """Return the mean probabilities."""
        return by_rule(fold, self._outputs(fold, context)[0], votes.mean_probability)


@dataclass(frozen=True, slots=True, kw_only=True)
class InheritedSvm(_Inherited):
    """The song classifier: a support vector machine on seven statistics a class."""

    name: str = "inherited-svm"
    summary: str = "inherited labels, song SVM on statistics of the segments"

    def predict(self, fold: Fold, context: Context) -> Predictions:
        """Return the song classifier's probabilities."""
        refuse_few(fold, network_songs(fold, context.config)[1])
        outputs, learnt_from = self._outputs(fold, context)
        return by_song_svm(fold, outputs, context, learnt_from=learnt_from)
