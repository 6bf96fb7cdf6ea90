"""Fixtures of the tests of a library: its state file, and music to write to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from written_songs import make_song

from mertag.library.state.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Return an empty state file, open."""
    with Database(tmp_path / "state" / "state.sqlite") as opened:
        yield opened


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Return a folder with three songs in two folders."""
    for name in ("a/1.flac", "a/2.flac", "b/3.flac"):
        make_song(tmp_path / "music" / name)
    return tmp_path / "music"
