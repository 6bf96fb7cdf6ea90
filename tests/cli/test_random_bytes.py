"""A file of random bytes with the name of a song fails, whether or not tags are to be written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from in_process import run_here

from mertag.listen.bundle import Bundle

pytestmark = pytest.mark.command


@pytest.mark.parametrize("option", [[], ["--write-tags"], ["--write-tags", "--dry-run"]])
@pytest.mark.parametrize("suffix", ["m4a", "mp3", "flac"])
def test_random_bytes_fail_whether_or_not_tags_are_written(
    tiny_bundle: Bundle, tmp_path: Path, option: list[str], suffix: str
) -> None:
    song, report = tmp_path / f"song.{suffix}", tmp_path / "report.json"
    # The first byte is that of no format.
    song.write_bytes(b"\xa7" + np.random.default_rng(1).bytes(200_000))
    before = song.read_bytes()
    words = ["tag", *option, "--device", "cpu", "--model", tiny_bundle.folder, "--report", report, song]
    done = run_here(*words, env={"MERTAG_CONFIG": ""})
    assert done.returncode == 1, done.stderr
    (one,) = json.loads(report.read_text())["not_tagged"]
    assert one["status"] == "failed"
    assert song.read_bytes() == before
