"""What a learner is: told when an epoch begins, asked for the loss of each batch.

The training loop (`mertag_train.learn.trainer`) owns the network, the optimiser, the order of the segments and the
checkpoints; a learner says which segments an epoch goes through, and what is to be learnt from them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss, one_hot

from mertag_train.arrays import Floats, Floats32, Ints
from mertag_train.data import segments
from mertag_train.data.store import LogMelStore
from mertag_train.data.teacher import TeacherTargets
from mertag_train.learn.augment import augment, not_music
from mertag_train.learn.config import TrainConfig
from mertag_train.learn.optimise import Optimiser, autocast
from mertag_train.learn.partition import Partition
from mertag_train.networks.vgg import SegmentNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class Clips:
    """Labelled clips: their positions in the store (n,), and their class indices (n,).

    `truth` has the real class of each segment of the fixed grid, clip by clip; -1 where it is not known. It is never
    learnt from: a partition is scored with it. `guide` has the probabilities (n_segments, n_classes) that models which
    have not seen the clip give to each segment of the fixed grid, clip by clip. The clips at the positions `unlabelled`
    have no label; they count where bands and a teacher's outputs are standardised, and a learner may learn from them:
    self-learning only where there are to be `pseudo_labels`.
    """

    index: Ints
    label: Ints
    truth: Sequence[Ints] | None = None
    guide: Sequence[Floats32] | None = None
    unlabelled: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    pseudo_labels: bool = False

    @property
    def every(self) -> Ints:
        """Positions of all clips, those without a label last."""
        return np.concatenate([self.index, self.unlabelled])


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where a learner learns.

    The store's frames (total_frames, n_mels) lie on the device that trains; there are n_classes `class_names`;
    `Optimiser.predictor` is what predicts; `rng` is for all chance but dropout, which is torch's. The `teacher` is
    standardised over the training clips.
    """

    store: LogMelStore
    frames: Tensor
    clips: Clips
    config: TrainConfig
    class_names: Sequence[str]
    network: SegmentNetwork
    optimiser: Optimiser
    rng: np.random.Generator
    teacher: TeacherTargets | None = None


class Learnt(NamedTuple):
    """The loss of a batch, the part of it that is the labels', and the logits (batch, n_classes), float32."""

    loss: Tensor
    of_labels: Tensor
    logits: Tensor


