"""What becomes of every file of a run, as events and as a sum: the same for tagging, undoing and removing.

A run yields one `Found`, one `FileDone` for each file that was reached, now and then a `Note`, and one `Finished`,
whose summary adds up::

    found = the sum of the counts + what was not reached and is not in them
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias, TypeVar

from mertag.emotion import Quadrant, SongEmotion
from mertag.interrupt import Interruptible
from mertag.library.tags import TagChange
from mertag.outcomes import SegmentTimeline

T = TypeVar("T")


class Status(StrEnum):
    """How a file ended. A run that tags has the first four, one that removes REMOVED in place of TAGGED."""

    TAGGED = "tagged"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    FAILED = "failed"
    REMOVED = "removed"
    UNDONE = "undone"
    ALREADY_UNDONE = "already undone"
    LEFT = "left"

    @property
    def is_failure(self) -> bool:
        """Whether the file is not as was asked for."""
        return self in (Status.FAILED, Status.LEFT)

    @property
    def is_success(self) -> bool:
        """Whether what was asked for is done; the other files are listed by reason."""
        return self in (Status.TAGGED, Status.REMOVED, Status.UNDONE, Status.ALREADY_UNDONE)


class Mood(StrEnum):
    """Why a song's mood was not written where moods were asked for."""

    KEPT = "kept"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The search is over: `n` files will be accounted for; `run` is the run that is undone, if one is."""

    n: int
    run: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A sentence for the person, such as what will be analysed again and why; a warning, if something is wrong."""

    text: str
    warning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDone:
    """One file is finished, and nothing more will happen to it.

    Attributes
    ----------
    index : int
        Its position among the files that were found.
    path : Path or str
        The file, where it is now; a URL is a str.
    emotion : SongEmotion or None
        None if it was not, or could not be, analysed. A failed write has an emotion.
    change : TagChange or None
        Old and new tags, where tags change; None if it was known without opening the file that nothing is left to do.
    sidecar_changed : bool or None
        Whether the sidecar was written (in a dry run: would be); None if none was asked for, or it failed.
    reason : str
        Why it ended so; empty where the status says all; for a tagged file, empty or a note.
    remembered : bool
        Whether it needed no analysis, since that was remembered.
    mood : Mood or None
        KEPT: the mood that someone else wrote stays; UNSURE: none is written, for want of confidence.
    as_before : bool
        Whether it failed in an earlier run for the same reason, and has not changed since.
    audio : bytes
        The digest of its audio (see `mertag.library.state.analyses`), if it is known.
    timeline : SegmentTimeline or None
        Its segments, where they were asked for and it was listened to.
    """

    index: int
    path: Path | str
    status: Status
    emotion: SongEmotion | None = None
    change: TagChange | None = None
    sidecar_changed: bool | None = None
    reason: str = ""
    remembered: bool = False
    mood: Mood | None = None
    as_before: bool = False
    audio: bytes = b""
    timeline: SegmentTimeline | None = field(default=None, compare=False, repr=False)

    @property
    def wrote(self) -> bool:
        """Whether the song or its sidecar was changed (in a dry run: would be)."""
        return bool(self.sidecar_changed or (self.change and self.change.changed))


@dataclass(frozen=True, slots=True, kw_only=True)
class FileGroup:
    """Files that ended the same way for the same reason.

    `reached` is False for those that the run did not come to, `as_before` is that of `FileDone`.
    """

    status: Status
    reason: str
    paths: tuple[Path | str, ...]
    reached: bool = True
    as_before: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What became of every file. Of a run that tags, ``found == tagged + unchanged + skipped + failed``, always.

    Attributes
    ----------
    found : int
        How many there were.
    counts : mapping of Status to int
        How many ended with each status; every status that can be stands in it.
    not_reached : int
        How many the run did not come to. Where a run tags, they count as skipped.
    elapsed_s : float
        Seconds since the search ended.
    reasons : tuple of FileGroup
        All files with which what was asked for was not done, by status and reason.
    run : int or None
        What ``mertag undo --run`` takes; None if nothing was written, or is not remembered.
    moods : mapping of Mood to int
        How many moods were not written, and why.
    damaged : mapping of str to tuple of Path or str
        Songs that have an emotion although their sound is damaged, and are no failures, by what is damaged.
    heard : mapping of Quadrant to int
        How many songs have which mood, written or not, of those whose mood is known and that did not fail.
    """

    found: int
    counts: Mapping[Status, int]
    not_reached: int
    elapsed_s: float
    reasons: tuple[FileGroup, ...]
    run: int | None = None
    moods: Mapping[Mood, int] = field(default_factory=dict)
    damaged: Mapping[str, tuple[Path | str, ...]] = field(default_factory=dict)
    heard: Mapping[Quadrant, int] = field(default_factory=dict)

    @property
    def tagged(self) -> int:
        """How many were tagged."""
        return self.counts.get(Status.TAGGED, 0)

    @property
    def unchanged(self) -> int:
        """How many were as was asked for already."""
        return self.counts.get(Status.UNCHANGED, 0)

    @property
    def skipped(self) -> int:
        """How many were skipped."""
        return self.counts.get(Status.SKIPPED, 0)

    @property
    def failed(self) -> int:
        """How many are not as was asked for, of those that were reached."""
        return sum(n for status, n in self.counts.items() if status.is_failure)

    @property
    def failed_as_before(self) -> int:
        """How many of these failed in an earlier run for the same reason, and have not changed since."""
        return sum(len(group.paths) for group in self.reasons if group.as_before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The run is over. It comes last, and also before an interruption or an error is raised on."""

    summary: Summary


