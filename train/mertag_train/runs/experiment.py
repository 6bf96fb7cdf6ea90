"""One training, from a log-mel store to figures: the network, the song classifier, the metrics of unseen songs.

numpy, torch and scikit-learn only: it runs where neither librosa nor the command line is. The figures come from songs
that neither the network nor the song classifier has seen. What the song classifier learns from is the recipe's choice
(`SongConfig.features`): the network's probabilities of its own songs, or of songs held out for it, or of all songs,
each from a further network that was trained without it. Those networks together may be the model
(`TrainConfig.ensemble`).
"""

from __future__ import annotations

import itertools
import json
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
from mertag_train.data import segments
from mertag_train.data.store import LogMelStore
from mertag_train.learn import song
from mertag_train.learn.config import TrainConfig
from mertag_train.learn.predict import predict
from mertag_train.learn.trainer import Clips, EpochReport, Progress, train_network
from mertag_train.measure.metrics import Metrics, measure
from mertag_train.networks.ensemble import Ensemble
from mertag_train.networks.vgg import SegmentNetwork
from mertag_train.runs.cross_fitting import CrossValidation, cross_fitted, cross_validated

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


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
    network : SegmentNetwork or Ensemble
        In evaluation mode.
    table, classifier : SongTable, Pipeline
        The song classifier and what it was fitted on.
    songs, labels : int64 arrays, shape (n_figures,)
        Position in the store, and class, of the songs of the last part.
    probabilities : mapping of str to float64 array, shape (n_figures, n_classes)
        By method: ``"song_classifier"``, and ``"mean_probability"`` as its baseline.
    metrics : mapping of Target to mapping of str to Metrics
        The same methods; for the quadrant also the valence and the arousal that follow from it.
    cross_validation : CrossValidation or None
        The same of the songs that are learnt from, where the song classifier learns from cross-fitted probabilities.
    """

    network: SegmentNetwork | Ensemble
    table: song.SongTable
    classifier: Pipeline
    songs: Ints
    labels: Ints
    probabilities: Mapping[str, Floats]
    metrics: Mapping[Target, Mapping[str, Metrics]]
    cross_validation: CrossValidation | None


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


def checkpoint_name(target: Target, config: TrainConfig, inner: int = 0, kind: int = 1) -> str:
    """Return the file name of a network's checkpoint.

    Of the inner part and the kind of ensemble member, both from 1; with part 0, of the network whose epochs are on
    record, which is the first.
    """
    number = inner or (1 if config.ensemble else 0)
    if not number:
        return f"checkpoint.{target}.pt"
    return f"checkpoint.{target}.{number}.pt" if kind == 1 else f"checkpoint.{target}.{number}.{kind}.pt"


def durations_name(target: Target) -> str:
    """Return the name of the file that has a line of JSON for each epoch of each network: how long it took."""
    return f"durations.{target}.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkToTrain:
    """One of the networks of a target.

    Attributes
    ----------
    inner : int
        The number of the part without which it is trained, from 1; 0 for the one that learns from all.
    config : TrainConfig
        How; of an ensemble, of this member.
    learnt, watched : int64 arrays
        Positions in the store: what it learns from, and whose accuracy is told.
    checkpoint : str
        The file name of its checkpoint.
    """

    inner: int
    config: TrainConfig
    learnt: Ints
    watched: Ints
    checkpoint: str


def networks_to_train(parts: Parts, target: Target, config: TrainConfig) -> list[NetworkToTrain]:
    """Return all networks of a target, the one whose epochs are on record first, and each kind after the other."""
    kinds = [config.of_member(number) for number in range(len(config.ensemble))]
    found = []
    if not kinds:
        watched = parts.song if config.song.features == "held_out" else parts.figures
        found.append(
            NetworkToTrain(
                inner=0,
                config=config,
                learnt=parts.network,
                watched=watched,
                checkpoint=checkpoint_name(target, config),
            )
        )
    for kind, of in enumerate(kinds or [config], start=1):
        for number, inner in enumerate(parts.inner, start=1):  # the songs of the figures are not looked at
            found.append(
                NetworkToTrain(
                    inner=number,
                    config=of,
                    learnt=np.setdiff1d(parts.network, inner),
                    watched=inner,
                    checkpoint=checkpoint_name(target, config, number, kind),
                )
            )
    return found


Truth = Callable[[Ints], Sequence[Ints] | None]


def _train_one(
    one: NetworkToTrain,
    store: LogMelStore,
    frames: torch.Tensor,
    labels: Ints,
    target: Target,
    *,
    folder: Path | None,
    resume: bool,
    truth: Truth,
    on_epoch: Callable[[EpochReport], None],
    on_step: Callable[[Progress], None],
) -> SegmentNetwork:
    def noted(report: EpochReport) -> None:
        if folder is not None:
            with (folder / durations_name(target)).open("a", encoding="utf-8") as file:  # several processes may add
                file.write(json.dumps({"network": one.checkpoint, "duration_s": report.duration_s}) + "\n")
        on_epoch(report)

    return train_network(
        store,
        frames,
        Clips(index=one.learnt, label=labels[one.learnt], truth=truth(one.learnt)),
        Clips(index=one.watched, label=labels[one.watched]),
        one.config,
        class_names=CLASS_NAMES[target],
        checkpoint_path=None if folder is None else folder / one.checkpoint,
        resume=resume,
        on_epoch=noted,
        on_step=on_step,
    )


def _silent(_: EpochReport) -> None:
    pass


def train_share(
    store: LogMelStore,
    frames: torch.Tensor,
    parts: Parts,
    labels: Ints,
    target: Target,
    config: TrainConfig,
    share: tuple[int, int],
    *,
    folder: Path,
    resume: bool = False,
    truth: Truth = lambda clips: None,
    on_network: Callable[[int, int], None] = lambda number, total: None,
    on_epoch: Callable[[EpochReport], None] = _silent,
    on_step: Callable[[Progress], None] = lambda progress: None,
) -> None:
    """Train some of a target's networks, for `train_target` to find their checkpoints.

    Parameters
    ----------
    share : tuple of int
        ``(i, n)``: of every n networks the one at position i, from 0.
    store, frames, parts, labels, target, config, folder, resume, truth, on_network, on_epoch, on_step
        As for `train_target`.
    """
    check_parts(store, parts, labels, target, config)
    todo = networks_to_train(parts, target, config)
    first, step = share
    for number in range(first, len(todo), step):
        on_network(number + 1, len(todo))
        report = _silent if number else on_epoch
        _train_one(
            todo[number],
            store,
            frames,
            labels,
            target,
            folder=folder,
            resume=resume,
            truth=truth,
            on_epoch=report,
            on_step=on_step,
        )


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
    truth: Truth = lambda clips: None,
    on_network: Callable[[int, int], None] = lambda number, total: None,
    on_epoch: Callable[[EpochReport], None] = _silent,
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
        (`mertag_train.learn.learners.Clips`).
    on_network : callable
        Told ``(number, total)`` before each network. The first is the one that is kept, if not all are.
    on_epoch, on_step : callables
        Progress; `on_epoch` of the first network only.

    Raises
    ------
    TrainingError, DatasetError
        As `check_parts`, the trainer and the song classifier do.
    """
    check_parts(store, parts, labels, target, config)
    n_classes = len(CLASS_NAMES[target])
    todo = networks_to_train(parts, target, config)
    numbers = itertools.count(1)

    def trained(one: NetworkToTrain) -> SegmentNetwork:
        on_network(next(numbers), len(todo))
        report = on_epoch if one is todo[0] else _silent
        return _train_one(
            one,
            store,
            frames,
            labels,
            target,
            folder=folder,
            resume=resume,
            truth=truth,
            on_epoch=report,
            on_step=on_step,
        )

    network: SegmentNetwork | Ensemble | None = None if config.ensemble else trained(todo[0])
    if config.song.features == "cross_fitted":

        def without(number: int, inner: Ints) -> list[SegmentNetwork]:
            return [trained(one) for one in todo if one.inner == number]

        seen, members = cross_fitted(
            store, frames, parts.inner, parts.song, target, config, without, folder=folder, resume=resume
        )
        network = network or Ensemble(members).eval()
    else:
        assert network is not None
        seen = predict(network, store, frames, parts.song, config.segmentation)
    table = song.song_table(
        seen,
        store.n_samples[parts.song].tolist(),
        labels[parts.song],
        config,
        sub_windows_s=config.song.sub_windows_s,
        seed=config.seed,
    )
    classifier = song.fit(table, n_classes=n_classes, c=config.song.c, kind=config.song.classifier, seed=config.seed)
    unseen = predict(network, store, frames, parts.figures, config.segmentation)
    long_enough = np.array([len(p) > 0 for p in unseen], dtype=bool)
    of_figures = [p for p in unseen if len(p)]
    lengths = store.n_samples[parts.figures][long_enough].tolist()
    found = labels[parts.figures][long_enough]
    probabilities = {
        "song_classifier": song.predict_songs(classifier, of_figures, lengths, config),
        "mean_probability": np.stack([p.astype(np.float64).mean(0) for p in of_figures]),
    }
    return TargetResult(
        network=network,
        table=table,
        classifier=classifier,
        songs=parts.figures[long_enough],
        labels=found,
        probabilities=probabilities,
        metrics=measure(found, probabilities, target, seed=config.seed),
        cross_validation=cross_validated(seen, store, parts.inner, parts.song, labels, table, target, config),
    )
