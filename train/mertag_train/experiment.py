"""One training, from a log-mel store to figures: the network, the song classifier, the metrics of unseen songs.

numpy, torch and scikit-learn only: it runs where neither librosa nor the command line is. The figures come from songs
that neither the network nor the song classifier has seen. What the song classifier learns from is the recipe's choice
(`SongConfig.features`): the network's probabilities of its own songs, or of songs held out for it, or of all songs,
each from a further network that was trained without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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
from .kept_outputs import read_outputs, write_outputs
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
    """Positions in the store of the songs of each part.

    Attributes
    ----------
    network, song, figures : int64 arrays
        What the network and the song classifier learn from (the same, unless songs are held out for the latter), and
        what the figures come from.
    inner : tuple of int64 arrays
        The parts into which `network` is dealt, where the song classifier learns from cross-fitted probabilities.
    """

    network: Ints
    song: Ints
    figures: Ints
    inner: tuple[Ints, ...] = ()


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
    shares = config.fractions
    needs = (
        ("network", parts.network, 1, shares[0]),
        ("song classifier", parts.song, song.MIN_SONGS_PER_CLASS, shares[1] or shares[0]),
    )
    for what, part, least, share in needs:
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
    folder: Path | None = None,
    resume: bool = False,
    truth: Callable[[Ints], Sequence[Ints] | None] = lambda clips: None,
    on_network: Callable[[int, int], None] = lambda number, total: None,
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
    folder : Path or None
        Where checkpoints lie, and what cross-fitted networks said; None keeps none.
    resume : bool
        Go on from what lies there.
    truth : callable
        Told positions in the store, returns the real classes of their segments, where they are known
        (`mertag_train.learners.Clips`).
    on_network : callable
        Told ``(number, total)`` before each network; the first is the one that is kept.
    on_epoch, on_step : callables
        Progress; `on_epoch` of the first network only.

    Raises
    ------
    TrainingError, DatasetError
        As `check_parts`, the trainer and the song classifier do.
    """
    check_parts(store, parts, labels, target, config)
    n_classes = len(CLASS_NAMES[target])

    def trained(index: Ints, name: str, report: Callable[[EpochReport], None]) -> SegmentNetwork:
        watched = parts.song if config.song.features == "held_out" else parts.figures
        return train_network(
            store,
            frames,
            Clips(index=index, label=labels[index], truth=truth(index)),
            Clips(index=watched, label=labels[watched]),
            config,
            class_names=CLASS_NAMES[target],
            checkpoint_path=None if folder is None else folder / f"checkpoint.{name}.pt",
            resume=resume,
            on_epoch=report,
            on_step=on_step,
        )

    on_network(1, 1 + len(parts.inner))
    network = trained(parts.network, str(target), on_epoch)
    cutting = cutting_of(config)
    if config.song.features == "cross_fitted":
        seen = _cross_fitted(store, frames, parts, target, config, trained, folder, resume, on_network)
    else:
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
    found = labels[parts.figures][long_enough]
    probabilities = {
        "song_svm": song.predict_songs(classifier, of_figures, lengths, cutting),
        "mean_probability": np.stack([p.astype(np.float64).mean(0) for p in of_figures]),
    }
    return TargetResult(
        network=network,
        table=table,
        classifier=classifier,
        songs=parts.figures[long_enough],
        labels=found,
        probabilities=probabilities,
        metrics=_measure(found, probabilities, target, seed=config.seed),
    )


def _cross_fitted(
    store: LogMelStore,
    frames: torch.Tensor,
    parts: Parts,
    target: Target,
    config: TrainConfig,
    trained: Callable[[Ints, str, Callable[[EpochReport], None]], SegmentNetwork],
    folder: Path | None,
    resume: bool,
    on_network: Callable[[int, int], None],
) -> list[npt.NDArray[np.float32]]:
    """Return the segment probabilities of the songs of `Parts.song`, each from a network trained without it."""
    found: dict[str, npt.NDArray[np.float32]] = {}
    for number, inner in enumerate(parts.inner, start=1):
        on_network(1 + number, 1 + len(parts.inner))
        kept = None if folder is None else folder / f"cross-fitted.{target}.{number}.npz"
        if resume and kept is not None and kept.exists():
            found |= read_outputs(kept)
            continue
        network = trained(np.setdiff1d(parts.network, inner), f"{target}.{number}", lambda report: None)
        ids, said = [store.ids[i] for i in inner], predict(network, store, frames, inner, config.segmentation)
        if kept is not None:
            write_outputs(kept, ids, said)
        found |= dict(zip(ids, said, strict=True))
    return [found[store.ids[i]] for i in parts.song]


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
