"""What may go wrong in a worker process: it costs one file, and the reason is told."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from named_files import ODD, POSIX, endings, is_gone, listed

from mertag.errors import DecodeError, MertagError
from mertag.listen.decode.pool import DecoderPool

pytestmark = pytest.mark.command


@pytest.fixture(autouse=True)
def watched_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look more often than each half second for what takes too long: time limits are short here."""
    monkeypatch.setattr("mertag.listen.decode.pool._TICK_S", 0.1)


@POSIX
def test_a_crash_costs_one_file() -> None:
    names = ["a", "segfault-1", "b", "exit-2", "killed-3", "c", "segfault-4", "d"]
    with DecoderPool(workers=2, decoder=ODD) as pool:
        ends = endings(pool.decode(listed(*names)))
    assert ends == {
        **dict.fromkeys("abcd"),
        "segfault-1": "the decoder crashed on it (SIGSEGV)",
        "segfault-4": "the decoder crashed on it (SIGSEGV)",
        "killed-3": "the decoder crashed on it (SIGKILL)",
        "exit-2": "the decoder ended in the midst of it (exit status 3)",
    }


def test_a_hang_costs_one_file_and_its_time() -> None:
    start = time.monotonic()
    with DecoderPool(workers=2, decoder=ODD, timeout_s=1.5) as pool:
        ends = endings(pool.decode(listed("a", "hang-1", "b", "slow-2", "c")))
    assert ends.pop("hang-1") == "the decoder made no progress for 2 s and was stopped"
    assert ends == dict.fromkeys(["a", "b", "slow-2", "c"])  # slow in all, but it goes on
    assert time.monotonic() - start < 60


def test_a_pool_says_that_nothing_came_if_asked_to() -> None:
    with DecoderPool(workers=1, decoder=ODD, report_idle=True) as pool:
        pieces = [(piece.chunk is None, piece.last) for piece in pool.decode(listed("late-1"))]
    assert pieces[-1] == (True, True)
    assert (True, False) in pieces[1:-1]


@POSIX
def test_a_worker_that_is_stopped_from_outside_is_replaced() -> None:
    with DecoderPool(workers=1, decoder=ODD, timeout_s=1.0) as pool:
        pieces = pool.decode(listed("slow-1", "a"))
        next(pieces)
        (pid,) = pool.pids
        os.kill(pid, signal.SIGSTOP)
        ends = endings(pieces)
        assert is_gone(pid)
    assert ends == {"slow-1": "the decoder made no progress for 1 s and was stopped", "a": None}


def test_a_slow_consumer_is_not_taken_for_a_hang(tmp_path: Path) -> None:
    # While it is at a chunk of one file, the decoder of the other has no room, and says nothing for longer than it may.
    slept = 0
    with DecoderPool(workers=2, decoder="odd_decoders:endless", timeout_s=1.0) as pool:
        for piece in pool.decode([(0, tmp_path / "12"), (1, tmp_path / "12")]):
            assert piece.error is None
            if piece.chunk is not None and slept < 4:
                slept += 1
                time.sleep(1.1)


@POSIX
def test_a_worker_that_dies_between_two_files_costs_nothing() -> None:
    with DecoderPool(workers=1, decoder=ODD) as pool:
        assert endings(pool.decode(listed("a"))) == {"a": None}
        (pid,) = pool.pids
        os.kill(pid, signal.SIGKILL)
        assert is_gone(pid)
        assert endings(pool.decode(listed("b", "c"))) == {"b": None, "c": None}
        assert pid not in pool.pids


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces the limit")
def test_a_file_that_takes_too_much_memory_fails_alone() -> None:
    with DecoderPool(workers=1, decoder=ODD, memory_limit_bytes=1 << 30) as pool:
        ends = endings(pool.decode(listed("greedy-1", "a")))
    assert ends == {"greedy-1": "needs more memory to decode than a decoder may take", "a": None}


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_decoder_raises_costs_its_file(workers: int) -> None:
    with DecoderPool(workers=workers, decoder=ODD) as pool:
        errors = {piece.path.name: piece.error for piece in pool.decode(listed("raise", "silent", "a")) if piece.last}
    assert errors["a"] is None
    assert type(errors["raise"]) is DecodeError
    assert errors["raise"].reason == "the decoder failed: IndexError: list index out of range"
    assert type(errors["silent"]).__name__ == "SilentError"


def test_what_a_decoder_prints_goes_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    with DecoderPool(workers=1, decoder=ODD) as pool:
        assert endings(pool.decode(listed("print-1", "a"))) == {"print-1": None, "a": None}
    assert capfd.readouterr() == ("", "")


def test_workers_that_cannot_start_end_the_run_with_their_reason() -> None:
    with (
        DecoderPool(workers=2, decoder="no_such_module:decode") as pool,
        pytest.raises(MertagError, match="do not start: ModuleNotFoundError: No module named 'no_such_module'"),
    ):
        list(pool.decode(listed("a", "b")))
    assert pool.pids == frozenset()
