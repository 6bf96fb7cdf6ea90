"""Semi-supervised self-learning, the paper's method (Fig. 1), and its losses as pure functions.

After a warm-up on all inherited labels, each epoch begins by telling segments with clean labels (X) from the others
(U) by their losses; segments of clips without a label are in U. Then one pass over all of them: rows of U get the
network's own sharpened prediction as label,
the batch is mixed, and what two dropout passes predict for U's plain inputs is pulled together.

Logits and targets are (batch, n_classes), targets being distributions; losses are scalars in nats, means over the rows
of a batch. What is printed wrongly in the paper is put right here: the exponent of eq. 4 is ``1/T`` (with a minus it
would un-sharpen), the sum of eq. 2 is from i=1, eq. 8 lacks its minus and is a mean, and eq. 9 is a mean over the
unlabelled rows (a sum would grow with their number).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax

from mertag_train.arrays import Floats, Ints
from mertag_train.data import segments
from mertag_train.learn import partition as partitions
from mertag_train.learn.config import TrainConfig
from mertag_train.learn.learners.base import Learner, Setting
from mertag_train.learn.optimise import autocast
from mertag_train.learn.predict import segment_logits


class SsslLearner(Learner):
    """Inherited labels in the warm-up, then SSSL.

    Raises ValueError if the real classes that `Clips.truth` gives are not one for each segment of the grid.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        clips = setting.clips
        others = clips.unlabelled if clips.pseudo_labels else clips.unlabelled[:0]
        self._others = segments.grid(setting.store, others, setting.config.segmentation)
        truth = setting.clips.truth
        self._truth = None if truth is None else np.concatenate([np.zeros(0, dtype=np.int64), *truth])
        if self._truth is not None and len(self._truth) != len(self.grid):
            raise ValueError(f"{len(self._truth)} real classes for {len(self.grid)} segments")

    @staticmethod
    def cost(config: TrainConfig, epoch: int) -> float:
        """Return what an epoch costs: losses are measured, and U is seen twice or thrice."""
        if epoch <= config.warm_up_epochs:
            return 1.0
        again = 1.0 if config.sssl.pseudo_labels_of == "epoch" else 1.5
        return 1.0 + again * 0.3 + (0.4 if config.sssl.kl_weight else 0.0)

    @property
    def kl_weight(self) -> float:
        """Lambda of this epoch: it grows in equal steps, and has its full value `kl_ramp_epochs` after the warm-up."""
        config = self.setting.config
        since = self.epoch - config.warm_up_epochs
        return config.sssl.kl_weight * min(1.0, max(0, since) / max(1, config.sssl.kl_ramp_epochs))

    @staticmethod
    def unlabelled_clips(config: TrainConfig, epoch: int, n_labelled: int, n_unlabelled: int) -> int:
        """Return as many as are labelled, at most, once the warm-up is over: no epoch is of pseudo-labels mostly."""
        return 0 if epoch <= config.warm_up_epochs else min(n_labelled, n_unlabelled)

    def further(self) -> segments.SegmentTable:
        """Return segments of some clips without a label, drawn anew each time."""
        heard = np.unique(self._others.clip)
        n_labelled, rng = len(self.setting.clips.index), self.setting.rng
        count = self.unlabelled_clips(self.setting.config, self.epoch, n_labelled, len(heard))
        if not count:
            return self._others.select(np.zeros(0, dtype=np.int64))
        drawn = self._others.select(np.flatnonzero(np.isin(self._others.clip, rng.permutation(heard)[:count])))
        per_clip = self.setting.config.grid_per_clip
        return drawn.select(segments.some_of_each_clip(drawn, per_clip, rng)) if per_clip else drawn

    def begin(self, epoch: int) -> None:
        """Draw the segments; from the end of the warm-up on, measure their losses, and tell clean from noisy."""
        super().begin(epoch)
        config = self.setting.config
        if self.warming_up:
            return
        place, losses, chosen = self.place, self._measure(), config.sssl.partition
        assert place is not None  # after the warm-up all segments are of the grid
        if chosen.relative_to_clip:
            losses = partitions.relative_to_clip(losses, self.grid.clip[place])
        self.partition = partitions.partition(
            losses, self.grid_labels[place], self.setting.class_names, chosen, seed=config.seed
        )
        self.partition = replace(self.partition, segments=self._told_apart(place))
        # What has no label is in U.
        further = np.zeros(len(self.table) - self.n_labelled)
        self._labelled = torch.from_numpy(np.concatenate([self.partition.labelled, further > 0])).to(self.device)
        clean = np.concatenate([self.partition.clean_probability, further])
        self._clean_probability = torch.from_numpy(clean).float().to(self.device)

    def _told_apart(self, place: Ints) -> partitions.Segments:
        """Return which segments the places of the grid are, and what the network says of them."""
        store, front_end = self.setting.store, self.setting.config.front_end
        clip = self.grid.clip[place]
        start: Floats = (self.grid.row[place] - store.offsets[clip]).astype(np.float64)
        return partitions.Segments(
            ids=store.ids,
            clip=clip,
            start_s=start * front_end.hop_length / front_end.sample_rate,
            segment_s=self.setting.config.segmentation.duration_s,
            probabilities=self._said[: len(place)].cpu().numpy(),
            truth=None if self._truth is None else self._truth[place],
        )

    @torch.no_grad()
    def _measure(self) -> Floats:
        """Put on record what is said of the epoch's segments; return the losses (n_labelled,) of those with a label."""
        logits = segment_logits(self.setting.optimiser.predictor, self.setting.frames, self.table.row, self.n_frames)
        self.setting.network.train()
        self._said = torch.softmax(logits, dim=1)
        losses = cross_entropy(logits[: self.n_labelled], self.labels[: self.n_labelled], reduction="none")
        return losses.cpu().numpy().astype(np.float64)

    def loss(self, chosen: Ints) -> Tensor:
        """Return the total loss of a batch (eq. 10), or its cross-entropy in the warm-up."""
        if self.warming_up:
            return self.inherited_loss(chosen)
        config = self.setting.config.sssl
        here = torch.from_numpy(chosen).to(self.device)
        plain, targets = self.cut(chosen), self.targets(chosen)
        unlabelled = torch.nonzero(~self._labelled[here]).squeeze(1)
        kl = torch.zeros((), device=self.device)
        if len(unlabelled):
            if config.pseudo_labels_of == "epoch":
                said = self._said[here][unlabelled]
            else:
                said = self._pseudo_labels(plain[unlabelled])
            guess = sharpen(said, config.temperature)  # eq. 4, 5
            if config.refine:
                guess = refine(targets[unlabelled], guess, self._clean_probability[here][unlabelled])
            targets[unlabelled] = guess
            if config.kl_weight:
                kl = self._divergence(plain, unlabelled)
        mixed = self.learn(self.augmented(plain), targets, chosen, alpha=config.mixup_alpha)  # eq. 6, 7, 8
        self.note("loss_mix", mixed.of_labels, len(chosen))
        if config.kl_weight:
            self.note("loss_kl", kl, len(unlabelled))
        return mixed.loss + self.kl_weight * kl  # eq. 10

    @torch.no_grad()
    def _pseudo_labels(self, plain: Tensor) -> Tensor:
        """Return what the network (its average, where one is kept) predicts: (n, n_classes), in evaluation mode."""
        predictor = self.setting.optimiser.predictor
        predictor.eval()
        with autocast(self.device):
            logits = predictor(plain)
        self.setting.network.train()
        return torch.softmax(logits.float(), dim=1)

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
        return symmetric_kl(one.float(), other.float())

    def figures(self) -> Mapping[str, float]:
        """Return the losses' parts and what the partition says."""
        found = dict(super().figures())
        if self.partition is None:
            return found
        truth = None if self._truth is None or self.place is None else self._truth[self.place]
        said = partitions.figures(self.partition, truth, self.table.clip[: self.n_labelled])
        return {**found, "kl_weight": self.kl_weight, **said}


