"""A run that trains and exports in seconds: a VGG of four convolutions, and music of four unlike classes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import nn
from typer.testing import CliRunner

from mertag.cli.app import app
from mertag.listen.windows import FrontEnd
from mertag_train.learn import trainer
from mertag_train.networks.vgg import SegmentNetwork

RATE_HZ, N_MELS = FrontEnd().sample_rate, FrontEnd().n_mels


class SmallNetwork(SegmentNetwork):
    """The compact VGG with four convolutions of a few channels in place of thirteen."""

    def __init__(self, architecture: Any, *, n_classes: int, dropout: float = 0.5, **_other: Any) -> None:
        nn.Module.__init__(self)
        self.architecture, self.n_classes = architecture, n_classes
        self.register_buffer("mean", torch.zeros(N_MELS))
        self.register_buffer("std", torch.ones(N_MELS))
        layers: list[nn.Module] = []
        for channels, wide in ((1, 8), (8, 8), (8, 16), (16, 16)):
            layers += [
                nn.Conv2d(channels, wide, kernel_size=3, padding=1, bias=False),
                nn.BatchNorm2d(wide),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
        self.trunk = nn.Sequential(*layers)
        inner = nn.Linear(N_MELS, 32)
        self.head = nn.Sequential(nn.Dropout(dropout), inner, nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, n_classes))
        self.teacher = None


@contextmanager
def small_networks() -> Iterator[None]:
    """Let training and reading back make `SmallNetwork`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "SegmentNetwork", SmallNetwork)
        yield


def sound(k: int, i: int, duration_s: float = 4.0) -> np.ndarray:
    """Return a sound of class k: its own pitch, level and roughness; i makes it one of many."""
    rng = np.random.default_rng(100 * k + i)
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    tone = sum(np.sin(2 * np.pi * 180 * 1.7**k * h * time_s * rng.uniform(0.97, 1.03)) / h for h in range(1, 5))
    beat = 1 + 0.5 * np.sin(2 * np.pi * (1 + k) * time_s)
    level = (0.2, 0.1, 0.02, 0.05)[k] * rng.uniform(0.7, 1.4)
    return (level * (tone * beat + 0.3 * rng.standard_normal(len(time_s)))).astype(np.float32) / 4


def music_folder(
    root: Path, *, per_class: int, classes: tuple[str, ...] = ("Happy", "Angry", "Sad", "Relaxed")
) -> Path:
    """Write short clips into one folder a class."""
    for k, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(per_class):
            soundfile.write(root / name / f"{i}.flac", sound(k, i), RATE_HZ)
    return root


def mertag(*args: object) -> tuple[int, str, str]:
    """Run a mertag command in this process; return exit code, stdout, stderr."""
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return result.exit_code, result.stdout, result.stderr
