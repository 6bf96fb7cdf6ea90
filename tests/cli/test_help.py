"""The help and the complaints of each command: groups, examples, plain words, ranges with their source."""

from __future__ import annotations

import re
import shlex
from inspect import signature
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mertag.cli.app import COMMANDS, app, load_command
from mertag.cli.tag import tag
from mertag.cli.watch import watch

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


def test_the_list_of_commands_is_not_cut_at_80_columns() -> None:
    text = " ".join(run("--help").stdout.split())
    assert [name for name, command in COMMANDS.items() if command.help not in text] == []


def test_the_options_of_tag_stand_in_groups() -> None:
    text = run("tag", "-h").stdout
    titles = re.findall(r"^(\w.*):$", text, re.MULTILINE)
    expected = ["Which songs", "What is written", "Where it runs", "How it listens", "Memory", "Output"]
    assert titles == ["Arguments", *expected]
    assert re.search(r"-n, --dry-run", text)


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_example_can_be_parsed(command: str) -> None:
    pytest.importorskip("torch") if command not in RUNTIME else None
    text = " ".join(run(command, "-h").stdout.split())
    examples = re.findall(r"Example: (.*?)(?= Example:|$)", text)
    assert examples
    for example in examples:
        mertag, named, *words = shlex.split(example)
        assert (mertag, named) == ("mertag", command)
        with load_command(named).make_context(named, words) as context:  # raises for what cannot be
            assert context.params


def test_watch_takes_its_options_from_tag_with_the_same_defaults() -> None:
    of_tag, of_watch = (
        {
            parameter.name: (parameter.annotation, parameter.default)
            for parameter in signature(command).parameters.values()
        }
        for command in (tag, watch)
    )
    assert of_watch.keys() - of_tag.keys() == {"settle", "poll"}
    shared = of_watch.keys() & of_tag.keys() - {"paths"}
    assert {name: of_watch[name] for name in shared} == {name: of_tag[name] for name in shared}


def test_an_export_has_no_groups_of_one_option() -> None:
    pytest.importorskip("torch")
    assert re.findall(r"^(\w.*):$", run("export", "-h").stdout, re.MULTILINE) == ["Arguments", "Options"]


def test_a_usage_line_has_no_programmers_brackets() -> None:
    pytest.importorskip("torch")
    assert re.match(r"Usage: \w+ export \[OPTIONS\] \[RUN\]\n", run("export", "-h").stdout)
    text = run("plot", "-h").stdout
    assert re.match(r"Usage: \w+ plot \[OPTIONS\] FILES\.\.\.\n", text)
    assert not re.search(r"\[\[|[{}]", text + run("export", "-h").stdout)


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
