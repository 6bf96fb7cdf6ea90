"""Looking ahead: each song once, in order, those that need no analysis apart. Writing behind: bounded, and finished."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mertag.batch import FileDone, Status
from mertag.batch import threads as threads_module
from mertag.batch.one_song import Later, Prepared, Song
from mertag.batch.threads import Lookahead, Writers

SKIPPED, ANALYSE, LATER = "skipped", "analyse", "later"


def prepared(kinds: list[str], index: int) -> Prepared:
    path = Path(f"/{index}")
    if kinds[index] == ANALYSE:
        return Song(index=index, path=path)
    if kinds[index] == LATER:
        return Later(index=index)
    return FileDone(index=index, path=path, status=Status.SKIPPED, reason="x")


@given(
    kinds=st.lists(st.sampled_from([SKIPPED, ANALYSE, LATER]), max_size=40),
    most=st.integers(1, 5),
    threads=st.sampled_from([0, 3]),
)
def test_every_song_comes_once_and_in_order(kinds: list[str], most: int, threads: int) -> None:
    analysed: list[int] = []
    others: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads_module, "MOST_WAITING", most)
        ahead = Lookahead(range(len(kinds)), lambda index: prepared(kinds, index), threads=threads)
        while True:
            others.extend(item.index for item in ahead.ready())  # type: ignore[union-attr]
            if ahead.exhausted:
                break
            sent = list(ahead.round())
            assert sent  # a round without a song would go on for ever
            assert len(ahead.waiting) <= most
            songs = [ahead._under_way[number] for number in range(len(sent))]
            assert [song.path for song in songs] == sent
            analysed.extend(song.index for song in songs)
            assert [song.index for song in ahead.forgotten()] == [song.index for song in songs]
        ahead.close()
    assert analysed == [i for i, kind in enumerate(kinds) if kind == ANALYSE]
    assert others == [i for i, kind in enumerate(kinds) if kind != ANALYSE]


def test_songs_are_looked_at_a_few_ahead_and_no_further() -> None:
    looked: list[int] = []

    def look(index: int) -> Prepared:
        looked.append(index)
        return Song(index=index, path=Path(f"/{index}"))

    ahead = Lookahead(range(1000), look, threads=2)
    assert not list(ahead.ready())
    next(ahead.round())
    ahead.close()
    assert len(looked) <= 8


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
