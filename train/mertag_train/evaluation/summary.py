"""Figures of what is there: pooled over the folds, over folds, over seeds, and between methods.

Conventions
-----------
- *Pooled*: the test songs of all folds together, each predicted once by a method that has not seen it. Wilson's
  interval, the confusion matrix and the calibration are of the pooled songs, for the first seed.
- *Over folds*: each fold measured alone (averaged over the seeds), then mean and standard deviation over the folds.
- *Over seeds*: the pooled figure of each seed, then mean and standard deviation. The headline figure is this mean.
- A seed counts when it has every fold. While none has, the first seed stands for the method with the folds it has,
  and the summary says so.
- *Between methods*: McNemar's exact test on the songs that both have predicted, first seeds; the p-values of one
  target are also given with Holm's correction for their number. Beside it, the difference in accuracy with its interval
  by a bootstrap of the artists (`bootstrap`), where it is known whose the songs are.
- A quadrant also says valence and arousal: P(V+) = Q1 + Q4, P(A+) = Q1 + Q2. These views are named apart from
  methods that were trained for the axis.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean, stdev
from typing import Any

import numpy as np

from mertag.emotion import Target
from mertag_train.arrays import Floats, Ints
from mertag_train.evaluation.bootstrap import Difference, paired_bootstrap
from mertag_train.evaluation.methods import METHODS
from mertag_train.evaluation.results import Result
from mertag_train.measure.metrics import (
    McNemar,
    Metrics,
    by_axis,
    evaluate_predictions,
    mcnemar,
    mean_and_sd,
    predicted_classes,
)

Spread = Mapping[str, tuple[float, float | None]]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class System:
    """What is compared: a method at a segment duration (None if it uses no segments), for a target.

    `learnt` is what the method was trained for: the target, or the quadrant that an axis follows from.
    """

    target: Target
    method: str
    segment_s: float | None
    learnt: Target

    @property
    def duration(self) -> str:
        """Segment duration in words, such as ``"3 s"``; empty without segments."""
        return "" if self.segment_s is None else f"{self.segment_s:g} s"

    @property
    def view(self) -> str:
        """Target in words, such as ``"valence (from the quadrant)"``."""
        return str(self.target) if self.learnt is self.target else f"{self.target} (from the {self.learnt})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The figures of one system.

    Attributes
    ----------
    system : System
    folds, seeds : tuples
        What the figures are of.
    n_folds : int
        How many there are.
    by_seed : mapping of int to Metrics
        Pooled over the folds.
    over_seeds, over_folds : mapping of str to (mean, sd)
        By the names of `Metrics`; sd is None where there is only one.
    songs_per_s : float or None
        How many songs a second the method listened to, on average over what was measured; None if nothing was.
    song_ids, labels, probabilities : tuple, arrays of shape (n_songs,) and (n_songs, n_classes)
        The test songs, pooled, sorted by id; of the first seed.
    """

    system: System
    folds: tuple[str, ...]
    n_folds: int
    seeds: tuple[int, ...]
    by_seed: Mapping[int, Metrics]
    over_seeds: Spread
    over_folds: Spread
    song_ids: tuple[str, ...]
    labels: Ints
    probabilities: Floats
    songs_per_s: float | None = None

    @property
    def complete(self) -> bool:
        """Whether every fold is in it."""
        return len(self.folds) == self.n_folds

    @property
    def first(self) -> Metrics:
        """The pooled figures of the first seed."""
        return self.by_seed[self.seeds[0]]

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
        return {
            "target": self.system.target.value,
            "learnt": self.system.learnt.value,
            "method": self.system.method,
            "segment_s": self.system.segment_s,
            "folds": list(self.folds),
            "n_folds": self.n_folds,
            "complete": self.complete,
            "seeds": list(self.seeds),
            "pooled": {str(seed): metrics.to_json() for seed, metrics in self.by_seed.items()},
            "over_seeds": {name: {"mean": mean, "sd": sd} for name, (mean, sd) in self.over_seeds.items()},
            "over_folds": {name: {"mean": mean, "sd": sd} for name, (mean, sd) in self.over_folds.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two systems of one target on the `n` songs that both have predicted.

    `p_adjusted` is the p-value after Holm's correction over all comparisons of the target; `difference` is that of the
    two accuracies, None where it is not known whose the songs are.
    """

    first: System
    second: System
    n: int
    test: McNemar
    p_adjusted: float
    difference: Difference | None


def summarise(results: Iterable[Result], folds: Sequence[str]) -> list[Summary]:
    """Return the summary of every system of a data set, by target, method and duration; `folds` are all there are."""
    grouped: dict[System, dict[int, dict[str, Result]]] = defaultdict(lambda: defaultdict(dict))
    for result in results:
        task = result.task
        for view in [task.target] if task.target is not Target.QUADRANT else list(Target):
            system = System(target=view, method=task.method, segment_s=task.segment_s, learnt=task.target)
            grouped[system][task.seed][task.fold] = result
    found = [_summary(system, by_seed, folds) for system, by_seed in grouped.items()]
    return sorted(found, key=lambda summary: _place(summary.system))


def compare(summaries: Sequence[Summary], artists: Mapping[str, int] | None = None) -> list[Comparison]:
    """Return the comparison of every two systems of one target that were trained for it.

    `artists` are the numbers of the artists, by song id.
    """
    found: list[Comparison] = []
    for target in Target:
        own = [s for s in summaries if s.system.target is target and s.system.learnt is target]
        pairs = [pair for pair in (_pair(one, other, artists) for one, other in combinations(own, 2)) if pair]
        adjusted = holm([pair.test.p_value for pair in pairs])
        found += [replace(pair, p_adjusted=p) for pair, p in zip(pairs, adjusted, strict=True)]
    return found


def _pair(one: Summary, other: Summary, artists: Mapping[str, int] | None) -> Comparison | None:
    """Return two systems compared, before any correction; None where they have no song in common."""
    at = {song: i for i, song in enumerate(other.song_ids)}
    here = [i for i, song in enumerate(one.song_ids) if song in at]
    if not here:
        return None
    there = [at[one.song_ids[i]] for i in here]
    labels = one.labels[here]
    first, second = predicted_classes(one.probabilities[here]), predicted_classes(other.probabilities[there])
    test = mcnemar(labels, first, second)
    songs = [one.song_ids[i] for i in here]
    known = artists is not None and all(song in artists for song in songs)
    return Comparison(
        first=one.system,
        second=other.system,
        n=len(here),
        test=test,
        p_adjusted=test.p_value,
        difference=paired_bootstrap(first == labels, second == labels, [artists[song] for song in songs])
        if artists is not None and known
        else None,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (S. Holm, 1979), in the given order."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[i] * (len(p_values) - rank)))
        adjusted[i] = largest
    return adjusted


def _place(system: System) -> tuple[int, bool, int, str, float]:
    """Return where a system stands in a table: by target, then as the registry lists the methods, then by duration."""
    targets, methods = (Target.QUADRANT, Target.VALENCE, Target.AROUSAL), list(METHODS)
    known = methods.index(system.method) if system.method in methods else len(methods)
    derived = system.learnt is not system.target
    return targets.index(system.target), derived, known, system.method, system.segment_s or 0.0


def _summary(system: System, by_seed: Mapping[int, Mapping[str, Result]], folds: Sequence[str]) -> Summary:
    seeds = tuple(sorted(seed for seed, there in by_seed.items() if set(folds) <= set(there))) or (min(by_seed),)
    names = tuple(fold for fold in folds if fold in by_seed[seeds[0]])
    pooled: dict[int, tuple[tuple[str, ...], Ints, Floats]] = {}
    alone: dict[str, list[Metrics]] = defaultdict(list)
    for seed in seeds:
        parts = [by_axis(by_seed[seed][n].probabilities, by_seed[seed][n].labels, system.target) for n in names]
        for name, (probabilities, labels) in zip(names, parts, strict=True):
            alone[name].append(evaluate_predictions(labels, probabilities, target=system.target))
        ids = [song_id for name in names for song_id in by_seed[seed][name].song_ids]
        order = sorted(range(len(ids)), key=ids.__getitem__)
        pooled[seed] = (
            tuple(ids[i] for i in order),
            np.concatenate([labels for _, labels in parts])[order],
            np.concatenate([probabilities for probabilities, _ in parts])[order],
        )
    of_folds = [{name: mean for name, (mean, _) in mean_and_sd(same).items()} for same in alone.values()]
    metrics = {seed: evaluate_predictions(y, p, target=system.target) for seed, (_, y, p) in pooled.items()}
    song_ids, labels, probabilities = pooled[seeds[0]]
    speeds = [r.songs_per_s for there in by_seed.values() for r in there.values() if r.songs_per_s is not None]
    return Summary(
        system=system,
        folds=names,
        n_folds=len(folds),
        seeds=seeds,
        by_seed=metrics,
        over_seeds=mean_and_sd(list(metrics.values())),
        over_folds={name: _spread([fold[name] for fold in of_folds if name in fold]) for name in of_folds[0]},
        song_ids=song_ids,
        labels=labels,
        probabilities=probabilities,
        songs_per_s=fmean(speeds) if speeds else None,
    )


def _spread(values: Sequence[float]) -> tuple[float, float | None]:
    return fmean(values), stdev(values) if len(values) > 1 else None
