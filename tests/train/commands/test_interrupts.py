"""Ctrl-C is answered while something that Python cannot interrupt is computed, and a second one does not wait."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mertag
from mertag_train.commands.interrupts import WAITING, answered_interrupts

pytestmark = [pytest.mark.command, pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")]

ROOT = Path(mertag.__file__).resolve().parents[1]
# Its main thread does not hear of signals: as in a step of a network, Python gets to act only when the call is done.
SCRIPT = """
import signal, sys, threading, time
sys.path[:0] = {paths!r}
from mertag_train.commands.interrupts import answered_interrupts
with answered_interrupts():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    threading.Timer(0.5, lambda: print("begun", flush=True)).start()
    time.sleep({seconds})
"""


def begun(seconds: float) -> subprocess.Popen[str]:
    """Return a process that is in one long call."""
    code = SCRIPT.format(paths=[str(ROOT), str(ROOT / "train")], seconds=seconds)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def test_a_call_that_cannot_be_interrupted_is_waited_for_and_this_is_said() -> None:
    process = begun(2.5)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.readline().strip() == WAITING
    assert process.poll() is None  # it is said while the call goes on
    assert "KeyboardInterrupt" in process.communicate(timeout=60)[1]


def test_a_second_interrupt_does_not_wait() -> None:
    process = begun(100)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.readline().strip() == WAITING
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20)[1] == "mertag: interrupted\n"
    assert process.returncode == 130


def test_a_quick_end_says_nothing_and_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), answered_interrupts():
        signal.raise_signal(signal.SIGINT)
    assert signal.set_wakeup_fd(-1) == -1
    time.sleep(0.6)
    assert WAITING not in capsys.readouterr().err
