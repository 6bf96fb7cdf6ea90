"""Paths in, outcomes out: what songs become, from arrays."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_bundle as tiny
from fake_decoder import RATE, FakeDecoder, Part, expected_probabilities, run

from mertag.emotion import Target, decide
from mertag.errors import (
    DecodeError,
    SilentError,
    TooShortError,
    UnsupportedFormatError,
)
from mertag.listen.bundle import Bundle
from mertag.listen.manifest import Precision
from mertag.listen.segment_model import SHARED_PER_CALL
from mertag.listen.tagger import Tagged, Tagger
from mertag.listen.windows import WindowRule


def test_the_emotion_of_a_song_is_what_numpy_computes(tiny_bundle: Bundle) -> None:
    waveform = tiny.music(5 * RATE)
    outcome = run(tiny_bundle, {"a.wav": waveform})["a.wav"]
    assert isinstance(outcome, Tagged)
    expected = expected_probabilities(waveform, [slice(0, 23)], Target.QUADRANT)
    np.testing.assert_allclose(outcome.emotion.quadrant_probabilities, expected, atol=1e-4)
    assert outcome.emotion.quadrant == decide({Target.QUADRANT: expected}).quadrant
    assert (outcome.emotion.n_segments, outcome.emotion.n_windows) == (23, 1)
    assert outcome.emotion.duration_s == 5.0
    assert outcome.emotion.model == tiny_bundle.id


def test_several_threads_give_what_one_gives(tiny_bundle: Bundle) -> None:
    songs = {f"{n}.wav": tiny.music(RATE * n, seed=n) for n in range(1, 13)}
    outcomes = run(tiny_bundle, songs)
    with Tagger(tiny_bundle, device="cpu", threads=3, decoder=FakeDecoder(songs)) as tagger:
        assert tagger.models.segment.at_once == 3
        beside = {o.path.name: o for o in tagger.tag_many([Path(name) for name in songs])}
    for name, outcome in outcomes.items():
        found = beside[name]
        assert isinstance(outcome, Tagged)
        assert isinstance(found, Tagged)
        np.testing.assert_allclose(
            found.emotion.quadrant_probabilities, outcome.emotion.quadrant_probabilities, atol=1e-6
        )


def test_a_song_that_is_done_does_not_wait_for_one_that_decodes_slowly(tiny_bundle: Bundle) -> None:
    class Slow:
        """Gives one song whole, and of another one nothing until the first has come out."""

        came_out = False

        def decode(self, paths: Iterable[tuple[int, Path]]) -> Iterator[Any]:
            (one, first), (two, second) = paths
            yield Part(one, first, tiny.music(27 * RATE // 10))  # 12 segments
            yield Part(one, first, last=True)
            deadline = time.monotonic() + 30
            while not self.came_out:
                assert time.monotonic() < deadline
                time.sleep(0.01)
                yield Part(two, second)  # what a pool says when nothing has come
            yield Part(two, second, tiny.music(3 * RATE, seed=1))
            yield Part(two, second, last=True)

    decoder = Slow()
    with Tagger(tiny_bundle, device="cpu", threads=2, decoder=decoder) as tagger:
        # Segments of several songs may share a call of this graph: let the first song fill its calls.
        tagger.models.segment.segments_per_call = 4
        outcomes = tagger.tag_many([Path("a"), Path("b")])
        assert next(outcomes).index == 0
        decoder.came_out = True
        assert [outcome.index for outcome in outcomes] == [1]


def test_a_long_song_is_the_mean_of_its_windows(tmp_path: Path) -> None:
    rule = WindowRule(single_max_s=3.0, window_s=2.0, hop_s=1.0)
    bundle = tiny.build(tmp_path, window_rule=rule)
    waveform = tiny.music(5 * RATE)
    outcome = run(bundle, {"a.wav": waveform})["a.wav"]
    assert isinstance(outcome, Tagged)
    # Starts every 0.2 s. A window [w, w + 2] holds the starts in [w, w + 1.5]. The last segment ends at 4.9 s,
    # so that the windows begin at 0, 1, 2 and (aligned to the end) 2.9 s.
    windows = [slice(0, 8), slice(5, 13), slice(10, 18), slice(15, 23)]
    expected = expected_probabilities(waveform, windows, Target.QUADRANT)
    np.testing.assert_allclose(outcome.emotion.quadrant_probabilities, expected, atol=1e-4)
    assert outcome.emotion.n_windows == 4


def test_a_valence_and_an_arousal_head_make_a_quadrant(tmp_path: Path) -> None:
    bundle = tiny.build(tmp_path, targets=(Target.VALENCE, Target.AROUSAL))
    waveform = tiny.music(5 * RATE)
    outcome = run(bundle, {"a.wav": waveform})["a.wav"]
    assert isinstance(outcome, Tagged)
    valence = expected_probabilities(waveform, [slice(0, 23)], Target.VALENCE)[1]
    arousal = expected_probabilities(waveform, [slice(0, 23)], Target.AROUSAL)[1]
    assert outcome.emotion.valence == pytest.approx(valence, abs=1e-4)
    assert outcome.emotion.arousal == pytest.approx(arousal, abs=1e-4)


def test_neighbours_change_nothing(tiny_bundle: Bundle) -> None:
    songs = {f"{i}.wav": tiny.music(RATE + 9_999 * i, seed=i) for i in range(8)}
    together = run(tiny_bundle, songs)
    for name, waveform in songs.items():
        apart = run(tiny_bundle, {name: waveform})[name]
        beside = together[name]
        assert isinstance(apart, Tagged)
        assert isinstance(beside, Tagged)
        np.testing.assert_allclose(
            beside.emotion.quadrant_probabilities, apart.emotion.quadrant_probabilities, atol=1e-6
        )


def test_one_song_is_tagged_or_raises_its_error(tiny_bundle: Bundle) -> None:
    songs: dict[str, Any] = {
        "good": tiny.music(2 * RATE),
        "short": tiny.music(100),
        "silent": np.zeros(2 * RATE, np.float32),
        "odd": UnsupportedFormatError("odd", "x"),
        "bad": DecodeError("bad", "y"),
    }
    with Tagger(tiny_bundle, device="cpu", decoder=FakeDecoder(songs)) as tagger:
        assert tagger.tag("good").n_segments == 8
        for name, error in [
            ("short", TooShortError),
            ("silent", SilentError),
            ("odd", UnsupportedFormatError),
            ("bad", DecodeError),
        ]:
            with pytest.raises(error) as caught:
                tagger.tag(Path(name))
            assert caught.value.path == Path(name)


def test_the_timeline_has_a_time_for_each_segment(tiny_bundle: Bundle) -> None:
    waveform = tiny.music(2 * RATE)
    with Tagger(tiny_bundle, device="cpu", decoder=FakeDecoder({"a": waveform})) as tagger:
        timeline = tagger.segments("a")
        assert timeline.emotion == tagger.tag("a")
    np.testing.assert_allclose(timeline.times_s, 0.2 * np.arange(8))
    assert timeline.segment_s == 0.5
    starts = tiny.SEGMENTATION.start_frames(len(waveform), tiny.FRONT_END)
    np.testing.assert_allclose(
        timeline.probabilities[Target.QUADRANT],
        tiny.segment_probabilities(waveform, starts, Target.QUADRANT),
        atol=1e-5,
    )


def test_songs_come_with_all_segments_if_asked_for(tiny_bundle: Bundle) -> None:
    songs = {"a": tiny.music(2 * RATE), "b": np.concatenate([tiny.music(RATE), np.zeros(2 * RATE, np.float32)])}
    for timelines in (False, True):
        with Tagger(tiny_bundle, device="cpu", decoder=FakeDecoder(songs), timelines=timelines) as tagger:
            for outcome in tagger.tag_many(map(Path, songs)):
                assert isinstance(outcome, Tagged)
                assert (outcome.timeline is not None) == timelines
                if outcome.timeline is not None:
                    alone = tagger.segments(outcome.path)
                    assert len(alone.times_s) == outcome.emotion.n_segments
                    np.testing.assert_array_equal(outcome.timeline.times_s, alone.times_s)
                    p = alone.probabilities[Target.QUADRANT]
                    np.testing.assert_allclose(outcome.timeline.quadrant_probabilities, p, atol=1e-6)


def test_quadrants_of_segments_of_two_heads_are_the_products_of_the_sides(tiny_bundle: Bundle) -> None:
    sides = {Target.VALENCE: np.float32([[0.2, 0.8]]), Target.AROUSAL: np.float32([[0.9, 0.1]])}
    with Tagger(tiny_bundle, device="cpu", decoder=FakeDecoder({"a": tiny.music(RATE)})) as tagger:
        found = dataclasses.replace(tagger.segments("a"), probabilities=sides).quadrant_probabilities
    np.testing.assert_allclose(found, [[0.08, 0.02, 0.18, 0.72]], atol=1e-6)


def test_the_paths_may_be_endless(tiny_bundle: Bundle) -> None:
    decoder = FakeDecoder({"a": tiny.music(RATE)})
    with Tagger(tiny_bundle, device="cpu", threads=2, decoder=decoder) as tagger:
        outcomes = tagger.tag_many(itertools.repeat(Path("a")))
        first = list(itertools.islice(outcomes, 50))
        assert all(isinstance(outcome, Tagged) for outcome in first)
        # Four calls of 16 segments run or wait, one is put together, one may just be done; a song has 3 segments.
        assert decoder.read <= 50 + 6 * 16 // 3 + 2 * decoder.beside
        assert not decoder.closed
        outcomes.close()
        assert decoder.closed


def test_no_paths_give_no_outcomes(tiny_bundle: Bundle) -> None:
    assert run(tiny_bundle, {}) == {}


def test_another_hop_is_used_and_said(tiny_bundle: Bundle) -> None:
    said: list[str] = []
    outcome = run(tiny_bundle, {"a": tiny.music(2 * RATE)}, segment_hop_s=0.5, notify=said.append)["a"]
    assert isinstance(outcome, Tagged)
    assert outcome.emotion.n_segments == 4
    assert "0.5 s, not 0.2 s" in said[0]


def test_a_graph_whose_segments_see_their_neighbours_is_given_one_song_a_call(tmp_path: Path) -> None:
    bundle = tiny.build(tmp_path / "shared", shared=(Precision.INT8,))
    calls: list[int] = []
    songs = {"a": tiny.music(9 * RATE), "b": tiny.music(2 * RATE, seed=1), "c": tiny.music(3 * RATE, seed=2)}
    with Tagger(bundle, device="cpu", precision="int8", decoder=FakeDecoder(songs)) as tagger:
        session = tagger.models.segment.session
        assert tagger.models.segment.segments_per_call == SHARED_PER_CALL

        class Counted:
            def run(self, names: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
                calls.append(len(inputs["starts"]))
                return session.run(names, inputs)

        tagger.models.segment.session = Counted()  # type: ignore[assignment]
        tagged = [o for o in tagger.tag_many(map(Path, songs)) if isinstance(o, Tagged)]
    assert len(tagged) == 3
    assert sum(calls) == sum(o.emotion.n_segments for o in tagged)
    assert len(calls) == sum(-(-o.emotion.n_segments // SHARED_PER_CALL) for o in tagged)