Event: TypeAlias = Found | Note | FileDone | Finished


class Account:
    """Counts what becomes of every file that was `found`, from now on; `statuses` are all that can be.

    `run` is the run's number in the state file, for the summary.
    """

    def __init__(self, found: int, statuses: Sequence[Status], *, run: int | None = None) -> None:
        self._run = run
        self._done = bytearray(found)
        self._counts = dict.fromkeys(statuses, 0)
        self._groups: dict[tuple[Status, str, bool], list[Path | str]] = {}
        self._moods: Counter[Mood] = Counter()
        self._damaged: dict[str, list[Path | str]] = {}
        self._heard: Counter[Quadrant] = Counter()
        self._wrote = False
        self._started_s = time.monotonic()

    @property
    def failed(self) -> int:
        """How many files are not as was asked for, so far."""
        return sum(n for status, n in self._counts.items() if status.is_failure)

    def add(self, done: FileDone) -> None:
        """Count a finished file."""
        self._done[done.index] = 1
        self._counts[done.status] += 1
        self._wrote = self._wrote or done.wrote
        if not done.status.is_success:
            self._groups.setdefault((done.status, done.reason, done.as_before), []).append(done.path)
        if done.mood is not None:
            self._moods[done.mood] += 1
        if done.emotion is not None and not done.status.is_failure:
            self._heard[done.emotion.quadrant] += 1
            if done.emotion.damage:
                self._damaged.setdefault(done.emotion.damage, []).append(done.path)

    def summary(self, songs: Sequence[Path | str] = (), *, not_reached_because: str = "") -> Summary:
        """Return the sum, the largest groups first.

        With `songs`, all files that were found, those that were not reached are skipped for the reason that is given,
        and the groups go by status first.
        """
        groups = [
            FileGroup(status=status, reason=reason, paths=tuple(paths), as_before=as_before)
            for (status, reason, as_before), paths in self._groups.items()
        ]
        groups.sort(key=lambda group: -len(group.paths))
        counts = dict(self._counts)
        if songs:
            not_reached = tuple(path for path, done in zip(songs, self._done, strict=True) if not done)
            counts[Status.SKIPPED] += len(not_reached)
            if not_reached:
                reason = f"not reached ({not_reached_because})"
                groups.append(FileGroup(status=Status.SKIPPED, reason=reason, paths=not_reached, reached=False))
            groups.sort(key=lambda group: (group.status, -len(group.paths), group.reason))
        return Summary(
            found=len(self._done),
            counts=counts,
            not_reached=self._done.count(0),
            elapsed_s=time.monotonic() - self._started_s,
            reasons=tuple(groups),
            run=self._run if self._wrote else None,
            moods=dict(self._moods),
            damaged={damage: tuple(paths) for damage, paths in self._damaged.items()},
            heard=dict(self._heard.most_common()),
        )


def handle_all(
    items: Sequence[T], handle: Callable[[int, T], FileDone], *, statuses: Sequence[Status], run: int | None = None
) -> Generator[Event, None, None]:
    """Handle `items`, one for each file, in their order, and account for each.

    `handle` does it, given the position and the item, and says what became of the file; what it raises ends the run. An
    interruption, on the main thread, waits until the file at hand is finished; it is raised after `Finished`.
    """
    account = Account(len(items), statuses)
    yield Found(n=len(items), run=run)
    try:
        with Interruptible() as interruptible:
            for index, item in interruptible.each(enumerate(items)):
                done = handle(index, item)
                account.add(done)
                yield done
    except (Exception, KeyboardInterrupt):
        yield Finished(summary=account.summary())
        raise
    yield Finished(summary=account.summary())
