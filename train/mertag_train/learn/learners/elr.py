"""Early-learning regularisation (Liu, Niles-Weed, Razavian and Fernandez-Granda, NeurIPS 2020): a modern control.

The network remembers what it said of each segment early on, before it memorised wrong labels, and is held to it. One
network, one loss, no partition: the plain form of the paper, without the second network and mixup of "ELR+".
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mertag_train.learn.learners.base import Setting
from mertag_train.learn.learners.inherited import InheritedLearner
from mertag_train.learn.losses import cross_entropy
from mertag_train.learn.optimise import autocast

Ints = npt.NDArray[np.int64]

LEAST = 1e-4
"""Probabilities are kept so far from 0 and 1, as in the authors' code."""


def elr_penalty(probabilities: Tensor, remembered: Tensor) -> Tensor:
    """Return ``log(1 - <p, t>)``, a mean over the rows (their eq. 6): the lower, the more p agrees with t."""
    return torch.log(1 - (remembered * probabilities).sum(1)).mean()


class ElrLearner(InheritedLearner):
    """Inherited labels, and a pull towards what the network said of the same segment before."""

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
            return self.supervised(chosen, alpha=0.0)
        config = self.setting.config.elr
        here = torch.from_numpy(chosen).to(self.device)
        place = torch.from_numpy(self.place[chosen]).to(self.device)
        with autocast(self.device):
            logits = self.setting.network(self.augmented(self.cut(chosen)))
        logits = logits.float()
        probabilities = torch.softmax(logits, dim=1).clamp(LEAST, 1 - LEAST)
        said = probabilities.detach() / probabilities.detach().sum(1, keepdim=True)
        remembered = config.momentum * self._memory[place] + (1 - config.momentum) * said
        self._memory[place] = remembered
        targets = torch.nn.functional.one_hot(self.labels[here], len(self.setting.class_names)).float()
        supervised, penalty = cross_entropy(logits, targets), elr_penalty(probabilities, remembered)
        self.note("loss_supervised", supervised, len(chosen))
        self.note("loss_elr", penalty, len(chosen))
        return supervised + config.weight * penalty

    def state_dict(self) -> dict[str, Any]:
        """Return what is remembered."""
        return {"memory": self._memory}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self._memory = state["memory"].to(self.device)
