"""Segments that inherit the label of their clip (Sarkar et al., 2020), and four ways from segments to the song.

All four share one network a fold, so that they differ in their last step only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mertag_train.evaluation.methods import votes
from mertag_train.evaluation.methods.base import Context, Fold, Predictions
from mertag_train.evaluation.methods.song_level import SongSvmMethod, by_rule, settings

if TYPE_CHECKING:
    from mertag_train.learn.config import Recipe, TrainConfig

Rule = Callable[[npt.ArrayLike], npt.NDArray[np.float64]]


def inherited(config: TrainConfig) -> TrainConfig:
    """Return the settings with inherited labels in every epoch."""
    return replace(config, learner="inherited")


@dataclass(frozen=True, slots=True, kw_only=True)
class _ByRule:
    """What the three rules have in common."""

    name: str
    summary: str
    rule: Rule
    uses_segments: bool = True
    uses_seed: bool = True
    paper_row: str | None = None
    recipe: Recipe | None = None

    def settings(self, config: TrainConfig) -> Mapping[str, Any]:
        """Return the training settings, all of them."""
        return settings(inherited(config))

    def predict(self, fold: Fold, context: Context) -> Predictions:
        """Return what the rule makes of each song's segments."""
        return by_rule(fold, context, inherited(context.config), self.rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class InheritedVote(_ByRule):
    """Majority vote: the shares of votes."""

    name: str = "inherited-vote"
    summary: str = "inherited labels, majority vote of the segments"
    rule: Rule = votes.majority_vote


@dataclass(frozen=True, slots=True, kw_only=True)
class InheritedRun(_ByRule):
    """Maximum run length; ties go to the higher mean probability."""

    name: str = "inherited-run"
    summary: str = "inherited labels, maximum run length of the segments"
    rule: Rule = votes.maximum_run_length


@dataclass(frozen=True, slots=True, kw_only=True)
class InheritedMean(_ByRule):
    """Mean probability."""

    name: str = "inherited-mean"
    summary: str = "inherited labels, mean probability of the segments"
    rule: Rule = votes.mean_probability


@dataclass(frozen=True, slots=True, kw_only=True)
class InheritedSvm(SongSvmMethod):
    """The song classifier: a support vector machine on seven statistics a class."""

    name: str = "inherited-svm"
    summary: str = "inherited labels, song SVM on statistics of the segments"

    def adapted(self, config: TrainConfig) -> TrainConfig:
        """Return the settings with inherited labels in every epoch."""
        return inherited(config)
