"""Fixtures of the tests of runs over a library."""

from __future__ import annotations

from pathlib import Path

import pytest
from remembering import Library


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Return an empty library, with a state file beside it."""
    return Library(tmp_path)
