"""`--json`: every command has it, and then prints one JSON document on stdout and nothing else there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tiny_bundle
from command_line import Run
from distinct_songs import song
from json_schemas import valid
from remembered_library import made_library
from typer.testing import CliRunner
from written_songs import make_song, write

from mertag.cli.app import COMMANDS, app, load_command
from mertag.library.state.database import Database
from mertag.library.tags import read_tags

pytestmark = pytest.mark.command

Document = Callable[..., Any]


@pytest.fixture
def document(mertag: Run, state: Path) -> Document:
    """Return a function that runs a command with ``--json`` and gives what it prints, which must be one document."""

    def run(*args: object, code: int = 0) -> Any:
        result = mertag(*args, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    return run


@pytest.fixture
def music(music: Path) -> Path:
    """Return the folder with one that is damaged, too."""
    song(music / "bad_d.flac")
    return music


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_it(name: str) -> None:
    if COMMANDS[name].extra in ("train", "export"):
        pytest.importorskip("torch")
    (option,) = (parameter for parameter in load_command(name).params if "--json" in parameter.opts)
    assert option.name == "json"  # so that settings call it the same everywhere, too


def test_tag_has_the_report_and_the_record_of_every_file(document: Document, music: Path, tmp_path: Path) -> None:
    found = document("tag", music, "--report", tmp_path / "report.json", code=1)
    assert valid(found, "report")
    files = found.pop("files")
    assert [Path(one["path"]).name for one in files] == ["bad_d.flac", "q1_a.flac", "q2_b.flac", "short_c.flac"]
    assert all(valid(one, "record") for one in files)
    assert [one["status"] for one in files] == ["failed", "tagged", "tagged", "skipped"]
    assert files[1]["emotion"]["quadrant"] == "Q1"
    written = json.loads((tmp_path / "report.json").read_text())
    assert "files" not in written
    assert {**found, "overview": None} == {**written, "overview": None}


def test_a_dry_run_keeps_its_lines_from_stdout(document: Document, music: Path) -> None:
    files = document("tag", music, "--dry-run", code=1)["files"]
    assert files[1]["change"]["new"]["MOOD"] == ["Happy"]
    assert "MOOD" not in read_tags(music / "q1_a.flac")


def test_nothing_found_is_a_document_too(document: Document, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = document("tag", tmp_path / "empty")
    assert valid(found, "report")
    assert (found["summary"]["found"], found["files"]) == (0, [])


@pytest.mark.parametrize("other", ["--report", "--jsonl", "--csv"])
def test_two_documents_on_stdout_are_refused(other: str, document: Document, music: Path) -> None:
    result = CliRunner().invoke(app, ["tag", str(music), "--json", other, "-"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{other} and --json both go to -" in result.stderr


def test_undo_and_its_list(document: Document, tmp_path: Path) -> None:
    assert document("undo", "--list") == {"runs": []}
    nothing = document("undo")
    assert valid(nothing, "undo")
    assert (nothing["run"], nothing["summary"]["found"]) == (None, 0)

    songs = [make_song(tmp_path / "music" / f"{i}.flac") for i in range(3)]
    with Database(tmp_path / "state" / "state.sqlite") as database:
        run = write(database, *songs)
    (listed,) = document("undo", "--list")["runs"]
    assert (listed["run"], listed["files"], listed["not_undone"], listed["kind"]) == (run, 3, 3, "tag")
    assert listed["folder"] == str(tmp_path / "music")
    assert document("undo", "--dry-run")["summary"]["undone"] == 3
    songs[0].write_bytes(b"mine")
    undone = document("undo", code=1)
    assert valid(undone, "undo")
    assert (undone["summary"]["undone"], undone["summary"]["left"]) == (2, 1)
    assert undone["reasons"][0]["files"] == [{"path": str(songs[0])}]


def test_remove(document: Document, music: Path) -> None:
    document("tag", music, "--write-tags", code=1)
    found = document("remove", music)
    assert valid(found, "undo")
    assert (found["command"], found["summary"]["removed"], found["summary"]["unchanged"]) == ("remove", 2, 2)


def test_overview_playlists_and_info(document: Document, tmp_path: Path) -> None:
    library = made_library(tmp_path / "music", tmp_path / "s", 40)
    assert document("overview", "--state", library.state)["songs"] == 40
    lists = ["playlists", library.folder, "--state", library.state, "--out", tmp_path / "lists", "--format", "m3u8,nsp"]
    made = document(*lists)["playlists"]
    assert sum(one["songs"] or 0 for one in made) == 40
    assert {Path(one["path"]).suffix: one["songs"] is None for one in made} == {".m3u8": False, ".nsp": True}
    assert {one["status"] for one in made} == {"written"}
    assert {one["status"] for one in document(*lists)["playlists"]} == {"unchanged"}
    tiny_bundle.build(tmp_path / "model")
    assert document("info", "--model", tmp_path / "model")["device"]["device"] == "cpu"


def test_import(document: Document, music: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    document("tag", music, "--parquet", tmp_path / "results.parquet", code=1)
    elsewhere = tmp_path / "elsewhere.sqlite"
    found = document("import", tmp_path / "results.parquet", "--state", elsewhere)
    assert found == {"new": 2, "known": 0, "without_emotion": 2, "without_audio": 0}


def test_watch_says_at_its_end_what_became_of_the_songs(tmp_path: Path) -> None:
    pytest.importorskip("watchfiles")
    tiny_bundle.build(tmp_path / "model")
    (tmp_path / "music").mkdir()
    noise = np.random.default_rng(0).normal(0, 0.1, 66_150).astype(np.float32)
    soundfile.write(tmp_path / "music" / "there.flac", noise, 22_050)
    (tmp_path / "music" / "damaged.flac").write_bytes((tmp_path / "music" / "there.flac").read_bytes()[:100])
    command = [sys.executable, "-m", "mertag", "watch", tmp_path / "music", "--write-tags", "--json", "--workers", "1"]
    where = ["--settle", "0.3", "--model", tmp_path / "model", "--device", "cpu", "--state", tmp_path / "state.sqlite"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [*map(str, [*command, *where])],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "MERTAG_CONFIG": os.devnull},
        )
        for _ in range(1200):
            said = (tmp_path / "log").read_text()
            if ("tagged: " in said and "failed: " in said) or process.poll() is not None:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        stdout, _ = process.communicate(timeout=30)
    found = json.loads(stdout)
    assert process.returncode == 0
    assert found["summary"] == {"tagged": 1, "unchanged": 0, "skipped": 0, "failed": 1}
    assert [Path(one["path"]).name for one in found["failed"]] == ["damaged.flac"]
    assert found["runs"] == [1]
