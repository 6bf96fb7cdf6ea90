"""Songs, settings, sessions and devices that break: what each costs."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_bundle as tiny
from fake_decoder import RATE, FakeDecoder, run

from mertag.errors import (
    ConfigError,
    DecodeError,
    DeviceError,
    MertagError,
    UnsupportedFormatError,
)
from mertag.listen.bundle import Bundle
from mertag.listen.tagger import Failed, Skipped, Tagged, Tagger


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


@pytest.mark.parametrize("hop", [0, -1, float("nan"), float("inf"), 1e-9])
def test_a_hop_that_cannot_be_is_refused(tiny_bundle: Bundle, hop: float) -> None:
    with pytest.raises(ConfigError, match="segment hop"):
        Tagger(tiny_bundle, device="cpu", segment_hop_s=hop)
