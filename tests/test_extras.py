"""A message that names an extra prints a command that works in this very environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mertag import extras


@pytest.mark.parametrize(
    ("file", "origin", "start", "end"),
    [
        ("pipx_metadata.json", {}, "pipx install --force ", "'mertag[plot]'"),
        ("uv-receipt.toml", {}, "uv tool install --force ", "'mertag[plot]'"),
        ("pyvenv.cfg", {}, "PYTHON -m pip install ", "'mertag[plot]'"),
        (
            "pyvenv.cfg",
            {"url": "file:///src/my%20mertag", "dir_info": {"editable": True}},
            "PYTHON -m pip install ",
            "--editable '/src/my mertag[plot]'",
        ),
    ],
)
def test_the_command_is_that_of_the_installer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, origin: dict[str, object], start: str, end: str
) -> None:
    (tmp_path / file).write_text("")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "executable", "PYTHON")
    monkeypatch.setattr(extras, "_origin", lambda: origin)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert extras.install_command("plot") == start + end


def test_an_environment_without_pip_gets_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "_origin", lambda: json.loads("{}"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(sys, "executable", "/v/bin/python")
    assert extras.install_command("cuda") == "uv pip install --python /v/bin/python 'mertag[cuda]'"
