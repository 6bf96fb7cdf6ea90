"""Training one network on segments that inherit the label of their clip (Sarkar et al.).

numpy and torch only: it runs from a saved log-mel store where librosa and the command line are absent. It reports
by callback and prints nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mertag.errors import TrainingError

from . import checkpoint, segments
from .config import TrainConfig
from .optimise import Optimiser, autocast
from .predict import predict
from .segments import SegmentTable
from .store import LogMelStore
from .vgg import SegmentNetwork

__all__ = ["Clips", "EpochReport", "Progress", "band_statistics", "mixup", "predict", "train_network"]

Ints = npt.NDArray[np.int64]

STALL_MARGIN = 0.01
"""A last loss so near to ln K, as a share of it, is that of a network that has learnt nothing."""

VALIDATION_SEGMENTS = 3
"""Segments a held-out clip that an epoch's accuracy is measured on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an epoch is.

    Attributes
    ----------
    epoch, epochs, step, steps : int
        From 1; the steps are those of the epoch.
    loss : float
        Of the last step, nats.
    elapsed_s, remaining_s : float
        Of the whole training since it was begun or resumed, in seconds; what remains is an estimate.
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
    """One finished epoch.

    Attributes
    ----------
    loss : float
        Mean training loss, nats.
    validation_accuracy : float or None
        Share of held-out clips whose mean probability over a few segments is highest for their class; None
        without held-out clips. It is reported only: no epoch is chosen by it.
    """

    epoch: int
    epochs: int
    loss: float
    learning_rate: float
    validation_accuracy: float | None
    segments_per_s: float
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Clips:
    """Labelled clips: positions in the store, shape (n,), and class indices, shape (n,)."""

    index: Ints
    label: Ints


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


def mixup(rng: np.random.Generator, alpha: float, batch: int) -> tuple[float, Ints]:
    """Draw the weight delta of eq. 6 and 7 and the partner of each row."""
    delta = float(rng.beta(alpha, alpha)) if alpha else 1.0
    return delta, rng.permutation(batch) if alpha else np.arange(batch)


def train_network(
    store: LogMelStore,
    frames: Tensor,
    train: Clips,
    validation: Clips | None,
    config: TrainConfig,
    *,
    n_classes: int,
    checkpoint_path: Path | None = None,
    resume: bool = False,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    on_step: Callable[[Progress], None] = lambda progress: None,
) -> SegmentNetwork:
    """Train a segment network with inherited labels.

    Parameters
    ----------
    store : LogMelStore
        Where the clips lie.
    frames : Tensor, shape (total_frames, n_mels)
        The store's frames, on the device that trains.
    train, validation : Clips
        What is learnt from; what the progress is measured on.
    config : TrainConfig
        The whole configuration.
    n_classes : int
        K.
    checkpoint_path : Path or None
        Written after each epoch.
    resume : bool
        Go on from `checkpoint_path` where it exists; on the CPU the result is bit for bit that of an
        uninterrupted run.
    on_epoch, on_step : callables
        Progress.

    Returns
    -------
    SegmentNetwork
        The last epoch's (its moving average, where one is kept), in evaluation mode.

    Raises
    ------
    TrainingError
        If no clip is as long as one segment; if the loss or a weight is not finite; if, without mixup, the loss of
        the last epoch is still within 1 % of ln K (the network has learnt nothing: plain VGG16 can stall; a mixed
        label has a high loss by itself); if the checkpoint cannot be read or written, or is of another
        configuration.
    """
    device = frames.device
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    network = SegmentNetwork(
        config.network.architecture,
        n_classes=n_classes,
        n_mels=config.front_end.n_mels,
        dropout=config.network.dropout,
    )
    network.set_statistics(*band_statistics(store, train.index))
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in the stubs
    label_of = torch.full((len(store.ids),), -1, dtype=torch.int64)
    label_of[torch.from_numpy(train.index)] = torch.from_numpy(train.label)

    batch_size = config.optimiser.batch_size
    fixed = segments.grid(store, train.index, config.segmentation)
    if len(fixed) == 0:
        raise TrainingError(f"no training clip is as long as one segment ({config.segmentation.duration_s} s)")
    n_rows = [
        len(_epoch_table(store, train.index, fixed, config, epoch, np.random.default_rng(0)))
        for epoch in range(1, config.epochs + 1)
    ]
    steps = [math.ceil(n / batch_size) for n in n_rows]
    optimiser = Optimiser(network, config.optimiser, steps=sum(steps), ramp_steps=steps[0])

    first = 1
    if resume and checkpoint_path is not None and checkpoint_path.exists():
        first = 1 + checkpoint.load(checkpoint_path, optimiser, rng, config=config)
    # The time left goes by frames, not by steps: a step of short crops costs less than one of whole segments.
    step_frames = [config.crops_of_epoch(e)[0].segment_frames(config.front_end) for e in range(1, config.epochs + 1)]
    all_work = sum(n * f for n, f in zip(steps[first - 1 :], step_frames[first - 1 :], strict=True))
    work = 0
    began = time.monotonic()
    for epoch in range(first, config.epochs + 1):
        epoch_began = time.monotonic()
        network.train()
        table = _epoch_table(store, train.index, fixed, config, epoch, rng)
        n_frames = step_frames[epoch - 1]
        order = rng.permutation(len(table))
        total, rate = torch.zeros((), device=device), 0.0
        for step in range(steps[epoch - 1]):
            chosen = order[step * batch_size : (step + 1) * batch_size]
            labels = label_of[torch.from_numpy(table.clip[chosen])].to(device)
            loss = _loss(network, frames, table.row[chosen], n_frames, labels, config, rng)
            rate = optimiser.step(loss)
            total += loss.detach() * len(chosen)
            work += n_frames
            elapsed = time.monotonic() - began
            if step % 10 == 0 or step == steps[epoch - 1] - 1:  # reading the loss waits for the device
                _refuse_divergence(float(loss.detach()), epoch, config)
                on_step(
                    Progress(
                        epoch=epoch,
                        epochs=config.epochs,
                        step=step + 1,
                        steps=steps[epoch - 1],
                        loss=float(loss.detach()),
                        elapsed_s=elapsed,
                        remaining_s=elapsed / work * (all_work - work),
                    )
                )
        mean_loss = float(total) / len(table)
        _refuse_divergence(mean_loss if optimiser.is_finite() else math.nan, epoch, config)
        if epoch == config.epochs and config.augment.mixup_alpha == 0:
            _refuse_stall(mean_loss, n_classes)  # before the checkpoint: a resumed run must not pass it by
        trained_s = time.monotonic() - epoch_began
        if checkpoint_path is not None:
            checkpoint.save(checkpoint_path, optimiser, rng, epoch=epoch, config=config)
        on_epoch(
            EpochReport(
                epoch=epoch,
                epochs=config.epochs,
                loss=mean_loss,
                learning_rate=rate,
                validation_accuracy=_validate(optimiser.predictor, store, frames, validation, config),
                segments_per_s=len(table) / trained_s,
                duration_s=time.monotonic() - epoch_began,
            )
        )
    trained = optimiser.predictor
    assert isinstance(trained, SegmentNetwork)
    return trained.eval()


