"""Decoders that do what the name of a file says; worker processes import them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mertag.errors import SilentError

CHUNK = np.arange(1000, dtype=np.float32)


def by_name(path: Path, *, front_end: object, chunk_s: float) -> Iterator[np.ndarray]:
    """Do what the name of the file says, after one chunk."""
    yield CHUNK
    what = path.name.split("-")[0]
    if what == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "exit":
        os._exit(3)
    elif what == "hang":
        time.sleep(1000)
    elif what == "slow":
        for _ in range(8):
            time.sleep(0.25)
            yield CHUNK
    elif what == "steps":
        for _ in range(5):
            time.sleep(0.1)
            yield CHUNK
    elif what == "late":
        time.sleep(0.6)
    elif what == "raise":
        raise IndexError("list index out of range")
    elif what == "silent":
        raise SilentError(path, "nothing but silence")
    elif what == "greedy":
        yield np.ones(2_000_000_000, np.float32)
    elif what == "print":
        print("to standard output")
        os.write(1, b"to file descriptor 1")
        os.write(2, b"to file descriptor 2")
    yield CHUNK + 1


def endless(path: Path, *, front_end: object, chunk_s: float) -> Iterator[np.ndarray]:
    """Give as many chunks as the name says; a file `count` beside it tells how many were asked for."""
    for n in range(int(path.name)):
        (path.parent / "count").write_text(str(n + 1))
        yield np.full(100_000, n, np.float32)
