"""From clips to a measured song classifier: the one way that both ``mertag train`` and ``mertag evaluate`` go.

Networks are trained on some songs; what they say of segments becomes features of whole songs, which the song
classifier learns from; and it is measured on songs that neither has seen. Whose songs' probabilities the song
classifier learns from is the recipe's choice (`SongConfig.features`). numpy, torch and scikit-learn only: it runs where
neither librosa nor the command line is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.pipeline import Pipeline
from torch import Tensor

from mertag.emotion import Target
from mertag_train.arrays import Floats, Floats32, Ints
from mertag_train.data.heard import segment_starts
from mertag_train.data.teacher import TeacherTargets
from mertag_train.learn import guide as guides
from mertag_train.learn import song
from mertag_train.learn.config import TrainConfig
from mertag_train.learn.trainer import Clips, train_network
from mertag_train.measure.metrics import Metrics, measure
from mertag_train.networks.vgg import SegmentNetwork
from mertag_train.runs.work import UNKNOWN, Watcher, Work, check_parts


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkToTrain:
    """One of the networks of a target.

    `inner` is the number of the part without which it is trained, from 1; 0 for the one that learns from all. What it
    learns from, with a label and without one, and whose accuracy is told, are positions in the store, and `checkpoint`
    is a file name in the run.
    """

    inner: int
    config: TrainConfig
    learnt: Ints
    unlabelled: Ints
    watched: Ints | None
    checkpoint: str


Predict = Callable[[NetworkToTrain, Ints], list[Floats32]]
"""Given a network and positions in the store, returns what the network says of each clip's segments: float32 arrays of
shape (n_segments, n_classes)."""


def networks_to_train(work: Work) -> list[NetworkToTrain]:
    """Return all networks of a target: the model, which learns from all songs, and one for each part, without it."""
    parts, config, target = work.parts, work.config, work.target
    model = NetworkToTrain(
        inner=0,
        config=config,
        learnt=parts.network,
        unlabelled=parts.unlabelled,
        watched=parts.song if config.song.features == "held_out" else parts.figures,
        checkpoint=f"checkpoint.{target}.pt",
    )
    cross_fitted = [
        replace(
            model,
            inner=number,
            learnt=np.setdiff1d(parts.network, inner),
            watched=inner,  # the songs of the figures are not looked at
            checkpoint=f"checkpoint.{target}.{number}.pt",
        )
        for number, inner in enumerate(parts.inner, start=1)
    ]
    return [model, *cross_fitted]


def trunk_of(work: Work) -> NetworkToTrain | None:
    """Return the network that the teacher alone teaches, with which all others begin; None without pre-training."""
    config = work.config
    if not config.teacher.name or not config.teacher.pretraining.epochs:
        return None
    return NetworkToTrain(
        inner=0,
        config=config.of_pretraining(),
        learnt=work.parts.network,
        unlabelled=work.parts.unlabelled,
        watched=None,
        checkpoint="checkpoint.trunk.pt",
    )


def train_one(
    work: Work,
    one: NetworkToTrain,
    *,
    begin_with: Mapping[str, Tensor] | None,
    checkpoint: Path | None,
    resume: bool,
    watcher: Watcher,
    may_guess: bool = False,
) -> SegmentNetwork:
    """Train one network, from a trunk's weights or from random ones, or go on from its checkpoint.

    The `watcher` is told of its steps and epochs; `may_guess` is that of `train_network`.
    """
    known = [work.truth[i] for i in one.learnt.tolist()] if work.truth else []
    truth = known if any((classes != UNKNOWN).any() for classes in known) else None
    guide = None
    if work.teacher is not None and one.config.teacher.label_share and one.config.learner != "teacher":
        guide = _guide(work, work.teacher, one.learnt)
    return train_network(
        work.store,
        work.frames(),
        Clips(
            index=one.learnt,
            label=work.labels[one.learnt],
            truth=truth,
            guide=guide,
            unlabelled=one.unlabelled,
            pseudo_labels=work.parts.pseudo_labels,
        ),
        None if one.watched is None else Clips(index=one.watched, label=work.labels[one.watched]),
        one.config,
        class_names=work.class_names,
        teacher=work.teacher,
        begin_with=begin_with,
        checkpoint_path=checkpoint,
        resume=resume,
        may_guess=may_guess,
        on_epoch=watcher.on_epoch,
        on_step=watcher.on_step,
    )


def _guide(work: Work, teacher: TeacherTargets, learnt: Ints) -> list[Floats32]:
    """Return `Clips.guide` of the clips that a network learns from."""
    windows = guides.guide(
        teacher,
        learnt,
        work.labels[learnt],
        work.groups[learnt],
        n_classes=len(work.class_names),
        seed=work.config.seed,
    )
    found, store, cut = [], work.store, work.config.segmentation
    hop_s = store.front_end.hop_length / store.front_end.sample_rate
    for clip, said in zip(learnt.tolist(), windows, strict=True):
        starts = segment_starts(store, clip, cut).astype(np.float64)
        nearest = teacher.rows(np.full(len(starts), clip), starts * hop_s + cut.duration_s / 2)
        found.append(said[nearest - teacher.offsets[clip]])
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class SongResult:
    """A song classifier, and what it says of songs that nothing was learnt from.

    Attributes
    ----------
    table, classifier : SongTable, Pipeline
        The song classifier, and what it was fitted on; ``table.song`` numbers what never stands on two sides of its
        calibration (`Work.groups`).
    seen : list of float32 arrays, shape (n_segments, n_classes)
        The segment probabilities of each song of `Parts.song`.
    songs, labels : int64 arrays, shape (n_songs,)
        Position in the store, and class, of the songs of `Parts.figures` that are long enough.
    probabilities : mapping of str to float64 array, shape (n_songs, n_classes)
        By method: ``"song_classifier"``, and ``"mean_probability"`` as its baseline.
    """

    table: song.SongTable
    classifier: Pipeline
    seen: list[Floats32]
    songs: Ints
    labels: Ints
    probabilities: Mapping[str, Floats]


def fit_and_predict(work: Work, predict: Predict) -> SongResult:
    """Fit the song classifier of a target, and predict the songs that the figures come from.

    `predict` trains the networks, or knows what they say (`Predict`). It is first asked for the model.

    Raises
    ------
    TrainingError, DatasetError
        As `check_parts`, the trainer and the song classifier do.
    """
    check_parts(work)
    parts, config = work.parts, work.config
    model, *cross_fitted = networks_to_train(work)
    unseen = predict(model, parts.figures)
    if cross_fitted:
        of_clip: dict[int, Floats32] = {}
        for without, inner in zip(cross_fitted, parts.inner, strict=True):
            of_clip |= zip(inner.tolist(), predict(without, inner), strict=True)
        seen = [of_clip[i] for i in parts.song.tolist()]
    else:
        seen = predict(model, parts.song)
    table = song.song_table(
        seen,
        work.store.n_samples[parts.song].tolist(),
        work.labels[parts.song],
        config,
        sub_windows_s=config.song.sub_windows_s,
        seed=config.seed,
    )
    table = replace(table, song=_numbered(work.groups[parts.song])[table.song])
    classifier = _fitted(table, work)
    long_enough = np.array([len(p) > 0 for p in unseen], dtype=bool)
    songs, of_figures = parts.figures[long_enough], [p for p in unseen if len(p)]
    return SongResult(
        table=table,
        classifier=classifier,
        seen=seen,
        songs=songs,
        labels=work.labels[songs],
        probabilities={
            "song_classifier": song.predict_songs(classifier, of_figures, work.store.n_samples[songs].tolist(), config),
            "mean_probability": np.stack([p.astype(np.float64).mean(0) for p in of_figures]),
        },
    )


def _numbered(groups: Ints) -> Ints:
    """Return groups as numbers from 0 on, in the same order."""
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def _fitted(table: song.SongTable, work: Work) -> Pipeline:
    chosen = work.config.song
    return song.fit(table, n_classes=len(work.class_names), c=chosen.c, kind=chosen.classifier, seed=work.config.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossValidation:
    """What was said of songs that are learnt from, without them.

    Each song is judged by a network, and by a song classifier, that were fitted without its part. (What that
    classifier learnt from was said by networks that had seen the song.) Songs, labels and probabilities are as in
    `SongResult`, metrics as `mertag_train.measure.metrics.measure` gives them.
    """

    songs: Ints
    labels: Ints
    probabilities: Mapping[str, Floats]
    metrics: Mapping[Target, Mapping[str, Metrics]]


def cross_validated(work: Work, result: SongResult) -> CrossValidation | None:
    """Measure what cross-fitted networks, and song classifiers fitted on the other parts, say of each part.

    None where there is no part with a song that is as long as one segment.
    """
    songs, seen = work.parts.song, result.seen
    groups = _numbered(work.groups[songs])
    judged: list[Ints] = []
    by_classifier: list[Floats] = []
    for inner in work.parts.inner:
        places = np.flatnonzero(np.isin(songs, inner))
        places = places[[len(seen[place]) > 0 for place in places.tolist()]]
        if not len(places):
            continue
        classifier = _fitted(result.table.without(groups[places]), work)  # no group stands in two parts
        lengths = work.store.n_samples[songs[places]].tolist()
        by_classifier.append(song.predict_songs(classifier, [seen[p] for p in places.tolist()], lengths, work.config))
        judged.append(places)
    if not judged:
        return None
    order = np.concatenate(judged)
    probabilities = {
        "song_classifier": np.concatenate(by_classifier),
        "mean_probability": np.stack([seen[p].astype(np.float64).mean(0) for p in order.tolist()]),
    }
    labels = work.labels[songs[order]]
    return CrossValidation(
        songs=songs[order],
        labels=labels,
        probabilities=probabilities,
        metrics=measure(labels, probabilities, work.target, seed=work.config.seed),
    )
