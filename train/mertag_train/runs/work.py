"""One training as one object: the songs, what each serves, and who is told how it goes. numpy only."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mertag.emotion import CLASS_NAMES, Target
from mertag.errors import DatasetError
from mertag_train.arrays import Floats, Ints
from mertag_train.data.datasets.base import MIN_SONGS_PER_CLASS, Dataset, Song, targets_of_signs
from mertag_train.data.folds import Group, bound_groups, folds
from mertag_train.data.heard import segment_starts

if TYPE_CHECKING:
    import torch

    from mertag_train.data.store import LogMelStore
    from mertag_train.data.teacher import TeacherTargets
    from mertag_train.learn.config import TrainConfig
    from mertag_train.learn.trainer import EpochReport, Progress

UNKNOWN = -1
"""The class of a segment of which none is known."""


class Watcher:
    """Who is told how a training goes; this one does nothing with it."""

    def elsewhere(self) -> Watcher:
        """Return what of it may be told in another process: who only writes files returns itself."""
        return Watcher()

    def on_target(self, target: Target) -> None:
        """Take note of which target's turn it is."""

    def on_network(self, number: int, total: int) -> None:
        """Take note of a network, from 1, that is about to be trained, of how many; 0: the pre-training."""

    def on_trained(self, done: int, total: int) -> None:
        """Take note of how many networks are trained, where several are at a time."""

    def on_step(self, step: Progress) -> None:
        """Take note of how far an epoch is."""

    def on_epoch(self, report: EpochReport) -> None:
        """Take note of a finished epoch of the first network."""

    def close(self) -> None:
        """Close what is open. May be called twice."""


class Watchers(Watcher):
    """Several of them, told in their order."""

    def __init__(self, *each: Watcher) -> None:
        self.each = each

    def elsewhere(self) -> Watcher:  # noqa: D102 - as in Watcher, like all of them
        return Watchers(*(watcher.elsewhere() for watcher in self.each))

    def on_target(self, target: Target) -> None:  # noqa: D102
        for watcher in self.each:
            watcher.on_target(target)

    def on_network(self, number: int, total: int) -> None:  # noqa: D102
        for watcher in self.each:
            watcher.on_network(number, total)

    def on_trained(self, done: int, total: int) -> None:  # noqa: D102
        for watcher in self.each:
            watcher.on_trained(done, total)

    def on_step(self, step: Progress) -> None:  # noqa: D102
        for watcher in self.each:
            watcher.on_step(step)

    def on_epoch(self, report: EpochReport) -> None:  # noqa: D102
        for watcher in self.each:
            watcher.on_epoch(report)

    def close(self) -> None:  # noqa: D102
        for watcher in self.each:
            watcher.close()


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
    unlabelled, pseudo_labels : int64 array, bool
        Clips without a label, for all networks; whether they may have pseudo-labels in self-learning.
    shares : pair of float
        Share of all songs that `network` and `song` are meant to have.
    """

    network: Ints
    song: Ints
    figures: Ints
    inner: tuple[Ints, ...] = ()
    unlabelled: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    pseudo_labels: bool = False
    shares: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The training of one target.

    Attributes
    ----------
    frames : callable
        Returns the store's frames, shape (total_frames, n_mels), on the device that trains; asked for when needed.
    labels, groups : int64 arrays, shape (n_clips,)
        Of each clip of the store: its class, and a number that it shares with the clips that never stand on another
        side of a split; -1 for a clip that is no song.
    truth : mapping of int to int64 array, shape (n_segments,)
        The real class of each segment of the fixed grid that sounds, by position in the store; empty where nothing is
        known. It is never learnt from: a partition is scored with it.
    teacher : TeacherTargets or None
        What a teacher says of the clips of the store.
    folder, resume : Path or None, bool
        Where checkpoints lie, None for none; whether to go on from what lies there.
    """

    store: LogMelStore
    frames: Callable[[], torch.Tensor]
    labels: Ints
    groups: Ints
    parts: Parts
    target: Target
    config: TrainConfig
    truth: Mapping[int, Ints] = field(default_factory=dict)
    teacher: TeacherTargets | None = None
    folder: Path | None = None
    resume: bool = False
    watcher: Watcher = field(default_factory=Watcher)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the target's classes."""
        return tuple(CLASS_NAMES[self.target])


def labels_of(songs: Sequence[Song], store: LogMelStore, target: Target) -> Ints:
    """Return the class of each clip of the store, shape (n_clips,); -1 for one that is no song."""
    class_of = {song.id: song.targets[target] for song in songs}
    return np.array([class_of.get(i, -1) for i in store.ids], dtype=np.int64)