def sharpen(probabilities: Tensor, temperature: float) -> Tensor:
    """Return distributions (batch, n_classes) raised to ``1/T`` and normalised (eq. 4).

    The order of the classes stays; below a temperature of 1 the largest gains. Zero stays zero.
    """
    # In logarithms: a small probability to the power 1/T would vanish, and 0/0 follow.
    return torch.softmax(torch.log(probabilities) / temperature, dim=1)


def refine(labels: Tensor, pseudo: Tensor, clean_probability: Tensor) -> Tensor:
    """Return ``w * y + (1 - w) * p`` (DivideMix: Li et al., 2020, eq. 3), shape (batch, n_classes).

    The labels y are the inherited ones, one-hot, p the network's own predictions, w (batch,) each label's probability.
    """
    w = clean_probability[:, None]
    return w * labels + (1 - w) * pseudo


def symmetric_kl(one: Tensor, other: Tensor) -> Tensor:
    """Return half the sum of both Kullback-Leibler divergences between two predictions, given as logits (eq. 9).

    A mean over the rows; 0 where there is none. Gradients flow into both (R-Drop: Wu et al., 2021).
    """
    if len(one) == 0:
        return one.sum()  # 0, and on the graph
    log_p, log_q = log_softmax(one, dim=1), log_softmax(other, dim=1)
    # D(p|q) + D(q|p) = sum (p - q) (log p - log q)
    return 0.5 * ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1).mean()
