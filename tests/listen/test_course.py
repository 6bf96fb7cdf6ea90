"""The course of a song: what is kept of it, against means by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tiny_bundle as tiny
from fake_tagger import MODEL, emotion

from mertag.emotion import Target
from mertag.library.state.analyses import decode, encode
from mertag.listen.blocks import SongSegments
from mertag.listen.bundle import Bundle
from mertag.listen.course import course
from mertag.listen.tagger import Tagger
from mertag.outcomes import COURSE_NOTHING, COURSE_PARTS, COURSE_STEPS, Tagged

RATE = tiny.FRONT_END.sample_rate


def song(bundle: Bundle, n_segments: int, probabilities: dict[Target, np.ndarray]) -> SongSegments:
    """Return a song of so many segments."""
    segmentation, front_end = bundle.manifest.segmentation, bundle.manifest.front_end
    n_samples = segmentation.segment_samples(front_end) + (n_segments - 1) * segmentation.hop_samples(front_end)
    return SongSegments(key=0, n_samples=n_samples, n_segments=n_segments, probabilities=probabilities)


def test_each_part_is_the_mean_of_its_segments(tiny_bundle: Bundle) -> None:
    n = 2 * COURSE_PARTS
    p = np.zeros((n, 4), np.float32)
    p[: n // 2, 0] = 1  # Q1: both sides positive
    p[n // 2 :, 2] = 1  # Q3: neither
    sounding = np.ones(n, np.bool_)
    sounding[-6:] = False
    found = course(
        song(tiny_bundle, n, {Target.QUADRANT: p}),
        bundle=tiny_bundle,
        segmentation=tiny_bundle.manifest.segmentation,
        sounding=sounding,
    )
    parts = np.frombuffer(found, np.uint8).reshape(COURSE_PARTS, 2)
    assert (parts[:15] == COURSE_STEPS).all()
    assert (parts[17:-4] == 0).all()
    assert (parts[-1] == COURSE_NOTHING).all()


def test_a_pair_of_heads_gives_its_positive_sides(tiny_bundle: Bundle) -> None:
    heads = {
        Target.VALENCE: np.array([[0.2, 0.8], [0.4, 0.6]], np.float32),
        Target.AROUSAL: np.array([[1.0, 0.0], [0.5, 0.5]], np.float32),
    }
    found = course(song(tiny_bundle, 2, heads), bundle=tiny_bundle, segmentation=tiny_bundle.manifest.segmentation)
    assert list(found) == [200, 0, 150, 125]


def test_a_song_is_tagged_with_its_course_and_remembered_with_it(tiny_bundle: Bundle, tmp_path: Path) -> None:
    import soundfile

    path = tmp_path / "a.wav"
    soundfile.write(path, tiny.music(6 * RATE), RATE)
    with Tagger(tiny_bundle, device="cpu", workers=0) as tagger:
        (outcome,) = tagger.tag_many([path])
    assert isinstance(outcome, Tagged)
    assert len(outcome.course) == 2 * min(COURSE_PARTS, outcome.emotion.n_segments)
    text = encode(outcome)
    assert text is not None
    assert decode(text, index=0, path=path) == outcome


def test_a_course_that_cannot_be_is_no_result(tmp_path: Path) -> None:
    text = encode(Tagged(index=0, path=tmp_path, emotion=emotion(model=MODEL), course=bytes([0, 250, 255, 255])))
    assert text is not None
    assert "AP" in text
    for damaged in ("AP", "APo", "APr7+w==", "@@@@"):
        assert decode(text.replace("APr//w==", damaged), index=0, path=tmp_path) is None, damaged
