"""`mertag tag`: exit codes, what goes to which stream, and files that are not damaged by accident."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from command_line import ROOT, Run, process
from distinct_songs import song
from fake_tagger import FACTS, FakeTagger

from mertag.library import tags

pytestmark = [pytest.mark.command, pytest.mark.usefixtures("fast_disk")]


def test_without_an_output_option_a_table_is_printed_and_nothing_is_written(mertag: Run, music: Path) -> None:
    before = {p: p.read_bytes() for p in music.iterdir()}
    result = mertag("tag", music)
    assert result.exit_code == 0
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert rows[0] == ["song", "quadrant", "label", "valence", "arousal", "confidence"]
    assert [row[1:3] for row in rows[1:]] == [["Q1", "Happy"], ["Q2", "Angry"]]
    assert "found 3 = 2 analysed + 0 unchanged + 1 skipped + 0 failed" in result.stderr
    assert "short_c.flac: too short" in result.stderr
    assert {p: p.read_bytes() for p in music.iterdir()} == before


@pytest.mark.parametrize("option", ["--write-id3", "--write-tags"])
def test_tags_are_written_and_stdout_stays_empty(mertag: Run, music: Path, option: str) -> None:
    result = mertag("tag", music, option)
    assert (result.exit_code, result.stdout) == (0, "")
    assert tags.read_tags(music / "q2_b.flac")["MOOD"] == ("Angry",)
    assert "2 tagged" in result.stderr
    assert "2 unchanged" in mertag("tag", music, option).stderr


def test_jsonl_on_stdout_is_one_object_a_file_and_nothing_else(mertag: Run, music: Path) -> None:
    song(music / "bad_d.flac")
    result = mertag("tag", music, "--jsonl", "-", "--write-id3", "--dry-run", "--sidecar")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 1
    assert {r["status"] for r in records} == {"tagged", "skipped", "failed"}
    assert len(records) == 4
    assert "MOOD: (none) -> Happy" in result.stderr


def test_files_that_failed_are_named_with_their_reason_and_the_exit_code_is_1(mertag: Run, music: Path) -> None:
    song(music / "bad_d.flac")
    result = mertag("tag", music, "--quiet", "--sidecar")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [f"failed: {music / 'bad_d.flac'}: damaged after 3.0 s"]
    assert (music / "q1_a.flac.mertag.json").exists()


def test_csv_and_jsonl_and_the_report_agree(mertag: Run, music: Path, tmp_path: Path) -> None:
    jsonl, table, report = tmp_path / "o.jsonl", tmp_path / "o.csv", tmp_path / "o.json"
    assert mertag("tag", music, "--jsonl", jsonl, "--csv", table, "--report", report).exit_code == 0
    records = [json.loads(line) for line in jsonl.read_text().splitlines()]
    rows = list(csv.DictReader(table.open(newline="")))
    assert [r["path"] for r in records] == [r["path"] for r in rows]
    content = json.loads(report.read_text())
    assert content["summary"]["found"] == len(records) == 3
    assert content["not_tagged"][0]["files"] == [{"path": str(music / "short_c.flac")}]
    jsonschema = pytest.importorskip("jsonschema")
    schemas = ROOT / "mertag" / "schemas"
    jsonschema.validate(content, json.loads((schemas / "report.json").read_text()))
    for record in records:
        jsonschema.validate(record, json.loads((schemas / "record.json").read_text()))


@pytest.mark.parametrize("option", ["--jsonl", "--csv", "--report"])
def test_an_output_never_takes_the_place_of_a_file_that_mertag_did_not_write(
    mertag: Run, music: Path, option: str
) -> None:
    song = music / "q1_a.flac"
    before = song.read_bytes()
    result = mertag("tag", option, song, music)  # what `--jsonl *.flac` becomes
    assert result.exit_code == 2
    assert "mertag did not write it" in result.stderr
    assert song.read_bytes() == before


def test_an_output_of_mertag_is_replaced_by_the_next_run(mertag: Run, music: Path, tmp_path: Path) -> None:
    for _ in range(2):
        for option in ("--jsonl", "--csv", "--report"):
            assert mertag("tag", music, option, tmp_path / f"out{option}").exit_code == 0
    assert len((tmp_path / "out--jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((), "nothing to tag"),
        (("nowhere",), "no such file or folder"),
        ((".", "--jsonl", "-", "--csv", "-"), "both go to -"),
        ((".", "--jsonl", "no/such/o.jsonl"), "does not exist"),
        ((".", "--csv", "."), "is a folder"),
        ((".", "--moods", "3"), "--moods"),
        ((".", "--min-confidence", "1.5"), "--min-confidence"),
        ((".", "--device", "tpu"), "--device"),
        ((".", "--workers", "0"), "--workers"),
        ((".", "--files-from", "nowhere"), "--files-from"),
        (
            (
                ".",
                "--no-such-option",
            ),
            "--no-such-option",
        ),
    ],
)
def test_what_cannot_be_is_a_usage_error_and_nothing_runs(
    mertag: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = mertag("tag", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr


def test_no_audio_files_is_no_error(mertag: Run, tmp_path: Path) -> None:
    result = mertag("tag", tmp_path, "--jsonl", "-")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no audio files" in result.stderr


@pytest.mark.parametrize("separator", [b"\n", b"\0", b"\r\n"])
def test_paths_can_come_from_stdin(mertag: Run, music: Path, separator: bytes) -> None:
    names = separator.join(os.fsencode(music / n) for n in ("q1_a.flac", "q2_b.flac"))
    result = mertag("tag", "--files-from", "-", "--jsonl", "-", stdin=names)
    assert result.exit_code == 0, result.stderr
    assert len(result.stdout.splitlines()) == 2


def test_a_path_in_a_list_that_is_gone_fails_alone(mertag: Run, music: Path) -> None:
    names = f"{music / 'gone.flac'}\n{music / 'q1_a.flac'}\n".encode()
    result = mertag("tag", "--files-from", "-", "--jsonl", "-", stdin=names)
    assert result.exit_code == 1
    assert [json.loads(line)["status"] for line in result.stdout.splitlines()] == ["tagged", "failed"]


def test_a_read_only_song_is_refused_before_the_analysis(mertag: Run, music: Path) -> None:
    song = music / "q1_a.flac"
    song.chmod(0o444)
    result = mertag("tag", song, "--write-id3", "--jsonl", "-")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["emotion"] is None
    assert "read-only" in result.stderr


def test_a_dry_run_shows_old_and_new_and_writes_nothing(mertag: Run, music: Path) -> None:
    song = music / "q1_a.flac"
    before = song.read_bytes()
    result = mertag("tag", song, "--dry-run")
    assert result.exit_code == 0
    assert f"{song}\n" in result.stdout
    assert "  MOOD: (none) -> Happy\n" in result.stdout
    assert "would be tagged" in result.stderr
    assert song.read_bytes() == before
    mertag("tag", song, "--write-id3")
    assert f"{song}: unchanged: already up to date\n" in mertag("tag", song, "--dry-run").stdout


def test_include_and_exclude_narrow_what_is_found(mertag: Run, music: Path) -> None:
    assert len(mertag("tag", music, "--jsonl", "-", "--exclude", "q2*").stdout.splitlines()) == 2
    assert len(mertag("tag", music, "--jsonl", "-", "--include", "q2*").stdout.splitlines()) == 1


def test_a_disk_that_fills_up_stops_the_run_with_a_summary(
    mertag: Run, music: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    real_open = Path.open
    monkeypatch.setattr(Path, "open", lambda p, *a, **k: Full() if a == ("w",) else real_open(p, *a, **k))
    result = mertag("tag", music, "--jsonl", tmp_path / "o.jsonl")
    assert result.exit_code == 3
    assert "No space left" in result.stderr
    assert "found 3 = 1 analysed + 0 unchanged + 2 skipped + 0 failed" in result.stderr


@pytest.mark.parametrize("option", ["--jsonl", "--csv", "--report"])
def test_an_output_in_a_folder_that_cannot_be_written_to_is_refused_before_a_song_is_heard(
    mertag: Run, music: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, option: str
) -> None:
    monkeypatch.setattr("mertag.cli.outputs.os.access", lambda path, _: path != tmp_path)
    result = mertag("tag", music, option, tmp_path / "o")
    assert (result.exit_code, result.stdout) == (3, "")
    assert f"{tmp_path} cannot be written to; name a file elsewhere" in result.stderr
    assert "found" not in result.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="file names that are any bytes")
@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_strange_names_are_harmless_in_every_locale(tmp_path: Path, locale: str) -> None:
    music = tmp_path / "music"
    names = (b"q1_\x1b[31m[red].flac", b"q2_caf\xe9.flac", "bad_夜\u202e.flac".encode(), b"short_\n.flac")
    for name in names:
        song(music / os.fsdecode(name))
    env = {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for args in ((), ("--jsonl", "-", "--write-id3"), ("--dry-run", "--force"), ("--csv", "-")):
        run = process(music, *args, env=env)
        out, err = run.communicate(timeout=60)
        assert run.returncode == 1, err.decode(errors="replace")
        for stream in (out, err):
            assert not any(byte < 32 and byte not in b"\n\t" for byte in stream)
            assert b"Traceback" not in stream
            assert b"\xe2\x80\xae" not in stream
        if "--jsonl" in args:
            assert len([json.loads(line) for line in out.splitlines()]) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_keeps_what_is_finished_and_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    music, jsonl, report = tmp_path / "music", tmp_path / "o.jsonl", tmp_path / "report.json"
    for i in range(100):
        song(music / f"q1_{i:03}.flac")
    run = process(music, "--write-id3", "--jsonl", jsonl, "--report", report, delay_s=0.05)
    deadline_s = time.monotonic() + 60
    while not (jsonl.exists() and jsonl.read_text().count("\n") >= 3):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    run.send_signal(number)
    out, err = run.communicate(timeout=60)
    assert run.returncode == code, err.decode()
    assert out == b""
    assert b"Traceback" not in err
    assert b"run the same command again" in err
    records = [json.loads(line) for line in jsonl.read_text().splitlines()]
    tagged = [p for p in music.iterdir() if "MOOD" in tags.read_tags(p)]
    assert len(tagged) == len(records) == json.loads(report.read_text())["summary"]["tagged"]
    assert len(list(music.iterdir())) == 100  # no temporary files


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
@pytest.mark.parametrize("args", [("--jsonl", "-"), (), ("--csv", "-"), ("--dry-run",)])
def test_a_reader_that_leaves_early_is_no_traceback(tmp_path: Path, args: tuple[str, ...]) -> None:
    import fcntl  # here: POSIX only

    for i in range(150):
        song(tmp_path / f"q1_{i}.flac")
    run = process(tmp_path, *args)
    assert run.stdout is not None
    assert run.stderr is not None
    if hasattr(fcntl, "F_SETPIPE_SZ"):  # else all lines may be in the pipe before the reader leaves
        fcntl.fcntl(run.stdout, fcntl.F_SETPIPE_SZ, 4096)
    run.stdout.readline()
    run.stdout.close()
    err = run.stderr.read()
    assert run.wait(timeout=60) == 141, err.decode()
    assert b"Traceback" not in err
    assert b"Exception ignored" not in err


@pytest.mark.realdata
def test_a_run_over_the_worst_files_of_two_tag_libraries_adds_up(mertag: Run, real_data: Path, tmp_path: Path) -> None:
    music, report = tmp_path / "music", tmp_path / "report.json"
    shutil.copytree(real_data / "tagged-files", music)
    for path in music.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)  # the data themselves are read-only
    before = {p.name for p in music.rglob("*")}
    result = mertag("tag", music, "--write-id3", "--report", report, "--quiet")
    assert result.exit_code in (0, 1), result.stderr
    s = json.loads(report.read_text())["summary"]
    assert s["found"] == s["tagged"] + s["unchanged"] + s["skipped"] + s["failed"] > 100
    assert s["not_reached"] == 0
    assert s["tagged"] > 100
    assert {p.name for p in music.rglob("*")} == before
    again = mertag("tag", music, "--write-id3", "--report", report, "--quiet")
    second = json.loads(report.read_text())["summary"]
    assert (second["tagged"], second["unchanged"]) == (0, s["tagged"] + s["unchanged"])
    assert again.exit_code == result.exit_code


def test_one_song_alone_gets_all_threads(mertag: Run, music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def open_tagger(*_: object, one_song: bool, **__: object) -> object:
        asked.append(one_song)
        return FakeTagger(), FACTS

    monkeypatch.setattr("mertag.cli.tag.open_tagger", open_tagger)
    first, second = sorted(path for path in music.rglob("*") if path.is_file())[:2]
    for roots in ([first], [first, second], [music]):
        mertag("tag", *roots, "--no-state")
    assert asked == [True, False, False]


@pytest.mark.parametrize(("one_song", "at_once"), [(True, 1), (False, None)])
def test_for_one_song_there_is_one_call_at_a_time(
    one_song: bool, at_once: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mertag.cli import tag

    made: list[object] = []

    class Recorder:
        def __init__(self, *_: object, **options: object) -> None:
            made.append(options["at_once"])
            raise RuntimeError("enough")

    monkeypatch.setattr("mertag.listen.tagger.Tagger", Recorder)
    with pytest.raises(RuntimeError, match="enough"):
        tag.open_tagger(None, "cpu", workers=None, segment_hop_s=None, one_song=one_song)
    assert made == [at_once]
