"""Where options come from: the command line, then the environment, then the file; and what cannot be a setting."""

from __future__ import annotations

import functools
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from typer.testing import CliRunner

import mertag.cli.tag
from mertag.cli import settings
from mertag.cli.app import app
from mertag.cli.settings import Kind

KINDS = {name.replace("_", "-"): kind for name, kind in settings.kinds_of(mertag.cli.tag.tag).items()}
FLAGS = [option for option, kind in KINDS.items() if kind == Kind(type=bool)]
LISTS = [option for option, kind in KINDS.items() if kind.many and option != "paths"]
VALUES: dict[str, tuple[object, object, object]] = {  # option: in the file, in the environment, on the command line
    **{option: ("a", "b", "c") for option, kind in KINDS.items() if kind == Kind(type=str) and option != "model"},
    **{option: (1, 2, 3) for option, kind in KINDS.items() if kind == Kind(type=int)},
    **dict.fromkeys(LISTS, (["a", "a b"], ["b", "b c"], ["c", "c d"])),
    "min-confidence": (0.25, 0.5, 0.75),
    "segment-hop": (0.5, 1.5, 2.5),
    "moods": (2, 1, 2),
    "scale": (100, 1, 100),
    "device": ("cpu", "cuda", "auto"),
    "engine": ("ray", "local", "ray"),
    "log-level": ("debug", "info", "error"),
}


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Record what `mertag tag` is called with, in place of running it."""
    found: dict[str, Any] = {}

    @functools.wraps(mertag.cli.tag.tag)
    def record(**options: Any) -> None:
        found.clear()
        found.update(options)

    monkeypatch.setattr(mertag.cli.tag, "tag", record)
    monkeypatch.setenv("MERTAG_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "config.toml").touch()
    return found


def run(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["tag", *args])
    return result.exit_code, result.stderr


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "[" + ", ".join(map(toml, value)) + "]" if isinstance(value, list) else repr(value).replace("'", '"')


def as_given(value: object) -> object:
    return value if isinstance(value, list) else str(value)


def seen(given: dict[str, Any], option: str) -> object:
    value = given[option.replace("-", "_")]
    return value if isinstance(value, list) else str(value)


def test_every_option_is_tried_here() -> None:
    assert {*KINDS} - {"paths", "model"} == {*FLAGS, *VALUES}  # the model has a variable and a test of its own


@pytest.mark.parametrize("option", VALUES)
def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, option: str
) -> None:
    in_file, in_environment, on_line = VALUES[option]
    run()
    default = seen(given, option)
    assert default != as_given(in_file)
    (tmp_path / "config.toml").write_text(f"[tag]\n{option} = {toml(in_file)}\n")
    assert run() == (0, "")
    assert seen(given, option) == as_given(in_file)
    text = "\n".join(in_environment) if isinstance(in_environment, list) else str(in_environment)
    monkeypatch.setenv("MERTAG_TAG_" + option.upper().replace("-", "_"), text)
    assert run() == (0, "")
    assert seen(given, option) == as_given(in_environment)
    values = on_line if isinstance(on_line, list) else [on_line]
    assert run(*(word for value in values for word in (f"--{option}", str(value)))) == (0, "")
    assert seen(given, option) == as_given(on_line)


@pytest.mark.parametrize("option", FLAGS)
def test_a_flag_is_set_by_the_file_unset_by_the_environment_and_set_by_the_command_line(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, option: str
) -> None:
    name = option.replace("-", "_")
    assert run() == (0, "")
    assert given[name] is False
    (tmp_path / "config.toml").write_text(f"[tag]\n{option} = true\n")
    assert run() == (0, "")
    assert given[name] is True
    monkeypatch.setenv(f"MERTAG_TAG_{name.upper()}", "0")
    assert run() == (0, "")
    assert given[name] is False
    assert run(f"--{option}") == (0, "")
    assert given[name] is True


def test_the_model_comes_from_the_command_line_its_variable_or_the_file(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for content in ('model = "/top"\n', 'model = "/other"\n[tag]\nmodel = "/top"\n'):
        (tmp_path / "config.toml").write_text(content)
        assert run() == (0, "")
        assert given["model"] == Path("/top")
    monkeypatch.setenv("MERTAG_BUNDLE", "/variable")
    run()
    assert given["model"] == Path("/variable")
    run("--model", "/line")
    assert given["model"] == Path("/line")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("workers = 2.5", "workers must be a whole number, not 2.5"),
        ("workers = true", "workers must be a whole number, not True"),
        ('workers = "2"', "workers must be a whole number, not '2'"),
        ("quiet = 1", "quiet must be true or false, not 1"),
        ('quiet = "yes"', "quiet must be true or false, not 'yes'"),
        ("min-confidence = true", "min-confidence must be a number, not True"),
        ("jsonl = 3", "jsonl must be text in quotes, not 3"),
        ("report = 2020-01-01", "report must be text in quotes"),
        ("device = {a = 1}", "device must be text in quotes"),
        ("include = [1]", "include must be text in quotes, or a list of such, not [1]"),
        ('paths = ["x"]', "[tag] has no option 'paths'"),
    ],
)
def test_a_value_of_another_type_is_a_usage_error_that_names_it(
    given: dict[str, Any], tmp_path: Path, line: str, says: str
) -> None:
    (tmp_path / "config.toml").write_text(f"[tag]\n{line}\n")
    code, err = run()
    assert (code, given) == (2, {})
    assert says in err
    assert "config.toml" in err


def test_one_pattern_needs_no_brackets(given: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[tag]\nexclude = "Live Shows/*"\nmin-confidence = 1\n')
    assert run() == (0, "")
    assert (given["exclude"], given["min_confidence"]) == (["Live Shows/*"], 1.0)


def test_an_empty_variable_sets_nothing(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for option in (*VALUES, *FLAGS):
        monkeypatch.setenv("MERTAG_TAG_" + option.upper().replace("-", "_"), "")
    assert run() == (0, "")
    assert given["workers"] is None
    assert not given["exclude"]
    assert given["quiet"] is False


def test_both_names_of_an_option_are_settings(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text("[tag]\nwrite-tags = true\n")
    assert run() == (0, "")
    assert given["write_id3"] is True
    (tmp_path / "config.toml").write_text("")
    assert run() == (0, "")
    assert given["write_id3"] is False
    monkeypatch.setenv("MERTAG_TAG_WRITE_TAGS", "1")
    assert run() == (0, "")
    assert given["write_id3"] is True


def test_a_variable_that_sets_no_option_is_told(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERTAG_TAG_WINDOW", "3")
    monkeypatch.setenv("MERTAG_TRAIN_EPOCHS", "3")  # another command's
    code, err = run()
    assert (code, given["windows"]) == (0, None)
    assert err == "mertag: warning: $MERTAG_TAG_WINDOW sets no option of `mertag tag`; it is ignored\n"


def test_the_kind_of_an_option_follows_from_its_annotation() -> None:
    class Word(StrEnum):
        a = "a"

    def command(
        a: Annotated[bool, typer.Option()] = False,
        b: Annotated[int | None, typer.Option()] = None,
        c: Annotated[list[float] | None, typer.Option()] = None,
        d: Annotated[Path, typer.Option()] = Path(),
        e: Annotated[Word, typer.Option()] = Word.a,
        f: Annotated[Literal["x"], typer.Option()] = "x",
        g: float = 1.0,
    ) -> None: ...

    command.__annotations__["e"] = Annotated[Word, typer.Option()]  # a class of this function cannot be looked up
    assert settings.kinds_of(command) == {
        "a": Kind(type=bool),
        "b": Kind(type=int),
        "c": Kind(type=float, many=True),
        "d": Kind(type=str),
        "e": Kind(type=str),
        "f": Kind(type=str),
        "g": Kind(type=float),
    }


def test_numbers_in_a_variable_are_apart_by_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERTAG_TRAIN_SEED", "1 2  3")
    options = {"seed": Kind(type=int, many=True), "fold": Kind(type=int)}
    assert settings.lists_from_environment("train", options) == {"seed": ["1", "2", "3"]}
