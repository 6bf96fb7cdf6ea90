"""The steps of a cluster's workers with faults to order, set by variables: what kills what, and when.

``FAULT_DIR`` is a folder where each fault leaves a mark, so that it comes once; ``FAULT_SLOW_S`` how long a song takes.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mertag.batch.cluster.ray_data import _Listener
from mertag.batch.cluster.workers import decode_songs


def decode(songs: Any, **options: Any) -> Iterator[Any]:
    """Decode, but die once of ``task_once``, always of ``task_always``, and fail at ``raise``."""
    for one in decode_songs(songs, **options):
        name = os.fsdecode(one.column("address")[0].as_py()).rpartition("/")[2]
        _note(name)
        time.sleep(float(os.environ.get("FAULT_SLOW_S", "0")))
        if name.startswith("task_always") or (name.startswith("task_once") and _first(name)):
            os.kill(os.getpid(), signal.SIGKILL)
        yield one


class DyingListener(_Listener):
    """Listens, but dies once, in the midst of a song ``actor_once``."""

    def __call__(self, decoded: Any) -> Any:
        names = [os.fsdecode(address.as_py()).rpartition("/")[2] for address in decoded.column("address")]
        for name in names:
            if name.startswith("actor_once") and _first(name):
                os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(decoded)


def _note(name: str) -> None:
    with (Path(os.environ["FAULT_DIR"]) / "decoded.txt").open("a") as file:
        file.write(f"{name}\n")


def _first(name: str) -> bool:
    """Return whether this fault has not come yet, on any worker."""
    try:
        (Path(os.environ["FAULT_DIR"]) / name).open("x").close()
    except FileExistsError:
        return False
    return True
