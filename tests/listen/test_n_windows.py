"""Only N windows of a long song: which, that they are cut as in the whole song, and in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_bundle as tiny
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mertag.emotion import Target
from mertag.errors import ConfigError, DecodeError, DeviceError, MertagError
from mertag.listen.blocks import BlockPacker, SongSegments
from mertag.listen.bundle import Bundle, load_bundle
from mertag.listen.n_windows import MOST_WINDOWS, ExcerptPacker
from mertag.listen.tagger import Tagger
from mertag.listen.windows import Segmentation, WindowRule, song_features, windows
from mertag.outcomes import Failed, Tagged

RATE = tiny.FRONT_END.sample_rate
RULE = WindowRule(single_max_s=3.0, window_s=2.0, hop_s=1.0)
SEGMENTATION = tiny.SEGMENTATION  # 0.5 s long, every 0.2 s
HOP, LENGTH = SEGMENTATION.hop_samples(tiny.FRONT_END), SEGMENTATION.segment_samples(tiny.FRONT_END)


class Recorder:
    """A session that tells where each segment lies: the waveform is to count its samples."""

    def __init__(self) -> None:
        self.n_segments = 0

    def __call__(self, waveform: np.ndarray, starts: np.ndarray) -> dict[Target, np.ndarray]:
        self.n_segments += len(starts)
        first = waveform[starts * tiny.FRONT_END.hop_length]
        return {Target.QUADRANT: np.stack([first] * 4, axis=1)}


def excerpts(
    n_samples: int,
    n_windows: int,
    *,
    rule: WindowRule = RULE,
    segmentation: Segmentation = SEGMENTATION,
    chunk: int = RATE,
    max_segments: int = 7,
) -> SongSegments:
    run = Recorder()
    inner = BlockPacker(run, front_end=tiny.FRONT_END, segmentation=segmentation, max_segments=max_segments)
    packer = ExcerptPacker(inner, n_windows=n_windows, rule=rule, front_end=tiny.FRONT_END, segmentation=segmentation)
    for at in range(0, n_samples, chunk):
        packer.feed(5, np.arange(at, min(at + chunk, n_samples), dtype=np.float32))
    packer.end(5)
    packer.flush()
    (result,) = packer.ready()
    assert (result.key, result.n_samples) == (5, n_samples)
    assert run.n_segments == result.n_segments
    return result


def places(result: SongSegments) -> list[int]:
    """Return which frames the segments began at."""
    return [round(float(p[0])) // tiny.FRONT_END.hop_length for p in result.probabilities[Target.QUADRANT]]


def whole(n_samples: int, rule: WindowRule = RULE, segmentation: Segmentation = SEGMENTATION) -> list[slice]:
    return windows(
        segmentation.start_samples(n_samples, tiny.FRONT_END),
        segment_samples=segmentation.segment_samples(tiny.FRONT_END),
        n_samples=n_samples,
        sample_rate=RATE,
        rule=rule,
    )


def chosen(result: SongSegments) -> list[tuple[int, int]]:
    """Return the first and last segment of each window, on the song's own grid."""
    assert result.excerpts is not None
    order = result.excerpts.order
    return [(int(order[w.start]), int(order[w.stop - 1])) for w in result.excerpts.windows]


def test_two_windows_of_ten_come_from_the_middle_of_each_half() -> None:
    # Windows begin every second; the tenth is the last that fits 11 s (and the segments end at 10.9 s: one more,
    # aligned to their end, is there).
    result = excerpts(11 * RATE, 2)
    assert len(whole(11 * RATE)) == 10
    assert chosen(result) == [(10, 17), (35, 42)]  # windows 2 (2 to 4 s) and 7 (7 to 9 s)
    assert result.n_segments == 16
    assert result.excerpts is not None
    assert result.excerpts.n_samples == 2 * (7 * HOP + LENGTH)


def test_one_window_comes_from_the_middle() -> None:
    assert chosen(excerpts(11 * RATE, 1)) == [(25, 32)]


@pytest.mark.parametrize("seconds", [0.1, 0.5, 2.9, 3.0])
def test_a_song_that_is_one_window_is_heard_whole(seconds: float) -> None:
    n_samples = round(seconds * RATE)
    result = excerpts(n_samples, 1)
    assert result.excerpts is None
    assert result.n_segments == SEGMENTATION.n_segments(n_samples, tiny.FRONT_END)


