"""Copies of a good bundle, damaged by the tests, and the words with which they are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mertag.errors import BundleError
from mertag.listen.bundle import load_bundle
from mertag.listen.manifest import Manifest


def edit(folder: Path, change: Callable[[dict], object]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def refuse(folder: Path, *words: str) -> None:
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    for word in (str(folder), *words):
        assert word in str(caught.value)


def load_manifest(folder: Path) -> Manifest:
    return Manifest.from_json((folder / "manifest.json").read_text())
