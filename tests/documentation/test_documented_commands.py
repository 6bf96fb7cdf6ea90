"""Every command that the documentation shows is one that could be called: its program, options and values exist."""

from __future__ import annotations

import argparse
import re
import runpy
import sys
import tomllib
from pathlib import Path

import documented
import pytest
from documented import ROOT, Fence, commands_of, fences, lines_of, read
from packaging.requirements import InvalidRequirement, Requirement

from mertag.cli.app import COMMANDS, load_command

pytestmark = pytest.mark.command

OTHER_PROGRAMS = {"find", "jq", "unzip", "ray", "pre-commit"}
SYSTEMCTL = {"--user", "--now"}
LANGUAGES = {"sh", "text", "python", "toml", "yaml", "json", "xml", "ini"}
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"])
RECIPES = set(re.findall(r"^([\w-]+).*:$", (ROOT / "justfile").read_text(encoding="utf-8"), re.MULTILINE))


class ParsedError(Exception):
    """A script has parsed its options: it goes no further."""


def test_every_block_says_what_it_is_written_in() -> None:
    assert {str(fence): fence.language for fence in fences() if fence.language not in LANGUAGES} == {}


def test_no_command_hides_in_a_block_of_text() -> None:
    shown = r"^(\$ )?(mertag|beet|pip|python3?|pytest|just) "
    assert [str(fence) for fence in fences("text") if re.search(shown, fence.text, re.MULTILINE)] == []


@pytest.mark.parametrize("fence", fences("sh"), ids=str)
def test_every_command_can_be_parsed(fence: Fence, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(fence)
    assert lines
    for line in lines:
        for words in commands_of(line):
            parse(words, monkeypatch)


def test_a_command_that_cannot_be_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        "tag ~/Music --no-such": "No such option",
        "tag . --moods 7": "from 1 to 2",
        "undo --run x": "whole number",
    }
    for line, complaint in wrong.items():
        with pytest.raises(Exception, match=complaint):
            parse(commands_of(f"mertag {line}")[0], monkeypatch)
    for line in ("mertag sing", "pip install 'mertag[song]'", "just sing", "pytest tests/none.py", "rm -r ."):
        with pytest.raises(AssertionError):
            parse(commands_of(line)[0], monkeypatch)
    with pytest.raises(SystemExit):
        parse(commands_of("python benchmarks/startup.py --no-such")[0], monkeypatch)


def parse(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise if a command cannot be."""
    program, *rest = Path(words[0]).name, *words[1:]
    if program == "mertag":
        assert rest[0] in COMMANDS, words
        command = load_command(rest[0])
        with command.make_context(rest[0], rest[1:]) as context:  # raises for what cannot be
            assert context.params
    elif program == "beet":
        _parse_beet(rest)
    elif program in ("python", "python3"):
        _parse_python(rest, monkeypatch)
    elif program == "pip":
        _parse_pip(rest)
    elif program == "pytest":
        assert all((ROOT / word).exists() for word in rest if word.startswith("tests/")), words
    elif program == "just":
        assert not rest or rest[0] in RECIPES, words
    elif program == "run":
        assert words == [".ci/run"]
    elif program == ".":
        assert words == [".", ".venv/bin/activate"]
    else:
        assert program in OTHER_PROGRAMS, words


def _parse_beet(words: list[str]) -> None:
    commands = pytest.importorskip("beets.ui.commands").default_commands
    from beetsplug.mertag import MertagPlugin

    known = {command.name: command for command in [*commands, *MertagPlugin().commands()]}
    assert words[0] in {name for command in known.values() for name in (command.name, *command.aliases)}, words
    if words[0] in known:
        known[words[0]].parser.parse_args(words[1:])


def _parse_python(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if words[0] == "-m":
        assert words[1] in ("venv", "pytest"), words
        return
    script = ROOT / words[0]
    parse_args = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser: argparse.ArgumentParser, *args: object) -> None:
        parse_args(parser, *args)  # type: ignore[arg-type]  # ends the process if they cannot be
        raise ParsedError

    with monkeypatch.context() as patch:
        patch.syspath_prepend(script.parent)
        patch.setattr(sys, "argv", [script.name, *words[1:]])
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
        with pytest.raises(ParsedError):
            runpy.run_path(str(script), run_name="__main__")


def _parse_pip(words: list[str]) -> None:
    assert words[0] in ("install", "download", "uninstall"), words
    for word in words[1:]:
        place = re.fullmatch(r"\.\[(.*)\]", word)
        if place:
            assert set(place[1].split(",")) <= EXTRAS, words
            continue
        try:
            requirement = Requirement(word)
        except InvalidRequirement:
            continue
        assert requirement.name != "mertag" or requirement.extras <= EXTRAS, words


def test_the_exit_codes_are_those_of_the_console() -> None:
    from mertag.cli.console import ExitCode

    rows = re.findall(r"^\| (\d+) \| ", read("docs/ci.md"), re.MULTILINE)
    assert [int(row) for row in rows] == [int(code) for code in ExitCode]


@pytest.mark.parametrize("page", documented.PAGES)
def test_every_option_that_a_page_names_exists(page: str) -> None:
    others = [*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "beetsplug").glob("*.py")]
    declared = {option for path in others for option in re.findall(r'"(--[a-z-]+)"', path.read_text(encoding="utf-8"))}
    known = {"--version", "--help", "--install-completion"} | SYSTEMCTL | declared
    for name in COMMANDS:
        known |= {option for parameter in load_command(name).params for option in parameter.opts}
    spoken = re.findall(r"`([^`\n]+)`", documented.FENCE.sub("", read(page)))
    named = {option for words in spoken for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", words)}
    assert named - known == set()