class Learner(ABC):
    """What all learners share: the epoch's segments, their inherited labels, and the means of what was measured.

    The epoch's segments are `table`, all `n_frames` long; `place` (n_segments,) says which segment of the fixed grid
    each is, None for random crops, which have no identity. The `partition` is that of this epoch, where there is one.
    `clips` are those that the grid and random crops are of: the labelled ones and, if `takes_unlabelled`, the others.
    In the table, `further` segments without a label stand behind those of the grid.
    """

    takes_unlabelled: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.device = setting.frames.device
        self.clips = setting.clips.every if self.takes_unlabelled else setting.clips.index
        self.grid = segments.grid(setting.store, self.clips, setting.config.segmentation)
        self._label_of = np.full(len(setting.store.ids), -1, dtype=np.int64)
        self._label_of[setting.clips.index] = setting.clips.label
        self.grid_labels = self._label_of[self.grid.clip]
        self.epoch = 0
        self.table = self.grid
        self.n_frames = setting.config.segmentation.segment_frames(setting.config.front_end)
        self.place: Ints | None = None
        self.partition: Partition | None = None
        self._sums: dict[str, tuple[Tensor, int]] = {}
        guide = setting.clips.guide
        self._guide = None if guide is None else torch.from_numpy(np.concatenate(guide)).float().to(self.device)
        if self._guide is not None and len(self._guide) != len(self.grid):
            raise ValueError(f"a guide for {len(self._guide)} of {len(self.grid)} segments")
        self._taught = None if setting.teacher is None else torch.from_numpy(setting.teacher.values).to(self.device)

    @property
    def warming_up(self) -> bool:
        """Whether this epoch takes the inherited labels as they are."""
        return self.epoch <= self.setting.config.warm_up_epochs

    @property
    def plain(self) -> bool:
        """Whether this epoch's loss is a cross-entropy with whole labels: then one near ln K means nothing learnt."""
        return self.warming_up

    @staticmethod
    def cost(config: TrainConfig, epoch: int) -> float:
        """Return roughly what an epoch costs beside one with inherited labels; for the time that is left."""
        return 1.0

    @staticmethod
    def unlabelled_clips(config: TrainConfig, epoch: int, n_labelled: int, n_unlabelled: int) -> int:
        """Return of how many clips without a label an epoch has segments, where it may."""
        return 0

    def begin(self, epoch: int) -> None:
        """Draw the segments of an epoch (from 1), and look at them where the learner does."""
        setting, config = self.setting, self.setting.config
        self.epoch, self.partition, self._sums = epoch, None, {}
        per_clip = config.crops_of_epoch(epoch)
        if per_clip:
            self.place = None
            self.table = segments.random_crops(
                setting.store, self.clips, config.segmentation, per_clip=per_clip, rng=setting.rng
            )
        else:
            self.place = self.draw()
            self.table = self.grid.select(self.place)
        further = self.further()
        self.n_labelled = len(self.table)
        self.table = self.table.followed_by(further)
        self.labels = torch.from_numpy(self._label_of[self.table.clip]).to(self.device)
        if self._guide is not None:
            place = self._nearest_place() if self.place is None else self.place
            nobody = np.zeros(len(further), dtype=np.int64)  # of no use to segments without a label
            self._guide_place = np.concatenate([place, nobody])
        if setting.teacher is not None:
            self._taught_row = torch.from_numpy(setting.teacher.rows(self.table.clip, self._middle_s())).to(self.device)

    def draw(self) -> Ints:
        """Return the places in the grid of an epoch's segments: all, or some of each clip."""
        per_clip = self.setting.config.grid_per_clip
        if per_clip == 0:
            return np.arange(len(self.grid), dtype=np.int64)
        return segments.some_of_each_clip(self.grid, per_clip, self.setting.rng)

    def further(self) -> segments.SegmentTable:
        """Return segments of this epoch that have no label."""
        return self.grid.select(np.zeros(0, dtype=np.int64))

    def _nearest_place(self) -> Ints:
        """Return the place in the grid of the segment of the same clip that begins nearest to each of the epoch."""
        after = np.searchsorted(self.grid.row, self.table.row)  # rows of a store ascend, as do the clips
        before = np.maximum(after - 1, 0)
        after = np.minimum(after, len(self.grid) - 1)
        nearer = np.abs(self.grid.row[before] - self.table.row) <= np.abs(self.grid.row[after] - self.table.row)
        chosen = np.where(nearer, before, after)
        other = np.where(nearer, after, before)
        found: Ints = np.where(self.grid.clip[chosen] == self.table.clip, chosen, other)
        return found

    def _middle_s(self) -> Floats:
        """Return when the middle of each segment of the epoch is, (n_segments,), in seconds from its clip's start."""
        front_end = self.setting.config.front_end
        middle = self.table.row - self.setting.store.offsets[self.table.clip] + self.n_frames / 2
        found: Floats = middle.astype(np.float64) * front_end.hop_length / front_end.sample_rate
        return found

    @abstractmethod
    def loss(self, chosen: Ints) -> Tensor:
        """Return the loss of a batch, the segments at the positions `chosen` (batch,) of `table`: a scalar, nats."""

    def cut(self, chosen: Ints) -> Tensor:
        """Return segments (batch, n_frames, n_mels), in dB, as they are."""
        rows = torch.from_numpy(self.table.row[chosen]).to(self.device)
        return segments.cut(self.setting.frames, rows, self.n_frames)

    def augmented(self, batch: Tensor) -> Tensor:
        """Return a batch with the recipe's augmentation."""
        return augment(batch, self.setting.network.mean, self.setting.config.augment, self.setting.rng)

    def one_hot(self, chosen: Ints) -> Tensor:
        """Return the inherited labels of a batch as distributions, (batch, n_classes); zeros where there is none."""
        labels = self.labels[torch.from_numpy(chosen).to(self.device)]
        return one_hot(labels.clamp_min(0), len(self.setting.class_names)).float() * (labels >= 0)[:, None]

    def targets(self, chosen: Ints) -> Tensor:
        """Return the labels of a batch, (batch, n_classes): inherited, and in part the guide's where there is one."""
        inherited, share = self.one_hot(chosen), self.setting.config.teacher.label_share
        if self._guide is None or not share:
            return inherited
        guide = self._guide[torch.from_numpy(self._guide_place[chosen]).to(self.device)]
        return (1 - share) * inherited + share * guide

    def taught(self, chosen: Ints) -> Tensor | None:
        """Return the teacher's outputs for a batch, (batch, dim), standardised; None without a teacher."""
        if self._taught is None:
            return None
        return self._taught[self._taught_row[torch.from_numpy(chosen).to(self.device)]]

    def partners(self, alpha: float, batch: int) -> tuple[float, Tensor]:
        """Draw the weight delta of eq. 6 and 7, and the partner of each row: one permutation of the whole batch."""
        rng = self.setting.rng
        if not alpha:
            return 1.0, torch.arange(batch, device=self.device)
        return float(rng.beta(alpha, alpha)), torch.from_numpy(rng.permutation(batch)).to(self.device)

    def inherited_loss(self, chosen: Ints, *, alpha: float = 0.0) -> Tensor:
        """Return the loss with the inherited labels (eq. 2), mixed by Beta(alpha, alpha) (eq. 8)."""
        return self.learn(self.augmented(self.cut(chosen)), self.targets(chosen), chosen, alpha=alpha).loss

    def learn(self, inputs: Tensor, targets: Tensor, chosen: Ints, *, alpha: float = 0.0) -> Learnt:
        """Return the loss of a batch while training.

        The inputs (batch, n_frames, n_mels) are the segments `chosen`, augmented; some become sounds that are no music,
        and then all are mixed. The loss is the cross-entropy with the targets (batch, n_classes) and, where there is a
        teacher, the weighted squared distance from what it says.
        """
        network, wanted = self.setting.network, self.taught(chosen)
        share = self.setting.config.augment.noise_share
        if share:
            rows = torch.from_numpy(self.setting.rng.permutation(len(chosen))[: round(share * len(chosen))])
            inputs, targets = self._with_noise(inputs, targets, rows.to(self.device))
        delta, partner = self.partners(alpha, len(chosen))
        with autocast(self.device):
            embedding = network.embed(mix(inputs, partner, delta))
            logits = network.classify(embedding).float()
            said = None if network.teacher is None else network.teacher(embedding).float()
        of_labels = cross_entropy(logits, mix(targets, partner, delta))
        if wanted is None or said is None:
            return Learnt(of_labels, of_labels, logits)
        music = torch.ones(len(chosen), 1, device=self.device)
        if share:  # the teacher has not heard what is no music
            music = music.index_fill(0, rows.to(self.device), 0.0)
        music = mix(music, partner, delta).round()
        distance = mse_loss(said * music, mix(wanted, partner, delta) * music)
        self.note("loss_teacher", distance, len(chosen))
        return Learnt(of_labels + self.setting.config.teacher.weight * distance, of_labels, logits)

    def _with_noise(self, inputs: Tensor, targets: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return a batch of which some rows are no music, and its targets: of those rows, all classes alike."""
        _, n_frames, n_mels = inputs.shape
        sounds = torch.from_numpy(not_music(len(rows), n_frames, n_mels, self.setting.rng))
        inputs = inputs.index_copy(0, rows, sounds.to(self.device))
        return inputs, targets.index_fill(0, rows, 1 / targets.shape[1])

    def note(self, name: str, value: Tensor, count: int) -> None:
        """Add a batch's mean over `count` rows to the epoch's mean of a figure; the device is not waited for."""
        before, rows = self._sums.get(name, (torch.zeros((), device=self.device), 0))
        self._sums[name] = (before + value.detach() * count, rows + count)

    def figures(self) -> Mapping[str, float]:
        """Return what is on record of the epoch."""
        return {name: float(total) / rows for name, (total, rows) in self._sums.items() if rows}

    def state_dict(self) -> dict[str, Any]:
        """Return what the next epoch needs to know, as tensors and plain values; empty where it needs nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027 - most remember nothing
        """Take back what `state_dict` gave."""


class InheritedLearner(Learner):
    """Every segment has its clip's label, in every epoch (Sarkar et al., 2020); inputs may be mixed."""

    @property
    def plain(self) -> bool:
        """Whether nothing is mixed."""
        return self.setting.config.augment.mixup_alpha == 0

    def loss(self, chosen: Ints) -> Tensor:
        """Return the cross-entropy with the inherited labels, mixed where the recipe mixes."""
        return self.inherited_loss(chosen, alpha=self.setting.config.augment.mixup_alpha)


class TeacherLearner(Learner):
    """What the teacher hears, and no label: pre-training."""

    takes_unlabelled = True

    @staticmethod
    def unlabelled_clips(config: TrainConfig, epoch: int, n_labelled: int, n_unlabelled: int) -> int:
        """Return all: they teach as much as others."""
        return n_unlabelled

    @property
    def plain(self) -> bool:
        """Nothing is learnt of the classes."""
        return False

    def loss(self, chosen: Ints) -> Tensor:
        """Return the squared distance from the teacher's outputs, mixed where the recipe mixes."""
        inputs, taught = self.augmented(self.cut(chosen)), self.taught(chosen)
        assert taught is not None
        delta, partner = self.partners(self.setting.config.augment.mixup_alpha, len(chosen))
        network = self.setting.network
        assert network.teacher is not None
        with autocast(self.device):
            said = network.teacher(network.embed(mix(inputs, partner, delta)))
        return mse_loss(said.float(), mix(taught, partner, delta))


def mix(values: Tensor, partner: Tensor, delta: float) -> Tensor:
    """Return ``delta * x_p + (1 - delta) * x_q`` (eq. 6 and 7), where q is row `partner` (batch,) of the same batch."""
    return values if delta == 1.0 else delta * values + (1 - delta) * values[partner]
