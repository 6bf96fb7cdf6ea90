"""Silence is no mood: segments and windows that do not sound are left out, and all else is as it was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_bundle as tiny

from mertag.emotion import SongEmotion
from mertag.errors import SilentError
from mertag.listen.bundle import Bundle
from mertag.listen.decode.pool import Decoded
from mertag.listen.silence import Loudness, covered, heard
from mertag.listen.tagger import Tagger
from mertag.listen.windows import FrontEnd, Segmentation

RATE = tiny.FRONT_END.sample_rate
NOISE = np.random.default_rng(0).standard_normal(300 * RATE).astype(np.float32)
TIME_S = np.arange(len(NOISE)) / RATE
SILENCES = {
    "digital silence": np.zeros_like(NOISE),
    "dither": np.round(NOISE) * np.float32(2**-15),
    "hiss at -70 dBFS": NOISE * np.float32(10 ** (-70 / 20)),
    "a constant": np.full_like(NOISE, 0.01),
}


class OneSong:
    """Decodes any path to the same samples, in chunks."""

    def __init__(self, samples: np.ndarray, chunk: int = 7 * RATE + 1) -> None:
        self.samples, self.chunk = samples, chunk

    def decode(self, paths: Iterable[tuple[int, Path]]) -> Iterator[Decoded]:
        for index, path in paths:
            for start in range(0, len(self.samples), self.chunk):
                yield Decoded(index=index, path=path, chunk=self.samples[start : start + self.chunk])
            yield Decoded(index=index, path=path, last=True)


def emotion(bundle: Bundle, samples: np.ndarray, windows: int | None = None) -> SongEmotion:
    with Tagger(bundle, device="cpu", precision="fp16", decoder=OneSong(samples), windows=windows) as tagger:
        return tagger.tag("song.flac")


@pytest.mark.parametrize("kind", SILENCES)
@pytest.mark.parametrize("windows", [None, 1, 3])
def test_music_around_silence_has_the_mood_of_the_music(tiny_bundle: Bundle, kind: str, windows: int | None) -> None:
    music = tiny.music(30 * RATE)
    alone = emotion(tiny_bundle, music)
    found = emotion(tiny_bundle, np.concatenate([music, SILENCES[kind], music]), windows)
    assert found.quadrant == alone.quadrant
    np.testing.assert_allclose(found.quadrant_probabilities, alone.quadrant_probabilities, atol=0.05)
    if windows is None:
        assert 298 <= found.silent_s <= 300
        assert found.n_windows < 8  # of 23


def test_of_music_without_silence_nothing_is_left_out(tiny_bundle: Bundle) -> None:
    found = emotion(tiny_bundle, tiny.music(30 * RATE))
    assert (found.silent_s, found.n_segments) == (0.0, 148)


@pytest.mark.parametrize("kind", SILENCES)
def test_a_song_in_which_nothing_sounds_is_silent(tiny_bundle: Bundle, kind: str) -> None:
    with pytest.raises(SilentError, match=r"nothing (but digital silence|in it is louder than -65 dBFS)"):
        emotion(tiny_bundle, SILENCES[kind][: 20 * RATE])


def test_a_quiet_passage_sounds_and_a_long_fade_ends_somewhere() -> None:
    front_end, segmentation = FrontEnd(), Segmentation()
    noise = NOISE[: 60 * RATE] / np.float32(5)

    def sounding(gain_db: np.ndarray) -> np.ndarray:
        loudness = Loudness(front_end)
        for part in np.array_split(noise * (10 ** (gain_db / 20)).astype(np.float32), 13):
            loudness.feed(part)
        return loudness.sounding(segmentation.start_frames(len(noise), front_end), segmentation)

    time_s = np.arange(len(noise)) / RATE
    assert sounding(np.where(time_s < 30, 0, -40)).all()  # 54 dB below full scale
    fading = sounding(-1.5 * time_s)
    assert fading[:30].all()
    assert not fading[-15:].any()


def test_a_segment_with_a_silent_second_is_silent() -> None:
    front_end, segmentation = FrontEnd(), Segmentation()
    loudness = Loudness(front_end)
    loudness.feed(np.where((TIME_S > 5.9) & (TIME_S < 7.1), 0, NOISE)[: 13 * RATE].astype(np.float32))
    starts = segmentation.start_frames(13 * RATE, front_end)
    silent = starts[~loudness.sounding(starts, segmentation)] * front_end.hop_length / RATE
    np.testing.assert_allclose(silent, [4, 5, 6], atol=0.03)


def test_the_emotion_over_time_leaves_out_what_is_silent(tiny_bundle: Bundle) -> None:
    music = tiny.music(20 * RATE)
    samples = np.concatenate([music, np.zeros(60 * RATE, np.float32), music])
    with Tagger(tiny_bundle, device="cpu", precision="fp16", decoder=OneSong(samples)) as tagger:
        timeline = tagger.segments("song.flac")
    assert len(timeline.times_s) == timeline.emotion.n_segments
    assert all(len(p) == len(timeline.times_s) for p in timeline.probabilities.values())
    assert not np.any((timeline.times_s > 20) & (timeline.times_s < 80 - timeline.segment_s))
    assert np.all((timeline.silent_times_s > 20 - timeline.segment_s) & (timeline.silent_times_s < 80))
    assert len(timeline.times_s) + len(timeline.silent_times_s) == tagger.segmentation.n_segments(
        len(samples), tiny.FRONT_END
    )


def test_how_the_audio_was_chunked_changes_nothing() -> None:
    front_end, segmentation = FrontEnd(), Segmentation()
    samples = np.concatenate([NOISE[: 10 * RATE], np.zeros(10 * RATE, np.float32), NOISE[: 5 * RATE]])
    starts = segmentation.start_frames(len(samples), front_end)
    found = []
    for chunk in (100, 512, 5_000, len(samples)):
        loudness = Loudness(front_end)
        for at in range(0, len(samples), chunk):
            loudness.feed(samples[at : at + chunk])
        found.append(loudness.sounding(starts, segmentation).tolist())
    assert found[0] == found[1] == found[2] == found[3]
    # Those with a silent second; the first begins at a frame, and its last second 15 ms before the silence.
    assert found[0].count(False) == 11


def test_windows_that_are_mostly_silent_are_left_out_where_another_sounds_longer() -> None:
    sounding = np.array([True, True, True, False, False, False, False, True, False, False])
    windows = [slice(0, 4), slice(3, 7), slice(6, 10)]
    assert [found.tolist() for found in heard(windows, sounding)] == [[0, 1, 2]]
    assert [found.tolist() for found in heard(windows[1:], sounding)] == [[7]]


def test_audio_that_segments_share_counts_once() -> None:
    assert covered(np.array([0, 10, 20]), 30) == 50
    assert covered(np.array([0, 100]), 30) == 60
    assert covered(np.array([], np.int64), 30) == 0