def groups_of(songs: Sequence[Song], store: LogMelStore, group: Group) -> Ints:
    """Return the number of each clip's group (`bound_groups`), shape (n_clips,); -1 for one that is no song."""
    group_of = {song.id: number for number, bound in enumerate(bound_groups(songs, group)) for song in bound}
    return np.array([group_of.get(i, -1) for i in store.ids], dtype=np.int64)


def truth_of(
    songs: Sequence[Song],
    store: LogMelStore,
    target: Target,
    config: TrainConfig,
    dataset: Dataset,
    right: Mapping[str, int] | None = None,
) -> dict[int, Ints]:
    """Return `Work.truth` of some songs: by the configuration's segmentation, with the data set's thresholds.

    Where wrong labels were given on purpose, `right` has the songs' real classes, and each segment has its song's.
    Otherwise it has the class of the mean of the ratings over time (`Song.dynamics`) that lie in it.
    """
    found: dict[int, Ints] = {}
    for song, index in zip(songs, store.index_of([song.id for song in songs]).tolist(), strict=True):
        frames = segment_starts(store, index, config.segmentation)
        if right is not None:
            found[index] = np.full(len(frames), right[song.id], dtype=np.int64)
        else:
            starts_s = frames * config.front_end.hop_length / config.front_end.sample_rate
            found[index] = dynamic_classes(song, starts_s, target, config, dataset)
    return found if any((classes != UNKNOWN).any() for classes in found.values()) else {}


def dynamic_classes(song: Song, starts_s: Floats, target: Target, config: TrainConfig, dataset: Dataset) -> Ints:
    """Return the class of the mean rating in each segment, shape (n_segments,); -1 without a rating there.

    The thresholds are those of the songs, moved to the scale of the ratings over time.
    """
    found = np.full(len(starts_s), UNKNOWN, dtype=np.int64)
    rated, thresholds, scale = song.dynamics, dataset.thresholds, dataset.scale
    if rated is None or thresholds is None or scale is None:
        return found
    times_s = np.asarray(rated.times_s)
    low, high = rated.scale
    at = [low + (t - scale[0]) / (scale[1] - scale[0]) * (high - low) for t in thresholds]
    for i, start_s in enumerate(starts_s):
        inside = (times_s >= start_s) & (times_s < start_s + config.segmentation.duration_s)
        if inside.any():
            valence, arousal = (float(np.mean(np.asarray(r)[inside])) for r in (rated.valence, rated.arousal))
            classes = targets_of_signs(valence_positive=valence >= at[0], arousal_positive=arousal >= at[1])
            found[i] = classes[target]
    return found


def inner_parts(songs: Sequence[Song], store: LogMelStore, target: Target, config: TrainConfig) -> tuple[Ints, ...]:
    """Deal the songs that are learnt from into the parts of cross-fitting; none where there is no cross-fitting."""
    if config.song.features != "cross_fitted":
        return ()
    dealt = folds(songs, target, n=config.song.inner_folds, group=config.group, seed=config.seed)
    return tuple(store.index_of(dealt.ids(name)) for name in dealt.names)


def check_parts(work: Work) -> None:
    """Refuse, before a night of training, what would fail after it.

    Raises DatasetError if a class has no song in the network's part or fewer than two groups of songs in the song
    classifier's, or there is no song to measure; a song without a segment that sounds does not count.
    """
    parts, config = work.parts, work.config
    duration_s = config.segmentation.duration_s
    long_enough = np.array(
        [len(segment_starts(work.store, index, config.segmentation)) > 0 for index in range(len(work.store.ids))],
        dtype=bool,
    )
    needs = (
        ("network", parts.network, 1, parts.shares[0]),
        ("song classifier", parts.song, MIN_SONGS_PER_CLASS, parts.shares[1]),
    )
    for what, part, least, share in needs:
        heard = part[long_enough[part]]
        of_class = [heard[work.labels[heard] == k] for k in range(len(work.class_names))]
        counts = [len(set(work.groups[clips].tolist())) for clips in of_class]
        few = [f"{count} of {name}" for name, count in zip(work.class_names, counts, strict=True) if count < least]
        if few:
            bound = any(len(clips) > count for clips, count in zip(of_class, counts, strict=True))
            once = f" (songs of one {config.group} count once)" if bound else ""
            in_sample = what != "network" and config.song.features == "held_out"
            raise DatasetError(
                f"the {what} needs {least} song{'s' if least > 1 else ''} of each class, {duration_s} s or longer"
                f"{once}, and its part of the split, {share:.0%}, has {', '.join(few)}; "
                f"add songs (about {math.ceil(least / share) if share else least} of each class are enough)"
                + (", or let it learn from the network's own songs with --svm-songs in-sample" if in_sample else "")
            )
    if not long_enough[parts.figures].any():
        raise DatasetError(f"no song of the part that the figures come from is {duration_s} s or longer; add songs")
