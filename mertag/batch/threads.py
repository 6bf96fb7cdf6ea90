"""The threads of a run: some look at songs ahead of the tagger, some write behind it.

Looking at a song (may it be written, what is its audio, is its emotion known?) reads the file. Writing waits for the
disk most of the time (copy, sync, check, sync again). Both are bounded, so that memory stays flat.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Generic, TypeVar

from mertag.batch.one_song import Prepared, Ready, Song
from mertag.outcomes import Outcome

Job = TypeVar("Job")
Result = TypeVar("Result")

MOST_WAITING = 200
"""So many songs that need no analysis may wait until a round of analysis ends."""


class Lookahead:
    """Songs in the order in which they were found: first `ready`, then a `round`, and so on until `exhausted`.

    Most songs of a second run need no analysis. They must not pile up while the tagger waits for its next song; so it
    is fed in rounds, and a round ends when too many others have come by. `look` looks at a song, in so many threads (0:
    as it is needed), and must not raise.
    """

    def __init__(self, indices: Iterable[int], look: Callable[[int], Prepared], *, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="mertag-look") if threads else None
        self._ahead = 2 * threads
        self._indices, self._look = iter(indices), look
        self._window: deque[Future[Prepared]] = deque()
        self._next: Song | None = None
        self._under_way: dict[int, Song] = {}  # by the tagger's number, which counts from 0 in each round
        self.waiting: deque[Ready] = deque()
        self.exhausted = False

    def ready(self) -> Iterator[Ready]:
        """Yield what needs no analysis, up to the next song that does."""
        yield from self.passed_by()
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

    def passed_by(self) -> Iterator[Ready]:
        """Yield what waits."""
        while self.waiting:
            yield self.waiting.popleft()

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

    def _one(self) -> Prepared | None:
        """Return the next song, looked at; None at the end."""
        if self._pool is None:
            index = next(self._indices, None)
            return None if index is None else self._look(index)
        while len(self._window) <= self._ahead:
            index = next(self._indices, None)
            if index is None:
                break
            self._window.append(self._pool.submit(self._look, index))
        return self._window.popleft().result() if self._window else None


class Writers(Generic[Job, Result]):
    """Threads that do jobs, at most twice as many jobs as threads at a time. To be used from one thread.

    A job that has begun is always finished; at an interruption, one that has not begun is dropped. `work` does a job,
    and must not raise; with 0 threads, when it is submitted.
    """

    def __init__(self, threads: int, work: Callable[[Job], Result]) -> None:
        self._work = work
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="mertag-writer") if threads else None
        self._free = threading.Semaphore(2 * threads)
        self._results: queue.SimpleQueue[Result | None] = queue.SimpleQueue()  # None: a job that was dropped
        self._under_way = 0

    def submit(self, job: Job) -> None:
        """Take a job; wait while there are too many."""
        self._under_way += 1
        if self._pool is None:
            self._results.put(self._work(job))
            return
        self._free.acquire()
        began = threading.Event()
        try:
            future = self._pool.submit(self._do, job, began)
        except RuntimeError:  # no thread may be started; one that is there may have begun the job all the same
            self.stop()
            if not began.is_set():
                self._under_way -= 1
            raise
        future.add_done_callback(self._done)

    def finished(self) -> Iterator[Result]:
        """Yield the results of the jobs that are done, without waiting."""
        while True:
            try:
                result = self._results.get_nowait()
            except queue.Empty:
                return
            self._under_way -= 1
            if result is not None:
                yield result

    def rest(self) -> Iterator[Result]:
        """Yield the results of all jobs that are under way, as they come."""
        while self._under_way:
            result = self._results.get()
            self._under_way -= 1
            if result is not None:
                yield result

    def stop(self) -> None:
        """Drop the jobs that have not begun, and wait for those that have. May be called twice."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _do(self, job: Job, began: threading.Event) -> None:
        began.set()
        self._results.put(self._work(job))

    def _done(self, future: Future[None]) -> None:
        if future.cancelled():
            self._results.put(None)
        self._free.release()
