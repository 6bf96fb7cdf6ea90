"""What a run will train, and about how long it takes: said before it begins, and on its way."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from mertag.emotion import Target
from mertag_train.arrays import Ints
from mertag_train.data.heard import segment_starts
from mertag_train.learn.config import TrainConfig
from mertag_train.learn.learners import LEARNERS
from mertag_train.learn.optimise import Optimiser, autocast
from mertag_train.learn.trainer import Progress, network_of
from mertag_train.runs.experiment import NetworkToTrain, networks_to_train, trunk_of
from mertag_train.runs.work import Work

TIMED_STEPS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is trained for one target.

    Attributes
    ----------
    weights : int
        Of the network that is kept.
    pretrained : bool
        Whether a teacher teaches the convolutions first.
    segment_s : float
        Measured: how long a segment takes, forward and backward, in seconds.
    segments : tuple of float
        How many segments each training is worth: that of the convolutions, if there is one, then the networks'.
    """

    weights: int
    pretrained: bool
    segment_s: float
    segments: tuple[float, ...]

    @property
    def networks(self) -> int:
        """How many there are, the pre-trained convolutions not counted."""
        return len(self.segments) - self.pretrained

    @property
    def duration_s(self) -> float:
        """About how long all trainings take, one after the other, in seconds."""
        return self.segment_s * sum(self.segments)


class TimeLeft:
    """How long a run still takes: the network at hand, and at its pace those that follow.

    Parameters
    ----------
    forecasts : mapping of Target to Forecast
        In the order in which the targets are trained.
    """

    def __init__(self, forecasts: Mapping[Target, Forecast]) -> None:
        self._forecasts = forecasts
        self._segments, self._later = 0.0, 0.0
        self._segment_s = 0.0

    def begin(self, target: Target, number: int) -> None:
        """Take note of the network of a target that is trained now, as `Watcher.on_network` has it."""
        targets = list(self._forecasts)
        of_target = self._forecasts[target]
        index = number if of_target.pretrained else number - 1
        after = [self._forecasts[other] for other in targets[targets.index(target) + 1 :]]
        self._segments = of_target.segments[index]
        self._later = sum(of_target.segments[index + 1 :]) + sum(sum(each.segments) for each in after)

    def of_run(self, step: Progress) -> float:
        """Return the seconds that remain of the whole run."""
        left = 1 - (step.epoch - 1 + step.step / step.steps) / step.epochs
        if left > 0:  # at the end of a network, the pace is what it was before
            self._segment_s = step.remaining_s / (left * self._segments)
        return step.remaining_s + self._later * self._segment_s


def forecast(work: Work, device: torch.device) -> Forecast:
    """Return what is trained for a target; a few steps on noise are timed on the device."""
    networks, trunk = networks_to_train(work), trunk_of(work)
    n_classes = len(work.class_names)
    return Forecast(
        weights=sum(p.numel() for p in network_of(work.config, n_classes).parameters()),
        pretrained=trunk is not None,
        segment_s=_timed(work.config, n_classes, device),
        segments=tuple(_segments(work, one) for one in ([trunk] if trunk else []) + networks),
    )


def _segments(work: Work, one: NetworkToTrain) -> float:
    """Return how many segments a training is worth."""
    config = one.config
    learner, total = LEARNERS[config.learner], 0.0
    per_clip, others = (_heard(work, clips, config) for clips in (one.learnt, one.unlabelled))
    if config.learner == "sssl" and not work.parts.pseudo_labels:
        others = others[:0]
    for epoch in range(1, config.epochs + 1):
        crops = config.crops_of_epoch(epoch)
        share = learner.unlabelled_clips(config, epoch, len(per_clip), len(others)) / max(1, len(others))
        of_clips, of_others = (
            float(crops * len(counts) if crops else np.minimum(counts, config.grid_per_clip or counts).sum())
            for counts in (per_clip, others)
        )
        total += (of_clips + share * of_others) * learner.cost(config, epoch)
    return total


def _heard(work: Work, clips: Ints, config: TrainConfig) -> Ints:
    """Return how many segments each clip has, of those that have one."""
    counts = [len(segment_starts(work.store, clip, config.segmentation)) for clip in clips.tolist()]
    return np.array([count for count in counts if count], dtype=np.int64)


def _timed(config: TrainConfig, n_classes: int, device: torch.device) -> float:
    """Return the seconds that a segment takes, forward and backward."""
    network = network_of(config, n_classes).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = Optimiser(network, config.optimiser, epochs=1)
    batch = torch.randn(
        config.optimiser.batch_size,
        config.segmentation.segment_frames(config.front_end),
        config.front_end.n_mels,
        device=device,
    )
    network.train()
    durations: list[float] = []
    for _ in range(1 + TIMED_STEPS):
        began = time.monotonic()
        with autocast(device):
            loss = network(batch).float().square().mean()
        optimiser.step(loss, done=0.0, share=0.5)
        loss.item()  # waits for the device
        durations.append(time.monotonic() - began)
    return float(np.min(durations[1:])) / len(batch)