def test_as_many_windows_as_there_are_is_the_whole_song() -> None:
    for n in (10, 11, 500):
        result = excerpts(11 * RATE, n)
        assert result.excerpts is None
        assert result.n_segments == SEGMENTATION.n_segments(11 * RATE, tiny.FRONT_END)


@settings(max_examples=60, deadline=None)
@example(
    n_samples=110_251, n_windows=2, chunk=2_000, hop_s=1.3, rule=WindowRule(single_max_s=5.0, window_s=1.0, hop_s=1.5)
)
@example(
    n_samples=110_763, n_windows=2, chunk=2_000, hop_s=1.3, rule=WindowRule(single_max_s=5.0, window_s=1.0, hop_s=1.5)
)
@given(
    n_samples=st.integers(0, 90 * RATE),
    n_windows=st.integers(1, 6),
    chunk=st.integers(2_000, 40_000),
    hop_s=st.sampled_from([0.1, 0.2, 0.37]),  # with a hop beyond the rule's, windows fall together
    rule=st.sampled_from([RULE, WindowRule(single_max_s=5.0, window_s=1.0, hop_s=1.5)]),
)
def test_what_is_heard_is_part_of_the_whole_evenly_spread_however_it_was_chunked(
    n_samples: int, n_windows: int, chunk: int, hop_s: float, rule: WindowRule
) -> None:
    segmentation = Segmentation(duration_s=0.5, hop_s=hop_s)
    result = excerpts(n_samples, n_windows, rule=rule, segmentation=segmentation, chunk=chunk)
    again = excerpts(n_samples, n_windows, rule=rule, segmentation=segmentation, chunk=max(1, n_samples))
    assert places(again) == places(result) if result.n_segments else again.n_segments == 0
    if result.excerpts is None:
        assert result.n_segments == segmentation.n_segments(n_samples, tiny.FRONT_END)
        return
    assert again.excerpts is not None
    assert again.excerpts.order.tolist() == result.excerpts.order.tolist()
    frames = segmentation.start_frames(n_samples, tiny.FRONT_END)
    assert places(result) == frames[result.excerpts.order].tolist()  # cut as in the whole song
    all_windows = [(w.start, w.stop - 1) for w in whole(n_samples, rule, segmentation)]
    heard = chosen(result)
    assert len(heard) == min(n_windows, len(all_windows)) == len(set(heard))
    ranks = [all_windows.index(window) for window in heard]
    assert ranks == sorted(ranks)
    part = len(all_windows) / len(heard)
    assert all(abs(rank + 0.5 - (i + 0.5) * part) <= part / 2 + 1 for i, rank in enumerate(ranks))


@pytest.mark.parametrize("half_seconds", range(4, 40))
def test_no_more_is_heard_than_there_is(half_seconds: int) -> None:
    n_samples = half_seconds * RATE // 2
    for n in (1, 2, 3, 5):
        result = excerpts(n_samples, n)
        assert result.excerpts is None or result.excerpts.n_samples <= n_samples


