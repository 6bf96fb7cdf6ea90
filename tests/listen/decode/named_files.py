"""Files that exist by name only, what became of each, and whether a process has ended."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mertag.listen.decode.pool import Decoded

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
ODD = "odd_decoders:by_name"


def listed(*names: str) -> list[tuple[int, Path]]:
    return [(i, Path("/nowhere") / name) for i, name in enumerate(names)]


def endings(found: Iterator[Decoded]) -> dict[str, str | None]:
    """Return why each file failed, None where it did not; each must end once, without a chunk."""
    ends: dict[str, str | None] = {}
    for piece in found:
        assert piece.last is (piece.chunk is None)
        if piece.last:
            assert piece.path.name not in ends
            ends[piece.path.name] = None if piece.error is None else piece.error.reason
            assert piece.error is None or piece.error.path == piece.path
    return ends


def _is_zombie(pid: int) -> bool:
    """Return whether all threads of a process have ended; until then its pipes are open."""
    process = Path(f"/proc/{pid}")
    state = process.joinpath("stat").read_text().rpartition(")")[2].split()[0]
    return state == "Z" and len(list(process.joinpath("task").iterdir())) == 1


def is_gone(pid: int, within_s: float = 10.0) -> bool:
    """Return whether a process ends; a zombie that nobody collects has ended."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
            if sys.platform == "linux" and _is_zombie(pid):
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False
