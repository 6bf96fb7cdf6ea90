"""Folds and splits: stratified by class, no recording (and on request no artist) on both sides, seeded.

A fold is a name (``"0"``..``"9"``, or ``"train"``, ``"validation"``, ``"test"``), a song is its id, and which belong
together is told at `bound_groups`. On disk, folds are a CSV file ``song_id,fold``, so that others can use the same.

One greedy rule assigns songs to parts: the groups come in turn, the largest first, equal ones in an order drawn from
the seed, and each goes where it brings the counts of its classes nearest to what is wanted. The result depends on
nothing but ids, labels, groups and seed: not on the order of the songs, and not on a library's version.
(scikit-learn's StratifiedGroupKFold, which the rule resembles, assigned shuffled groups without regard to their
classes before 1.8.)
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from mertag.emotion import Target
from mertag.errors import DatasetError
from mertag.files import write_whole
from mertag_train.data.datasets.base import Dataset, Song, class_counts, thin_class
from mertag_train.data.datasets.tables import fault, read_table

Group = Literal["artist", "recording"]
Songs = Dataset | Iterable[Song]

SPLIT_NAMES = ("train", "validation", "test")
SHOWN = 5
REMEDY = "Use fewer parts, add songs, or group by recording instead of artist."


@dataclass(frozen=True, slots=True, kw_only=True)
class Folds:
    """Which fold each song id is in, and the names of the folds, of which one may be empty, in order."""

    fold_of: Mapping[str, str]
    names: tuple[str, ...]

    def ids(self, name: str) -> tuple[str, ...]:
        """Return the ids of the songs in a fold, sorted; KeyError if there is no such fold."""
        if name not in self.names:
            raise KeyError(f"no fold {name!r}; the folds are {', '.join(self.names)}")
        return tuple(sorted(song for song, fold in self.fold_of.items() if fold == name))

    def others(self, name: str) -> tuple[str, ...]:
        """Return the ids of the songs in all other folds, sorted: what to train on to test this one."""
        inside = frozenset(self.ids(name))
        return tuple(sorted(song for song in self.fold_of if song not in inside))

    def pairs(self) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
        """Yield (name, ids to train on, ids to test on) for each fold in turn."""
        for name in self.names:
            yield name, self.others(name), self.ids(name)


def folds(songs: Songs, target: Target, *, n: int = 10, group: Group = "recording", seed: int = 0) -> Folds:
    """Assign songs to `n` folds, named ``"0"`` to ``str(n - 1)``, for cross-validation.

    All songs get a fold; take `Dataset.with_audio` first where only those with audio shall. The classes of the target
    are spread evenly. The group is what never stands in two folds; with ``"artist"``, recordings don't either.

    Raises DatasetError if a class has fewer than two songs, a fold would hold one class only, or a class would be
    missing from the training side of a fold.
    """
    if n < 2:
        raise ValueError(f"cross-validation needs at least 2 folds, not {n}")
    return _dealt(songs, target, {str(i): 1 / n for i in range(n)}, group, seed, trained_on=Folds.others)


def finest_target(dataset: Dataset) -> Target:
    """Return the target whose classes are to be spread evenly, so that one deal serves all.

    It is the quadrant where there is one; a quadrant with fewer than two songs cannot be spread: then an axis is.
    """
    finest_first = sorted(dataset.targets, key=lambda target: target is not Target.QUADRANT)
    return next((target for target in finest_first if thin_class(dataset.songs, target) is None), finest_first[0])


def split(
    songs: Songs,
    target: Target,
    *,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    group: Group = "artist",
    seed: int = 0,
) -> Folds:
    """Split songs once into the parts ``"train"``, ``"validation"`` and ``"test"``.

    The `fractions` are the share of each, summing to 1; a part with share 0 stays empty. All else is as for `folds`.

    Raises DatasetError if a class has fewer than two songs or is missing from the training part, or if another part
    with a share would hold fewer than two classes.
    """
    if len(fractions) != 3 or min(fractions) < 0 or fractions[0] == 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions must be three shares that sum to 1, the first above 0, not {fractions}")
    shares = dict(zip(SPLIT_NAMES, fractions, strict=True))
    return _dealt(songs, target, shares, group, seed, trained_on=lambda found, _: found.ids("train"))


def official_split(songs: Songs, *, group: Group | None = "recording") -> Folds:
    """Return the split of the data set's authors, with their names for its parts.

    Raises DatasetError if a song is in no part, or a group stands in two.
    """
    listed = _listed(songs)
    fold_of: dict[str, str] = {}
    for song in listed:
        if song.official_split is None:
            raise DatasetError(f"song {song.id!r} is in no official split. Use folds of your own.")
        fold_of[song.id] = song.official_split
    for bound, places in _torn(listed, fold_of, group):
        raise DatasetError(
            f"the official split puts {_ids(bound)}, which belong together (same {group}), into "
            f"{' and '.join(places)}. Use it with recordings as groups, or make new folds."
        )
    return Folds(fold_of=fold_of, names=_ordered(fold_of.values()))


def save_folds(folds: Folds, path: Path) -> None:
    """Write folds as a CSV file ``song_id,fold``, sorted by id; the file is complete or not there."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("song_id", "fold"))
    writer.writerows(sorted(folds.fold_of.items()))
    write_whole(path, text.getvalue())


