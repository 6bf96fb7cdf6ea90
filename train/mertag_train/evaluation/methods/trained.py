"""Methods that train segment networks: what is learnt from the labels, and how segments become a song.

*Inherited labels* (Sarkar et al., 2020): segments take the label of their clip. Four ways lead from them to the song;
they share one network a fold, so that they differ in their last step only. *Self-learning*: `soft-labels` (Mao, Ching
and Lee, 2022) and `elr` (Liu et al., 2020) have the recipe that was asked for, so that they differ from inherited
labels in the learning only; `proposed-star` and `proposed` are the paper's own recipe without and with the consistency
term (lambda), and `ours` is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mertag.errors import DatasetError
from mertag_train.arrays import Floats, Ints
from mertag_train.evaluation.methods.base import Context, Fold, Method, Predictions
from mertag_train.evaluation.methods.networks import KeptNetworks
from mertag_train.measure.metrics import predicted_classes
from mertag_train.runs.work import check_parts

if TYPE_CHECKING:
    from mertag_train.learn.config import LearnerName, TrainConfig

Rule = Callable[[npt.ArrayLike], Floats]
"""From the probabilities of one song's segments, shape (n_segments, n_classes), n_segments > 0, to one distribution,
shape (n_classes,), whose most probable class is the rule's decision."""

VERSION = 2
"""To be raised when the same settings come to mean something else, so that old results are not mixed with new."""

RECORDED = (
    *("clean_share", "right_share", "partition_auroc", "partition_auroc_in_clip"),
    *("clean_precision", "noisy_precision", "noisy_recall"),
)
"""Of each epoch that tells segments apart, and of the last one, what stands beside a result."""

TIE_WEIGHT = 1e-6
"""Counts over n segments, as shares, are equal or differ by at least 1 / n: right for any song that fits a day.

A rule that counts leaves ties, which go to the class of the higher mean probability: it is mixed in with this weight.
What such a rule says is a share of votes, not a calibrated probability: its log-loss and its calibration error are to
be read so.
"""


def mean_probability(segments: npt.ArrayLike) -> Floats:
    """Return the mean over the segments."""
    total: Floats = np.asarray(segments, dtype=np.float64).sum(0)
    mean: Floats = total / total.sum()
    return mean


def majority_vote(segments: npt.ArrayLike) -> Floats:
    """Return the share of segments whose most probable class is this one."""
    p = np.asarray(segments, dtype=np.float64)
    return _with_ties(np.bincount(predicted_classes(p), minlength=p.shape[1]), p)


def maximum_run_length(segments: npt.ArrayLike) -> Floats:
    """Return, for each class, its longest run of consecutive segments, as a share of the sum of these runs."""
    p = np.asarray(segments, dtype=np.float64)
    return _with_ties(longest_runs(predicted_classes(p), p.shape[1]), p)


def longest_runs(classes: Ints, n_classes: int) -> Ints:
    """Return the length of the longest run of each class, 0 where it does not occur."""
    ends = np.flatnonzero(np.diff(classes, append=-1))
    lengths = np.diff(ends, prepend=-1)
    longest = np.zeros(n_classes, dtype=np.int64)
    np.maximum.at(longest, classes[ends], lengths)
    return longest


def _with_ties(counts: Ints, p: Floats) -> Floats:
    mixed: Floats = (1 - TIE_WEIGHT) * (counts / counts.sum()) + TIE_WEIGHT * mean_probability(p)
    return mixed


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedMethod(Method):
    """A learner (`TrainConfig.learner`), and what makes a song of its segments.

    Attributes
    ----------
    kl_weight : float or None
        Lambda of the consistency term; None for the recipe's.
    rule : callable or None
        From the segments of a song to its probabilities; None for the song classifier.
    """

    uses_segments: bool = True
    learner: LearnerName = "sssl"
    kl_weight: float | None = None
    rule: Rule | None = None

    def adapted(self, config: TrainConfig) -> TrainConfig:
        """Return the settings with which this method trains."""
        sssl = config.sssl if self.kl_weight is None else replace(config.sssl, kl_weight=self.kl_weight)
        return replace(config, learner=self.learner, sssl=sssl)

    def learns_without_labels(self, config: TrainConfig, *, pseudo_labels: bool) -> bool:
        """Return whether its training does."""
        return self.adapted(config).takes_unlabelled(pseudo_labels=pseudo_labels)

    def settings(self, config: TrainConfig) -> Mapping[str, Any]:
        """Return the training settings, all of them."""
        return {"version": VERSION, "config": self.adapted(config).to_json()}

    def predict(self, fold: Fold, context: Context) -> Predictions:
        """Return the song classifier's probabilities, or what the rule makes of each song's segments.

        DatasetError is raised before a network is trained if the song classifier could not be fitted on these songs.
        """
        from mertag_train.runs.experiment import fit_and_predict, networks_to_train

        networks = KeptNetworks(fold, context, self.adapted(context.config))
        work = networks.work
        model = networks_to_train(work)[0]
        if self.rule is None:
            try:
                check_parts(work)
            except DatasetError as error:
                raise DatasetError(f"fold {fold.name!r}, {fold.target}: {error}") from error
            probabilities = fit_and_predict(work, networks).probabilities["song_classifier"]
        else:
            probabilities = np.stack([self.rule(p) for p in networks(model, work.parts.figures)])
        every = [
            {"epoch": epoch["epoch"], **{name: epoch["figures"][name] for name in RECORDED if name in epoch["figures"]}}
            for epoch in networks.epochs(model)
        ]
        last = every[-1] if every else {}
        diagnostics = {
            "test_segments": float(sum(len(p) for p in networks(model, work.parts.figures))),
            **{name: float(last[name]) for name in RECORDED if name in last},
            **({"song_classifier_songs": float(len(work.parts.song))} if self.rule is None else {}),
        }
        return Predictions(
            song_ids=fold.test_ids,
            probabilities=probabilities,
            diagnostics=diagnostics,
            epochs=[epoch for epoch in every if "clean_share" in epoch],
            songs_per_s=networks.songs_per_s(model),
        )


_inherited = partial(TrainedMethod, learner="inherited")

METHODS = (
    _inherited(name="inherited-vote", summary="inherited labels, majority vote of the segments", rule=majority_vote),
    _inherited(
        name="inherited-run", summary="inherited labels, maximum run length of the segments", rule=maximum_run_length
    ),
    _inherited(
        name="inherited-mean", summary="inherited labels, mean probability of the segments", rule=mean_probability
    ),
    _inherited(name="inherited-svm", summary="inherited labels, song SVM on statistics of the segments"),
    TrainedMethod(name="soft-labels", summary="self-learning with soft labels (Mao), song SVM", learner="soft-labels"),
    TrainedMethod(name="elr", summary="early-learning regularisation, song SVM", learner="elr"),
    TrainedMethod(
        name="proposed-star",
        summary="semi-supervised self-learning (paper) with lambda 0, song SVM",
        kl_weight=0.0,
        paper_row="Proposed*",
        recipe="paper",
    ),
    TrainedMethod(
        name="proposed",
        summary="semi-supervised self-learning (paper), song SVM",
        paper_row="Proposed",
        recipe="paper",
    ),
    TrainedMethod(name="ours", summary="semi-supervised self-learning, our recipe, song SVM", recipe="ours"),
)
