"""`mertag undo` and `mertag remove`: exit codes, what goes to which stream, the report, real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import ROOT, Run
from written_songs import contents, make_song, write

from mertag.cli.undo import share, size
from mertag.emotion import Quadrant
from mertag.library import tags
from mertag.library.state.database import Database

pytestmark = [pytest.mark.command, pytest.mark.usefixtures("fast_disk")]


@pytest.fixture
def songs(tmp_path: Path) -> list[Path]:
    return [make_song(tmp_path / "music" / f"{i}.flac") for i in range(3)]


def tagged(state: Path, songs: list[Path], **options: object) -> int:
    with Database(state) as database:
        return write(database, *songs, **options)  # type: ignore[arg-type]


def test_undo_gives_the_newest_run_back_and_stdout_stays_empty(mertag: Run, state: Path, songs: list[Path]) -> None:
    before = contents(songs[0].parent)
    run = tagged(state, songs, sidecars=True)
    result = mertag("undo")
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"run {run} is to be undone: " in result.stderr
    assert f"mertag tag: 6 files in {songs[0].parent}\n" in result.stderr
    assert "found 6 = 6 undone + 0 already undone + 0 left" in result.stderr
    assert contents(songs[0].parent) == before
    again = mertag("undo")
    assert (again.exit_code, again.stdout) == (0, "")
    assert again.stderr == "nothing to undo: no run wrote anything that still stands\n"


def test_a_file_that_is_left_is_named_and_the_exit_code_is_1(mertag: Run, state: Path, songs: list[Path]) -> None:
    tagged(state, songs)
    songs[1].write_bytes(b"mine")
    result = mertag("undo", "--quiet")
    assert result.exit_code == 1
    assert result.stderr == f"left: {songs[1]}: someone changed it since; it is left as it is\n"
    assert songs[1].read_bytes() == b"mine"


def test_a_dry_run_prints_each_file_and_changes_nothing(mertag: Run, state: Path, songs: list[Path]) -> None:
    tagged(state, songs)
    after = contents(songs[0].parent)
    result = mertag("undo", "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [f"{song}: would be undone" for song in reversed(songs)]
    assert "3 would be undone" in result.stderr
    assert "run 1 would be undone" in result.stderr
    assert contents(songs[0].parent) == after


def test_undo_goes_on_with_the_run_before_and_names_the_way_out_for_what_is_left(
    mertag: Run, state: Path, songs: list[Path]
) -> None:
    before = contents(songs[0].parent)
    tagged(state, songs)
    tagged(state, songs, quadrant=Quadrant.Q3)
    songs[1].write_bytes(songs[1].read_bytes() + b"mine")
    first = mertag("undo")
    assert first.exit_code == 1
    assert "1 file of run 2 left: `mertag undo --run 2` tries it again; `mertag remove FILE` takes" in first.stderr
    second = mertag("undo")
    assert second.exit_code == 1  # the file that was changed is left by this run, too
    assert "run 2 left 1 file; `mertag undo --run 2` tries again and says why" in second.stderr
    assert "run 1 is to be undone" in second.stderr
    assert f"left: {songs[1]}: someone changed it since; it is left as it is" in second.stderr
    after = contents(songs[0].parent)
    assert [after[song] == before[song] for song in songs] == [True, False, True]
    third = mertag("undo")
    assert third.exit_code == 0
    assert "nothing to undo: nothing else can be taken back" in third.stderr
    assert "run 1 left 1 file" in third.stderr


@pytest.mark.parametrize("lost", ["changed", "removed"])
def test_a_run_of_which_nothing_could_be_taken_back_is_passed_over_the_next_time(
    mertag: Run, state: Path, songs: list[Path], lost: str
) -> None:
    before = contents(songs[0].parent)
    tagged(state, songs[:1])
    tagged(state, songs[1:2])
    if lost == "changed":
        songs[1].write_bytes(b"mine")
    else:
        songs[1].unlink()
    assert mertag("undo").exit_code == 1
    assert songs[0].read_bytes() != before[songs[0]]
    assert mertag("undo").exit_code == 0
    assert songs[0].read_bytes() == before[songs[0]]


def test_what_can_be_taken_back_again_is_tried_again(mertag: Run, state: Path, songs: list[Path]) -> None:
    tagged(state, songs[:1])
    tagged(state, songs[1:])
    tags_of_2 = songs[2].read_bytes()
    songs[2].write_bytes(b"mine")
    assert mertag("undo").exit_code == 1
    songs[2].write_bytes(tags_of_2)
    result = mertag("undo")
    assert result.exit_code == 0
    assert "run 2 is to be undone" in result.stderr


@pytest.mark.parametrize(
    ("answer", "options", "goes_on"), [("n\n", [], False), ("y\n", [], True), ("", ["--yes"], True)]
)
def test_on_a_terminal_undo_says_which_run_it_is_and_asks(
    monkeypatch: pytest.MonkeyPatch,
    mertag: Run,
    state: Path,
    songs: list[Path],
    answer: str,
    options: list[str],
    goes_on: bool,
) -> None:
    monkeypatch.setattr("mertag.cli.console.stream_is_terminal", lambda name: name != "stdout")
    tagged(state, songs)
    after = contents(songs[0].parent)
    result = mertag("undo", *options, stdin=answer)
    assert result.exit_code == 0
    assert f"mertag tag: 3 files in {songs[0].parent}" in result.stderr
    assert ("[y/N]" in result.stderr) == (not options)
    assert (contents(songs[0].parent) != after) == goes_on
    if not goes_on:
        assert "nothing was changed" in result.stderr
        with Database(state) as database:
            assert len(database.rows("SELECT id FROM runs")) == 1  # not even the undo is noted


def test_one_run_and_one_file_can_be_named(mertag: Run, state: Path, songs: list[Path]) -> None:
    before = contents(songs[0].parent)
    first = tagged(state, songs[:2])
    tagged(state, songs[2:])
    assert mertag("undo", "--run", first, songs[0]).exit_code == 0
    assert songs[0].read_bytes() == before[songs[0]]
    assert tags.read_tags(songs[1])
    assert tags.read_tags(songs[2])


def test_the_list_shows_runs_and_the_journals_share(mertag: Run, state: Path, songs: list[Path]) -> None:
    tagged(state, songs)
    tagged(state, songs[:1], quadrant=Quadrant.Q3)
    result = mertag("undo", "--list")
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert rows[0] == ["run", "began", "command", "ended", "files", "not undone", "journal", "share"]
    assert [row[0] for row in rows[1:]] == ["2", "1"]
    assert rows[2][2:6] == ["mertag tag", "finished", "3", "3"]
    assert "the journal takes" in result.stderr
    assert "%" in result.stderr
    assert mertag("undo", "--list", "--run", 1).exit_code == 2


def test_nothing_remembered_is_no_error_but_a_state_file_that_is_named_must_be_there(
    mertag: Run, state: Path, tmp_path: Path
) -> None:
    result = mertag("undo")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing to undo" in result.stderr
    assert not state.parent.exists()
    assert mertag("undo", "--state", tmp_path / "typo").exit_code == 2


def test_an_unknown_run_is_a_usage_error(mertag: Run, state: Path, songs: list[Path]) -> None:
    tagged(state, songs)
    result = mertag("undo", "--run", 99)
    assert result.exit_code == 2
    assert "there is no run 99; `mertag undo --list`" in result.stderr


def test_a_damaged_state_file_is_set_aside_and_the_exit_code_is_3(mertag: Run, state: Path) -> None:
    state.parent.mkdir()
    state.write_bytes(b"no database " * 100)
    result = mertag("undo")
    assert result.exit_code == 3
    assert "set aside" in result.stderr
    assert "nothing can be undone without it" in result.stderr
    again = mertag("undo")
    assert again.exit_code == 0
    (aside,) = (path for path in state.parent.iterdir() if ".aside-" in path.name)
    assert "nothing to undo" in again.stderr
    assert f"mertag undo --state {aside}" in again.stderr


@pytest.mark.parametrize("command", ["undo", "remove"])
def test_a_song_is_never_taken_for_the_state_file(mertag: Run, songs: list[Path], command: str) -> None:
    before = songs[0].read_bytes()
    result = mertag(command, *songs[1:], "--state", songs[0])
    assert result.exit_code == 2
    assert "this is a song" in result.stderr
    assert songs[0].read_bytes() == before


def test_the_report_keeps_to_its_schema(mertag: Run, state: Path, songs: list[Path], tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "mertag" / "schemas" / "undo.json").read_text())
    strange = songs[0].rename(songs[0].with_name(os.fsdecode(b"\xff.flac")))
    tagged(state, [strange, *songs[1:]])
    strange.write_bytes(b"mine")
    reports = [tmp_path / f"{i}.json" for i in range(3)]
    assert mertag("undo", "--report", reports[0]).exit_code == 1
    assert mertag("remove", songs[0].parent, "--report", reports[1]).exit_code == 0
    assert mertag("undo", "--run", 1, songs[1], "--report", reports[2]).exit_code == 0
    found = [json.loads(report.read_text()) for report in reports]
    for report in found:
        jsonschema.validate(report, schema)
    assert found[0]["summary"]["left"] == 1
    assert found[0]["reasons"][0]["files"][0]["path"].endswith("\\xff.flac")
    assert (found[1]["command"], found[1]["summary"]["unchanged"]) == ("remove", 2)
    assert (found[2]["run"], found[2]["summary"]["already_undone"]) == (1, 1)


def test_the_report_on_stdout_is_json_and_nothing_else(mertag: Run, state: Path, songs: list[Path]) -> None:
    tagged(state, songs)
    assert json.loads(mertag("undo", "--dry-run", "--report", "-").stdout)["summary"]["undone"] == 3
    assert json.loads(mertag("remove", songs[0].parent, "--dry-run", "--report", "-").stdout)["run"] is None
    assert json.loads(mertag("undo", "--report", "-").stdout)["summary"]["undone"] == 3


@pytest.mark.parametrize("command", [("undo",), ("remove", "music")])
def test_a_report_never_takes_the_place_of_a_song(
    mertag: Run, state: Path, songs: list[Path], command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    tagged(state, songs)
    monkeypatch.chdir(songs[0].parents[1])
    before = contents(songs[0].parent)
    assert mertag(*command, "--report", songs[0]).exit_code == 2
    assert contents(songs[0].parent) == before


# remove


def test_remove_takes_our_fields_out_and_undo_brings_them_back(mertag: Run, state: Path, songs: list[Path]) -> None:
    tagged(state, songs[:2])
    before = contents(songs[0].parent)
    result = mertag("remove", songs[0].parent)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "found 3 = 2 cleared of mertag's fields + 1 unchanged + 0 skipped + 0 failed" in result.stderr
    assert all(tags.read_tags(song) == {} for song in songs)
    assert mertag("undo").exit_code == 0
    assert contents(songs[0].parent) == before


def test_remove_shows_old_and_new_in_a_dry_run(mertag: Run, state: Path, songs: list[Path]) -> None:
    tagged(state, songs[:1])
    before = contents(songs[0].parent)
    result = mertag("remove", songs[0].parent, "--dry-run")
    lines = result.stdout.splitlines()
    assert lines[0] == str(songs[0])
    assert "  MOOD: Happy -> (none)" in lines
    assert f"{songs[1]}: unchanged: it holds nothing of mertag's" in lines
    assert contents(songs[0].parent) == before
    with Database(state) as database:
        assert database.rows("SELECT count(*) FROM runs") == [(1,)]


def test_remove_without_state_leaves_none(mertag: Run, state: Path, songs: list[Path]) -> None:
    assert mertag("remove", songs[0], "--no-state").exit_code == 0
    assert not state.exists()
    assert mertag("remove", songs[0], "--no-state", "--state", "x").exit_code == 2


def test_remove_can_be_narrowed(mertag: Run, state: Path, songs: list[Path]) -> None:
    tagged(state, songs)
    mertag("remove", songs[0].parent, "--include", "[01].flac", "--exclude", "0*")
    assert [bool(tags.read_tags(song)) for song in songs] == [True, False, True]


def test_remove_needs_paths_that_exist(mertag: Run, tmp_path: Path) -> None:
    assert mertag("remove").exit_code == 2
    assert mertag("remove", tmp_path / "gone").exit_code == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    result = mertag("remove", empty)
    assert result.exit_code == 0
    assert "no audio files were found" in result.stderr


def test_remove_says_what_failed_and_exits_with_1(mertag: Run, state: Path, songs: list[Path]) -> None:
    tagged(state, songs)
    songs[0].chmod(0o444)
    result = mertag("remove", songs[0].parent, "--quiet")
    assert result.exit_code == 1
    assert result.stderr == f"failed: {songs[0]}: it is read-only; give yourself write permission first\n"


# Processes


def process(state: Path, *args: object) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MERTAG_CONFIG": ""}
    command = [sys.executable, "-m", "mertag", *map(os.fspath, args), "--state", state]  # type: ignore[arg-type]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


def test_an_interrupted_undo_exits_with_130_and_goes_on_when_run_again(state: Path, tmp_path: Path) -> None:
    music = tmp_path / "music"
    songs = [make_song(music / f"{i}.flac") for i in range(60)]
    before = contents(music)
    tagged(state, songs)
    running = process(state, "undo")
    deadline = time.monotonic() + 30
    while songs[-1].read_bytes() != before[songs[-1]] and time.monotonic() < deadline:
        time.sleep(0.002)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate()
    assert running.returncode == 130, said.decode()
    assert b"stopped early" in said
    assert b"run the same command again for the rest" in said
    assert tags.read_tags(songs[0])
    assert not list(music.glob(".mertag-*"))

    rest = process(state, "undo")
    rest.communicate()
    assert rest.returncode == 0
    assert contents(music) == before


@pytest.mark.parametrize(
    ("n", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_600, "1 MB"), (4_560_000, "4.56 MB"), (10**16, "10000 TB")],
)
def test_sizes_are_said_as_people_say_them(n: int, text: str) -> None:
    assert size(n) == text


def test_shares_are_said_with_two_digits() -> None:
    assert [share(part) for part in (0.0, 0.000042, 0.123)] == ["0 %", "0.0042 %", "12 %"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk here")
def test_a_dry_run_whose_output_is_full_still_has_a_summary(state: Path, songs: list[Path], tmp_path: Path) -> None:
    tagged(state, songs)
    command = [sys.executable, "-m", "mertag", "undo", "--dry-run", "--state", str(state)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert done.returncode == 3
    assert "found 3 = 1 would be undone + 0 already undone + 0 left + 2 not reached" in done.stderr
    assert "could not be written: No space left on device" in done.stderr
