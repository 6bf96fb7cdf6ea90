"""Every error has its exit code, and nothing dangerous reaches the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from mertag import errors
from mertag.cli import console
from mertag.cli.console import ExitCode
from mertag.interrupt import Terminated


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
    assert console.clean(Path("caf\udce9 [bold]é")) == "caf\\xe9 [bold]é"


def test_a_table_that_is_not_on_a_terminal_is_tab_separated(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(["song", "label"], [["a\tb[red]", "Sad"]])
    assert capsys.readouterr().out == "song\tlabel\na\\x09b[red]\tSad\n"
