"""What a learner is: told when an epoch begins, asked for the loss of each batch.

The training loop (`mertag_train.learn.trainer`) owns the network, the optimiser, the order of the segments and the
checkpoints; a learner says which segments an epoch goes through, and what is to be learnt from them. numpy and
torch only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mertag_train.data import segments
from mertag_train.data.store import LogMelStore
from mertag_train.learn.augment import augment
from mertag_train.learn.config import TrainConfig
from mertag_train.learn.optimise import Optimiser
from mertag_train.learn.partition import Partition
from mertag_train.networks.vgg import SegmentNetwork

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clips:
    """Labelled clips.

    Attributes
    ----------
    index : int64 array, shape (n,)
        Positions in the store.
    label : int64 array, shape (n,)
        Class indices.
    truth : sequence of int64 arrays, or None
        The real class of each segment of the fixed grid, clip by clip; -1 where it is not known. It is never learnt
        from: a partition is scored with it.
    """

    index: Ints
    label: Ints
    truth: Sequence[Ints] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where a learner learns.

    Attributes
    ----------
    store : LogMelStore
        Where the clips lie.
    frames : Tensor, shape (total_frames, n_mels)
        The store's frames, on the device that trains.
    clips : Clips
        What is learnt from.
    config : TrainConfig
        The whole configuration.
    class_names : sequence of str
        n_classes of them.
    network : SegmentNetwork
        What is trained.
    optimiser : Optimiser
        Of it; `Optimiser.predictor` is what predicts.
    rng : numpy Generator
        Of all chance but dropout, which is torch's.
    """

    store: LogMelStore
    frames: Tensor
    clips: Clips
    config: TrainConfig
    class_names: Sequence[str]
    network: SegmentNetwork
    optimiser: Optimiser
    rng: np.random.Generator


class Learner(ABC):
    """What all learners share: the epoch's segments, their inherited labels, and the means of what was measured.

    Attributes
    ----------
    table : SegmentTable
        The epoch's segments.
    place : int64 array, shape (n_segments,), or None
        Which segment of the fixed grid each is; None for random crops, which nobody knows again.
    n_frames : int
        Length of the epoch's segments.
    partition : Partition or None
        Of this epoch, where there is one.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.device = setting.frames.device
        self.grid = segments.grid(setting.store, setting.clips.index, setting.config.segmentation)
        self._label_of = np.full(len(setting.store.ids), -1, dtype=np.int64)
        self._label_of[setting.clips.index] = setting.clips.label
        self.grid_labels = self._label_of[self.grid.clip]
        self.epoch = 0
        self.table, self.n_frames = self.grid, 0
        self.place: Ints | None = None
        self.partition: Partition | None = None
        self._sums: dict[str, tuple[Tensor, int]] = {}

    @property
    def warming_up(self) -> bool:
        """Whether this epoch takes the inherited labels as they are."""
        return self.epoch <= self.setting.config.warm_up_epochs

    @property
    def plain(self) -> bool:
        """Whether this epoch's loss is a cross-entropy with whole labels: then one near ln K means nothing learnt."""
        return self.warming_up

    def cost(self, epoch: int) -> float:
        """Return roughly what an epoch costs beside one with inherited labels; for the time that is left."""
        return 1.0

    def begin(self, epoch: int) -> None:
        """Draw the segments of an epoch (from 1), and look at them where the learner does."""
        setting, config = self.setting, self.setting.config
        self.epoch, self.partition, self._sums = epoch, None, {}
        cut, per_clip = config.crops_of_epoch(epoch)
        self.n_frames = cut.segment_frames(config.front_end)
        if per_clip:
            self.place = None
            self.table = segments.random_crops(
                setting.store, setting.clips.index, cut, per_clip=per_clip, rng=setting.rng
            )
        else:
            self.place = self.draw()
            self.table = self.grid.select(self.place)
        self.labels = torch.from_numpy(self._label_of[self.table.clip]).to(self.device)

    def draw(self) -> Ints:
        """Return the places in the grid of an epoch's segments: all, or some of each clip."""
        per_clip = self.setting.config.grid_per_clip
        if per_clip == 0:
            return np.arange(len(self.grid), dtype=np.int64)
        return segments.some_of_each_clip(self.grid, per_clip, self.setting.rng)

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
