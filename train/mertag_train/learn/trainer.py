"""The training loop: one network, one learner, epoch after epoch.

Whose matter is what, the loop's and the learner's, is told in `mertag_train.learn.learners.base`. The loop reports by
callback and prints nothing.

A checkpoint holds weights, optimiser, what the learner remembers, and random states, and is gone when the training is
done. It has torch's own format, tensors and plain values only, and is read with ``weights_only``: no code that somebody
put into such a file is ever run.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mertag.errors import TrainingError
from mertag.files import remove_leftovers, replaced_whole
from mertag_train.arrays import Ints
from mertag_train.data.store import LogMelStore
from mertag_train.data.teacher import TeacherTargets
from mertag_train.learn.config import TrainConfig
from mertag_train.learn.learners import LEARNERS, Clips, Learner, Setting
from mertag_train.learn.optimise import Optimiser
from mertag_train.learn.partition import Partition
from mertag_train.learn.predict import predict
from mertag_train.networks.vgg import SegmentNetwork

__all__ = ["Clips", "EpochReport", "Progress", "band_statistics", "network_of", "predict", "train_network"]

STALL_MARGIN = 0.01
"""A last loss so near to ln K, as a share of it, is that of a network that has learnt nothing."""

_REMEDY = "delete it, and --resume starts this target from its first epoch"

VALIDATION_SEGMENTS = 3
"""Segments a held-out clip that an epoch's accuracy is measured on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an epoch is, all from 1; the steps are those of the epoch, the loss is that of the last step in nats.

    `elapsed_s` is that of the whole training since it was begun or resumed; `remaining_s` is an estimate.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    elapsed_s: float
    remaining_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochReport:
    """One finished epoch; the loss is the mean one of the training, in nats.

    The validation accuracy is the share of held-out clips whose mean probability over a few segments is highest for
    their class, None without such clips; it is reported only: no epoch is chosen by it. The figures are what the
    learner has on record, the partition how it told the segments apart, where it did.
    """

    epoch: int
    epochs: int
    loss: float
    learning_rate: float
    validation_accuracy: float | None
    segments_per_s: float
    duration_s: float
    figures: Mapping[str, float] = field(default_factory=dict)
    partition: Partition | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values, without the partition's segments."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "partition"}


def band_statistics(store: LogMelStore, clips: Ints) -> tuple[Tensor, Tensor]:
    """Return the mean and standard deviation of each mel band over some clips, shape (n_mels,), in dB."""
    total = np.zeros(store.front_end.n_mels)
    square = np.zeros(store.front_end.n_mels)
    count = 0
    for index in clips:
        logmel = store.clip(int(index)).astype(np.float64)
        total += logmel.sum(0)
        square += np.square(logmel).sum(0)
        count += len(logmel)
    mean = total / max(1, count)
    # A band that never changes (silence, or above every low-pass) must not be blown up.
    std = np.sqrt(np.maximum(square / max(1, count) - mean**2, 1.0))
    return torch.from_numpy(mean).float(), torch.from_numpy(std).float()


def network_of(config: TrainConfig, n_classes: int, *, n_taught: int = 0) -> SegmentNetwork:
    """Return the network that a configuration asks for, with random weights, and a head for so many teacher targets."""
    return SegmentNetwork(
        config.network.architecture,
        n_classes=n_classes,
        front_end=config.front_end,
        dropout=config.network.dropout,
        width=config.network.width,
        n_taught=n_taught,
    )


