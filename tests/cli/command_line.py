"""`mertag` as the tests of commands run it: in this process, or in one of its own with the tagger of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from typer.testing import Result

ROOT = Path(__file__).resolve().parents[2]
FAKE = str(ROOT / "tests" / "fake_tagger.py")

Run = Callable[..., Result]


def process(
    *args: str | os.PathLike[str],
    delay_s: float = 0.0,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Start `mertag tag`, which takes a while for each song and notes it in a log."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FAKE_DELAY_S": str(delay_s), "MERTAG_CONFIG": ""}
    if log is not None:
        environment["FAKE_LOG"] = str(log)
    return subprocess.Popen(
        [sys.executable, FAKE, "tag", *map(os.fspath, args)],
        env={**environment, **(env or {})},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )
