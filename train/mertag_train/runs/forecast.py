"""What a run will train, and about how long it takes: said before it begins."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from mertag_train.arrays import Ints
from mertag_train.data.heard import segment_starts
from mertag_train.learn.config import TrainConfig
from mertag_train.learn.learners import LEARNERS
from mertag_train.learn.optimise import Optimiser, autocast
from mertag_train.learn.trainer import network_of
from mertag_train.runs.experiment import NetworkToTrain, networks_to_train, trunk_of
from mertag_train.runs.work import Work

TIMED_STEPS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is trained for one target.

    Attributes
    ----------
    networks : int
        How many, the pre-trained convolutions not counted.
    weights : int
        Of the network that is kept.
    pretrained : bool
        Whether a teacher teaches the convolutions first.
    segment_s : float
        Measured: how long a segment takes, forward and backward, in seconds.
    duration_s : float
        About how long all trainings take, one after the other, in seconds.
    """

    networks: int
    weights: int
    pretrained: bool
    segment_s: float
    duration_s: float


def forecast(work: Work, device: torch.device) -> Forecast:
    """Return what is trained for a target; a few steps on noise are timed on the device."""
    networks, trunk = networks_to_train(work), trunk_of(work)
    n_classes = len(work.class_names)
    config = work.config
    segment_s = _timed(config, n_classes, device)
    duration_s = segment_s * sum(_segments(work, one) for one in networks)
    if trunk is not None:
        duration_s += segment_s * _segments(work, trunk)
    weights = sum(p.numel() for p in network_of(config, n_classes).parameters())
    return Forecast(
        networks=len(networks),
        weights=weights,
        pretrained=trunk is not None,
        segment_s=segment_s,
        duration_s=duration_s,
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
