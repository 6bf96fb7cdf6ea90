"""The help and the complaints of each command: groups, examples, plain words, ranges with their source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mertag.cli.app import COMMANDS, app

RUNTIME = ("tag", "undo", "remove", "info")


def run(*args: str, **env: str) -> Result:
    return CliRunner().invoke(app, list(args), env={"COLUMNS": "80", "MERTAG_CONFIG": "", **env})


@pytest.mark.parametrize("command", list(COMMANDS))
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_plain_text_of_80_columns_with_an_example(command: str, flag: str) -> None:
    pytest.importorskip("torch") if command not in RUNTIME else None
    result = run(command, flag)
    assert result.exit_code == 0
    assert f"Example: mertag {command} " in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    for word in ("list[", "int range", "float range", "<=x", "Path", "\x1b"):
        assert word not in result.stdout


def test_the_options_of_tag_stand_in_groups() -> None:
    text = run("tag", "-h").stdout
    titles = re.findall(r"^(\w.*):$", text, re.MULTILINE)
    assert titles == ["Arguments", "Which songs", "What is written", "How it listens", "Memory", "Output"]
    assert re.search(r"-n, --dry-run", text)


def test_every_example_can_be_parsed() -> None:
    for command in RUNTIME:
        example = re.search(r"Example: mertag (.*)", run(command, "-h").stdout)
        assert example is not None
        said = run(*example[1].split(), "--help")
        assert said.exit_code == 0, said.output


def test_a_value_out_of_range_names_the_range_and_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = "it must be a whole number from 1 to 2"
    assert f"'--moods': {asked}\n" in run("tag", ".", "--moods", "3").stderr
    assert f"{asked} (it comes from $MERTAG_TAG_MOODS)" in run("tag", ".", MERTAG_TAG_MOODS="5").stderr
    config = tmp_path / "config.toml"
    config.write_text("[tag]\nmoods = 7\n")
    result = run("tag", ".", MERTAG_CONFIG=str(config))
    assert result.exit_code == 2
    assert f"{asked} (it comes from {config})" in result.stderr.replace("\n", "")
    assert "it must be a whole number of 1 or more" in run("tag", ".", "--workers", "0").stderr
    assert "it must be a number from 0 to 1" in run("tag", ".", "--min-confidence", "x").stderr
