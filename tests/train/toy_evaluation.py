"""A data set for evaluations that take a second: planted log-mels, and songs of artists and recordings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from toy_training import planted, toy_config

from mertag.emotion import Quadrant, Target
from mertag_train.data.datasets import Dataset, Song
from mertag_train.data.datasets.base import targets_of_quadrant
from mertag_train.data.store import LogMelStore
from mertag_train.evaluation.methods import Context, Fold
from mertag_train.evaluation.results import Result, Task
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


def config_with(**changes: Any) -> TrainConfig:
    """Return the toy configuration with changes. With mixup: two epochs are too few for the check that it learns."""
    given: dict[str, Any] = {"epochs": 2, "fractions": (0.5, 0.35, 0.15), "augment": AugmentConfig(mixup_alpha=0.2)}
    return toy_config(**{**given, **changes})


def fold_of(n_train: int = 24, **changes: object) -> Fold:
    """Return a fold of the toy songs: the first to learn from, the rest to be judged."""
    songs = toy_songs()
    whole = Fold(
        name="0", target=Target.QUADRANT, train=songs[:n_train], test=songs[n_train:], seed=0, group="recording"
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def context_of(tmp_path: Path, config: TrainConfig | None = None) -> Context:
    """Return what a method is given of the toy songs."""
    around = surroundings(tmp_path, toy_dataset(), toy_songs())
    (tmp_path / "work").mkdir(exist_ok=True)
    return Context(
        dataset=around.dataset,
        config=config or around.config,
        log_mels=around.log_mels,
        frames=around.frames,
        device=torch.device("cpu"),
        cache=tmp_path,
        work=tmp_path / "work",
    )


def result(
    fold: str,
    labels: list[int],
    said: list[int],
    *,
    method: str = "majority",
    seed: int = 0,
    target: Target = Target.VALENCE,
    segment_s: float | None = None,
) -> Result:
    """Return the result of a fold whose songs were said to be `said`, with 0.8 each."""
    k = 4 if target is Target.QUADRANT else 2
    probabilities = np.full((len(said), k), 0.2 / (k - 1))
    probabilities[np.arange(len(said)), said] = 0.8
    return Result(
        task=Task(method=method, target=target, segment_s=segment_s, seed=seed, fold=fold),
        song_ids=tuple(f"{fold}-{i}" for i in range(len(labels))),
        labels=np.array(labels),
        probabilities=probabilities,
        settings={},
        diagnostics={},
        environment={},
        elapsed_s=0.0,
    )
