"""What the paper's method is compared with: two other ways to learn from noisy labels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mertag_train.arrays import Ints
from mertag_train.learn.config import TrainConfig
from mertag_train.learn.learners.base import Learner, Setting
from mertag_train.learn.predict import segment_logits

LEAST = 1e-4
"""Probabilities are kept so far from 0 and 1, as in the code of the authors of early-learning regularisation."""


class SoftLabelLearner(Learner):
    """Self-learning with soft labels (Mao, Ching and Lee, 2022): the network's own predictions become the labels.

    After the warm-up, the labels of an epoch are the probabilities that the network gave at its beginning. This is what
    the paper sets itself apart from: an error, once made, is learnt (confirmation bias).
    """

    @staticmethod
    def cost(config: TrainConfig, epoch: int) -> float:
        """Return what an epoch costs: a third more where the segments are predicted first."""
        return 1.0 if epoch <= config.warm_up_epochs else 1.33

    def begin(self, epoch: int) -> None:
        """Draw the segments, and label them anew after the warm-up."""
        super().begin(epoch)
        if not self.warming_up:
            predictor = self.setting.optimiser.predictor
            logits = segment_logits(predictor, self.setting.frames, self.table.row, self.n_frames)
            self._targets = torch.softmax(logits, dim=1)
            agreement = (logits.argmax(1) == self.labels).float().mean()
            self.note("inherited_label_kept", agreement, len(self.table))
            self.setting.network.train()

    def loss(self, chosen: Ints) -> Tensor:
        """Return the cross-entropy with the labels of the epoch."""
        if self.warming_up:
            return self.inherited_loss(chosen)
        targets = self._targets[torch.from_numpy(chosen).to(self.device)]
        return self.learn(self.augmented(self.cut(chosen)), targets, chosen).loss


class ElrLearner(Learner):
    """Early-learning regularisation (Liu, Niles-Weed, Razavian and Fernandez-Granda, NeurIPS 2020).

    The network remembers what it predicted for each segment early on, before it memorised wrong labels, and is held to
    it. One network, one loss, no partition: the plain form of the paper, without the second network and mixup of
    "ELR+".
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._memory = torch.zeros(len(self.grid), len(setting.class_names), device=self.device)

    @property
    def plain(self) -> bool:
        """Whether nothing was remembered."""
        return self.place is None

    def loss(self, chosen: Ints) -> Tensor:
        """Return the cross-entropy with the inherited labels, plus the weighted penalty."""
        if self.place is None:  # random crops have no past
            return self.inherited_loss(chosen)
        config = self.setting.config.elr
        place = torch.from_numpy(self.place[chosen]).to(self.device)
        supervised, of_labels, logits = self.learn(self.augmented(self.cut(chosen)), self.one_hot(chosen), chosen)
        probabilities = torch.softmax(logits, dim=1).clamp(LEAST, 1 - LEAST)
        now = probabilities.detach() / probabilities.detach().sum(1, keepdim=True)
        remembered = config.momentum * self._memory[place] + (1 - config.momentum) * now
        self._memory[place] = remembered
        penalty = elr_penalty(probabilities, remembered)
        self.note("loss_supervised", of_labels, len(chosen))
        self.note("loss_elr", penalty, len(chosen))
        return supervised + config.weight * penalty

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        return {"memory": self._memory}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: D102
        self._memory = state["memory"].to(self.device)


def elr_penalty(probabilities: Tensor, remembered: Tensor) -> Tensor:
    """Return ``log(1 - <p, t>)``, a mean over the rows (eq. 6 of Liu et al.): the lower, the more p agrees with t."""
    return torch.log(1 - (remembered * probabilities).sum(1)).mean()
