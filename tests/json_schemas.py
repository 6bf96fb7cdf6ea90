"""Checks values against the JSON Schemas that mertag ships."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mertag

FOLDER = Path(mertag.__file__).parent / "schemas"


def valid(value: object, schema: str) -> bool:
    """Return True, or raise what jsonschema has to object."""
    pytest.importorskip("jsonschema").validate(value, json.loads((FOLDER / f"{schema}.json").read_text()))
    return True
