"""Steps of a measurement on a machine that is at hand for minutes: what fails or hangs costs its own step only.

Each step is a process of its own, forked, so that a GPU that one has upset is whole for the next. What it says is in
the JSON file at once, and what it and its processes print in the log: both are useful when the machine is taken away in
the middle. Linux only.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mertag.files import write_whole

LEAST_S = 5.0
"""With less time left, no step is begun."""
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux's prctl
GRACE_S = 3.0
"""So much earlier than it is killed, a step is asked to end."""


class Record:
    """The JSON file: an object with an entry for each step."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Any]:
        """Return what is in it."""
        found: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}
        return found

    def put(self, step: str, **values: Any) -> None:
        """Add to what is known of a step; the file is whole at any time."""
        known = self.read()
        known.setdefault("steps", {}).setdefault(step, {}).update(values)
        write_whole(self.path, json.dumps(known, indent=1) + "\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a step gets: `say` puts values into the record; by `until` (`time.monotonic`) it should have ended."""

    say: Callable[..., None]
    until: float

    def left_s(self) -> float:
        """Return how many seconds are left."""
        return self.until - time.monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One of them: what it is called, what it does, and the longest that it may take, in seconds."""

    name: str
    work: Callable[[Told], None]
    most_s: float


def run_steps(steps: Sequence[Step], record: Record, log: Path, *, budget_s: float) -> bool:
    """Run steps one after the other, within so many seconds; return whether all were done.

    Of each, the record has a `state`: ``running``, ``done``, ``failed``, ``stopped`` (it took too long) or ``not
    begun`` (no time was left).
    """
    end, all_done = time.monotonic() + budget_s, True
    for step in steps:
        allowed = min(step.most_s, end - time.monotonic())
        if allowed < LEAST_S:
            record.put(step.name, state="not begun", reason="no time was left")
            all_done = False
            continue
        began = time.monotonic()
        record.put(step.name, state="running")
        state = _state_of(step, record, log, allowed)
        seconds = round(time.monotonic() - began, 1)
        record.put(step.name, state=state, seconds=seconds)
        print(f"{step.name}: {state}, {seconds} s", flush=True)
        all_done &= state == "done"
    return all_done


def _state_of(step: Step, record: Record, log: Path, allowed: float) -> str:
    before = log.stat().st_size if log.exists() else 0
    fork = multiprocessing.get_context("fork")
    process = fork.Process(target=_in_child, args=(step, record, log, time.monotonic() + allowed - GRACE_S))
    process.start()
    process.join(allowed)
    state = "stopped" if process.is_alive() else "done" if process.exitcode == 0 else "failed"
    _end_group(process.pid)
    process.join()
    with log.open("rb") as written:
        written.seek(before)
        print(written.read().decode(errors="replace"), end="", flush=True)
    if state == "failed" and process.exitcode != 1:
        record.put(step.name, reason=f"it ended with {process.exitcode}")
    return state


def _end_group(pid: int | None) -> None:
    """End a step's process, and what it started and left behind."""
    assert pid is not None
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _in_child(step: Step, record: Record, log: Path, until: float) -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    os.setpgid(0, 0)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1, encoding="utf-8", closefd=False)
    print(f"\n== {step.name}", flush=True)
    try:
        step.work(Told(say=lambda **values: record.put(step.name, **values), until=until))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, the next step is to run
        traceback.print_exc()
        record.put(step.name, reason=f"{type(error).__name__}: {error}"[:500])
        sys.exit(1)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
