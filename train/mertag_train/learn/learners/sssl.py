"""Semi-supervised self-learning, the paper's method (Fig. 1).

After a warm-up on all inherited labels, each epoch begins by telling segments with clean labels (X) from the others
(U) by their losses. Then one pass over all of them: rows of U get the network's own sharpened prediction as label,
the batch is mixed, and what two dropout passes say of U's plain inputs is pulled together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mertag_train.learn import losses
from mertag_train.learn import partition as partitions
from mertag_train.learn.learners.base import Setting
from mertag_train.learn.learners.inherited import InheritedLearner, draw_mixup
from mertag_train.learn.optimise import autocast
from mertag_train.learn.predict import segment_logits

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class SsslLearner(InheritedLearner):
    """Inherited labels in the warm-up, then SSSL.

    Raises
    ------
    ValueError
        If the real classes that `Clips.truth` gives are not one for each segment of the grid.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._history: list[Floats] = []  # the losses of the last epochs, nan where a segment was not drawn
        truth = setting.clips.truth
        self._truth = None if truth is None else np.concatenate([np.zeros(0, dtype=np.int64), *truth])
        if self._truth is not None and len(self._truth) != len(self.grid):
            raise ValueError(f"{len(self._truth)} real classes for {len(self.grid)} segments")
        shares = np.bincount(setting.clips.label, minlength=len(setting.class_names)) / len(setting.clips.label)
        self._prior = torch.from_numpy(shares).float().to(self.device)

    @property
    def plain(self) -> bool:
        """Whether the labels are the inherited ones."""
        return self.warming_up

    def cost(self, epoch: int) -> float:
        """Return what an epoch costs: losses are measured, and U is seen twice."""
        if epoch <= self.setting.config.warm_up_epochs:
            return 1.0
        return 1.9 if self.setting.config.sssl.kl_weight else 1.5

    @property
    def kl_weight(self) -> float:
        """Lambda of this epoch: it grows in equal steps, and has its full value `kl_ramp_epochs` after the warm-up."""
        config = self.setting.config
        since = self.epoch - config.warm_up_epochs
        return config.sssl.kl_weight * min(1.0, max(0, since) / max(1, config.sssl.kl_ramp_epochs))

    def begin(self, epoch: int) -> None:
        """Draw the segments; from the end of the warm-up on, measure their losses, and tell clean from noisy."""
        super().begin(epoch)
        config = self.setting.config
        if epoch <= config.warm_up_epochs + 1 - config.sssl.partition.mean_of:
            return
        place = self.draw() if self.place is None else self.place
        self._measure(place)
        if self.warming_up:
            return
        seen = np.stack([losses_then[place] for losses_then in self._history])
        labels = self.grid_labels[place]
        self.partition = partitions.partition(
            np.nanmean(seen, axis=0), labels, self.setting.class_names, config.sssl.partition, seed=config.seed
        )
        self._labelled = torch.from_numpy(self.partition.labelled).to(self.device)
        self._clean_probability = torch.from_numpy(self.partition.clean_probability).float().to(self.device)

    @torch.no_grad()
    def _measure(self, place: Ints) -> None:
        """Put the losses of the segments at some places of the grid, in evaluation mode, on record."""
        config = self.setting.config
        n_frames = config.segmentation.segment_frames(config.front_end)
        logits = segment_logits(self.setting.optimiser.predictor, self.setting.frames, self.grid.row[place], n_frames)
        labels = torch.from_numpy(self.grid_labels[place]).to(self.device)
        measured = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        now = np.full(len(self.grid), np.nan)
        now[place] = measured.cpu().numpy().astype(np.float64)
        self._history = [*self._history, now][-config.sssl.partition.mean_of :]
        self.setting.network.train()

    def loss(self, chosen: Ints) -> Tensor:
        """Return the total loss of a batch (eq. 10), or its cross-entropy in the warm-up."""
        if self.warming_up:
            return self.supervised(chosen, alpha=0.0)
        config, network = self.setting.config.sssl, self.setting.network
        here = torch.from_numpy(chosen).to(self.device)
        plain = self.cut(chosen)
        unlabelled = torch.nonzero(~self._labelled[here]).squeeze(1)
        targets = torch.nn.functional.one_hot(self.labels[here], len(self.setting.class_names)).float()
        kl = torch.zeros((), device=self.device)
        if len(unlabelled):
            guess = losses.sharpen(self._pseudo_labels(plain[unlabelled]), config.temperature)  # eq. 4, 5
            if config.refine:
                guess = losses.refine(targets[unlabelled], guess, self._clean_probability[here][unlabelled])
            targets[unlabelled] = guess
            if config.kl_weight:
                kl = self._divergence(plain, unlabelled)
        delta, partner_of = draw_mixup(self.setting.rng, config.mixup_alpha, len(chosen))
        partner = torch.from_numpy(partner_of).to(self.device)
        with autocast(self.device):
            logits = network(losses.mix(self.augmented(plain), partner, delta))  # eq. 6
        logits = logits.float()
        mixed = losses.mixed_cross_entropy(logits, targets, partner, delta)  # eq. 7, 8
        total = mixed + self.kl_weight * kl  # eq. 10
        self.note("loss_mix", mixed, len(chosen))
        if config.kl_weight:
            self.note("loss_kl", kl, len(unlabelled))
        if config.prior_weight:
            prior = losses.prior_divergence(logits, self._prior)
            self.note("loss_prior", prior, len(chosen))
            total = total + config.prior_weight * prior
        return total

    @torch.no_grad()
    def _pseudo_labels(self, plain: Tensor) -> Tensor:
        """Return what the network (its average, where one is kept) says of segments: (n, n_classes), eval mode."""
        predictor = self.setting.optimiser.predictor
        predictor.eval()
        with autocast(self.device):
            said = predictor(plain)
        self.setting.network.train()
        return torch.softmax(said.float(), dim=1)

    def _divergence(self, plain: Tensor, unlabelled: Tensor) -> Tensor:
        """Return the divergence of two dropout passes over the rows `unlabelled` of a batch (eq. 9).

        Dropout is in the head only, so that both passes share one through the convolutions. Batch norm takes the
        statistics of the whole plain batch there, as in training, and its running ones stay those of the mixed
        batches. Normalised by the running ones, the network would learn to agree with itself in evaluation mode by
        saying nothing there: the labels, which are learnt with a batch's own statistics, do not hold against it.
        """
        network = self.setting.network
        rows = plain if network.batch_normed else plain[unlabelled]
        with autocast(self.device):
            with network.running_statistics_kept():
                embedding = network.embed(rows)
            if network.batch_normed:
                embedding = embedding[unlabelled]
            one, other = network.classify(embedding), network.classify(embedding)
        return losses.symmetric_kl(one.float(), other.float())

    def figures(self) -> Mapping[str, float]:
        """Return the losses' parts and what the partition says."""
        found = dict(super().figures())
        if self.partition is None:
            return found
        place = self.place if self.place is not None else np.zeros(0, dtype=np.int64)
        truth = None if self._truth is None else self._truth[place]
        told = partitions.figures(self.partition, self.grid_labels[place], self.setting.class_names, truth)
        return {**found, "kl_weight": self.kl_weight, **told}

    def state_dict(self) -> dict[str, Any]:
        """Return the losses of the last epochs."""
        return {"history": [torch.from_numpy(losses_then) for losses_then in self._history]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them back."""
        self._history = [losses_then.numpy() for losses_then in state["history"]]
