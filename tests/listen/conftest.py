"""Fixtures of the tests of what hears."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mertag.listen.bundle import Bundle


@pytest.fixture
def bundle_folder(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """Return a copy of a good bundle, to be damaged."""
    return Path(shutil.copytree(tiny_bundle.folder, tmp_path / "bundle"))
