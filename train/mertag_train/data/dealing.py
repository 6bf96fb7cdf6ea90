"""Dealing songs into parts: who must stay together, and which part takes whom.

One greedy rule: the groups come in turn, the largest first, equal ones in an order drawn from the seed, and
each goes where it brings the counts of its classes nearest to what is wanted. The result depends on nothing
but ids, labels, groups and seed: not on the order of the songs, and not on a library's version.
(scikit-learn's StratifiedGroupKFold, which the rule resembles, dealt shuffled groups without regard to their
classes before 1.8.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Literal

from mertag.emotion import CLASS_NAMES, Target
from mertag_train.data.datasets.base import Song

Group = Literal["recording", "artist"]


def bound_groups(songs: Iterable[Song], group: Group) -> list[tuple[Song, ...]]:
    """Return the songs that must stay together, as groups; groups and songs sorted by id.

    Parameters
    ----------
    songs : iterable of Song
    group : {"recording", "artist"}
        Same recording; or same recording or same artist, and whatever a chain of these joins. A song without
        an artist shares none.
    """
    if group not in ("recording", "artist"):
        raise ValueError(f"group must be 'recording' or 'artist', not {group!r}")
    ordered = sorted(songs, key=lambda song: song.id)
    parent = list(range(len(ordered)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[tuple[str, str], int] = {}
    for i, song in enumerate(ordered):
        keys = [("recording", song.group)]
        if group == "artist" and song.artist is not None:
            keys.append(("artist", song.artist))
        for key in keys:
            one, other = root(first.setdefault(key, i)), root(i)
            parent[max(one, other)] = min(one, other)
    members: dict[int, list[Song]] = {}
    for i, song in enumerate(ordered):
        members.setdefault(root(i), []).append(song)
    return [tuple(found) for found in members.values()]


def tally(songs: Iterable[Song], target: Target) -> list[int]:
    """Return how many songs each class has, in the order of `CLASS_NAMES`."""
    counts = [0] * len(CLASS_NAMES[target])
    for song in songs:
        counts[song.targets[target]] += 1
    return counts


def deal(groups: Sequence[Sequence[Song]], target: Target, shares: Sequence[float], *, seed: int) -> list[int]:
    """Deal groups of songs into parts, so that each part holds its share of every class.

    Parameters
    ----------
    groups : sequence of sequences of Song
        Each stays whole.
    target : Target
        Its classes are spread.
    shares : sequence of float
        Share of each part, summing to 1. A part with share 0 gets nothing; any other is meant to get at least
        one song of each class that has as many songs as there are parts.
    seed : int
        Decides among groups of the same size, and among parts that fit equally well.

    Returns
    -------
    list of int
        Part of each group.
    """
    counts = [tally(group, target) for group in groups]
    total = [sum(column) for column in zip(*counts, strict=True)]
    wanted = [wanted_counts(n, shares) for n in total]  # [class][part]
    held = [[0] * len(shares) for _ in total]
    parts = [part for part, share in enumerate(shares) if share]

    def misfit(part: int, i: int) -> tuple[float, float, bytes]:
        """Return by how much group i moves a part away from what is wanted; less is better.

        The growth of sum((held - wanted)^2 / (wanted * class size)) over the classes: relative to the part,
        or large groups would all land in the largest part, and to the class, so that a rare one weighs as
        much.
        """
        grown, over = 0.0, 0.0
        for c, k in enumerate(counts[i]):
            excess = held[c][part] - wanted[c][part]
            if k:
                grown += k * (2 * excess + k) / (wanted[c][part] * total[c])
            over += excess
        # Rounded, so that what is equal but for the last bit is a tie.
        return round(grown, 12), round(over, 12), _draw(seed, f"{groups[i][0].id}\0{part}")

    part_of = [0] * len(groups)
    for i in sorted(range(len(groups)), key=lambda i: (-len(groups[i]), _draw(seed, groups[i][0].id))):
        part_of[i] = min(parts, key=partial(misfit, i=i))
        for c, k in enumerate(counts[i]):
            held[c][part_of[i]] += k
    return part_of


def wanted_counts(n: int, shares: Sequence[float]) -> list[float]:
    """Return how many of a class's n songs each part should hold: its share, but at least one if n allows it.

    Without that minimum, a part with share 0.15 would be left without any of four songs.
    """
    wanted = [n * share for share in shares]
    if n < sum(share > 0 for share in shares):
        return wanted
    small = [0 < w < 1 for w in wanted]
    rest = sum(w for w, is_small in zip(wanted, small, strict=True) if not is_small)
    return [1.0 if is_small else w * (n - sum(small)) / rest for w, is_small in zip(wanted, small, strict=True)]


def _draw(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode()).digest()
