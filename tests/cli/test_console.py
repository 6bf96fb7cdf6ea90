"""Every error has its exit code, log lines their level, and nothing dangerous reaches the terminal."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import typer
from file_names import named

from mertag import errors
from mertag.cli import console
from mertag.cli.console import ExitCode, LogLevel, lines_on_stderr, show_from
from mertag.interrupt import Terminated

LEVELS = ["debug", "info", "warning", "error"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("x"), 2),
        (errors.DecodeError("song.mp3", "damaged"), 1),
        (errors.BundleError("x"), 3),
        (errors.DeviceError("x"), 3),
        (errors.DatasetError("x"), 3),
        (errors.MissingExtraError("train", "train", "torch"), 3),
        (errors.ParityError("x"), 3),
        (errors.TrainingError("x"), 3),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
        (BrokenPipeError(), 141),
        (ValueError("x"), 70),
    ],
)
def test_each_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert console.exit_code(error) == code


def test_an_error_of_ours_is_one_clean_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught, console.errors_end_the_command():
        raise errors.DecodeError(Path("a\x1b]0;title\x07\n.mp3"), "damaged")
    assert caught.value.exit_code == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "mertag: error: a\\x1b]0;title\\x07\\x0a.mp3: damaged\n"


def test_a_mistake_of_ours_shows_its_traceback_and_ends_with_70(capsys: pytest.CaptureFixture[str]) -> None:
    def wrong() -> None:
        raise ValueError("\x1b[2J")

    with pytest.raises(SystemExit) as caught:
        console.run(wrong)
    assert caught.value.code == ExitCode.BUG
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "\x1b" not in shown


def test_paths_are_shown_by_their_bytes() -> None:
    assert console.clean(Path("caf\udce9 [bold]" + named("é"))) == "caf\\xe9 [bold]é"


def test_a_table_that_is_not_on_a_terminal_is_tab_separated(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(["song", "label"], [["a\tb[red]", "Sad"]])
    assert capsys.readouterr().out == "song\tlabel\na\\x09b[red]\tSad\n"


def log_everything() -> None:
    for level in LEVELS:
        logging.getLogger("mertag.somewhere").log(getattr(logging, level.upper()), "%s of %s", level, "a song")


@pytest.mark.parametrize("level", LEVELS)
def test_lines_of_a_level_and_above_are_shown_with_it(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    with lines_on_stderr():
        show_from(LogLevel(level))
        log_everything()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [f"mertag: {shown}: {shown} of a song" for shown in LEVELS[LEVELS.index(level) :]]


def test_without_a_wish_warnings_are_shown_and_afterwards_all_is_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("mertag")
    before = logger.level, logger.propagate, list(logger.handlers)
    with lines_on_stderr():
        log_everything()
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert (logger.level, logger.propagate, logger.handlers) == before


def test_a_message_is_one_line_whatever_a_name_in_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    with lines_on_stderr():
        logging.getLogger("mertag.x").warning("%s is odd", "a\nmertag: error: forged\x1b[31m\u202e\udce9")
    err = capsys.readouterr().err
    assert err == "mertag: warning: a\\x0amertag: error: forged\\x1b[31m\\u202e\\xe9 is odd\n"


def test_a_traceback_comes_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    with lines_on_stderr():
        try:
            raise ValueError("\x1b]0;title\x07")
        except ValueError:
            logging.getLogger("mertag.x").exception("that went wrong")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "mertag: error: that went wrong"
    assert lines[1] == "mertag: error: Traceback (most recent call last):"
    assert lines[-1] == "mertag: error: ValueError: \\x1b]0;title\\x07"


def test_loggers_of_other_programs_are_not_ours(capsys: pytest.CaptureFixture[str]) -> None:
    with lines_on_stderr():
        show_from(LogLevel.debug)
        logging.getLogger("other.library").info("nothing for us")
    assert capsys.readouterr().err == ""
