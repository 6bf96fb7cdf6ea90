"""Fixtures of the tests of commands that train."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_training import music_folders


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of music of four classes."""
    return music_folders(tmp_path_factory.mktemp("toy") / "music", per_class=11, duration_s=2.5)


@pytest.fixture(scope="module")
def log_mels(music: Path) -> Path:
    """Return where the first training of a module leaves the log-mels, and the others find them."""
    return music.parent / "log-mels"


@pytest.fixture
def own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run in an empty folder, with an empty configuration file there."""
    monkeypatch.setenv("MERTAG_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.delenv("MERTAG_DATA", raising=False)
    (tmp_path / "config.toml").touch()
    monkeypatch.chdir(tmp_path)
