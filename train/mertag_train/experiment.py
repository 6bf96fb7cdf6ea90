"""One training, from a log-mel store to figures: the network, the song classifier, the metrics of unseen songs.

numpy, torch and scikit-learn only: it runs where neither librosa nor the command line is. The songs are in three
parts: the network learns from the first, the song classifier from the network's probabilities of the second,
which it has not seen, and the figures come from the third, which neither has seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.pipeline import Pipeline

from mertag.emotion import CLASS_NAMES, Target
from mertag.errors import DatasetError

from . import segments, song
from .config import TrainConfig
from .metrics import Metrics, evaluate_predictions
from .predict import predict
from .store import LogMelStore
from .trainer import Clips, EpochReport, Progress, train_network
from .vgg import SegmentNetwork

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

AXIS_QUADRANTS = {Target.VALENCE: [0, 3], Target.AROUSAL: [0, 1]}
"""Which quadrants lie on the positive side of an axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Positions in the store of the songs of each part."""

    network: Ints
    song: Ints
    figures: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetResult:
    """What came of one target.

    Attributes
    ----------
    network : SegmentNetwork
        In evaluation mode.
    table, classifier : SongTable, Pipeline
        The song classifier and what it was fitted on.
    songs, labels : int64 arrays, shape (n_figures,)
        Position in the store, and class, of the songs of the last part.
    probabilities : mapping of str to float64 array, shape (n_figures, n_classes)
        By method: ``"song_svm"``, and ``"mean_probability"`` as its baseline.
    metrics : mapping of Target to mapping of str to Metrics
        The same methods; for the quadrant also the valence and the arousal that follow from it.
    """

    network: SegmentNetwork
    table: song.SongTable
    classifier: Pipeline
    songs: Ints
    labels: Ints
    probabilities: Mapping[str, Floats]
    metrics: Mapping[Target, Mapping[str, Metrics]]


def cutting_of(config: TrainConfig) -> song.Cutting:
    """Return how songs are cut under a configuration."""
    return song.Cutting(front_end=config.front_end, segmentation=config.segmentation, window_rule=config.window_rule)


def check_parts(store: LogMelStore, parts: Parts, labels: Ints, target: Target, config: TrainConfig) -> None:
    """Refuse, before a night of training, what would fail after it.

    Raises
    ------
    DatasetError
        If a class has no song in the network's part or fewer than two in the song classifier's, or there is no
        song to measure; a song that is shorter than one segment does not count.
    """
    names = CLASS_NAMES[target]
    duration_s = config.segmentation.duration_s
    needs = (("network", parts.network, 1), ("song classifier", parts.song, song.MIN_SONGS_PER_CLASS))
    for (what, part, least), share in zip(needs, config.fractions, strict=False):
        heard = np.unique(segments.grid(store, part, config.segmentation).clip)
        counts = {name: int((labels[heard] == k).sum()) for k, name in enumerate(names)}
        few = [name for name, count in counts.items() if count < least]
        if few:
            raise DatasetError(
                f"the {what} needs {least} song{'s' if least > 1 else ''} of each class, {duration_s} s or longer, and "
                f"its part of the split, {share:.0%}, has {', '.join(f'{counts[name]} of {name}' for name in few)}; "
                f"add songs (about {math.ceil(least / share) if share else least} of each class are enough)"
            )
    if not len(segments.grid(store, parts.figures, config.segmentation)):
        raise DatasetError(f"no song of the part that the figures come from is {duration_s} s or longer; add songs")


def train_target(
    store: LogMelStore,
    frames: torch.Tensor,
    parts: Parts,
    labels: Ints,
    target: Target,
    config: TrainConfig,
    *,
    checkpoint_path: Path | None = None,
    resume: bool = False,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    on_step: Callable[[Progress], None] = lambda progress: None,
) -> TargetResult:
    """Train the network and the song classifier of one target, and measure them.

    Parameters
    ----------
    store : LogMelStore
        The log-mels.
    frames : Tensor, shape (total_frames, n_mels)
        The store's frames, on the device that trains.
    parts : Parts
        Which songs serve what.
    labels : int64 array, shape (n_clips,)
        The class of each clip of the store.
    target : Target
        What is learnt.
    config : TrainConfig
        How.
    checkpoint_path, resume, on_epoch, on_step
        As in `mertag_train.trainer.train_network`.

    Raises
    ------
    TrainingError, DatasetError
        As `check_parts`, the trainer and the song classifier do.
    """
    check_parts(store, parts, labels, target, config)
    n_classes = len(CLASS_NAMES[target])
    network = train_network(
        store,
        frames,
        Clips(index=parts.network, label=labels[parts.network]),
        Clips(index=parts.song, label=labels[parts.song]),
        config,
        n_classes=n_classes,
        checkpoint_path=checkpoint_path,
        resume=resume,
        on_epoch=on_epoch,
        on_step=on_step,
    )
    cutting = cutting_of(config)
    seen = predict(network, store, frames, parts.song, config.segmentation)
    table = song.song_table(
        seen,
        store.n_samples[parts.song].tolist(),
        labels[parts.song],
        cutting,
        sub_windows_s=config.song.sub_windows_s,
        seed=config.seed,
    )
    classifier = song.fit(table, n_classes=n_classes, c=config.song.c, seed=config.seed)
    unseen = predict(network, store, frames, parts.figures, config.segmentation)
    long_enough = np.array([len(p) > 0 for p in unseen], dtype=bool)
    of_figures = [p for p in unseen if len(p)]
    lengths = store.n_samples[parts.figures][long_enough].tolist()
    truth = labels[parts.figures][long_enough]
    probabilities = {
        "song_svm": song.predict_songs(classifier, of_figures, lengths, cutting),
        "mean_probability": np.stack([p.astype(np.float64).mean(0) for p in of_figures]),
    }
    return TargetResult(
        network=network,
        table=table,
        classifier=classifier,
        songs=parts.figures[long_enough],
        labels=truth,
        probabilities=probabilities,
        metrics=_measure(truth, probabilities, target, seed=config.seed),
    )


def _measure(
    truth: Ints, probabilities: Mapping[str, Floats], target: Target, *, seed: int
) -> dict[Target, dict[str, Metrics]]:
    views = {target: (truth, dict(probabilities))}
    if target is Target.QUADRANT:
        for axis, positive in AXIS_QUADRANTS.items():
            sides = {}
            for method, p in probabilities.items():
                side = p[:, positive].sum(1)
                sides[method] = np.stack([p.sum(1) - side, side], axis=1)
            views[axis] = (np.isin(truth, positive).astype(np.int64), sides)
    return {
        view: {method: evaluate_predictions(y, p, target=view, seed=seed) for method, p in found.items()}
        for view, (y, found) in views.items()
    }
