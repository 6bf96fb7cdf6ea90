"""The picture of one song in each epoch that tells its segments apart: probabilities, and the clean probability."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mertag.files import printable
from mertag_train.learn.partition import Partition, Segments
from mertag_train.learn.trainer import EpochReport
from mertag_train.plots.partition import SongSegments, draw_partition
from mertag_train.plots.pictures import save_png
from mertag_train.runs.watch import DPI, FolderWatcher

LEAST_SEGMENTS = 3


class SongPicture(FolderWatcher):
    """Draws the same song in every epoch: ``song.<target>.<epoch>.png``, or ``song.<epoch>.png`` without a target.

    It is the one whose clean probabilities were farthest apart in the first epoch that told segments apart; where it is
    known which labels are wrong, of the songs that have a wrong one. With `last_only`, the last epoch alone is drawn.
    """

    def __init__(self, folder: Path, *, last_only: bool = False) -> None:
        super().__init__(folder)
        self._last_only = last_only
        self._clip: int | None = None

    def on_epoch(self, report: EpochReport) -> None:
        """Draw, if segments were told apart, and some of that song were among them."""
        found = report.partition
        if found is None or found.segments is None or (self._last_only and report.epoch < report.epochs):
            return
        if self._clip is None:
            self._clip = most_told_apart(found, found.segments)
        if self._clip is None or not (found.segments.clip == self._clip).any():
            return
        song, name = segments_of(found, found.segments, self._clip)
        figure = draw_partition(song, title=f"{printable(name)}, epoch {report.epoch} of {report.epochs}")
        target = "" if self._target is None else f"{self._target}."
        save_png(figure, self._folder / f"song.{target}{report.epoch:03d}.png", dpi=DPI)


def most_told_apart(found: Partition, seen: Segments) -> int | None:
    """Return the clip whose clean probabilities are farthest apart; None if none has a few segments."""
    best: tuple[bool, float] | None = None
    chosen: int | None = None
    for clip in np.unique(seen.clip).tolist():
        mine = seen.clip == clip
        if mine.sum() < LEAST_SEGMENTS:
            continue
        wrong = seen.truth is not None and ((seen.truth >= 0) & (seen.truth != found.labels))[mine].any()
        score = bool(wrong), float(np.ptp(found.clean_probability[mine]))
        if best is None or score > best:
            best, chosen = score, clip
    return chosen


def segments_of(found: Partition, seen: Segments, clip: int) -> tuple[SongSegments, str]:
    """Return what is known of a clip's segments, in order, and its id."""
    mine = np.flatnonzero(seen.clip == clip)
    mine = mine[np.argsort(seen.start_s[mine], kind="stable")]
    return SongSegments(
        start_s=seen.start_s[mine],
        segment_s=seen.segment_s,
        probabilities=seen.probabilities[mine],
        clean_probability=found.clean_probability[mine],
        labelled=found.labelled[mine],
        names=found.names,
        label=int(found.labels[mine[0]]),
        truth=None if seen.truth is None else seen.truth[mine],
        threshold=found.threshold,
    ), seen.ids[clip]
