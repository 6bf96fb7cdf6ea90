"""Networks that learn from their own predictions, each with the song classifier behind it.

`soft-labels` (Mao, Ching and Lee, 2022) and `elr` (Liu et al., 2020) have the recipe that was asked for, so that they
differ from inherited labels in the learning only. `proposed-star` and `proposed` are the paper's own recipe without
and with the consistency term (lambda), `robust` is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mertag_train.evaluation.methods.song_level import SongSvmMethod

if TYPE_CHECKING:
    from mertag_train.learn.config import Recipe, TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftLabels(SongSvmMethod):
    """The network's predictions are the labels of the next epoch."""

    name: str = "soft-labels"
    summary: str = "self-learning with soft labels (Mao), song SVM"

    def adapted(self, config: TrainConfig) -> TrainConfig:
        """Return the settings with soft labels after the warm-up."""
        return replace(config, learner="soft-labels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Elr(SongSvmMethod):
    """Early-learning regularisation."""

    name: str = "elr"
    summary: str = "early-learning regularisation, song SVM"

    def adapted(self, config: TrainConfig) -> TrainConfig:
        """Return the settings with the regularisation."""
        return replace(config, learner="elr")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedStar(SongSvmMethod):
    """The paper's ablation: without the consistency term."""

    name: str = "proposed-star"
    summary: str = "semi-supervised self-learning (paper) with lambda 0, song SVM"
    paper_row: str | None = "Proposed*"
    recipe: Recipe | None = "paper"

    def adapted(self, config: TrainConfig) -> TrainConfig:
        """Return the paper's settings with a lambda of 0."""
        return replace(config, learner="sssl", sssl=replace(config.sssl, kl_weight=0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed(SongSvmMethod):
    """The paper's method."""

    name: str = "proposed"
    summary: str = "semi-supervised self-learning (paper), song SVM"
    paper_row: str | None = "Proposed"
    recipe: Recipe | None = "paper"

    def adapted(self, config: TrainConfig) -> TrainConfig:
        """Return the paper's settings."""
        return replace(config, learner="sssl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Robust(SongSvmMethod):
    """Ours."""

    name: str = "robust"
    summary: str = "semi-supervised self-learning, our recipe, song SVM"
    recipe: Recipe | None = "robust"

    def adapted(self, config: TrainConfig) -> TrainConfig:
        """Return our settings."""
        return replace(config, learner="sssl")