def load_folds(path: Path, songs: Songs, *, group: Group | None = "recording") -> Folds:
    """Read folds from a CSV file ``song_id,fold``, which may be published by others, for these songs.

    Every song must have a line; with a `Dataset`, lines of `Dataset.missing_audio` are left out. The group is what must
    not stand in two folds, None for folds that are known to be leaky.

    Raises DatasetError if a song has no line, a line names an unknown song, or a group stands in two folds.
    """
    rows = read_table(path, ("song_id", "fold")).by("song_id")
    listed = _listed(songs)
    known = {song.id for song in listed}
    silent = set(songs.missing_audio) - known if isinstance(songs, Dataset) else set()
    for song, row in rows.items():
        if song not in known | silent:
            raise row.fault(f"no song {song!r} in this data set", "Use the folds of this data set.")
    for song in known:
        if song not in rows:
            raise fault(path, None, f"no line for song {song!r}", "Use folds that cover every song.")
    fold_of = {song: row.required("fold") for song, row in rows.items() if song in known}
    for bound, places in _torn(listed, fold_of, group):
        raise fault(
            path,
            rows[bound[0].id].line,
            f"{_ids(bound)} belong together (same {group}), but stand in folds {', '.join(places)}",
            "Put them into one fold, or make new folds.",
        )
    return Folds(fold_of=fold_of, names=_ordered(fold_of.values()))


def _torn(
    songs: Sequence[Song], fold_of: Mapping[str, str], group: Group | None
) -> Iterator[tuple[tuple[Song, ...], list[str]]]:
    """Yield the groups that stand in several folds, and these folds."""
    for bound in bound_groups(songs, group) if group else ():
        places = {fold_of[song.id] for song in bound}
        if len(places) > 1:
            yield bound, sorted(places)


def _ids(songs: Sequence[Song]) -> str:
    named = ", ".join(song.id for song in songs[:SHOWN])
    return named if len(songs) <= SHOWN else f"{named} and {len(songs) - SHOWN} more"


def _dealt(
    songs: Songs,
    target: Target,
    shares: Mapping[str, float],
    group: Group,
    seed: int,
    *,
    trained_on: Callable[[Folds, str], Collection[str]],
) -> Folds:
    """Assign songs to parts with these shares; refuse what could not be trained or measured.

    All parts with a share are measured, but for ``"train"``.
    """
    listed = _listed(songs)
    thin = thin_class(listed, target)
    if thin:
        raise DatasetError(f"these songs cannot be split by {target}: {thin}. Add songs, or choose another target.")
    groups, names = bound_groups(listed, group), tuple(shares)
    parts = assign_groups(groups, target, tuple(shares.values()), seed=seed)
    fold_of = {song.id: names[part] for bound, part in zip(groups, parts, strict=True) for song in bound}
    found = Folds(fold_of=fold_of, names=names)
    by_id = {song.id: song for song in listed}
    for name in (name for name, share in shares.items() if share and name != "train"):
        train = class_counts((by_id[song] for song in trained_on(found, name)), target)
        if not all(train.values()):
            lacking = next(class_name for class_name, count in train.items() if not count)
            raise DatasetError(f"no {lacking} song is left to train on when part {name!r} is tested. {REMEDY}")
        test = class_counts((by_id[song] for song in found.ids(name)), target)
        present = [class_name for class_name, count in test.items() if count]
        if len(present) < 2:
            holds = f"holds {present[0]} songs only" if present else "is empty"
            raise DatasetError(f"part {name!r} {holds}: nothing can be measured on it. {REMEDY}")
    return found


def _ordered(names: Iterable[str]) -> tuple[str, ...]:
    found = set(names)
    if "train" in found and found <= set(SPLIT_NAMES):
        return SPLIT_NAMES
    return tuple(sorted(found, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)))


def _listed(songs: Songs) -> Sequence[Song]:
    listed = songs.songs if isinstance(songs, Dataset) else tuple(songs)
    if len({song.id for song in listed}) != len(listed):
        raise ValueError("two songs have the same id")
    return listed


def bound_groups(songs: Iterable[Song], group: Group) -> list[tuple[Song, ...]]:
    """Return the songs that must stay together, as groups; groups and songs sorted by id.

    They share the recording; with ``"artist"``, the recording or the artist, and whatever a chain of these joins. A
    song without an artist shares none.
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


def assign_groups(groups: Sequence[Sequence[Song]], target: Target, shares: Sequence[float], *, seed: int) -> list[int]:
    """Assign groups of songs to parts, so that each part holds its share of every class; return the part of each group.

    The shares sum to 1. A part with share 0 gets nothing; any other is meant to get at least one song of each class
    that has as many songs as there are parts. The seed decides among groups of the same size, and among parts that fit
    equally well.
    """
    counts = [list(class_counts(group, target).values()) for group in groups]
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
