"""Segments inherit the label of their clip (Sarkar et al., 2020)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mertag_train.learn.learners.base import Learner
from mertag_train.learn.losses import cross_entropy, mix, mixed_cross_entropy
from mertag_train.learn.not_music import not_music, played_not_music
from mertag_train.learn.optimise import autocast

Ints = npt.NDArray[np.int64]


def draw_mixup(rng: np.random.Generator, alpha: float, batch: int) -> tuple[float, Ints]:
    """Draw the weight delta of eq. 6 and 7, and the partner of each row: one permutation of the whole batch."""
    if not alpha:
        return 1.0, np.arange(batch)
    return float(rng.beta(alpha, alpha)), rng.permutation(batch)


PLAYED_AN_EPOCH = 384
"""Sounds that are no music, of which each batch takes some."""


class InheritedLearner(Learner):
    """Every segment has its clip's label, in every epoch; inputs may be mixed (`AugmentConfig.mixup_alpha`)."""

    _played: Tensor | None = None

    @property
    def plain(self) -> bool:
        """Whether nothing is mixed."""
        return self.setting.config.augment.mixup_alpha == 0

    def begin(self, epoch: int) -> None:
        """Draw the segments, and play what is no music: for each batch anew, that would take as long as the rest."""
        super().begin(epoch)
        config = self.setting.config
        if config.augment.noise_share and config.augment.noise == "played":
            made = played_not_music(PLAYED_AN_EPOCH, self.n_frames, config.front_end, self.setting.rng)
            self._played = torch.from_numpy(made)

    def loss(self, chosen: Ints) -> Tensor:
        """Return the cross-entropy with the inherited labels (eq. 2), mixed where the recipe mixes (eq. 8)."""
        alpha = self.setting.config.augment.mixup_alpha
        return self.supervised(chosen, alpha=alpha)

    def supervised(self, chosen: Ints, *, alpha: float) -> Tensor:
        """Return the cross-entropy with the inherited labels."""
        inputs = self.augmented(self.cut(chosen))
        labels = self.labels[torch.from_numpy(chosen).to(self.device)]
        targets = torch.nn.functional.one_hot(labels, len(self.setting.class_names)).float()
        share = self.setting.config.augment.noise_share
        if share:
            inputs, targets = self._with_noise(inputs, targets, round(share * len(chosen)))
        delta, partner_of = draw_mixup(self.setting.rng, alpha, len(chosen))
        partner = torch.from_numpy(partner_of).to(self.device)
        with autocast(self.device):
            logits = self.setting.network(mix(inputs, partner, delta))
        if delta == 1.0:
            return cross_entropy(logits.float(), targets)
        return mixed_cross_entropy(logits.float(), targets, partner, delta)

    def _with_noise(self, inputs: Tensor, targets: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Return a batch of which `count` rows are no music, and its targets: of those rows, all classes alike."""
        batch, n_frames, n_mels = inputs.shape
        rng = self.setting.rng
        rows = torch.from_numpy(rng.permutation(batch)[:count]).to(self.device)
        if self._played is None:
            made = torch.from_numpy(not_music(count, n_frames, n_mels, rng))
        else:
            made = self._played[torch.from_numpy(rng.integers(0, len(self._played), size=count))]
        sounds = made.to(self.device)
        inputs = inputs.index_copy(0, rows, sounds)
        return inputs, targets.index_fill(0, rows, 1 / targets.shape[1])
