"""A few threads that write, so that writing keeps up with the analysis.

A write waits for the disk most of the time (copy, sync, check, sync again). At most twice as many jobs as threads are
under way: whoever is faster waits for the other, and memory stays flat. A job that has begun is always finished whole;
at an interruption, one that has not begun is dropped.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


class Writers(Generic[Job, Result]):
    """Threads that do jobs. To be used from one thread.

    Parameters
    ----------
    threads : int
        How many; with 0, a job is done when it is submitted.
    work : callable
        Does a job; must not raise.
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
        self._pool.submit(self._work, job).add_done_callback(self._done)

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

    def _done(self, future: Future[Result]) -> None:
        self._results.put(None if future.cancelled() else future.result())
        self._free.release()
