"""Handling many files one by one: each is accounted for, and an interruption waits until the file at hand is done.

What `mertag.library.undo` and `mertag.library.remove` have in common. A run yields one `Found`, one `FileHandled` for
each file that was reached, and one `Finished`, whose summary adds up::

    found = the sum of the counts + not reached
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

from mertag.interrupt import Interruptible
from mertag.library.tags import TagChange

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """So many files will be accounted for; `run` is the run that is taken back, if one is."""

    n: int
    run: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHandled:
    """One file is finished, and nothing more will happen to it.

    Attributes
    ----------
    path : Path
        The file, where it is now.
    status : str
        How it ended: in one word, which the summary counts.
    reason : str
        Why; empty where the status says all.
    fine : bool
        False if it is not as was asked for.
    change : TagChange or None
        Old and new tags, where tags change and that is known.
    """

    path: Path
    status: str
    reason: str = ""
    fine: bool = True
    change: TagChange | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Files that ended the same way for the same reason."""

    status: str
    reason: str
    fine: bool
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What became of every file.

    Attributes
    ----------
    found : int
        How many there were.
    counts : mapping of str to int
        How many ended with each status; every status that can be stands in it.
    not_reached : int
        How many the run did not come to.
    failed : int
        How many are not as was asked for, of those that were reached.
    groups : tuple of Group
        All files with a reason, by status and reason, the largest groups first.
    elapsed_s : float
        Seconds since the search ended.
    """

    found: int
    counts: Mapping[str, int]
    not_reached: int
    failed: int
    groups: tuple[Group, ...]
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The run is over. It comes last, and also before an interruption or an error is raised on."""

    summary: Summary


Event: TypeAlias = Found | FileHandled | Finished


def handle_all(
    items: Sequence[T],
    handle: Callable[[T], FileHandled],
    *,
    statuses: Sequence[str],
    run: int | None = None,
) -> Generator[Event, None, None]:
    """Handle `items` in their order, and account for each.

    Parameters
    ----------
    items : sequence
        One for each file.
    handle : callable
        Does it, and says what became of the file. What it raises ends the run.
    statuses : sequence of str
        Every status that can be.
    run : int, optional
        For `Found`.

    Yields
    ------
    Event
        See the module.

    Raises
    ------
    KeyboardInterrupt
        After `Finished`, if the run is interrupted on the main thread; the file at hand is finished first.
    """
    started_s = time.monotonic()
    counts = dict.fromkeys(statuses, 0)
    groups: dict[tuple[str, str, bool], list[Path]] = {}
    failed = 0

    def finished() -> Finished:
        found = [Group(status=s, reason=r, fine=f, paths=tuple(p)) for (s, r, f), p in groups.items()]
        return Finished(
            summary=Summary(
                found=len(items),
                counts=dict(counts),
                not_reached=len(items) - sum(counts.values()),
                failed=failed,
                groups=tuple(sorted(found, key=lambda group: -len(group.paths))),
                elapsed_s=time.monotonic() - started_s,
            )
        )

    yield Found(n=len(items), run=run)
    waiting = iter(items)
    try:
        with Interruptible() as interruptible:
            while (item := interruptible.next(waiting)) is not None:
                done = handle(item)
                counts[done.status] += 1
                failed += not done.fine
                if done.reason:
                    groups.setdefault((done.status, done.reason, done.fine), []).append(done.path)
                yield done
    except (Exception, KeyboardInterrupt):
        yield finished()
        raise
    yield finished()