def test_memory_does_not_grow_with_a_songs_length() -> None:
    def peak(seconds: int) -> int:
        inner = BlockPacker(Recorder(), front_end=tiny.FRONT_END, segmentation=SEGMENTATION, max_segments=16)
        packer = ExcerptPacker(inner, n_windows=2, rule=RULE, front_end=tiny.FRONT_END, segmentation=SEGMENTATION)
        tracemalloc.start()
        for _ in range(seconds // 5):
            packer.feed(0, np.zeros(5 * RATE, np.float32))
        packer.end(0)
        packer.flush()
        list(packer.ready())
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    bound = MOST_WINDOWS * 2.1 * RATE * 4
    assert peak(3_000) < 3 * bound  # what is held, and for a moment its copy
    assert peak(3_000) < 1.5 * peak(300)


def test_nothing_is_left_of_a_song_that_is_dropped() -> None:
    inner = BlockPacker(Recorder(), front_end=tiny.FRONT_END, segmentation=SEGMENTATION, max_segments=1_000)
    packer = ExcerptPacker(inner, n_windows=2, rule=RULE, front_end=tiny.FRONT_END, segmentation=SEGMENTATION)
    for key in (0, 1, 2):
        packer.feed(key, np.zeros(11 * RATE, np.float32))
    packer.end(1)
    packer.end(2)
    packer.drop(0)
    packer.drop(1)
    packer.drop(7)
    packer.flush()
    assert [song.key for song in packer.ready()] == [2]
    assert list(packer.ready()) == []


def test_a_session_that_fails_in_one_window_costs_its_song_only() -> None:
    def run(waveform: np.ndarray, starts: np.ndarray) -> dict[Target, np.ndarray]:
        if (waveform > 0).any():
            raise DeviceError("no")
        return {Target.QUADRANT: np.full((len(starts), 4), 0.25, np.float32)}

    inner = BlockPacker(run, front_end=tiny.FRONT_END, segmentation=SEGMENTATION, max_segments=100)
    packer = ExcerptPacker(inner, n_windows=2, rule=RULE, front_end=tiny.FRONT_END, segmentation=SEGMENTATION)
    bad = np.zeros(11 * RATE, np.float32)
    bad[8 * RATE] = 1  # in the second of its two windows
    for key, audio in enumerate((np.zeros(11 * RATE, np.float32), bad)):
        packer.feed(key, audio)
        packer.end(key)
    packer.flush()
    errors: dict[int, MertagError | None] = {song.key: song.error for song in packer.ready()}
    assert errors[0] is None
    assert isinstance(errors[1], DeviceError)


# With the tagger


class ArrayDecoder:
    """Hands over arrays, one song after the other, in chunks of one second; an error is given at the end."""

    def __init__(self, songs: dict[str, np.ndarray], error: DecodeError | None = None) -> None:
        self.songs, self.error = songs, error

    def decode(self, paths: object) -> Iterator[object]:
        from mertag.listen.decode.pool import Decoded

        for index, path in paths:  # type: ignore[attr-defined]
            audio = self.songs[path.name]
            for at in range(0, len(audio), RATE):
                yield Decoded(index=index, path=path, chunk=audio[at : at + RATE])
            yield Decoded(index=index, path=path, last=True, error=self.error)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(tiny.build(tmp_path_factory.mktemp("bundle") / "b", window_rule=RULE).folder)


def test_the_emotion_is_the_mean_of_the_chosen_windows_and_says_how_much_was_heard(bundle: Bundle) -> None:
    songs = {"long": tiny.music(11 * RATE), "short": tiny.music(2 * RATE, seed=1)}
    with Tagger(bundle, device="cpu", threads=1, windows=2, decoder=ArrayDecoder(songs)) as tagger:  # type: ignore[arg-type]
        found = {o.path.name: o for o in tagger.tag_many([Path(name) for name in songs])}
        timeline = tagger.segments("long")
    with Tagger(bundle, device="cpu", threads=1, decoder=ArrayDecoder(songs)) as everything:  # type: ignore[arg-type]
        assert everything.tag("short") == found["short"].emotion  # type: ignore[union-attr]
    outcome = found["long"]
    assert isinstance(outcome, Tagged)
    starts = SEGMENTATION.start_frames(11 * RATE, tiny.FRONT_END)
    p = tiny.segment_probabilities(songs["long"], starts, Target.QUADRANT)
    features = np.stack([song_features(p[10:18]), song_features(p[35:43])])
    expected = tiny.song_probabilities(features, Target.QUADRANT).mean(axis=0)
    np.testing.assert_allclose(outcome.emotion.quadrant_probabilities, expected, atol=1e-4)
    assert (outcome.emotion.n_windows, outcome.emotion.n_segments) == (2, 16)
    assert outcome.emotion.analysed_s == pytest.approx(3.8, abs=1e-3)
    assert outcome.emotion.duration_s == 11.0
    np.testing.assert_allclose(timeline.times_s, [*np.arange(10, 18) * 0.2, *np.arange(35, 43) * 0.2])
    np.testing.assert_allclose(timeline.probabilities[Target.QUADRANT], p[[*range(10, 18), *range(35, 43)]], atol=1e-5)


def test_a_song_that_breaks_off_fails_and_the_next_is_heard(bundle: Bundle) -> None:
    songs = {"a": tiny.music(11 * RATE)}
    broken = ArrayDecoder(songs, DecodeError("a", "it breaks off"))
    with Tagger(bundle, device="cpu", threads=1, windows=1, decoder=broken) as tagger:  # type: ignore[arg-type]
        (outcome,) = tagger.tag_many([Path("a")])
        assert isinstance(outcome, Failed)
        broken.error = None
        assert tagger.tag("a").n_windows == 1


def test_no_windows_at_all_cannot_be(bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match="windows is 0"):
        Tagger(bundle, windows=0)
