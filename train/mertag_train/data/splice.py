"""Segments that do not belong to their song, planted: what a partition should find.

A stretch of each clip is replaced by one of a clip of another class, so that its segments inherit a wrong label for the
reason that the paper gives: they differ from the song. Labels that are wrong for a whole song are another matter.
Positions and lengths are frames (hops), classes are indices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from mertag.files import json_digest
from mertag.listen.windows import Segmentation
from mertag_train.arrays import Floats, Ints
from mertag_train.data.heard import segment_starts
from mertag_train.data.store import LogMelStore
from mertag_train.data.teacher import TeacherTargets


@dataclass(frozen=True, slots=True, kw_only=True)
class Splice:
    """One clip's: `length` frames from `at` on are those of the clip `donor` from `since` on.

    Clip and donor are positions in the store, `label` and `donor_label` are their classes.
    """

    clip: int
    donor: int
    label: int
    donor_label: int
    at: int
    since: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spliced:
    """A store with clips that others are spliced into, and what was done to it.

    Attributes
    ----------
    store : LogMelStore
        Its frames in memory; of a segment that is spliced in, it also says whether it sounds.
    splices : tuple of Splice
        One for each clip.
    """

    store: LogMelStore
    splices: tuple[Splice, ...]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all splices, in hexadecimal."""
        return json_digest([asdict(each) for each in self.splices])

    def truth(self, segmentation: Segmentation) -> dict[int, Ints]:
        """Return the real class of each segment of the fixed grid that sounds, by position of the clip.

        It is the donor's where at least half of the segment is spliced in.
        """
        n_frames = segmentation.segment_frames(self.store.front_end)
        found: dict[int, Ints] = {}
        for one in self.splices:
            starts = segment_starts(self.store, one.clip, segmentation)
            inside = np.minimum(starts + n_frames, one.at + one.length) - np.maximum(starts, one.at)
            found[one.clip] = np.where(2 * inside >= n_frames, one.donor_label, one.label).astype(np.int64)
        return found

    def taught(self, teacher: TeacherTargets) -> TeacherTargets:
        """Return what a teacher would say: of a window whose middle is spliced in, what it says of the donor there."""
        values = np.array(teacher.values)
        hop_s = self.store.front_end.hop_length / self.store.front_end.sample_rate
        for one in self.splices:
            first, last = int(teacher.offsets[one.clip]), int(teacher.offsets[one.clip + 1])
            middle_s: Floats = np.arange(last - first, dtype=np.float64) * teacher.hop_s + teacher.window_s / 2
            inside = (middle_s >= one.at * hop_s) & (middle_s < (one.at + one.length) * hop_s)
            theirs_s: Floats = middle_s[inside] + (one.since - one.at) * hop_s
            rows = teacher.rows(np.full(len(theirs_s), one.donor), theirs_s)
            values[first:last][inside] = teacher.values[rows]
        return replace(teacher, values=values)


def splice(store: LogMelStore, clips: Ints, labels: Ints, *, share: float, seed: int) -> Spliced:
    """Return a store in which a `share` of each clip's frames, one stretch, is that of a clip of another class.

    The clips (n,) are positions in the store, with their labels (n,); each has another of them as its donor. Raises
    ValueError if all clips are of one class.
    """
    splices = _planned(store, clips, labels, share, np.random.default_rng(seed))
    frames = np.array(store.frames)
    power = None if store.power is None else np.array(store.power)
    starts = np.concatenate([[0], np.cumsum(store.n_samples // store.front_end.hop_length)])
    for one in splices:
        into, out_of = int(store.offsets[one.clip]) + one.at, int(store.offsets[one.donor]) + one.since
        frames[into : into + one.length] = store.frames[out_of : out_of + one.length]
        if power is not None and store.power is not None:  # a frame is named by its first hop
            into, out_of = int(starts[one.clip]) + one.at, int(starts[one.donor]) + one.since
            power[:, into : into + one.length] = store.power[:, out_of : out_of + one.length]
    return Spliced(store=replace(store, frames=frames, power=power), splices=tuple(splices))


def _planned(store: LogMelStore, clips: Ints, labels: Ints, share: float, rng: np.random.Generator) -> Sequence[Splice]:
    """Draw a donor and a stretch for each clip."""
    n_frames = np.diff(store.offsets)
    found: list[Splice] = []
    for clip, label in zip(clips.tolist(), labels.tolist(), strict=True):
        others = np.flatnonzero(labels != label)
        if not len(others):
            raise ValueError("all clips are of one class")
        which = int(rng.choice(others))
        donor = int(clips[which])
        length = min(round(share * int(n_frames[clip])), int(n_frames[donor]))
        found.append(
            Splice(
                clip=clip,
                donor=donor,
                label=label,
                donor_label=int(labels[which]),
                at=int(rng.integers(0, n_frames[clip] - length + 1)),
                since=int(rng.integers(0, n_frames[donor] - length + 1)),
                length=length,
            )
        )
    return found