def train_network(
    store: LogMelStore,
    frames: Tensor,
    train: Clips,
    validation: Clips | None,
    config: TrainConfig,
    *,
    class_names: Sequence[str],
    teacher: TeacherTargets | None = None,
    begin_with: Mapping[str, Tensor] | None = None,
    checkpoint_path: Path | None = None,
    resume: bool = False,
    may_guess: bool = False,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    on_step: Callable[[Progress], None] = lambda progress: None,
) -> SegmentNetwork:
    """Train a segment network.

    The store's frames (total_frames, n_mels) are on the device that trains. The progress is measured on the clips of
    `validation`. `begin_with` are the weights of a network that the teacher alone has taught. The checkpoint is written
    after each epoch. With `resume`, training goes on from it where it exists;
    on the CPU the result is bit for bit that of an uninterrupted run. Returns the last epoch's network (its moving
    average, where one is kept), in evaluation mode and without the teacher's head.

    A network that has learnt nothing is an error, unless it `may_guess`: where methods are compared, one that is no
    better than chance is a figure like any other, and another seed in its place would be a choice by the result.

    Raises
    ------
    TrainingError
        If no clip is as long as one segment; if the loss or a weight is not finite; if the loss is still within 1 % of
        ln K when the warm-up (with inherited labels: the training) is over, and the network has learnt nothing: plain
        VGG16 can stall, and its losses would then be told apart by noise. A mixed label has a high loss by itself, so
        that it is not looked at there. Also if the checkpoint cannot be read or written, or is of another
        configuration.
    """
    device = frames.device
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    taught = None if teacher is None else teacher.standardised(train.every)
    network = network_of(config, len(class_names), n_taught=0 if taught is None else taught.dim)
    if begin_with is not None:
        network.begin_with(begin_with)
    network.set_statistics(*band_statistics(store, train.every))
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in the stubs
    optimiser = Optimiser(network, config.optimiser, epochs=config.epochs)
    learning = LEARNERS[config.learner](
        Setting(
            store=store,
            frames=frames,
            clips=train,
            config=config,
            class_names=class_names,
            network=network,
            optimiser=optimiser,
            rng=rng,
            teacher=taught,
        )
    )
    if len(learning.grid) == 0:
        raise TrainingError(f"no training clip is as long as one segment ({config.segmentation.duration_s} s)")

    first = 1
    if resume and checkpoint_path is not None and checkpoint_path.exists():
        first = 1 + load_checkpoint(checkpoint_path, optimiser, rng, learning, config=config)
    clock = _Clock([learning.cost(config, epoch) for epoch in range(1, config.epochs + 1)], first)
    checked = config.epochs if config.learner in ("inherited", "teacher") else min(config.epochs, config.warm_up_epochs)
    for epoch in range(first, config.epochs + 1):
        epoch_began = time.monotonic()
        network.train()
        learning.begin(epoch)
        order = rng.permutation(len(learning.table))
        batches = _batches(order, config.optimiser.batch_size)
        total, rate = torch.zeros((), device=device), 0.0
        for step, chosen in enumerate(batches):
            loss = learning.loss(chosen)
            rate = optimiser.step(loss, done=epoch - 1 + step / len(batches), share=1 / len(batches))
            total += loss.detach() * len(chosen)
            if step % 10 == 0 or step == len(batches) - 1:  # reading the loss waits for the device
                _refuse_divergence(float(loss.detach()), epoch, config)
                elapsed_s, remaining_s = clock.read(epoch, (step + 1) / len(batches))
                on_step(
                    Progress(
                        epoch=epoch,
                        epochs=config.epochs,
                        step=step + 1,
                        steps=len(batches),
                        loss=float(loss.detach()),
                        elapsed_s=elapsed_s,
                        remaining_s=remaining_s,
                    )
                )
        mean_loss = float(total) / len(learning.table)
        _refuse_divergence(mean_loss if optimiser.is_finite() else math.nan, epoch, config)
        if epoch == checked and learning.plain and not may_guess:
            _refuse_stall(mean_loss, len(class_names))  # before the checkpoint: a resumed run must not pass it by
        trained_s = time.monotonic() - epoch_began
        on_epoch(
            EpochReport(
                epoch=epoch,
                epochs=config.epochs,
                loss=mean_loss,
                learning_rate=rate,
                validation_accuracy=_validate(optimiser.predictor, store, frames, validation, config),
                segments_per_s=len(learning.table) / trained_s,
                duration_s=time.monotonic() - epoch_began,
                figures=learning.figures(),
                partition=learning.partition,
            )
        )
        # After the report: an epoch that is on record and has no checkpoint is trained, and put on record, again.
        if checkpoint_path is not None:
            save_checkpoint(checkpoint_path, optimiser, rng, learning, epoch=epoch, config=config)
    trained = optimiser.predictor
    assert isinstance(trained, SegmentNetwork)
    if config.learner != "teacher":
        trained.teacher = None
    return trained.eval()


