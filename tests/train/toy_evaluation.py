"""A data set for evaluations that take a second: planted log-mels, and songs of artists and recordings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_training import TinyNetwork, planted, toy_config

from mertag.emotion import Quadrant, Target
from mertag_train.data.datasets import Dataset, Song
from mertag_train.data.datasets.base import targets_of_quadrant
from mertag_train.data.store import LogMelStore
from mertag_train.evaluation.runner import Surroundings
from mertag_train.learn.config import AugmentConfig, TrainConfig


def toy_songs(n: int = 32, *, per_artist: int = 2) -> tuple[Song, ...]:
    """Return songs ``clip0``.. of all quadrants in turn; the songs of an artist share a quadrant."""
    return tuple(
        Song(
            id=f"clip{i}",
            path=None,
            group=f"clip{i}",
            artist=f"artist {i % 4} {i // (4 * per_artist)}",
            targets=targets_of_quadrant(list(Quadrant)[i % 4]),
        )
        for i in range(n)
    )


def toy_dataset(songs: tuple[Song, ...] | None = None, *, name: str = "folder") -> Dataset:
    """Return these songs as a data set."""
    return Dataset(
        name=name,
        root=Path("toys"),
        songs=songs or toy_songs(),
        missing_audio=(),
        unlabelled=(),
        targets=tuple(Target),
        labelling="as planted",
    )


def toy_store(n: int = 32) -> LogMelStore:
    """Return the log-mels of `toy_songs`: the quadrant of a clip is its level."""
    return planted(n, n_classes=4)[0]


def surroundings(tmp_path: Path, dataset: Dataset, songs: tuple[Song, ...], **changes: Any) -> Surroundings:
    """Return what the runner needs; the song classifier learns from songs of its own."""
    store = toy_store(len(songs))
    given: dict[str, Any] = {
        "dataset": dataset,
        "songs": songs,
        "group": "recording",
        "config": config_with(),
        "recipes": {"paper": config_with(), "ours": config_with()},
        "log_mels": lambda: store,
        "frames": lambda: torch.from_numpy(np.array(store.frames)),
        "device": torch.device("cpu"),
        "cache": tmp_path / "cache",
    }
    return Surroundings(**{**given, **changes})


@pytest.fixture
def tiny_networks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Train `TinyNetwork` in place of VGG16; the fixture tells how many networks were made."""
    made = [0]

    class Counted(TinyNetwork):
        def __init__(self, *args: Any, **options: Any) -> None:
            made[0] += 1
            super().__init__(*args, **options)

    monkeypatch.setattr("mertag_train.learn.trainer.SegmentNetwork", Counted)
    return lambda: made[0]


def config_with(**changes: Any) -> TrainConfig:
    """Return the toy configuration with changes. With mixup: two epochs are too few for the check that it learns."""
    given: dict[str, Any] = {"epochs": 2, "fractions": (0.5, 0.35, 0.15), "augment": AugmentConfig(mixup_alpha=0.2)}
    return toy_config(**{**given, **changes})
