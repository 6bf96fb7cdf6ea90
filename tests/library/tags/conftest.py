"""Songs of every container, encoded when the tests run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from crafted_songs import FROM_MP3, WHOLE
from made_songs import PYAV, SOUNDFILE, TAGGABLE, emotion, encode, samples

from mertag.emotion import SongEmotion


@pytest.fixture(scope="session")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives the song of a name, encoding each once."""
    folder = tmp_path_factory.mktemp("songs")

    def get(name: str) -> Path:
        path = folder / name
        if not path.exists():
            if name in SOUNDFILE:
                kind, subtype = SOUNDFILE[name]
                soundfile.write(path, samples(), 48_000, format=kind, subtype=subtype)
            elif name in FROM_MP3:
                path.write_bytes(FROM_MP3[name](get("bare.mp3").read_bytes()))
            elif name in WHOLE:
                path.write_bytes(WHOLE[name]())
            else:
                encode(path, *PYAV[name])
            if name == "bare.tta":  # without the APE tag that ffmpeg writes: True Audio is tagged with ID3, too
                data = path.read_bytes()
                path.write_bytes(data[: data.index(b"APETAGEX")])
        return path

    return get


@pytest.fixture
def song(encoded: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that gives a fresh copy of the song of a name."""

    def get(name: str) -> Path:
        return Path(shutil.copyfile(encoded(name), tmp_path / name))

    return get


@pytest.fixture
def happy() -> SongEmotion:
    """Return Q1 with 0.6, Q2 second."""
    return emotion()


@pytest.fixture
def sad() -> SongEmotion:
    """Return Q3 with 0.7, by another model."""
    return emotion(0.05, 0.1, 0.7, 0.15, model="other@2.0.0+fedc9876")


@pytest.fixture
def make_emotion() -> Callable[..., SongEmotion]:
    """Return `emotion`."""
    return emotion


@pytest.fixture(params=TAGGABLE)
def any_song(request: pytest.FixtureRequest, song: Callable[[str], Path]) -> Path:
    """Return a song of each container in turn."""
    return song(request.param)
