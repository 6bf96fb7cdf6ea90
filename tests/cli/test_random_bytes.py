"""A file of random bytes with the name of a song fails, whether or not tags are to be written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from in_process import run_here

from mertag.listen.bundle import Bundle

pytestmark = pytest.mark.command

SUFFIXES = ("m4a", "mp3", "flac")


@pytest.mark.parametrize("option", [[], ["--write-tags"], ["--write-tags", "--dry-run"]])
def test_random_bytes_fail_whether_or_not_tags_are_written(
    tiny_bundle: Bundle, tmp_path: Path, option: list[str]
) -> None:
    music, report = tmp_path / "music", tmp_path / "report.json"
    music.mkdir()
    # The first byte is that of no format.
    before = {music / f"song.{suffix}": b"\xa7" + np.random.default_rng(1).bytes(200_000) for suffix in SUFFIXES}
    for song, content in before.items():
        song.write_bytes(content)
    words = ["tag", *option, "--device", "cpu", "--model", tiny_bundle.folder, "--report", report, music]
    done = run_here(*words, env={"MERTAG_CONFIG": ""})
    assert done.returncode == 1, done.stderr
    found = json.loads(report.read_text())["not_tagged"]
    assert {group["status"] for group in found} == {"failed"}
    assert {Path(file["path"]) for group in found for file in group["files"]} == set(before)
    assert {song: song.read_bytes() for song in before} == before
