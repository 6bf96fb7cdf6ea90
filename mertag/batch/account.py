"""What became of every file of a run, counted."""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from pathlib import Path

from mertag.batch.events import FileDone, NotTagged, Status, Summary


class Account:
    """Counts what became of every file that was found; small, however many there are.

    Parameters
    ----------
    songs : sequence of Path
        All files that were found.
    run : int, optional
        The run's number in the state file.
    """

    def __init__(self, songs: Sequence[Path], *, run: int | None = None) -> None:
        self._songs, self._run = songs, run
        self._done = bytearray(len(songs))
        self._counts = dict.fromkeys(Status, 0)
        self._reasons: dict[tuple[Status, str], array[int]] = {}
        self._wrote = False
        self._started_s = time.monotonic()

    def start(self) -> None:
        """Start the clock."""
        self._started_s = time.monotonic()

    @property
    def failed(self) -> int:
        """How many files have failed so far."""
        return self._counts[Status.FAILED]

    def add(self, done: FileDone, *, dry_run: bool = False) -> None:
        """Count a finished file."""
        self._done[done.index] = 1
        self._counts[done.status] += 1
        self._wrote = self._wrote or (done.wrote and not dry_run)
        if done.status is not Status.TAGGED:
            self._reasons.setdefault((done.status, done.reason), array("L")).append(done.index)

    def summary(self, not_reached_because: str) -> Summary:
        """Return the sum; what was not added counts as skipped, for the reason that is given."""
        groups = [
            NotTagged(status=status, reason=reason, paths=tuple(self._songs[index] for index in indices))
            for (status, reason), indices in self._reasons.items()
        ]
        not_reached = tuple(path for path, done in zip(self._songs, self._done, strict=True) if not done)
        if not_reached:
            because = f"not reached ({not_reached_because})"
            groups.append(NotTagged(status=Status.SKIPPED, reason=because, paths=not_reached, reached=False))
        groups.sort(key=lambda group: (group.status, -len(group.paths), group.reason))
        return Summary(
            found=len(self._songs),
            tagged=self._counts[Status.TAGGED],
            unchanged=self._counts[Status.UNCHANGED],
            skipped=self._counts[Status.SKIPPED] + len(not_reached),
            failed=self._counts[Status.FAILED],
            not_reached=len(not_reached),
            elapsed_s=time.monotonic() - self._started_s,
            reasons=tuple(groups),
            run=self._run if self._wrote else None,
        )
