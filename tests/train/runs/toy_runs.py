"""A run of planted songs, begun."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from toy_training import planted, toy_config

from mertag.emotion import QUADRANTS, Target
from mertag_train.data.datasets import Dataset, Song
from mertag_train.data.datasets.base import targets_of_quadrant
from mertag_train.data.store import LogMelStore
from mertag_train.learn.config import TrainConfig
from mertag_train.runs import run

CPU = torch.device("cpu")
BOTH = (Target.VALENCE, Target.AROUSAL)
CONFIG = replace(
    toy_config(epochs=3, augment=replace(toy_config().augment, mixup_alpha=0.4)), fractions=(0.4, 0.3, 0.3)
)


def songs_of(tmp_path: Path, n: int = 40) -> tuple[Dataset, LogMelStore]:
    store, _, clips = planted(n, n_classes=4)
    songs = tuple(
        Song(id=i, path=None, group=i, artist=None, targets=targets_of_quadrant(QUADRANTS[k]))
        for i, k in zip(store.ids, clips.label, strict=True)
    )
    dataset = Dataset(
        name="toy",
        root=tmp_path / "music",
        songs=songs,
        missing_audio=store.ids,
        unlabelled=(),
        targets=(Target.QUADRANT, *BOTH),
        labelling="planted",
    )
    return dataset, store


def begun(
    tmp_path: Path, name: str = "run", config: TrainConfig = CONFIG, **options: Any
) -> tuple[Path, Dataset, LogMelStore]:
    dataset, store = songs_of(tmp_path)
    folder = tmp_path / name
    run.begin(folder, dataset, store, config, command="mertag train --dataset toy", **options)
    return folder, dataset, store
