"""What a person sees of a training: a bar on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mertag.cli import console
from mertag.emotion import Target
from mertag_train.commands import progress
from mertag_train.commands.progress import LINE_EVERY_S, TrainingProgress
from mertag_train.learn.trainer import EpochReport, Progress
from mertag_train.runs.forecast import Forecast


def step(number: int, *, remaining_s: float = 3725.0) -> Progress:
    return Progress(epoch=2, epochs=14, step=number, steps=90, loss=1.2345, elapsed_s=60.0, remaining_s=remaining_s)


REPORT = EpochReport(
    epoch=2,
    epochs=14,
    loss=1.2345,
    learning_rate=0.01,
    validation_accuracy=0.5,
    segments_per_s=12.3,
    duration_s=75.2,
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    now = {"s": 1000.0}
    monkeypatch.setattr(progress.time, "monotonic", lambda: now["s"])
    return now


def test_off_a_terminal_epochs_are_lines_and_steps_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], clock: dict[str, float]
) -> None:
    with TrainingProgress(quiet=False) as shown:
        shown.on_clip(1, 2)
        shown.on_clip(2, 2)
        shown.on_target(Target.VALENCE)
        shown.on_step(step(1))
        clock["s"] += LINE_EVERY_S
        shown.on_step(step(11))
        shown.on_step(step(21))
        shown.on_epoch(REPORT)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "  log-mels: 2 of 2 clips",
        "valence:",
        "  epoch 2 of 14: step 11 of 90, loss 1.234, 1 h 2 min left",
        "  epoch 2 of 14: loss 1.234, held-out accuracy 0.500, 12 segments/s, 1 min 15 s",
    ]


def test_each_network_is_named_and_so_is_the_pre_training_which_has_epochs_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with TrainingProgress(quiet=False) as shown:
        for number in (0, 1, 2):
            shown.on_network(number, 2)
    assert capsys.readouterr().err.splitlines() == [
        " pre-training, with which all networks begin",
        " network 1 of 2",
        " network 2 of 2",
    ]
    with TrainingProgress(quiet=False) as shown:
        shown.on_network(1, 1)
    assert capsys.readouterr().err == ""


def test_the_time_left_is_that_of_the_whole_run(capsys: pytest.CaptureFixture[str], clock: dict[str, float]) -> None:
    one = Forecast(weights=1, pretrained=True, segment_s=1.0, segments=(100.0, 300.0, 200.0))
    with TrainingProgress(quiet=False) as shown:
        shown.expect({Target.VALENCE: one, Target.AROUSAL: replace(one, pretrained=False, segments=(50.0,))})
        for target, number, done in (
            (Target.VALENCE, 0, 45),  # step 45 of 90 in epoch 2 of 14: 25 / 28 of it is left
            (Target.VALENCE, 2, 45),
            (Target.AROUSAL, 1, 45),
            (Target.AROUSAL, 1, 90),
        ):
            clock["s"] += LINE_EVERY_S
            shown.on_target(target)
            shown.on_network(number, 2)
            shown.on_step(step(done, remaining_s=50.0))
    left = [line.rpartition(", ")[2] for line in capsys.readouterr().err.splitlines() if " left" in line]
    # 100 segments at 0.56 s, and 550 after them; 200 at 0.28 s, and 50 after them; the last
    assert left == ["5 min 58 s left", "1 min 4 s left", "50 s left", "50 s left"]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str], clock: dict[str, float]) -> None:
    with TrainingProgress(quiet=True) as shown:
        shown.on_clip(2, 2)
        clock["s"] += 10 * LINE_EVERY_S
        shown.on_step(step(1))
        shown.on_epoch(REPORT)
        shown.note("note")
    assert capsys.readouterr() == ("", "")


def test_a_terminal_has_a_bar_with_the_time_left_and_epochs_above_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "stream_is_terminal", lambda name: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with TrainingProgress(quiet=False) as shown:
        shown.on_step(step(45, remaining_s=59.6))
        shown._bar.refresh()
        shown.on_epoch(REPORT)
    err = capsys.readouterr().err
    assert "step 45 of 90" in err
    assert "1 min 0 s left" in err
    assert "epoch 2 of 14: loss 1.234" in err


def test_names_of_songs_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress(quiet=False) as shown:
        shown.note("folder \x1b[2J: 3 songs")
    assert "\x1b" not in capsys.readouterr().err
