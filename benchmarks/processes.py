"""One measured run: a process of its own, its processor time and peak memory, and those of all its children."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SAMPLE_EVERY_S = 0.02
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a run took.

    Attributes
    ----------
    wall_s : float
        From the start of the process to its end.
    peak_mb : float or None
        Largest sum of the resident memory of the process and all below it, in 10^6 bytes, sampled every 20 ms; pages
        that they share count more than once. None where there is no ``/proc``, or it was not asked for.
    cpu_s : float
        Processor time of the process and of all below it that it waited for, user and system, in seconds. 0 on Windows.
    out : str
        Its standard output.
    said : dict
        The JSON object in the last line of its standard output, or nothing.
    """

    wall_s: float
    peak_mb: float | None
    cpu_s: float
    out: str
    said: dict[str, Any]


def measure(
    command: Sequence[str | Path], *, given: Iterable[Path] = (), speaks: bool = True, memory: bool = True
) -> Measured:
    """Run a command and watch it.

    Parameters
    ----------
    command : sequence of str or Path
        Program and arguments.
    given : iterable of Path
        Goes to its standard input, one a line.
    speaks : bool
        Whether the last line of its output is a JSON object.
    memory : bool
        Whether its memory is sampled, which takes a little of a processor itself.

    Raises
    ------
    SystemExit
        With its own last words, if it fails.
    """
    began, began_cpu_s = time.perf_counter(), _children_cpu_s()
    pipe = subprocess.PIPE
    process = subprocess.Popen([str(p) for p in command], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    peak, done = [0], threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, peak, done))
    if memory:
        watcher.start()
    out, err = process.communicate("".join(f"{path}\n" for path in given))
    wall_s, cpu_s = time.perf_counter() - began, _children_cpu_s() - began_cpu_s
    done.set()
    if memory:
        watcher.join()
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{err}")
    said = json.loads(out.strip().splitlines()[-1]) if speaks else {}
    return Measured(wall_s=wall_s, peak_mb=peak[0] / 1e6 or None, cpu_s=cpu_s, out=out, said=said)


def _children_cpu_s() -> float:
    """Return the processor time of all processes that have ended below this one."""
    times = os.times()
    return times.children_user + times.children_system


def _watch(root: int, peak: list[int], done: threading.Event) -> None:
    while not done.wait(_SAMPLE_EVERY_S):
        peak[0] = max(peak[0], resident_bytes(root))


def resident_bytes(root: int) -> int:
    """Return the resident memory of a process and all below it, 0 where that cannot be read."""
    total, left = 0, [root]
    while left:
        pid = left.pop()
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
            for task in Path(f"/proc/{pid}/task").iterdir():
                left += map(int, (task / "children").read_text().split())
        except OSError:  # it has just ended
            continue
    return total


def ratio(ones: Iterable[float], others: Iterable[float]) -> float:
    """Return the median of the ratios within each turn: what the machine did meanwhile bears on both alike."""
    return statistics.median(one / other for one, other in zip(ones, others, strict=True))


def spread(values: Sequence[float]) -> str:
    """Return the median, with the smallest and the largest."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}..{max(values):.2f})"


def machine(threads: int) -> str:
    """Return what was measured on, in a line."""
    from mertag.listen.cpu_precision import cpu_model
    from mertag.listen.sessions import onnxruntime_version

    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    versions = f"Python {platform.python_version()}, onnxruntime {onnxruntime_version()}"
    return f"{cpu_model()}, {threads} of {os.cpu_count()} processors, {platform.system()}, {versions}{load}"


def me(script: str) -> list[str]:
    """Return the command that runs a script of this folder."""
    return [sys.executable, str(Path(__file__).with_name(script))]
