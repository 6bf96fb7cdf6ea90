"""Self-learning with soft labels (Mao, Ching and Lee, 2022): the network's own predictions become the labels.

After the warm-up, the labels of an epoch are the probabilities that the network gave at its beginning. This is what
the paper sets itself apart from: an error, once made, is learnt (confirmation bias).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mertag_train.learn.learners.inherited import InheritedLearner
from mertag_train.learn.losses import cross_entropy
from mertag_train.learn.optimise import autocast
from mertag_train.learn.predict import segment_logits

Ints = npt.NDArray[np.int64]


class SoftLabelLearner(InheritedLearner):
    """Inherited labels in the warm-up, then the predictions of the epoch before."""

    @property
    def plain(self) -> bool:
        """Whether the labels are the inherited ones."""
        return self.warming_up

    def cost(self, epoch: int) -> float:
        """Return what an epoch costs: a third more where the segments are predicted first."""
        return 1.0 if epoch <= self.setting.config.warm_up_epochs else 1.33

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
            return self.supervised(chosen, alpha=0.0)
        with autocast(self.device):
            logits = self.setting.network(self.augmented(self.cut(chosen)))
        return cross_entropy(logits.float(), self._targets[torch.from_numpy(chosen).to(self.device)])
