"""A hundred thousand songs: memory stays flat, a second run starts in seconds, the state file stays small."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "batch.py"
SONGS = 100_000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Return a folder with that many songs, in memory where that is possible: this is not about the disk."""
    in_memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(dir=in_memory if in_memory.is_dir() else None))
    subprocess.run([*command(path), "--songs", str(SONGS), "--only-make"], cwd=SCRIPT.parents[1], check=True)
    yield path
    shutil.rmtree(path)


def command(folder: Path) -> list[str]:
    start = f"import runpy; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"  # -c: the project's root comes first
    return [sys.executable, "-c", start, "--folder", str(folder)]


def run(folder: Path, what: str) -> dict[str, Any]:
    done = subprocess.run(
        [*command(folder), "--run", what], cwd=SCRIPT.parents[1], check=True, capture_output=True, text=True
    )
    figures: dict[str, Any] = json.loads(done.stdout)
    assert figures["found"] == SONGS
    return figures


def test_memory_stays_flat_and_a_second_run_needs_seconds(folder: Path) -> None:
    first = run(folder, "results")
    assert (first["analysed"], first["tagged"]) == (SONGS, SONGS)
    assert first["end_mb"] - first["found_mb"] < 60
    second = run(folder, "results again")
    assert (second["analysed"], second["tagged"]) == (0, SONGS)
    assert second["end_mb"] - second["found_mb"] < 60
    assert second["cpu_s"] < 60
    size = sum(path.stat().st_size for path in (folder / "state").iterdir())
    assert size / SONGS < 1200
