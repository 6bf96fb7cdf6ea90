"""Options of `mertag train` for a training of a second, and the call."""

from __future__ import annotations

from typer.testing import CliRunner

from mertag.cli.app import app

QUICK = (
    *("--learner", "inherited", "--svm-songs", 0.18, "--segment", 1, "--crops", 1),
    *("--device", "cpu", "--threads", 1, "--teacher", "none"),
)
TINY = (*QUICK, "--epochs", 2)


def train(*args: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["train", *map(str, args)])
    return result.exit_code, result.stdout, result.stderr
