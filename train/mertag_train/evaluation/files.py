"""JSON files that are whole or not there, and errors that say which one is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mertag.errors import DatasetError
from mertag.files import write_whole


def write_json(path: Path, value: object, *, indent: int | None = 1) -> None:
    """Write a file; a killed process leaves the old one, or none."""
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file; a killed process leaves the old one, or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)


def read_json(path: Path, *, schema: int) -> dict[str, Any]:
    """Read a JSON object; raise DatasetError if it is missing, is no JSON object, or is of another schema."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatasetError(f"{path}: there is no such file. Copy it from where the evaluation was begun.") from None
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: not readable ({error}). Delete it, and it is made anew.") from error
    if not isinstance(found, dict) or found.get("schema") != schema:
        raise DatasetError(f"{path}: of a schema that this mertag does not read. Name another --out.")
    return found
