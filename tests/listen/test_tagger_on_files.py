"""Paths in, outcomes out: files on disk, decoded in processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny_bundle as tiny
from fake_decoder import RATE, expected_probabilities

from mertag.emotion import Target
from mertag.errors import (
    ConfigError,
    DeviceError,
)
from mertag.listen.bundle import Bundle
from mertag.listen.decode.pool import DecoderPool
from mertag.listen.tagger import Failed, Skipped, Tagged, Tagger


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
