"""The threads that write: bounded, and what has begun is finished."""

from __future__ import annotations

import threading
import time

import pytest

from mertag.batch.writers import Writers


def double(n: int) -> int:
    return 2 * n


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_every_job_has_its_result(threads: int) -> None:
    writers = Writers(threads, double)
    results: list[int] = []
    for n in range(50):
        writers.submit(n)
        results.extend(writers.finished())
    results.extend(writers.rest())
    assert sorted(results) == [2 * n for n in range(50)]
    assert list(writers.rest()) == []
    writers.stop()
    writers.stop()


def test_no_more_than_twice_as_many_jobs_as_threads_are_under_way() -> None:
    go, taken = threading.Event(), 0

    def wait(n: int) -> int:
        go.wait(10)
        return n

    writers = Writers(2, wait)

    def submit() -> None:
        nonlocal taken
        for n in range(10):
            writers.submit(n)
            taken += 1

    thread = threading.Thread(target=submit)
    thread.start()
    time.sleep(0.2)
    assert taken == 4
    go.set()
    thread.join()
    assert sorted(writers.rest()) == list(range(10))
    writers.stop()


def test_stopping_finishes_what_has_begun_and_drops_the_rest() -> None:
    begun = threading.Event()
    finished: list[int] = []

    def slow(n: int) -> int:
        begun.set()
        time.sleep(0.1)
        finished.append(n)
        return n

    writers = Writers(1, slow)
    for n in range(2):
        writers.submit(n)
    begun.wait(10)
    writers.stop()
    assert list(writers.rest()) == finished == [0]
