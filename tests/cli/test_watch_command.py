"""`mertag watch` as a process: it tags what arrives, forgets nothing over a restart, and ends when it is told to."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny_bundle
from in_process import run_here

from mertag.library.tags import read_tags

pytest.importorskip("watchfiles")
pytestmark = pytest.mark.command

Watch = Callable[..., "subprocess.Popen[str]"]


def song(path: Path) -> Path:
    soundfile.write(path, np.random.default_rng(len(path.name)).normal(0, 0.1, 66_150).astype(np.float32), 22_050)
    return path


def until(holds: Callable[[], object], limit_s: float = 60.0) -> None:
    ends_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < ends_s, "it took too long"
        time.sleep(0.05)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    tiny_bundle.build(tmp_path / "model")
    (tmp_path / "music").mkdir()
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            "mertag",
            "watch",
            str(tmp_path / "music"),
            "--settle",
            "0.3",
            "--workers",
            "1",
        ]
        command += ["--model", str(tmp_path / "model"), "--device", "cpu", "--state", str(tmp_path / "state.sqlite")]
        log = (tmp_path / "log").open("a")
        process = subprocess.Popen(
            [*command, *options], stderr=log, text=True, env={**os.environ, "MERTAG_CONFIG": os.devnull}
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_songs_are_tagged_when_they_are_whole_and_sigterm_ends_it_with_0(watch: Watch, tmp_path: Path) -> None:
    music, log = tmp_path / "music", tmp_path / "log"
    song(music / "there.flac")
    process = watch("--write-tags", "--scale", "100")
    until(lambda: "watching" in log.read_text())
    assert read_tags(music / "there.flac")["MERTAG_VALENCE"][0].isdigit()
    whole = song(tmp_path / "arrives.flac").read_bytes()
    with (music / "arrives.flac").open("wb") as file:  # slowly
        for part in range(4):
            file.write(whole[part * len(whole) // 4 : (part + 1) * len(whole) // 4])
            file.flush()
            time.sleep(0.15)
    until(lambda: "arrives.flac" in log.read_text())
    assert read_tags(music / "arrives.flac")["MOOD"]
    assert "failed" not in log.read_text()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert log.read_text().rstrip().endswith("stopped; the next start goes on from here")

    (tmp_path / "log").write_text("")
    song(music / "meanwhile.flac")
    process = watch("--write-tags", "--scale", "100")
    until(lambda: "watching" in log.read_text())
    until(lambda: "tagged: " in log.read_text())
    assert log.read_text().count("tagged: ") == 1  # what was there is remembered
    assert "meanwhile.flac" in log.read_text()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130


def test_a_song_that_fails_is_named_once_and_taken_when_it_is_mended(watch: Watch, tmp_path: Path) -> None:
    music, log = tmp_path / "music", tmp_path / "log"
    watch("--write-tags")
    until(lambda: "watching" in log.read_text())
    whole = song(tmp_path / "song.flac").read_bytes()
    (music / "song.flac").write_bytes(whole[:100])
    until(lambda: "failed: " in log.read_text())
    (music / "song.flac").write_bytes(whole)
    until(lambda: "tagged: " in log.read_text())
    assert log.read_text().count("failed: ") == 1


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine")
def test_systemd_finds_nothing_wrong_with_the_unit_in_the_documentation(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "watch.md").read_text(encoding="utf-8")
    (unit,) = re.findall(r"^```ini\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "mertag.service").write_text(unit, encoding="utf-8")
    program = tmp_path / ".local" / "bin" / "mertag"
    program.parent.mkdir(parents=True)
    program.symlink_to(sys.executable)
    with tempfile.TemporaryDirectory(dir="/tmp") as runtime:  # short: a socket's path has 107 bytes at most
        done = subprocess.run(
            ["systemd-analyze", "--user", "verify", "--man=no", str(tmp_path / "mertag.service")],
            env={**os.environ, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": runtime},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")  # unknown keys are only said


def test_folders_must_be_named_and_be_there(tmp_path: Path) -> None:
    for arguments in ([], [str(tmp_path / "none")]):
        done = run_here("watch", *arguments, "--state", tmp_path / "state.sqlite", env={"MERTAG_CONFIG": ""})
        assert done.returncode == 2
        assert b"folder" in done.stderr
