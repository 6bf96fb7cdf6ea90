"""Calls that run beside what feeds them: in any order, at most so many, with the results of one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tiny_bundle as tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from mertag.emotion import Target
from mertag.errors import DeviceError, MertagError
from mertag.listen.blocks import BlockPacker, SongSegments
from mertag.listen.windows import Segmentation

RATE = tiny.FRONT_END.sample_rate
THREADS = 3


@pytest.fixture(scope="module")
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(THREADS) as executor:
        yield executor


def told(waveform: np.ndarray, starts: np.ndarray) -> Mapping[Target, np.ndarray]:
    """Answer each segment with what tells which audio it is of."""
    hop = tiny.FRONT_END.hop_length
    rows = [(waveform[s * hop], waveform[s * hop : s * hop + 4096].sum(), 0.0, 0.0) for s in starts]
    return {Target.QUADRANT: np.array(rows, np.float32)}


def slowly(waveform: np.ndarray, starts: np.ndarray) -> Mapping[Target, np.ndarray]:
    """Answer late, and some calls later than those after them."""
    time.sleep(abs(float(waveform[0])) % 0.004)
    return told(waveform, starts)


def packer_of(run: object, threads: ThreadPoolExecutor | None, **options: object) -> BlockPacker:
    return BlockPacker(
        run,  # type: ignore[arg-type]
        front_end=tiny.FRONT_END,
        segmentation=tiny.SEGMENTATION,
        executor=threads,
        **{"max_segments": 8, "most_calls": 2 * THREADS} | options,  # type: ignore[arg-type]
    )


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_results_are_those_of_one_call_after_the_other(data: st.DataObject, threads: ThreadPoolExecutor) -> None:
    lengths = data.draw(st.lists(st.integers(0, 5 * RATE), min_size=1, max_size=5), "lengths")
    max_segments = data.draw(st.sampled_from([1, 3, 16]), "max_segments")
    alone = data.draw(st.booleans(), "one song a call")
    songs = {key: tiny.music(n, seed=key) for key, n in enumerate(lengths)}

    def found_with(run: object, executor: ThreadPoolExecutor | None) -> dict[int, SongSegments]:
        packer = packer_of(run, executor, max_segments=max_segments, one_song=lambda: alone)
        found: dict[int, SongSegments] = {}
        for at in range(0, 5 * RATE + 1, RATE):
            for key, waveform in songs.items():
                if at <= len(waveform):
                    packer.feed(key, waveform[at : at + RATE])
                    if at + RATE > len(waveform):
                        packer.end(key)
            found |= {song.key: song for song in packer.ready()}
        packer.flush()
        return found | {song.key: song for song in packer.ready()}

    beside, in_turn = found_with(slowly, threads), found_with(told, None)
    assert sorted(beside) == sorted(in_turn) == sorted(songs)
    for key in songs:
        assert beside[key].n_segments == in_turn[key].n_segments
        assert beside[key].probabilities.keys() == in_turn[key].probabilities.keys()
        for target, rows in in_turn[key].probabilities.items():
            np.testing.assert_array_equal(beside[key].probabilities[target], rows)


def test_so_many_calls_are_under_way_and_no_more(threads: ThreadPoolExecutor) -> None:
    go_on, running, most = threading.Event(), [0], [0]
    lock = threading.Lock()

    def run(waveform: np.ndarray, starts: np.ndarray) -> Mapping[Target, np.ndarray]:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        assert go_on.wait(30)
        with lock:
            running[0] -= 1
        return told(waveform, starts)

    packer = packer_of(run, threads, most_calls=4, one_song=lambda: True)
    fed: list[int] = []

    def feed() -> None:
        for key in range(8):
            packer.feed(key, tiny.music(2 * RATE, seed=key))  # 8 segments: one call
            packer.end(key)
            fed.append(key)

    feeder = threading.Thread(target=feed)
    feeder.start()
    feeder.join(1.0)
    assert feeder.is_alive()  # it waits: four calls are under way
    assert fed == [0, 1, 2, 3]
    assert most == [THREADS]
    go_on.set()
    feeder.join(30)
    packer.flush()
    assert sorted(song.key for song in packer.ready()) == list(range(8))


def test_a_song_is_not_ready_while_a_call_holds_segments_of_it(threads: ThreadPoolExecutor) -> None:
    go_on = threading.Event()

    def run(waveform: np.ndarray, starts: np.ndarray) -> Mapping[Target, np.ndarray]:
        assert go_on.wait(30)
        return told(waveform, starts)

    packer = packer_of(run, threads, one_song=lambda: True)
    packer.feed(0, tiny.music(3 * RATE))
    packer.end(0)
    assert list(packer.ready()) == []
    go_on.set()
    packer.flush()
    assert [song.n_segments for song in packer.ready()] == [13]


def test_what_one_song_does_to_a_call_costs_no_other_song(threads: ThreadPoolExecutor) -> None:
    def run(waveform: np.ndarray, starts: np.ndarray) -> Mapping[Target, np.ndarray]:
        if np.abs(waveform).max() > 50:
            raise DeviceError("poison")
        return slowly(waveform, starts)

    packer = packer_of(run, threads, max_segments=16, most_calls=2)
    songs = {key: tiny.music(3 * RATE, seed=key) for key in range(5)}
    songs[2][RATE] = 100
    for at in range(0, 3 * RATE, RATE // 2):
        for key, waveform in songs.items():
            packer.feed(key, waveform[at : at + RATE // 2])
    for key in songs:
        packer.end(key)
    packer.flush()
    found = {song.key: song for song in packer.ready()}
    assert str(found[2].error) == "poison"
    assert found[2].probabilities == {}
    assert [found[key].error for key in (0, 1, 3, 4)] == [None] * 4
    assert [found[key].n_segments for key in (0, 1, 3, 4)] == [13] * 4


def test_a_dropped_song_leaves_no_trace_also_of_what_is_under_way(threads: ThreadPoolExecutor) -> None:
    packer = packer_of(slowly, threads, max_segments=4)
    for key in range(2):
        packer.feed(key, tiny.music(2 * RATE, seed=key))
    packer.drop(0)
    packer.feed(0, tiny.music(RATE, seed=7))  # the same key, another song
    for key in range(2):
        packer.end(key)
    packer.flush()
    assert sorted((song.key, song.n_segments) for song in packer.ready()) == [(0, 3), (1, 8)]


def test_a_mistake_of_ours_is_raised_and_not_taken_for_the_songs(threads: ThreadPoolExecutor) -> None:
    def run(waveform: np.ndarray, starts: np.ndarray) -> Mapping[Target, np.ndarray]:
        raise ZeroDivisionError

    packer = packer_of(run, threads)
    packer.feed(0, tiny.music(3 * RATE))
    with pytest.raises(ZeroDivisionError):
        packer.flush()


def test_closing_gives_up_the_calls_that_have_not_begun() -> None:
    go_on, began = threading.Event(), []

    def run(waveform: np.ndarray, starts: np.ndarray) -> Mapping[Target, np.ndarray]:
        began.append(len(starts))
        assert go_on.wait(30)
        return told(waveform, starts)

    with ThreadPoolExecutor(1) as one:
        packer = packer_of(run, one, most_calls=5, one_song=lambda: True)
        for key in range(4):
            packer.feed(key, tiny.music(2 * RATE))
        while not began:
            time.sleep(0.01)
        packer.close()
        go_on.set()
    assert began == [8]
    assert list(packer.ready()) == []


def test_segments_of_a_song_stay_in_order_where_its_calls_overtake_each_other(threads: ThreadPoolExecutor) -> None:
    first_done = threading.Event()
    audio = tiny.music(6 * RATE)

    def run(waveform: np.ndarray, starts: np.ndarray) -> Mapping[Target, np.ndarray]:
        if waveform[0] == audio[0]:
            assert first_done.wait(30)
        else:
            first_done.set()
        return told(waveform, starts)

    packer = packer_of(run, threads, one_song=lambda: True)
    packer.feed(0, audio)
    packer.end(0)
    packer.flush()
    (song,) = packer.ready()
    starts = Segmentation.start_samples(tiny.SEGMENTATION, len(audio), tiny.FRONT_END) // 512 * 512
    np.testing.assert_array_equal(song.probabilities[Target.QUADRANT][:, 0], audio[starts])


def test_songs_that_ended_before_the_graph_changed_do_not_wait_for_the_end(threads: ThreadPoolExecutor) -> None:
    one_song = [False]
    packer = packer_of(slowly, threads, max_segments=100, one_song=lambda: one_song[0])
    for key in range(3):
        packer.feed(key, tiny.music(2 * RATE, seed=key))
        packer.end(key)
    one_song[0] = True  # a GPU has failed
    packer.feed(3, tiny.music(RATE, seed=3))
    deadline = time.monotonic() + 30
    found: list[int] = []
    while len(found) < 3 and time.monotonic() < deadline:
        found += [song.key for song in packer.ready()]
    assert sorted(found) == [0, 1, 2]


@pytest.mark.parametrize("when", ["before", "within"])
def test_no_call_of_the_other_graph_holds_two_songs(threads: ThreadPoolExecutor, when: str) -> None:
    one_song, calls, go_on = [False], [], threading.Event()

    def run(waveform: np.ndarray, starts: np.ndarray) -> Mapping[Target, np.ndarray]:
        if not calls and when == "within":
            one_song[0] = True
        calls.append((len(starts), one_song[0]))
        assert go_on.wait(30)
        return told(waveform, starts)

    with ThreadPoolExecutor(1) as one:
        blocker = one.submit(go_on.wait, 30)  # the calls queue behind it
        packer = packer_of(run, one, max_segments=16, one_song=lambda: one_song[0])
        songs = {key: tiny.music(2 * RATE, seed=key) for key in range(2)}  # 8 segments each
        for key, waveform in songs.items():
            packer.feed(key, waveform)
            packer.end(key)
        one_song[0] = when == "before"
        go_on.set()
        assert blocker.result()
        packer.flush()
    found = {song.key: song.probabilities[Target.QUADRANT][0, 0] for song in packer.ready()}
    assert found == {key: waveform[0] for key, waveform in songs.items()}
    assert calls[-2:] == [(8, True), (8, True)]


def test_an_executor_that_is_shut_down_amid_calls_is_an_error_and_no_hang() -> None:
    go_on = threading.Event()

    def run(waveform: np.ndarray, starts: np.ndarray) -> Mapping[Target, np.ndarray]:
        assert go_on.wait(30)
        return told(waveform, starts)

    one = ThreadPoolExecutor(1)
    packer = packer_of(run, one, most_calls=5, one_song=lambda: True)
    for key in range(4):
        packer.feed(key, tiny.music(2 * RATE))
    one.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(MertagError, match="was closed"):
        packer.flush()
    with pytest.raises(MertagError, match="was closed"):
        packer_of(run, one).feed(9, tiny.music(4 * RATE))
    go_on.set()
