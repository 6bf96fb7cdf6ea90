"""What music taggers know of emotion, and what a network that they have taught without labels knows.

    python benchmarks/teacher_probe.py --data-dir DIR
    python benchmarks/teacher_probe.py --data-dir DIR --checkpoint RUN/checkpoint.trunk.pt

The clips are the 647 of 4Q that `mertag train` learns from, dealt into five folds by artist. Each clip becomes the mean
and the standard deviation over time of what the taggers say or, with a checkpoint of the pre-training of `mertag
train`, of the network's embedding; on these a calibrated support vector machine for each quadrant against the rest, and
logistic regression, are fitted. The pre-training has heard all clips, without their labels.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import platformdirs
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mertag.emotion import CLASS_NAMES, QUADRANTS, Target, decide
from mertag_train.data import segments
from mertag_train.data.datasets import Dataset, read
from mertag_train.data.embedding_model import BUNDLED, EmbeddingModel
from mertag_train.data.folds import Folds, folds, split
from mertag_train.data.store import LogMelStore, log_mels
from mertag_train.data.teacher import hear
from mertag_train.learn.config import TrainConfig
from mertag_train.learn.trainer import network_of
from mertag_train.measure.metrics import measure

SEGMENTS = 8
"""Segments a clip that are embedded, spread evenly."""


def main() -> None:
    """Print a line a classifier."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, help="of a pre-training; without it, the taggers")
    parser.add_argument("--log-mels", type=Path)
    given = parser.parse_args()
    dataset = read("4q", given.data_dir)
    store = log_mels(dataset, TrainConfig().front_end, folder=given.log_mels)
    dealt = trial_folds(dataset)
    if given.checkpoint is None:
        cache = Path(platformdirs.user_cache_path("mertag"))
        said = hear(dataset.songs, store, EmbeddingModel(BUNDLED), cache=cache)
        over_time = {clip: said.of_clip(i) for i, clip in enumerate(store.ids)}
    else:
        over_time = embedded(store, given.checkpoint, frozenset(dealt.fold_of))
    vectors = {clip: np.concatenate([e.mean(0), e.std(0)]) for clip, e in over_time.items()}
    for name in ("svm, C=3", "logistic regression, C=0.003"):
        judge(name, dataset, dealt, vectors)


def trial_folds(dataset: Dataset) -> Folds:
    """Return the folds of the clips that are not set aside for the figures by the recipe `ours`."""
    learnt = frozenset(
        split(dataset.songs, Target.QUADRANT, fractions=(0.9, 0.0, 0.1), group="artist", seed=0).ids("train")
    )
    return folds([s for s in dataset.songs if s.id in learnt], Target.QUADRANT, n=5, group="artist", seed=0)


def embedded(store: LogMelStore, checkpoint: Path, wanted: frozenset[str]) -> dict[str, np.ndarray]:
    """Return the embeddings (SEGMENTS, features) of some clips by a pre-trained network."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    config = TrainConfig.from_json(json.loads(state["config"]))
    weights = state["optimiser"]["network"]
    taught = next(len(value) for name, value in weights.items() if name == "teacher.1.bias")
    network = network_of(config, len(CLASS_NAMES[Target.QUADRANT]), n_taught=taught)
    network.load_state_dict(weights)
    network.eval()
    frames = torch.from_numpy(np.array(store.frames))
    n_frames = config.segmentation.segment_frames(config.front_end)
    found: dict[str, np.ndarray] = {}
    with torch.inference_mode():
        for index, clip in enumerate(store.ids):
            if clip in wanted:
                rows = segments.grid(store, np.array([index]), config.segmentation).row
                some = rows[np.linspace(0, len(rows) - 1, SEGMENTS).round().astype(np.int64)]
                found[clip] = network.embed(segments.cut(frames, torch.from_numpy(some), n_frames)).numpy()
    return found


def judge(name: str, dataset: Dataset, dealt: Folds, vectors: Mapping[str, np.ndarray]) -> None:
    """Print what a classifier reaches by cross-validation."""
    class_of = {s.id: s.targets[Target.QUADRANT] for s in dataset.songs}
    group_of = {s.id: i for i, s in enumerate(dataset.songs)}
    labels: list[int] = []
    said: list[np.ndarray] = []
    for fold in dealt.names:
        train, test = [list(ids) for ids in (dealt.others(fold), dealt.ids(fold))]
        x, y = np.stack([vectors[i] for i in train]), np.array([class_of[i] for i in train], dtype=np.int64)
        if name.startswith("svm"):
            folds = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(x, y, [group_of[i] for i in train])
            machine = CalibratedClassifierCV(SVC(C=3.0), method="sigmoid", ensemble=False, cv=list(folds))
            model = make_pipeline(StandardScaler(), OneVsRestClassifier(machine)).fit(x, y)
        else:
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=300)).fit(x, y)
        said.append(model.predict_proba(np.stack([vectors[i] for i in test])))
        labels += [class_of[i] for i in test]
    found = measure(np.array(labels, dtype=np.int64), {name: np.concatenate(said)}, Target.QUADRANT, seed=0)
    signs = [QUADRANTS.index(decide({Target.QUADRANT: p.tolist()}).quadrant) for p in np.concatenate(said)]
    print(f"{name:30} quadrant by the signs of the axes: accuracy {np.mean(np.array(signs) == labels):.3f}", flush=True)
    for view, by_method in found.items():
        m = by_method[name]
        print(f"{name:30} {view:9} n {m.n} accuracy {m.accuracy:.3f} log-loss {m.log_loss:.3f}", flush=True)


if __name__ == "__main__":
    main()
