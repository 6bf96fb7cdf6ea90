"""Cross-fitting: each song is judged by a network that was trained without it. numpy, torch and scikit-learn only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from mertag.emotion import CLASS_NAMES, Target
from mertag_train.data.store import LogMelStore
from mertag_train.learn import song
from mertag_train.learn.config import TrainConfig
from mertag_train.learn.predict import predict
from mertag_train.measure.metrics import Metrics, measure
from mertag_train.networks.ensemble import Ensemble
from mertag_train.networks.vgg import SegmentNetwork
from mertag_train.runs.kept_outputs import read_outputs, write_outputs

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossValidation:
    """What was said of songs that are learnt from, without them.

    Each song is judged by a network, and by a song classifier, that were fitted without its part. (What that
    classifier learnt from was said by networks that had seen the song.)

    Attributes
    ----------
    songs, labels : int64 arrays, shape (n_songs,)
        Position in the store, and class.
    probabilities : mapping of str to float64 array, shape (n_songs, n_classes)
        By method: ``"song_classifier"``, and ``"mean_probability"`` as its baseline.
    metrics : mapping of Target to mapping of str to Metrics
        As `mertag_train.measure.metrics.measure`.
    """

    songs: Ints
    labels: Ints
    probabilities: Mapping[str, Floats]
    metrics: Mapping[Target, Mapping[str, Metrics]]


def cross_fitted(
    store: LogMelStore,
    frames: torch.Tensor,
    inner_parts: Sequence[Ints],
    songs: Ints,
    target: Target,
    config: TrainConfig,
    trained: Callable[[int, Ints], Sequence[SegmentNetwork]],
    *,
    folder: Path | None,
    resume: bool,
) -> tuple[list[npt.NDArray[np.float32]], list[SegmentNetwork]]:
    """Return the segment probabilities of songs, each from a network that was trained without it.

    Parameters
    ----------
    store : LogMelStore
        The log-mels.
    frames : Tensor, shape (total_frames, n_mels)
        The store's frames, on the device that trains.
    inner_parts : sequence of int64 arrays
        The parts into which the songs were dealt, as positions in the store.
    songs : int64 array, shape (n_songs,)
        The songs, in the order in which they are returned.
    target, config
        What is learnt, and how.
    trained : callable
        Told the number of a part, from 1, and the part; returns networks trained on the others: what they say
        together counts.
    folder : Path or None
        Where what they said is kept; None for nowhere.
    resume : bool
        Take what is kept there.

    Returns
    -------
    list of float32 arrays, shape (n_segments, n_classes)
        One a song.
    list of SegmentNetwork
        The networks, if they are the model (`TrainConfig.ensemble`); else those that were needed.
    """
    found: dict[str, npt.NDArray[np.float32]] = {}
    members: list[SegmentNetwork] = []
    for number, inner in enumerate(inner_parts, start=1):
        kept = None if folder is None else folder / f"cross-fitted.{target}.{number}.npz"
        said = read_outputs(kept) if resume and kept is not None and kept.exists() else None
        if said is None or config.ensemble:
            without = trained(number, inner)
            members += without
        if said is None:
            ids, together = [store.ids[i] for i in inner], Ensemble(without)
            said = dict(zip(ids, predict(together, store, frames, inner, config.segmentation), strict=True))
            if kept is not None:
                write_outputs(kept, ids, list(said.values()))
        found |= said
    return [found[store.ids[i]] for i in songs], members


def cross_validated(
    seen: Sequence[npt.NDArray[np.float32]],
    store: LogMelStore,
    inner_parts: Sequence[Ints],
    songs: Ints,
    labels: Ints,
    table: song.SongTable,
    target: Target,
    config: TrainConfig,
) -> CrossValidation | None:
    """Measure what cross-fitted networks, and song classifiers fitted on the other parts, say of each part.

    Parameters
    ----------
    seen : sequence of float32 arrays, shape (n_segments, n_classes)
        What `cross_fitted` gave; a song without a segment is left out.
    store, inner_parts, songs, target, config
        As for `cross_fitted`.
    labels : int64 array, shape (n_clips,)
        The class of each clip of the store.
    table : SongTable
        What the song classifier is fitted on, of all songs.

    Returns
    -------
    CrossValidation or None
        None where there is no part.
    """
    n_classes = len(CLASS_NAMES[target])
    judged: list[Ints] = []
    by_classifier: list[Floats] = []
    for inner in inner_parts:
        places = np.flatnonzero(np.isin(songs, inner))
        places = places[[len(seen[place]) > 0 for place in places.tolist()]]
        if not len(places):
            continue
        others, chosen = table.without(places), config.song
        classifier = song.fit(others, n_classes=n_classes, c=chosen.c, kind=chosen.classifier, seed=config.seed)
        lengths = store.n_samples[songs[places]].tolist()
        by_classifier.append(song.predict_songs(classifier, [seen[p] for p in places.tolist()], lengths, config))
        judged.append(places)
    if not judged:
        return None
    order = np.concatenate(judged)
    probabilities = {
        "song_classifier": np.concatenate(by_classifier),
        "mean_probability": np.stack([seen[p].astype(np.float64).mean(0) for p in order.tolist()]),
    }
    found = labels[songs[order]]
    return CrossValidation(
        songs=songs[order],
        labels=found,
        probabilities=probabilities,
        metrics=measure(found, probabilities, target, seed=config.seed),
    )
