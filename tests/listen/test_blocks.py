"""Blocks: however songs are chunked and mixed, each segment sees the same frames."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping

import numpy as np
import pytest
import tiny_bundle as tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from mertag.emotion import Target
from mertag.errors import DeviceError
from mertag.listen.blocks import BlockPacker, SongSegments
from mertag.listen.bundle import Bundle
from mertag.listen.device import open_models
from mertag.listen.segment_model import SegmentModel
from mertag.listen.windows import FrontEnd, Segmentation

RATE = tiny.FRONT_END.sample_rate
SAMPLE = tiny.SEGMENTATION.segment_samples(tiny.FRONT_END)


@pytest.fixture(scope="module")
def model(tiny_bundle: Bundle) -> SegmentModel:
    return open_models(tiny_bundle, device="cpu", threads=1, precision="int8").segment


def packer_of(run: object, max_segments: int = 8, segmentation: Segmentation = tiny.SEGMENTATION) -> BlockPacker:
    return BlockPacker(
        run,  # type: ignore[arg-type]
        front_end=tiny.FRONT_END,
        segmentation=segmentation,
        max_segments=max_segments,
    )


def alone(waveform: np.ndarray, model: SegmentModel, segmentation: Segmentation = tiny.SEGMENTATION) -> np.ndarray:
    """Return the probabilities of one call with the whole song."""
    starts = segmentation.start_frames(len(waveform), tiny.FRONT_END)
    padded = np.pad(waveform, (0, -len(waveform) % tiny.FRONT_END.hop_length))
    return model(padded, starts)[Target.QUADRANT]


def collect(packer: BlockPacker) -> dict[int, SongSegments]:
    packer.flush()
    return {song.key: song for song in packer.ready()}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_chunking_and_any_mixture_gives_what_one_call_a_song_gives(
    data: st.DataObject, model: SegmentModel
) -> None:
    hop_s = data.draw(st.sampled_from([0.1, 0.2, 0.37, 0.5, 1.3]), "hop_s")
    segmentation = Segmentation(duration_s=0.5, hop_s=hop_s)
    max_segments = data.draw(st.sampled_from([1, 2, 7, 16]), "max_segments")
    lengths = data.draw(st.lists(st.integers(0, 4 * RATE), min_size=1, max_size=4), "lengths")
    songs = {key: tiny.music(n, seed=key) for key, n in enumerate(lengths)}
    packer = packer_of(model, max_segments, segmentation)
    left = dict.fromkeys(songs, 0)
    found: dict[int, SongSegments] = {}
    while left:
        key = data.draw(st.sampled_from(sorted(left)), "song")
        size = data.draw(st.sampled_from([1, 511, 4_410, 30_000, 10**6]), "chunk")
        packer.feed(key, songs[key][left[key] : left[key] + size])
        left[key] += size
        if left[key] >= len(songs[key]):
            packer.end(key)
            del left[key]
        found |= {song.key: song for song in packer.ready()}
    found |= collect(packer)
    assert sorted(found) == sorted(songs)
    for key, waveform in songs.items():
        expected = alone(waveform, model, segmentation)
        assert found[key].n_samples == len(waveform)
        assert found[key].n_segments == len(expected)
        if len(expected):
            np.testing.assert_allclose(found[key].probabilities[Target.QUADRANT], expected, atol=1e-6)
        else:
            assert found[key].probabilities == {}


def test_the_segments_are_those_of_the_songs_own_frames(model: SegmentModel) -> None:
    waveform = tiny.music(5 * RATE)
    packer = packer_of(model, 3)
    packer.feed(9, tiny.music(RATE, seed=5))  # a neighbour of an odd length comes first
    packer.feed(1, waveform)
    packer.end(9)
    packer.end(1)
    starts = np.arange(23) * 4_410 // 512  # hop 0.2 s; (5 - 0.5) / 0.2 + 1 = 23
    expected = tiny.segment_probabilities(waveform, starts, Target.QUADRANT)
    np.testing.assert_allclose(collect(packer)[1].probabilities[Target.QUADRANT], expected, atol=1e-5)


def test_a_block_never_holds_more_segments_than_allowed(model: SegmentModel) -> None:
    sizes: list[int] = []

    def run(waveform: np.ndarray, starts: np.ndarray) -> Mapping[Target, np.ndarray]:
        sizes.append(len(starts))
        assert len(waveform) % 512 == 0
        assert starts.min() >= 0
        return model(waveform, starts)

    packer = packer_of(run, 8)
    for key in range(5):
        packer.feed(key, tiny.music(3 * RATE, seed=key))
        packer.end(key)
    collect(packer)
    assert sum(sizes) == 5 * 13
    assert set(sizes[:-1]) == {8}


def test_a_song_is_ready_only_when_it_has_ended_and_all_its_segments_are_run(model: SegmentModel) -> None:
    packer = packer_of(model, 10)
    packer.feed(0, tiny.music(RATE))  # 3 segments
    assert not list(packer.ready())
    packer.end(0)
    assert not list(packer.ready())
    packer.feed(1, tiny.music(3 * RATE))
    (song,) = packer.ready()
    assert (song.key, song.n_segments) == (0, 3)
    assert list(collect(packer)) == []  # the other one has not ended


def test_a_song_shorter_than_a_segment_is_ready_at_once(model: SegmentModel) -> None:
    packer = packer_of(model)
    packer.feed(0, tiny.music(SAMPLE - 1))
    packer.end(0)
    packer.end(1)  # and one without any audio
    assert [(song.key, song.n_segments, song.n_samples) for song in packer.ready()] == [
        (0, 0, SAMPLE - 1),
        (1, 0, 0),
    ]


def test_a_segment_needs_its_last_sample(model: SegmentModel) -> None:
    packer = packer_of(model)
    packer.feed(0, tiny.music(SAMPLE - 1))
    packer.feed(0, tiny.music(1))
    packer.end(0)
    assert collect(packer)[0].n_segments == 1


def test_a_dropped_song_leaves_no_trace(model: SegmentModel) -> None:
    packer = packer_of(model, 4)
    packer.feed(0, tiny.music(RATE))
    packer.feed(1, tiny.music(2 * RATE, seed=1))
    packer.drop(0)
    packer.drop(7)  # never heard of
    packer.end(1)
    found = collect(packer)
    assert list(found) == [1]
    np.testing.assert_allclose(
        found[1].probabilities[Target.QUADRANT], alone(tiny.music(2 * RATE, seed=1), model), atol=1e-6
    )


def test_what_one_song_does_to_the_session_costs_no_other_song(model: SegmentModel) -> None:
    def run(waveform: np.ndarray, starts: np.ndarray) -> Mapping[Target, np.ndarray]:
        if np.abs(waveform).max() > 50:
            raise DeviceError("poison")
        return model(waveform, starts)

    packer = packer_of(run, 16)
    songs = {key: tiny.music(3 * RATE, seed=key) for key in range(4)}
    songs[2][RATE] = 100
    for at in range(0, 3 * RATE, RATE // 2):
        for key, waveform in songs.items():
            packer.feed(key, waveform[at : at + RATE // 2])
    for key in songs:
        packer.end(key)
    found = collect(packer)
    assert str(found[2].error) == "poison"
    assert found[2].probabilities == {}
    for key in (0, 1, 3):
        assert found[key].error is None
        np.testing.assert_allclose(found[key].probabilities[Target.QUADRANT], alone(songs[key], model), atol=1e-6)


def test_a_song_that_fails_with_segments_still_waiting_ends_with_its_error() -> None:
    def run(_: np.ndarray, starts: np.ndarray) -> Mapping[Target, np.ndarray]:
        raise DeviceError("broken")

    packer = packer_of(run, 4)
    packer.feed(0, tiny.music(2 * RATE))  # 8 segments: the first block fails while 4 wait
    packer.feed(0, tiny.music(2 * RATE))
    packer.feed(1, tiny.music(RATE))
    packer.end(0)
    packer.end(1)
    found = collect(packer)
    assert [str(found[key].error) for key in (0, 1)] == ["broken", "broken"]


def test_between_segments_that_do_not_touch_the_audio_is_counted_all_the_same(model: SegmentModel) -> None:
    apart = Segmentation(duration_s=0.5, hop_s=1.3)
    waveform = tiny.music(4 * RATE)
    packer = packer_of(model, 1, apart)
    for at in range(0, len(waveform), 1_000):
        packer.feed(0, waveform[at : at + 1_000])
    packer.end(0)
    found = collect(packer)[0].probabilities[Target.QUADRANT]
    np.testing.assert_allclose(found, alone(waveform, model, apart), atol=1e-6)


def test_little_is_kept_of_the_audio_that_was_run() -> None:
    def run(_: np.ndarray, starts: np.ndarray) -> Mapping[Target, np.ndarray]:
        return {Target.QUADRANT: np.full((len(starts), 4), 0.25, np.float32)}

    packer = BlockPacker(run, front_end=FrontEnd(), segmentation=Segmentation(), max_segments=1)
    tracemalloc.start()
    for key in range(20):
        packer.feed(key, np.zeros(30 * RATE, np.float32))
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 20 * 3 * RATE * 4 + 100_000  # less than one segment of each song


def test_memory_does_not_grow_with_a_songs_length() -> None:
    def run(_: np.ndarray, starts: np.ndarray) -> Mapping[Target, np.ndarray]:
        return {Target.QUADRANT: np.full((len(starts), 4), 0.25, np.float32)}

    def peak_bytes(minutes: int) -> int:
        packer = BlockPacker(run, front_end=FrontEnd(), segmentation=Segmentation(), max_segments=16)
        tracemalloc.start()
        for _ in range(2 * minutes):
            packer.feed(0, np.zeros(30 * RATE, np.float32))
        packer.end(0)
        (song,) = collect(packer).values()
        assert song.n_segments == 60 * minutes - 2
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak_bytes(60) < peak_bytes(5) + 500_000  # an hour is 317 MB of audio


def test_one_long_chunk_is_never_held_twice() -> None:
    copied = [0]

    def run(waveform: np.ndarray, starts: np.ndarray) -> Mapping[Target, np.ndarray]:
        copied[0] += waveform.nbytes
        return {Target.QUADRANT: np.full((len(starts), 4), 0.25, np.float32)}

    packer = BlockPacker(run, front_end=FrontEnd(), segmentation=Segmentation(), max_segments=16)
    audio = np.zeros(600 * RATE, np.float32)
    tracemalloc.start()
    packer.feed(0, audio)
    packer.end(0)
    collect(packer)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert copied[0] < 1.3 * audio.nbytes  # the segments that overlap from block to block
    assert peak < 0.8 * audio.nbytes


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_where_segments_see_their_neighbours_a_call_is_one_song_cut_at_fixed_places(data: st.DataObject) -> None:
    hop_s = data.draw(st.sampled_from([0.1, 0.2, 0.4]), "hop_s")
    segmentation = Segmentation(duration_s=0.5, hop_s=hop_s)
    max_segments = data.draw(st.sampled_from([1, 2, 7, 16]), "max_segments")
    lengths = data.draw(st.lists(st.integers(0, 4 * RATE), min_size=1, max_size=4), "lengths")
    songs = {key: tiny.music(n, seed=key) for key, n in enumerate(lengths)}
    calls: list[tuple[int, float]] = []

    def run(waveform: np.ndarray, starts: np.ndarray) -> Mapping[Target, np.ndarray]:
        """Answer each segment with what tells the whole call: its length and its sound."""
        calls.append((len(starts), float(np.abs(waveform).sum())))
        told = np.array([*calls[-1], starts[-1], len(waveform)], dtype=np.float32)
        return {Target.QUADRANT: np.tile(told, (len(starts), 1))}

    def found_with(chunk: int) -> dict[int, SongSegments]:
        packer = BlockPacker(
            run,
            front_end=tiny.FRONT_END,
            segmentation=segmentation,
            max_segments=max_segments,
            one_song=lambda: True,
        )
        left = dict.fromkeys(songs, 0)
        while left:  # in turn, so that they mix
            for key in list(left):
                packer.feed(key, songs[key][left[key] : left[key] + chunk])
                left[key] += chunk
                if left[key] >= len(songs[key]):
                    packer.end(key)
                    del left[key]
        return {song.key: song for song in packer.ready()}  # without flush: a song that has ended is done

    whole, pieces = found_with(10**6), found_with(data.draw(st.sampled_from([511, 4_410, 30_000]), "chunk"))
    for key, waveform in songs.items():
        n = segmentation.n_segments(len(waveform), tiny.FRONT_END)
        assert whole[key].n_segments == pieces[key].n_segments == n
        if n:
            told = whole[key].probabilities[Target.QUADRANT]
            np.testing.assert_array_equal(pieces[key].probabilities[Target.QUADRANT], told)
            assert told[:, 0].tolist() == [min(max_segments, n - i // max_segments * max_segments) for i in range(n)]


def test_segments_that_lie_apart_share_no_call(model: SegmentModel) -> None:
    calls: list[int] = []

    def run(waveform: np.ndarray, starts: np.ndarray) -> Mapping[Target, np.ndarray]:
        calls.append(len(waveform))
        return model(waveform, starts)

    apart = Segmentation(duration_s=0.5, hop_s=2.0)
    packer = BlockPacker(run, front_end=tiny.FRONT_END, segmentation=apart, max_segments=16, one_song=lambda: True)
    packer.feed(0, tiny.music(9 * RATE))
    packer.end(0)
    assert collect(packer)[0].n_segments == 5
    assert len(calls) == 5
    assert max(calls) < RATE


def test_when_the_graph_changes_on_the_way_nothing_that_waits_is_lost(model: SegmentModel) -> None:
    one_song = [False]
    packer = BlockPacker(
        model,
        front_end=tiny.FRONT_END,
        segmentation=tiny.SEGMENTATION,
        max_segments=100,
        one_song=lambda: one_song[0],
    )
    for key in range(3):
        packer.feed(key, tiny.music(2 * RATE, seed=key))
    packer.end(0)
    one_song[0] = True
    packer.end(1)
    assert [song.key for song in packer.ready()] == [1]
    packer.end(2)
    found = collect(packer)
    for key in (0, 2):
        expected = alone(tiny.music(2 * RATE, seed=key), model)
        np.testing.assert_allclose(found[key].probabilities[Target.QUADRANT], expected, atol=1e-6)


def test_a_block_of_no_segments_is_refused() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        packer_of(lambda *_: {}, 0)


@pytest.mark.parametrize(("n_fft", "hop_length"), [(1_000, 512), (1_024, 512), (2_048, 512), (512, 512)])
def test_pieces_are_multiples_of_the_hop_for_any_front_end(n_fft: int, hop_length: int) -> None:
    front_end = FrontEnd(n_fft=n_fft, hop_length=hop_length)
    segmentation = Segmentation(duration_s=0.3, hop_s=0.2)
    frames = segmentation.segment_frames(front_end)

    def run(waveform: np.ndarray, starts: np.ndarray) -> Mapping[Target, np.ndarray]:
        assert len(waveform) % hop_length == 0
        assert (starts.max() + frames - 1) * hop_length + n_fft <= len(waveform)
        return {Target.QUADRANT: np.full((len(starts), 4), 0.25, np.float32)}

    packer = BlockPacker(run, front_end=front_end, segmentation=segmentation, max_segments=3)
    for key in range(3):
        packer.feed(key, np.zeros(RATE + 77 * key, np.float32))
        packer.end(key)
    assert len(collect(packer)) == 3
