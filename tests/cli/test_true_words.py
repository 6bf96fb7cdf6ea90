"""What `mertag tag` says is so: analysed or tagged, whose moods were kept, what is new, how long it still takes."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import pytest
from command_line import Run
from distinct_songs import song as audio
from fake_tagger import DAMAGE
from mutagen.flac import FLAC

from mertag.cli.view import Progress

pytestmark = pytest.mark.command


def test_a_run_that_writes_nothing_says_analysed_and_the_records_keep_their_status(mertag: Run, music: Path) -> None:
    result = mertag("tag", music, "--verbose", "--jsonl", "-")
    assert "2 analysed + 0 unchanged" in result.stderr
    assert "info: analysed: " in result.stderr
    assert "tagged" not in result.stderr
    assert {json.loads(line)["status"] for line in result.stdout.splitlines()} == {"tagged", "skipped"}


def test_moods_that_are_kept_or_not_written_are_said(mertag: Run, music: Path, tmp_path: Path) -> None:
    (mine, other) = sorted(music.glob("q*.flac"))
    song = FLAC(mine)
    song["MOOD"] = "Mine"
    song.save()
    for _ in range(2):  # the second run knows it without opening the file
        report, jsonl = tmp_path / "report.json", tmp_path / "out.jsonl"
        options = ("--write-tags", "--verbose", "--report", report, "--jsonl", jsonl, "--min-confidence", 0.9)
        result = mertag("tag", music, *options)
        assert "1 mood of someone else's kept; --overwrite replaces such moods" in result.stderr
        assert "1 song without a mood, since the confidence is below --min-confidence" in result.stderr
        (line,) = (line for line in result.stderr.splitlines() if str(mine) in line)
        assert line.endswith("; the mood that someone else wrote stays")
        moods = {json.loads(line)["path"]: json.loads(line)["mood"] for line in jsonl.read_text().splitlines()}
        assert (moods[str(mine)], moods[str(other)]) == ("kept", "unsure")
        summary = json.loads(report.read_text())["summary"]
        assert (summary["moods_kept"], summary["moods_unsure"]) == (1, 1)


def test_damage_is_said_and_counted_and_remembered(mertag: Run, music: Path, tmp_path: Path) -> None:
    cut = audio(music / "q3_cut_d.flac")
    for run in range(2):  # the second run knows it without opening the file
        report, jsonl, table = tmp_path / "report.json", tmp_path / "out.jsonl", tmp_path / "out.csv"
        options = ("--report", report, "--jsonl", jsonl, "--csv", table)
        lines = mertag("tag", music, "--write-tags", "--verbose", *options).stderr.splitlines()
        assert (f"damaged: {cut}: {DAMAGE}" in lines) == (run == 0)
        assert any(str(cut) in line and line.startswith("mertag: info: ") and DAMAGE in line for line in lines)
        counted = "damaged, and taken all the same: 1 song (--verbose or --report names all, --strict refuses them)"
        assert counted in lines
        found = {Path(r["path"]).name: r["emotion"] for r in map(json.loads, jsonl.read_text().splitlines())}
        assert {name: e["damage"] for name, e in found.items() if e} == {
            "q1_a.flac": None,
            "q2_b.flac": None,
            "q3_cut_d.flac": DAMAGE,
        }
        with table.open() as rows:
            assert {row["damage"] for row in csv.DictReader(rows)} == {"", DAMAGE}
        content = json.loads(report.read_text())
        assert content["summary"]["damaged"] == 1
        assert content["damaged"] == [{"damage": DAMAGE, "files": [{"path": str(cut)}]}]
    assert "MOOD" in FLAC(cut)


@pytest.mark.parametrize("by", ["option", "file"])
@pytest.mark.parametrize("known", [False, True])
def test_strict_makes_damage_a_failure_and_writes_nothing(
    mertag: Run, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str, known: bool
) -> None:
    cut = audio(music / "q3_cut_d.flac")
    if known:  # and written already
        mertag("tag", music, "--write-tags")
    before = cut.read_bytes()
    strict = ["--strict"] if by == "option" else []
    if by == "file":
        (tmp_path / "config.toml").write_text("[tag]\nstrict = true\n")
        monkeypatch.setenv("MERTAG_CONFIG", str(tmp_path / "config.toml"))
    result = mertag("tag", music, "--write-tags", "--sidecar", *strict)
    assert result.exit_code == 1
    assert f"failed: {cut}: {DAMAGE} (without --strict it is taken all the same)" in result.stderr
    assert "damaged, and taken" not in result.stderr
    assert cut.read_bytes() == before
    assert not cut.with_name(cut.name + ".mertag.json").exists()
    assert (music / "q1_a.flac.mertag.json").exists()
    again = mertag("tag", music, "--write-tags", "--sidecar", *strict)
    assert "failed as in an earlier run, and unchanged since: 1 file" in again.stderr
    if by == "option":
        assert mertag("tag", music, "--write-tags", "--sidecar").exit_code == 0
        assert "MOOD" in FLAC(cut)


def test_strict_fails_songs_that_are_only_analysed(mertag: Run, music: Path) -> None:
    cut = audio(music / "q3_cut_d.flac")
    for _ in range(2):
        result = mertag("tag", music, "--strict")
        assert result.exit_code == 1
        assert cut.name not in result.stdout
        assert sum(int(n) for n in re.findall(r" (\d+) \(\d+%\)", result.stderr)) == 2  # in the moods' shares
    assert mertag("tag", music).exit_code == 0


def test_a_run_in_which_all_songs_fail_says_no_songs_a_second(mertag: Run, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    audio(tmp_path / "bad" / "bad_d.flac")
    said = mertag("tag", tmp_path / "bad").stderr
    assert "found 1 = 0 analysed + 0 unchanged + 0 skipped + 1 failed, in " in said
    assert "songs/s" not in said


def test_failures_that_are_as_before_are_counted_and_not_repeated(mertag: Run, music: Path, tmp_path: Path) -> None:
    audio(music / "bad_d.flac")
    assert "failed: " + str(music / "bad_d.flac") in mertag("tag", music, "--write-tags").stderr
    audio(music / "bad_e.flac")
    report = tmp_path / "report.json"
    second = mertag("tag", music, "--write-tags", "--report", report, "--quiet")
    assert second.exit_code == 1
    assert second.stderr.splitlines() == [
        f"failed: {music / 'bad_e.flac'}: damaged after 3.0 s",
        "failed as in an earlier run, and unchanged since: 1 file (--verbose or --report names them)",
    ]
    content = json.loads(report.read_text())
    assert content["summary"]["failed"] == 2
    assert content["summary"]["failed_as_before"] == 1
    before = {
        group["files"][0]["path"]: group["as_before"] for group in content["not_tagged"] if len(group["files"]) == 1
    }
    assert before[str(music / "bad_d.flac")] is True
    assert before[str(music / "bad_e.flac")] is False
    os.utime(music / "bad_d.flac", (1, 1))  # changed: news again
    assert "failed: " + str(music / "bad_d.flac") in mertag("tag", music, "--write-tags", "--quiet").stderr


def test_equal_reasons_are_collapsed(mertag: Run, music: Path) -> None:
    for i in range(15):
        audio(music / f"bad_{i}.flac")
    result = mertag("tag", music)
    assert sum(line.startswith("failed: /") for line in result.stderr.splitlines()) == 10
    assert "failed: damaged after 3.0 s: 15 songs, the first 10 named above, --report names all" in result.stderr


def test_patterns_that_leave_nothing_are_named(mertag: Run, music: Path) -> None:
    result = mertag("tag", music, "--include", "*.ogg")
    assert result.exit_code == 0
    assert "warning: no audio file there is left by --include '*.ogg'; nothing to do" in result.stderr
    assert "--include '*.ogg'" in mertag("remove", music, "--include", "*.ogg").stderr


def test_what_an_ignore_file_leaves_out_is_counted_and_named(mertag: Run, music: Path) -> None:
    (music / ".ndignore").write_text("q*")
    assert "files and folders are left out, as ignore files say" in mertag("tag", music).stderr
    assert f"left out: {next(iter(sorted(music.glob('q*'))))}: " in mertag("tag", music, "--verbose").stderr


def test_the_time_left_is_that_of_the_songs_that_are_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = {"s": 0.0}
    monkeypatch.setattr("mertag.cli.view.time.monotonic", lambda: clock["s"])
    progress = Progress(quiet=False, bar=False)
    progress.start(1000, "song")
    for _ in range(900):  # an earlier run's: two minutes for all of them
        clock["s"] += 120 / 900
        progress.step(failed=False, remembered=True)
    for _ in range(10):
        clock["s"] += 10.0
        progress.step(failed=False)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "910 of 1000, 0 failed, 0.1 songs/s, 15 min 0 s left"
    for _ in range(30):  # take their time, but nothing was heard
        clock["s"] += 10.0
        progress.step(failed=True)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "940 of 1000, 30 failed, 0.0 songs/s, 10 min 0 s left"


def test_a_run_that_writes_says_the_shares_of_the_moods_and_so_does_the_next(mertag: Run, music: Path) -> None:
    audio(music / "q1_z.flac")
    for _ in range(2):
        assert "moods: Happy 2 (67%), Angry 1 (33%)" in mertag("tag", music, "--write-tags").stderr
    assert "moods: " not in mertag("tag", music, "--write-tags", "--quiet").stderr


def test_of_several_patterns_the_one_that_matches_nothing_is_named(mertag: Run, music: Path) -> None:
    wanted = ("--include", "*a.flac", "--include", "*.mod")
    for command in ("tag", "remove"):
        result = mertag(command, music, *wanted)
        assert result.exit_code == 0
        assert "--include '*.mod' matches no audio file there" in result.stderr
        assert "a.flac' matches" not in result.stderr
        assert "matches no" not in mertag(command, music, "--include", "*a.flac", "--include", "*b.flac").stderr


def test_a_removal_says_how_it_is_taken_back(mertag: Run, music: Path) -> None:
    mertag("tag", music, "--write-tags")
    assert "this was run 2; `mertag undo --run 2` gives the old files back" in mertag("remove", music).stderr
    assert "this was run" not in mertag("remove", music).stderr
    assert "2 undone" in mertag("undo", "--run", 2, "--yes").stderr