class _Clock:
    """How long the training takes, by what its epochs cost."""

    def __init__(self, costs: Sequence[float], first: int) -> None:
        self._costs, self._first, self._began = costs, first, time.monotonic()

    def read(self, epoch: int, share: float) -> tuple[float, float]:
        """Return the seconds since the start, and those that remain, when a share of an epoch is done."""
        elapsed_s = time.monotonic() - self._began
        done = sum(self._costs[self._first - 1 : epoch - 1]) + share * self._costs[epoch - 1]
        return elapsed_s, elapsed_s / done * (sum(self._costs[self._first - 1 :]) - done)


def _refuse_divergence(loss: float, epoch: int, config: TrainConfig) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"training diverged in epoch {epoch} (loss {loss}); start anew with a --learning-rate below "
            f"{config.optimiser.learning_rate}"
        )


def _batches(order: Ints, size: int) -> list[Ints]:
    """Return batches of a size, and one of the rest; a single one is added to the last: batch norm needs two."""
    ends = range(size, len(order), size)
    return np.array_split(order, ends[:-1] if len(order) % size == 1 else ends)


def _refuse_stall(loss: float, n_classes: int) -> None:
    chance = math.log(n_classes)
    if abs(loss - chance) <= STALL_MARGIN * chance:
        raise TrainingError(
            f"training stalled: the loss, {loss:.4f}, is still that of guessing (ln {n_classes} = {chance:.4f}). "
            "Plain VGG16 can stall from a bad start: try another --seed, or the compact network"
        )


def _validate(
    network: nn.Module, store: LogMelStore, frames: Tensor, clips: Clips | None, config: TrainConfig
) -> float | None:
    if clips is None or len(clips.index) == 0:
        return None
    found = predict(
        network, store, frames, clips.index, config.segmentation, at_most=VALIDATION_SEGMENTS, batch_size=64
    )
    hits = [int(p.mean(0).argmax()) == label for p, label in zip(found, clips.label, strict=True) if len(p)]
    return float(np.mean(hits)) if hits else None


def save_checkpoint(
    path: Path, optimiser: Optimiser, rng: np.random.Generator, learning: Learner, *, epoch: int, config: TrainConfig
) -> None:
    """Write a checkpoint; if it cannot be (TrainingError) or the process is killed, the one before is still there."""
    state: dict[str, Any] = {
        "epoch": epoch,
        "config": json.dumps(config.to_json(), sort_keys=True),
        "optimiser": optimiser.state_dict(),
        "learner": learning.state_dict(),
        "numpy_rng": json.dumps(rng.bit_generator.state),
        "torch_rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    try:
        with replaced_whole(path) as file:
            torch.save(state, file)
        remove_leftovers(path.parent)  # of a training that was killed
    except (OSError, RuntimeError) as error:  # RuntimeError: torch's writer, on a full disk
        raise TrainingError(
            f"{path}: the checkpoint of epoch {epoch} cannot be written ({error}); free some space, and go on with "
            "--resume"
        ) from error


def load_checkpoint(
    path: Path, optimiser: Optimiser, rng: np.random.Generator, learning: Learner, *, config: TrainConfig
) -> int:
    """Restore a checkpoint, return its epoch; TrainingError if it is unreadable or of another configuration."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        written, epoch = state["config"], int(state["epoch"])
    except Exception as error:  # torch and zip readers raise almost anything for a damaged file
        raise TrainingError(f"{path}: not a readable checkpoint ({error}); {_REMEDY}") from error
    if written != json.dumps(config.to_json(), sort_keys=True):
        raise TrainingError(
            f"{path}: the checkpoint was written with another configuration; start a run of its own for this one"
        )
    try:
        optimiser.load_state_dict(state["optimiser"])
        learning.load_state_dict(state["learner"])
        rng.bit_generator.state = json.loads(state["numpy_rng"])
        torch.set_rng_state(state["torch_rng"])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda_rng"][: torch.cuda.device_count()])
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise TrainingError(f"{path}: not a readable checkpoint ({error}); {_REMEDY}") from error
    return epoch
