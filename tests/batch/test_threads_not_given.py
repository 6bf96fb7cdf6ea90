"""Where the system gives no more threads (ulimit -u), a run ends with that reason, and never waits for ever."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tiny_bundle as tiny

from mertag.batch.threads import Writers
from mertag.emotion import Target
from mertag.listen.blocks import BlockPacker
from mertag.listen.windows import Segmentation

start = threading.Thread.start


def no_more_than(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    """Let only so many more threads be started."""
    left = iter(range(n))

    def refusing(thread: threading.Thread) -> None:
        if next(left, None) is None:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refusing)


@pytest.mark.parametrize("given", [0, 1])
def test_writers_without_threads_end_and_lose_no_result(monkeypatch: pytest.MonkeyPatch, given: int) -> None:
    no_more_than(monkeypatch, given)
    go, done = threading.Event(), []

    def work(job: int) -> int:
        go.wait(5)
        done.append(job)
        return job

    writers: Writers[int, int] = Writers(2, work)
    for job in range(given):
        writers.submit(job)
    go.set()
    with pytest.raises(RuntimeError, match="start new thread"):
        writers.submit(given)
    writers.stop()
    results: list[int] = []
    waiting = threading.Timer(5, lambda: writers._results.put(None))  # a failure, not a test that hangs
    monkeypatch.setattr(threading.Thread, "start", start)
    waiting.start()
    results.extend(writers.rest())
    assert waiting.is_alive()
    waiting.cancel()
    assert sorted(results) == sorted(done)


def test_a_network_without_a_thread_says_that_and_not_that_it_was_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    no_more_than(monkeypatch, 0)
    packer = BlockPacker(
        lambda waveform, starts: {Target.QUADRANT: np.zeros((len(starts), 4), np.float32)},
        front_end=tiny.FRONT_END,
        segmentation=Segmentation(),
        max_segments=2,
        executor=ThreadPoolExecutor(1),
        most_calls=2,
    )
    with pytest.raises(RuntimeError, match="start new thread"):
        packer.feed(0, np.zeros(20 * tiny.FRONT_END.sample_rate, np.float32))
