"""The JSON Schemas that mertag ships are those of its types.

To write them anew: ``PYTHONPATH=tests python tests/library/test_schemas.py``.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from json_schemas import FOLDER

from mertag.library.overview.sums import Overview
from mertag.library.records import SCHEMA, Record
from mertag.library.reports import Removed, Report, Undone, UndoReport
from mertag.library.sidecar import Sidecar

TYPES: dict[str, tuple[type, ...]] = {
    "record": (Record,),
    "sidecar": (Sidecar,),
    "report": (Report,),
    "undo": (UndoReport, Undone, Removed),
    "overview": (Overview,),
}


def made(name: str) -> str:
    """Return the schema of the first of some types, which may refer to the others."""
    main, *_ = TYPES[name]
    _, parts = msgspec.json.schema_components(TYPES[name], ref_template="#/$defs/{name}")
    top: dict[str, Any] = parts.pop(main.__name__)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema = head | top | {"title": f"mertag {name} {SCHEMA}", "$defs": parts}
    return json.dumps(schema, indent=2) + "\n"


def alternatives_sorted(schema: Any) -> Any:
    """Return a schema with its alternatives in one order: msgspec's differs from version to version."""
    if isinstance(schema, dict):
        schema = {key: alternatives_sorted(value) for key, value in schema.items()}
        return schema | {"anyOf": sorted(schema["anyOf"], key=json.dumps)} if "anyOf" in schema else schema
    return [alternatives_sorted(item) for item in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize("name", TYPES)
def test_a_schema_is_what_its_types_give(name: str) -> None:
    shipped = json.loads((FOLDER / f"{name}.json").read_text())
    assert alternatives_sorted(shipped) == alternatives_sorted(json.loads(made(name))), "see the docstring of this file"


def test_every_schema_has_its_types() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(TYPES)


@pytest.mark.parametrize("name", TYPES)
def test_a_schema_is_a_schema_and_refuses_what_it_does_not_name(name: str) -> None:
    validator = pytest.importorskip("jsonschema").Draft202012Validator
    schema = json.loads(made(name))
    validator.check_schema(schema)
    for part in (schema, *schema["$defs"].values()):
        assert part["additionalProperties"] is False
        assert set(part["properties"]) - set(part["required"]) <= {"path_base64", "file_base64", "files"}


if __name__ == "__main__":
    for each in TYPES:
        (FOLDER / f"{each}.json").write_text(made(each))