def _epoch_table(
    store: LogMelStore,
    clips: Ints,
    fixed: SegmentTable,
    config: TrainConfig,
    epoch: int,
    rng: np.random.Generator,
) -> SegmentTable:
    segmentation, per_clip = config.crops_of_epoch(epoch)
    if per_clip == 0:
        return fixed
    return segments.random_crops(store, clips, segmentation, per_clip=per_clip, rng=rng)


def _loss(
    network: nn.Module,
    frames: Tensor,
    rows: Ints,
    n_frames: int,
    labels: Tensor,
    config: TrainConfig,
    rng: np.random.Generator,
) -> Tensor:
    """Return the mixed cross-entropy (eq. 6 to 8) of one batch, a mean over its rows."""
    device = frames.device
    batch = segments.cut(frames, torch.from_numpy(rows).to(device), n_frames)
    assert isinstance(network.mean, Tensor)
    batch = segments.augment(batch, network.mean, config.augment, rng)
    delta, partner_of = mixup(rng, config.augment.mixup_alpha, len(batch))
    partner = torch.from_numpy(partner_of).to(device)
    if delta < 1.0:
        batch = delta * batch + (1 - delta) * batch[partner]
    with autocast(device):
        logits = network(batch)
    cross_entropy = nn.functional.cross_entropy(logits.float(), labels)
    if delta < 1.0:
        mixed = nn.functional.cross_entropy(logits.float(), labels[partner])
        cross_entropy = delta * cross_entropy + (1 - delta) * mixed
    return cross_entropy


def _refuse_divergence(loss: float, epoch: int, config: TrainConfig) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"training diverged in epoch {epoch} (loss {loss}); start anew with a --learning-rate below "
            f"{config.optimiser.learning_rate}"
        )


def _refuse_stall(loss: float, n_classes: int) -> None:
    chance = math.log(n_classes)
    if abs(loss - chance) <= STALL_MARGIN * chance:
        raise TrainingError(
            f"training stalled: the loss, {loss:.4f}, is still that of guessing (ln {n_classes} = {chance:.4f}). "
            "Plain VGG16 can stall from a bad start: try another --seed, or the compact network"
        )


def _validate(
    network: nn.Module,
    store: LogMelStore,
    frames: Tensor,
    clips: Clips | None,
    config: TrainConfig,
) -> float | None:
    if clips is None or len(clips.index) == 0:
        return None
    found = predict(
        network, store, frames, clips.index, config.segmentation, at_most=VALIDATION_SEGMENTS, batch_size=64
    )
    hits = [int(p.mean(0).argmax()) == label for p, label in zip(found, clips.label, strict=True) if len(p)]
    return float(np.mean(hits)) if hits else None
