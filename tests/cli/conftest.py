"""A command line with the tagger that goes by file names, and music for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Run
from distinct_songs import song
from fake_tagger import FACTS, FakeTagger
from typer.testing import CliRunner, Result

from mertag.cli.app import app


@pytest.fixture
def tagger() -> FakeTagger:
    """Return the tagger of `mertag`; what it analysed is that of the last command."""
    return FakeTagger()


@pytest.fixture
def mertag(no_settings: None, monkeypatch: pytest.MonkeyPatch, tagger: FakeTagger) -> Run:
    """Run a command; `mertag tag` has the tagger that goes by file names."""
    monkeypatch.setattr("mertag.cli.tag.open_tagger", lambda *_, **__: (tagger, FACTS))

    def run(*args: object, stdin: str | bytes | None = None) -> Result:
        tagger.analysed.clear()
        return CliRunner().invoke(app, list(map(str, args)), input=stdin)

    return run


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the place of the state file, where commands look for it."""
    monkeypatch.setattr("platformdirs.user_state_path", lambda *_: tmp_path / "state")
    return tmp_path / "state" / "state.sqlite"


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Return a folder with two songs and one that is too short."""
    for name in ("q1_a.flac", "q2_b.flac", "short_c.flac"):
        song(tmp_path / "music" / name)
    return tmp_path / "music"
