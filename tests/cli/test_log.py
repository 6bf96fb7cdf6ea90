"""Log lines: which levels are shown, where, and that nothing in them is obeyed by a terminal."""

from __future__ import annotations

import logging

import pytest

from mertag.cli.console import LogLevel, lines_on_stderr, show_from

LEVELS = ["debug", "info", "warning", "error"]


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
