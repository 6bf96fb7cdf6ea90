"""What can be heard: whatever it is, the same sound has the same emotion, and is called by its own name."""

from __future__ import annotations

import importlib.util
import io
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import soundfile
import tiny_bundle as tiny

from mertag.errors import ConfigError, DecodeError, MissingExtraError, TooShortError
from mertag.listen.source import Audio, Source
from mertag.listen.tagger import Failed, Tagged, Tagger

RATE = 44_100


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tagger]:
    with Tagger(tiny.build(tmp_path_factory.mktemp("bundle")), device="cpu", workers=1) as opened:
        yield opened


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def samples(seconds: float = 2.0) -> np.ndarray:
    rng = np.random.default_rng(3)
    return (0.3 * rng.standard_normal((round(RATE * seconds), 2))).clip(-1, 1)


def written(folder: Path, seconds: float = 2.0) -> Path:
    path = folder / "song.wav"
    soundfile.write(path, samples(seconds), RATE, subtype="PCM_16")
    return path


class Broken(io.RawIOBase):
    name = "a broken pipe"

    def read(self, size: int = -1) -> bytes:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("kind", ["str", "file URL", "URL", "bytes", "file object", "int16", "float32"])
def test_whatever_holds_the_sound_the_emotion_is_that_of_the_file(
    kind: str, tagger: Tagger, tmp_path: Path, temporary: Path
) -> None:
    path = written(tmp_path)
    whole, rate = soundfile.read(path, dtype="int16")
    audio: dict[str, Audio] = {
        "str": str(path),
        "file URL": path.as_uri(),
        "URL": f"local://{path}",
        "bytes": path.read_bytes(),
        "file object": io.BytesIO(path.read_bytes()),
        "int16": (whole, rate),
        "float32": (whole.astype(np.float32) / 32_768, rate),
    }
    assert tagger.tag(audio[kind]) == tagger.tag(path)
    assert not list(temporary.glob("*/*")), "nothing is left behind"


def test_an_array_of_one_channel_may_be_flat(tagger: Tagger) -> None:
    mono = samples()[:, 0]
    assert tagger.tag((mono, RATE)) == tagger.tag((mono[:, None], RATE))


def test_every_source_has_one_outcome_and_its_own_name(tagger: Tagger, tmp_path: Path) -> None:
    path = written(tmp_path)
    with path.open("rb") as opened:
        sources: list[Audio] = [
            path,
            f"local://{path}",
            bytes(99),
            "local:///there/is/nothing.mp3",
            Broken(),  # type: ignore[list-item]
            Source(audio=path.read_bytes(), name="upload 17"),
            (np.zeros(0, np.float32), RATE),
            "nosuchstore://song.mp3",
            opened,
        ]
        found = {outcome.index: outcome for outcome in tagger.tag_many(sources)}
    assert sorted(found) == list(range(len(sources)))
    assert [found[i].path for i in (0, 1, 5, 8)] == [path, f"local://{path}", "upload 17", str(path)]
    assert all(isinstance(found[i], Tagged) for i in (0, 1, 5, 8))
    failed = {i: outcome for i, outcome in found.items() if isinstance(outcome, Failed)}
    assert sorted(failed) == [2, 3, 4, 6, 7]
    assert failed[2].path == "99 bytes of audio"
    assert str(failed[3].error) == "local:///there/is/nothing.mp3: there is nothing at this address"
    assert failed[4].reason == "cannot be read: Input/output error"
    assert "nosuchstore" in failed[7].reason


def test_an_error_names_the_url_and_no_copy(tagger: Tagger, tmp_path: Path) -> None:
    path = written(tmp_path, 0.1)
    with pytest.raises(TooShortError, match=re.escape(f"local://{path}: ")):
        tagger.tag(f"local://{path}")
    with pytest.raises(DecodeError, match=r"^upload: "):
        tagger.tag(Source(audio=bytes(9), name="upload"))


def test_a_url_is_also_read_where_no_process_decodes(tmp_path: Path, temporary: Path) -> None:
    path = written(tmp_path)
    with Tagger(tiny.build(tmp_path / "bundle"), device="cpu", workers=0) as here:
        assert here.tag(f"local://{path}") == here.tag(path)
        with pytest.raises(DecodeError, match="nothing at this address"):
            here.tag("local:///there/is/nothing.mp3")
    assert not list(temporary.iterdir())


def test_a_consumer_that_stops_early_leaves_no_copy(tagger: Tagger, tmp_path: Path, temporary: Path) -> None:
    data = written(tmp_path).read_bytes()
    outcomes = tagger.tag_many(iter([data] * 5))
    next(outcomes)
    outcomes.close()
    assert not list(temporary.glob("*/*"))


@pytest.mark.parametrize(
    ("audio", "says"),
    [
        (3, "int is nothing to listen to"),
        ((np.zeros((2, 50_000), np.float32), RATE), "has to be transposed"),
        ((np.zeros(9, np.uint8), RATE), "not uint8"),
        ((np.zeros(9), 0), "whole number in Hz"),
        ((np.zeros(9), 44_100.5), "whole number in Hz"),
    ],
)
def test_what_cannot_be_heard_is_said(audio: Audio, says: str, tagger: Tagger) -> None:
    with pytest.raises(ConfigError, match=says):
        tagger.tag(audio)


def test_without_fsspec_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "fsspec" else found(name))
    with pytest.raises(MissingExtraError, match=r"\[url\]"):
        Source(audio="s3://bucket/song.mp3")


def test_a_file_object_is_read_from_where_it_stands(tagger: Tagger, tmp_path: Path) -> None:
    path = written(tmp_path)
    file: IO[bytes] = io.BytesIO(b"xxxx" + path.read_bytes())
    file.seek(4)
    assert tagger.tag(file) == tagger.tag(path)
