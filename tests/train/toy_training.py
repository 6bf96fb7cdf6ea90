"""A training that takes a second: planted log-mels, and a small network with the interface of the real one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor, nn

from mertag.emotion import Target
from mertag.listen.windows import FrontEnd, Segmentation
from mertag_train.data.store import LogMelStore
from mertag_train.data.teacher import TeacherTargets
from mertag_train.learn.config import AugmentConfig, OptimiserConfig, TrainConfig
from mertag_train.learn.trainer import Clips
from mertag_train.networks.vgg import SegmentNetwork
from mertag_train.runs.work import Parts, Work

FRONT_END = FrontEnd()
RATE, N_MELS = FRONT_END.sample_rate, FRONT_END.n_mels
LEVELS_DB = (-25.0, -55.0, -40.0, -70.0)


class TinyNetwork(SegmentNetwork):
    """Two convolutions with batch norm and dropout, in place of thirteen."""

    def __init__(
        self, architecture: Any, *, n_classes: int, dropout: float = 0.5, n_taught: int = 0, **_other: Any
    ) -> None:
        nn.Module.__init__(self)
        self.architecture, self.n_classes = architecture, n_classes
        self.register_buffer("mean", torch.zeros(N_MELS))
        self.register_buffer("std", torch.ones(N_MELS))
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 4, kernel_size=4, stride=4),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 8, kernel_size=4, stride=4),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(8, n_classes))
        self.teacher = nn.Sequential(nn.Dropout(dropout), nn.Linear(8, n_taught)) if n_taught else None

    def embed(self, segments: Tensor) -> Tensor:
        x = ((segments - self.mean) / self.std).transpose(1, 2).unsqueeze(1)
        return self.trunk(x).mean(dim=(2, 3))


def planted(
    n_clips: int, *, n_classes: int = 2, duration_s: float = 4.0, seed: int = 0
) -> tuple[LogMelStore, Tensor, Clips]:
    """Return clips whose class is their level, as a store, its frames, and the labels."""
    rng = np.random.default_rng(seed)
    n_samples = round(duration_s * RATE)
    n_frames = FRONT_END.n_frames(n_samples)
    label = np.arange(n_clips, dtype=np.int64) % n_classes
    logmel = rng.normal(0, 5, size=(n_clips, n_frames, FRONT_END.n_mels)) + np.array(LEVELS_DB)[label][:, None, None]
    frames = logmel.reshape(-1, FRONT_END.n_mels).astype(np.float32)
    store = LogMelStore(
        frames=frames,
        ids=tuple(f"clip{i}" for i in range(n_clips)),
        offsets=np.arange(n_clips + 1, dtype=np.int64) * n_frames,
        n_samples=np.full(n_clips, n_samples, dtype=np.int64),
        front_end=FRONT_END,
    )
    return store, torch.from_numpy(frames), Clips(index=np.arange(n_clips, dtype=np.int64), label=label)


def toy_config(**changes: Any) -> TrainConfig:
    """Return a configuration for `planted`: 1-second crops, a few epochs."""
    optimiser = OptimiserConfig(learning_rate=0.3, batch_size=8, **changes.pop("optimiser", {}))
    base = TrainConfig(
        segmentation=Segmentation(duration_s=1.0, hop_s=1.0),
        optimiser=optimiser,
        augment=AugmentConfig(mixup_alpha=0.0, time_masks=1, frequency_masks=1, gain_db=1.0),
        epochs=4,
        crops_per_clip=2,
    )
    return replace(base, **changes)


def toy_work(
    store: LogMelStore, frames: Tensor, parts: Parts, labels: Any, target: Target, config: TrainConfig, **more: Any
) -> Work:
    """Return the training of one target, in which each clip is a group of its own."""
    return Work(
        store=store,
        frames=lambda: frames,
        parts=parts,
        labels=labels,
        groups=np.arange(len(store.ids)),
        target=target,
        config=config,
        **more,
    )


def music_folders(root: Path, *, per_class: int, duration_s: float = 4.0) -> Path:
    """Write short sounds into four folders named after the quadrants, each class with its pitch and level."""
    rng = np.random.default_rng(0)
    t = np.arange(round(duration_s * RATE)) / RATE
    for k, quadrant in enumerate(("Q1", "Q2", "Q3", "Q4")):
        (root / quadrant).mkdir(parents=True)
        for i in range(per_class):
            tone = 10 ** (LEVELS_DB[k] / 20) * np.sin(2 * np.pi * 220 * 2**k * t + i)
            noise = rng.normal(0, 1e-3, size=len(t))
            soundfile.write(root / quadrant / f"{i}.wav", (tone + noise).astype(np.float32), RATE)
    return root


def same_weights(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Return whether two state dicts are equal bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def loudness(store: LogMelStore) -> TeacherTargets:
    """Return a teacher that says how loud each second is, and a constant."""
    per_s = store.front_end.sample_rate / store.front_end.hop_length
    said = {}
    for place, clip in enumerate(store.ids):
        level = store.clip(place).mean(1)
        n = int(store.n_samples[place] / store.front_end.sample_rate)
        rows = [[level[int(i * per_s) : int((i + 1) * per_s)].mean(), 1.0] for i in range(n)]
        said[clip] = np.array(rows, np.float32)
    return TeacherTargets.of(said, store.ids, window_s=1.0, hop_s=1.0)
