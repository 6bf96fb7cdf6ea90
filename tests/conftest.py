"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real audio, which is not part of the project; skip where it is absent."""
    named = os.environ.get("MERTAG_TEST_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real audio is not here (set MERTAG_TEST_DATA to its folder)")
    return folder
