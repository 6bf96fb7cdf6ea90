"""Paths in, outcomes out: with a decoder that hands over arrays, so that every fault can be arranged."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tiny_bundle as tiny

from mertag.emotion import Target, decide
from mertag.errors import (
    ConfigError,
    DecodeError,
    DeviceError,
    FileError,
    MertagError,
    SilentError,
    TooShortError,
    UnsupportedFormatError,
)
from mertag.listen.bundle import Bundle
from mertag.listen.decode.pool import DecoderPool
from mertag.listen.manifest import Precision
from mertag.listen.segment_model import SHARED_PER_CALL
from mertag.listen.tagger import Failed, Outcome, Skipped, Tagged, Tagger
from mertag.listen.windows import WindowRule, song_features

RATE = tiny.FRONT_END.sample_rate


@dataclass(frozen=True)
class Part:
    """What `mertag.listen.decode.pool.Decoded` is."""

    index: int
    path: Path
    chunk: np.ndarray | None = None
    last: bool = False
    error: FileError | None = None
    damage: str = ""


class FakeDecoder:
    """Decodes names to arrays or errors, `beside` files at a time, in chunks of one second."""

    def __init__(self, songs: dict[str, np.ndarray | FileError], beside: int = 3) -> None:
        self.songs, self.beside, self.read, self.closed = songs, beside, 0, False

    def decode(self, paths: Iterable[tuple[int, Path]]) -> Iterator[Any]:
        self.stream = self._decode(paths)  # kept, so that nothing but `close` ends it
        return self.stream

    def _decode(self, paths: Iterable[tuple[int, Path]]) -> Iterator[Any]:
        running: list[Iterator[Part]] = []
        queue = iter(paths)
        try:
            while True:
                while len(running) < self.beside:
                    taken = next(queue, None)
                    if taken is None:
                        break
                    self.read += 1
                    running.append(self._one(*taken))
                if not running:
                    return
                for song in list(running):
                    part = next(song, None)
                    if part is None:
                        running.remove(song)
                    else:
                        yield part
        finally:
            self.closed = True

    def _one(self, index: int, path: Path) -> Iterator[Part]:
        found = self.songs[path.name]
        if isinstance(found, FileError):
            yield Part(index, path, np.ones(RATE, np.float32))  # some audio comes before it breaks
            yield Part(index, path, last=True, error=found)
            return
        for at in range(0, len(found), RATE):
            yield Part(index, path, found[at : at + RATE])
        yield Part(index, path, last=True)


def run(bundle: Bundle, songs: dict[str, Any], **settings: Any) -> dict[str, Outcome]:
    with Tagger(bundle, device="cpu", threads=1, decoder=FakeDecoder(songs), **settings) as tagger:
        outcomes = list(tagger.tag_many([Path(name) for name in songs]))
    assert sorted(o.index for o in outcomes) == list(range(len(songs)))
    assert [list(songs)[o.index] for o in outcomes] == [o.path.name for o in outcomes]
    return {o.path.name: o for o in outcomes}


def expected_probabilities(waveform: np.ndarray, windows: list[slice], target: Target) -> np.ndarray:
    """Return the song probabilities by hand."""
    starts = tiny.SEGMENTATION.start_frames(len(waveform), tiny.FRONT_END)
    p = tiny.segment_probabilities(waveform, starts, target)
    features = np.stack([song_features(p[window]) for window in windows])
    return tiny.song_probabilities(features, target).mean(axis=0)


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


def test_a_closed_tagger_says_so(tiny_bundle: Bundle) -> None:
    songs: dict[str, Any] = {f"{n}.wav": tiny.music(RATE * 3, seed=n) for n in range(9)}
    tagger = Tagger(tiny_bundle, device="cpu", threads=2, decoder=FakeDecoder(songs))
    tagger.models.segment.segments_per_call = 4
    outcomes = tagger.tag_many([Path(name) for name in songs])
    next(outcomes)
    tagger.close()
    with pytest.raises(MertagError, match="closed"):
        list(outcomes)
    with pytest.raises(MertagError, match="closed; open another"):
        tagger.tag("0.wav")
    tagger.close()


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


def test_each_kind_of_file_gets_its_outcome(tiny_bundle: Bundle) -> None:
    music = tiny.music(2 * RATE)
    poisoned = music.copy()
    poisoned[RATE] = np.nan
    damaged = DecodeError("damaged.mp3", "the stream breaks off after 12.3 s")
    found = run(
        tiny_bundle,
        {
            "good.mp3": music,
            "short.mp3": tiny.music(int(0.49 * RATE)),
            "empty.mp3": np.empty(0, np.float32),
            "silent.mp3": np.full(2 * RATE, 3e-5, np.float32),
            "quiet.mp3": 0.1 * music,
            "protected.m4p": UnsupportedFormatError("protected.m4p", "protected"),
            "damaged.mp3": damaged,
            "nan.wav": poisoned,
            "also good.mp3": music,
        },
    )
    assert isinstance(found["good.mp3"], Tagged)
    assert isinstance(found["quiet.mp3"], Tagged)
    assert found["also good.mp3"].emotion == found["good.mp3"].emotion  # type: ignore[union-attr]
    for name, kind, reason in [
        ("short.mp3", "too_short", "0.4 s of audio; at least 0.5 s are needed"),
        ("empty.mp3", "too_short", "0.0 s of audio; at least 0.5 s are needed"),
        ("silent.mp3", "silent", "nothing but digital silence"),
        ("protected.m4p", "unsupported", "protected"),
    ]:
        outcome = found[name]
        assert isinstance(outcome, Skipped), name
        assert (outcome.kind, outcome.reason) == (kind, reason)
    outcome = found["damaged.mp3"]
    assert isinstance(outcome, Failed)
    assert outcome.error is damaged
    assert outcome.reason == "the stream breaks off after 12.3 s"
    outcome = found["nan.wav"]
    assert isinstance(outcome, Failed)
    assert "no numbers" in outcome.reason


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


class Breaking:
    """Stands before a session: raises where the waveform is loud, or always from a certain call on."""

    def __init__(self, session: Any) -> None:
        self.session, self.lost, self.calls = session, False, 0

    def run(self, names: list[str], feed: dict[str, Any]) -> Any:
        self.calls += 1
        if self.lost or np.abs(feed["waveform"]).max() > 50:
            raise RuntimeError("the session broke")
        return self.session.run(names, feed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)


def test_a_song_that_breaks_the_session_fails_alone(tiny_bundle: Bundle) -> None:
    loud = tiny.music(2 * RATE)
    loud[RATE] = 100
    songs = {"a": tiny.music(2 * RATE, 1), "loud": loud, "b": tiny.music(2 * RATE, 2)}
    with Tagger(tiny_bundle, device="cpu", decoder=FakeDecoder(songs)) as tagger:
        tagger.models.segment.session = Breaking(tagger.models.segment.session)
        found = {o.path.name: o for o in tagger.tag_many(map(Path, songs))}
    assert isinstance(found["a"], Tagged)
    assert isinstance(found["b"], Tagged)
    outcome = found["loud"]
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, DeviceError)
    assert "the session broke" in outcome.reason


def test_what_was_decoded_of_a_damaged_file_is_not_run(tiny_bundle: Bundle) -> None:
    songs = {"bad": DecodeError("bad", "broken off")}
    with Tagger(tiny_bundle, device="cpu", decoder=FakeDecoder(songs)) as tagger:
        tagger.models.segment.session = breaking = Breaking(tagger.models.segment.session)
        (outcome,) = tagger.tag_many([Path("bad")])
        assert isinstance(outcome, Failed)
        assert breaking.calls == 0


def test_a_lost_device_ends_the_run_and_does_not_fail_every_song(tiny_bundle: Bundle) -> None:
    songs = {"a": tiny.music(2 * RATE)}
    with Tagger(tiny_bundle, device="cpu", decoder=FakeDecoder(songs)) as tagger:
        breaking = Breaking(tagger.models.segment.session)
        tagger.models.segment.session = breaking
        outcomes = tagger.tag_many(itertools.repeat(Path("a")))
        assert isinstance(next(outcomes), Tagged)
        breaking.lost = True
        with pytest.raises(DeviceError, match="the session broke"):
            list(outcomes)


def test_probabilities_that_are_no_numbers_become_no_emotion(tiny_bundle: Bundle) -> None:
    songs = {"huge": 3e38 * tiny.music(2 * RATE), "a": tiny.music(2 * RATE)}
    found = run(tiny_bundle, songs)
    assert isinstance(found["huge"], Failed)
    assert isinstance(found["a"], Tagged)


def test_another_hop_is_used_and_said(tiny_bundle: Bundle) -> None:
    said: list[str] = []
    outcome = run(tiny_bundle, {"a": tiny.music(2 * RATE)}, segment_hop_s=0.5, notify=said.append)["a"]
    assert isinstance(outcome, Tagged)
    assert outcome.emotion.n_segments == 4
    assert "0.5 s, not 0.2 s" in said[0]


@pytest.mark.parametrize("hop", [0, -1, float("nan"), float("inf"), 1e-9])
def test_a_hop_that_cannot_be_is_refused(tiny_bundle: Bundle, hop: float) -> None:
    with pytest.raises(ConfigError, match="segment hop"):
        Tagger(tiny_bundle, device="cpu", segment_hop_s=hop)


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


def test_a_decoder_comes_up_with_the_tagger_and_the_others_with_the_songs(tiny_bundle: Bundle) -> None:
    with Tagger(tiny_bundle, device="cpu", workers=3) as tagger:
        pool = tagger._decoder
        assert isinstance(pool, DecoderPool)
        assert len(pool.pids) == 1
    assert not pool.pids


def test_a_tagger_that_cannot_be_leaves_no_process(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[DecoderPool] = []
    start = DecoderPool.start
    monkeypatch.setattr(DecoderPool, "start", lambda pool, n: (started.append(pool), start(pool, n)))
    with pytest.raises(DeviceError):
        Tagger(tiny_bundle, device="cuda")
    (pool,) = started
    assert not pool.pids


def test_fewer_than_no_workers_cannot_be(tiny_bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match="workers"):
        Tagger(tiny_bundle, device="cpu", workers=-1)


@pytest.mark.parametrize("workers", [0, 2])
def test_files_are_decoded_and_tagged_for_real(tiny_bundle: Bundle, tmp_path: Path, workers: int) -> None:
    waveform = np.clip(tiny.music(3 * RATE), -0.99, 0.99)
    soundfile.write(tmp_path / "good.wav", waveform, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "silent.flac", np.zeros(3 * RATE), RATE)
    (tmp_path / "text.mp3").write_text("not audio at all")
    paths = sorted(tmp_path.iterdir())
    with Tagger(tiny_bundle, device="cpu", workers=workers) as tagger:
        found = {o.path.name: o for o in tagger.tag_many(paths)}
        again = tagger.tag(tmp_path / "good.wav")
    good, silent, text = (found[name] for name in ("good.wav", "silent.flac", "text.mp3"))
    assert isinstance(good, Tagged)
    assert good.emotion == again
    expected = expected_probabilities(waveform, [slice(0, 13)], Target.QUADRANT)
    np.testing.assert_allclose(good.emotion.quadrant_probabilities, expected, atol=1e-3)
    assert isinstance(silent, Skipped)
    assert silent.kind == "silent"
    assert isinstance(text, Failed | Skipped)


@pytest.mark.realdata
def test_real_songs_do_not_depend_on_their_neighbours(tiny_bundle: Bundle, real_data: Path) -> None:
    clips = sorted((real_data / "4q").rglob("*.mp3"))[:6]
    assert clips
    with Tagger(tiny_bundle, device="cpu", workers=2) as tagger:
        together = {o.path: o for o in tagger.tag_many(clips)}
        for clip in clips:
            outcome = together[clip]
            assert isinstance(outcome, Tagged)
            apart = tagger.tag(clip).quadrant_probabilities
            np.testing.assert_allclose(outcome.emotion.quadrant_probabilities, apart, atol=1e-6)


def test_a_bundle_may_be_given_as_a_folder(tiny_bundle: Bundle) -> None:
    with Tagger(str(tiny_bundle.folder), device="cpu") as tagger:
        assert tagger.bundle == tiny_bundle
