"""The songs of a run on their way to the tagger: looked at beforehand, a few at a time.

Looking at a song (may it be written, what is its audio, is its emotion known?) reads the file, so it is done ahead, in
threads. Most songs of a second run need no analysis. They must not pile up while the tagger looks for its next song;
so the tagger is fed in rounds, and a round ends when too many others have come by.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from mertag.batch.events import FileDone
from mertag.outcomes import Outcome, Skipped, Tagged

MOST_WAITING = 200
"""So many songs that need no analysis may wait until a round of analysis ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Song:
    """A file that is under way.

    Attributes
    ----------
    index : int
        Its position among the files that were found.
    path : Path
        As it was found.
    place : bytes
        Its real path, by which it is remembered; empty without a memory.
    audio : bytes
        The digest of its audio; empty if the file is not to be remembered.
    size, mtime_ns : int
        The state of the file for which `audio` is right.
    claims : tuple of bytes
        What is claimed for it.
    """

    index: int
    path: Path
    place: bytes = b""
    audio: bytes = b""
    size: int = 0
    mtime_ns: int = 0
    claims: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A song whose analysis is remembered."""

    song: Song
    outcome: Tagged | Skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """A song that another run has under way, or this one under another name."""

    index: int


Ready: TypeAlias = FileDone | Known | Later
"""What needs no analysis now."""

Prepared: TypeAlias = Ready | Song


class Feed:
    """Songs in the order in which they were found: first `ready`, then a `round`, and so on until `exhausted`.

    Parameters
    ----------
    indices : iterable of int
        Which songs.
    prepare : callable
        Looks at one; called in threads; must not raise.
    threads : int
        How many; with 0, they are looked at as they are needed.
    """

    def __init__(self, indices: Iterable[int], prepare: Callable[[int], Prepared], *, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="mertag-feed") if threads else None
        self._ahead = 2 * threads
        self._indices, self._prepare = iter(indices), prepare
        self._window: deque[Future[Prepared]] = deque()
        self._next: Song | None = None
        self._under_way: dict[int, Song] = {}  # by the tagger's number, which counts from 0 in each round
        self.waiting: deque[Ready] = deque()
        self.exhausted = False

    def ready(self) -> Iterator[Ready]:
        """Yield what needs no analysis, up to the next song that does."""
        yield from self._drain()
        while self._next is None:
            prepared = self._one()
            if prepared is None:
                self.exhausted = True
                return
            if isinstance(prepared, Song):
                self._next = prepared
            else:
                yield prepared

    def round(self) -> Iterator[Path]:
        """Yield the paths that the tagger shall analyse; others wait in `waiting`."""
        sent = 0
        while len(self.waiting) < MOST_WAITING:
            prepared, self._next = self._next or self._one(), None
            if prepared is None:
                return
            if isinstance(prepared, Song):
                self._under_way[sent] = prepared
                sent += 1
                yield prepared.path
            else:
                self.waiting.append(prepared)

    def song_of(self, outcome: Outcome) -> Song:
        """Return the song that an outcome of this round is about."""
        return self._under_way.pop(outcome.index)

    def forgotten(self) -> Iterator[Song]:
        """Yield the songs of this round that the tagger ended without."""
        for number in sorted(self._under_way):
            yield self._under_way.pop(number)

    def close(self) -> None:
        """Stop looking at songs. May be called twice."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _drain(self) -> Iterator[Ready]:
        while self.waiting:
            yield self.waiting.popleft()

    def _one(self) -> Prepared | None:
        """Return the next song, looked at; None at the end."""
        if self._pool is None:
            index = next(self._indices, None)
            return None if index is None else self._prepare(index)
        while len(self._window) <= self._ahead:
            index = next(self._indices, None)
            if index is None:
                break
            self._window.append(self._pool.submit(self._prepare, index))
        return self._window.popleft().result() if self._window else None
