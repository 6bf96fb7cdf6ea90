"""`mertag tag` with each option, with a real (tiny) model, real decoders and real tags."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mutagen
import pytest
import soundfile
import tiny_bundle
from command_line import process
from in_process import Ended, run_here

from mertag.library import sidecar, tags
from mertag.listen.windows import WindowRule

pytestmark = pytest.mark.command

RATE = 22_050
SCHEMAS = Path(__file__).resolve().parents[2] / "mertag" / "schemas"

Mertag = Callable[..., Ended]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rule = WindowRule(single_max_s=3.0, window_s=2.0, hop_s=1.0)
    return tiny_bundle.build(tmp_path_factory.mktemp("bundle"), window_rule=rule).folder


@pytest.fixture
def environment(bundle: Path) -> dict[str, str]:
    return {
        "MERTAG_BUNDLE": str(bundle),
        "MERTAG_CONFIG": "",
        "MERTAG_TAG_DEVICE": "cpu",
        "MERTAG_TAG_WORKERS": "1",
    }


@pytest.fixture
def mertag(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mertag:
    """Run `mertag tag` to its end, beside the music."""
    monkeypatch.chdir(tmp_path)

    def run(*args: object, stdin: bytes = b"", env: dict[str, str] | None = None) -> Ended:
        return run_here("tag", *args, stdin=stdin, env={**environment, **(env or {})})

    return run


@pytest.fixture
def music(tmp_path: Path) -> Path:
    return make(tmp_path / "music", "a.flac", "b.flac", "c.flac", "d.flac")


def make(folder: Path, *names: str, seconds: float = 1.0) -> Path:
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, tiny_bundle.music(round(seconds * RATE), seed=i), RATE)
    return folder


def records(run: Ended) -> dict[str, dict[str, Any]]:
    """Return the records on stdout by the names of their files; there must be nothing else there."""
    jsonschema = pytest.importorskip("jsonschema")
    found = [json.loads(line) for line in run.stdout.splitlines()]
    schema = json.loads((SCHEMAS / "record.json").read_text())
    for record in found:
        jsonschema.validate(record, schema)
    return {Path(record["path"]).name: record for record in found}


def checked_report(text: bytes) -> dict[str, Any]:
    jsonschema = pytest.importorskip("jsonschema")
    content: dict[str, Any] = json.loads(text)
    jsonschema.validate(content, json.loads((SCHEMAS / "report.json").read_text()))
    s = content["summary"]
    assert s["found"] == s["tagged"] + s["unchanged"] + s["skipped"] + s["failed"]
    return content


# Which songs


def test_shards_on_machines_that_see_the_library_at_other_places_take_each_song_once(
    mertag: Mertag, tmp_path: Path
) -> None:
    names = [f"Artist {i % 3}/Song {i}.flac" for i in range(9)]
    ended: list[str] = []
    for number, place in enumerate(("here/music", "there/my music", "elsewhere/m"), start=1):
        run = mertag(make(tmp_path / place, *names, seconds=0.6), "--shard", f"{number}/3", "--jsonl", "-")
        assert run.returncode == 0, run.stderr
        ended += records(run)
    assert sorted(ended) == sorted(Path(name).name for name in names)


@pytest.mark.parametrize("shard", ["0/3", "4/3", "3", "x/y"])
def test_a_shard_that_cannot_be_is_a_usage_error(mertag: Mertag, music: Path, shard: str) -> None:
    run = mertag(music, "--shard", shard)
    assert (run.returncode, run.stdout) == (2, b"")
    assert b"cannot be; it must be" in run.stderr


def test_lists_patterns_and_ignored_folders_go_together(mertag: Mertag, tmp_path: Path) -> None:
    make(tmp_path / "m", "a.flac", "Live/b.flac", "._a.flac", ".hidden/c.flac", "tones/d.flac", "e.wav")
    (tmp_path / "m" / "tones" / ".nomedia").touch()
    (tmp_path / "m" / "Live" / "up").symlink_to(tmp_path / "m")
    extra = make(tmp_path / "x", "new\nline.flac", seconds=0.6) / "new\nline.flac"
    run = mertag(
        tmp_path / "m", "--files-from", "-", "--exclude", "*.wav", "--jsonl", "-", stdin=os.fsencode(extra) + b"\0"
    )
    assert run.returncode == 0, run.stderr
    assert sorted(records(run)) == ["a.flac", "b.flac", "new\nline.flac"]
    run = mertag(tmp_path / "m", "--include", "live", "--jsonl", "-")
    assert sorted(records(run)) == ["b.flac"]


# What comes out


def test_jsonl_on_stdout_is_clean_even_when_everything_is_said(mertag: Mertag, music: Path) -> None:
    (music / "bad.flac").write_bytes(b"fLaC" + bytes(500))
    run = mertag(
        music, "--jsonl", "-", "--write-tags", "--sidecar", "--dry-run", "--log-level", "debug", "--segment-hop", "0.1"
    )
    assert run.returncode == 1
    assert {r["status"] for r in records(run).values()} == {"tagged", "failed"}
    assert b"mertag: warning: the segment hop is 0.1 s" in run.stderr
    assert b"mertag: debug: decoder process" in run.stderr


def test_csv_on_stdout_and_the_report_in_a_file_tell_the_same(mertag: Mertag, music: Path, tmp_path: Path) -> None:
    (music / "bad.flac").write_bytes(b"fLaC" + bytes(500))
    run = mertag(music, "--csv", "-", "--report", "r.json", "--windows", "1", "--shard", "1/1")
    assert run.returncode == 1
    rows = list(csv.DictReader(io.StringIO(run.stdout.decode())))
    report = checked_report((tmp_path / "r.json").read_bytes())
    assert (len(rows), report["summary"]["tagged"], report["summary"]["failed"]) == (5, 4, 1)
    assert (report["windows"], report["shard"], report["segment_hop_s"], report["dry_run"]) == (1, "1/1", None, False)
    assert [Path(f["path"]).name for g in report["not_tagged"] for f in g["files"]] == ["bad.flac"]


def test_a_report_on_stdout_is_all_there_is_on_stdout(mertag: Mertag, music: Path) -> None:
    report = checked_report(mertag(music, "--report", "-", "--verbose").stdout)
    assert report["summary"]["tagged"] == 4


@pytest.mark.parametrize(
    ("option", "levels"),
    [((), set()), (("-v",), {"info"}), (("--log-level", "debug"), {"info", "debug"}), (("-q", "-v"), {"info"})],
)
def test_log_lines_have_levels(mertag: Mertag, music: Path, option: tuple[str, ...], levels: set[str]) -> None:
    run = mertag(music / "a.flac", "--jsonl", "-", *option)
    lines = [line for line in run.stderr.decode().splitlines() if line.startswith("mertag: ")]
    assert {line.split(": ")[1] for line in lines} == levels
    if "info" in levels:
        assert sum(f"analysed: {music / 'a.flac'}: Q" in line for line in lines) == 1


# How tags are written


def test_the_options_of_tags_do_what_they_say(mertag: Mertag, music: Path) -> None:
    song = music / "a.flac"
    file = mutagen.File(song)
    file["MOOD"] = ["Mine"]
    file.save()
    os.utime(song, ns=(10**18, 10**18))
    assert mertag(song, "--write-tags", "--preserve-mtime").returncode == 0
    assert song.stat().st_mtime_ns == 10**18
    assert tags.read_tags(song)["MOOD"] == ("Mine",)
    model = tags.read_tags(song)["MERTAG_MODEL"]
    assert model[0].startswith("tiny@1+")
    assert mertag(song, "--write-tags", "--overwrite", "--moods", "2").returncode == 0
    assert song.stat().st_mtime_ns > 10**18
    moods = tags.read_tags(song)["MOOD"]
    assert len(moods) == 2
    assert "Mine" not in moods
    assert mertag(song, "--write-tags", "--min-confidence", "1").returncode == 0
    assert "MOOD" not in tags.read_tags(song)
    assert tags.read_tags(song)["MERTAG_MODEL"] == model


def test_a_file_with_two_names_is_written_only_if_that_is_allowed(mertag: Mertag, music: Path) -> None:
    (music / "z.flac").hardlink_to(music / "a.flac")
    run = mertag(music / "a.flac", "--write-tags")
    assert run.returncode == 1
    assert b"2 hard links" in run.stderr
    assert mertag(music / "a.flac", "--write-tags", "--break-hard-links").returncode == 0
    assert "MOOD" in tags.read_tags(music / "a.flac")
    assert "MOOD" not in tags.read_tags(music / "z.flac")


# How it is heard


def test_few_windows_are_heard_and_the_results_say_so(mertag: Mertag, tmp_path: Path) -> None:
    music = make(tmp_path / "m", "long.flac", seconds=11)
    make(music, "short.flac", seconds=2)
    whole = records(mertag(music, "--jsonl", "-"))
    run = mertag(music, "--jsonl", "-", "--windows", "2", "--sidecar")
    part = records(run)
    assert part["short.flac"]["emotion"] == whole["short.flac"]["emotion"]
    heard = part["long.flac"]["emotion"]
    assert (heard["n_windows"], heard["n_segments"], heard["duration_s"], heard["analysed_s"]) == (2, 16, 11.0, 3.8)
    assert whole["long.flac"]["emotion"]["analysed_s"] == whole["long.flac"]["emotion"]["duration_s"] == 11.0
    assert whole["long.flac"]["emotion"]["n_windows"] == 10
    assert json.loads(sidecar.sidecar_path(music / "long.flac").read_bytes())["emotion"] == heard
    assert b"of each long song, only 2 windows are heard" in run.stderr


def test_the_number_of_workers_is_the_number_of_decoder_processes(mertag: Mertag, music: Path) -> None:
    for n in (1, 3):
        run = mertag(music, "--jsonl", "-", "--force", "--workers", n, "--log-level", "debug")
        assert run.stderr.count(b"debug: decoder process") == n


# How the run ends


def test_a_run_stops_at_the_first_failure_or_after_some(mertag: Mertag, music: Path) -> None:
    for name in ("0.flac", "1.flac", "2.flac"):
        (music / name).write_bytes(b"fLaC" + bytes(500))
    for option, failed in ((("--fail-fast",), 1), (("--max-failures", "2"), 2), (("--max-failures", "4"), 3)):
        run = mertag(music, "--report", "-", *option)
        s = checked_report(run.stdout)["summary"]
        assert (run.returncode, s["failed"]) == (1, failed)
        assert (s["not_reached"] > 0) is (failed < 3)
        assert (b"run the same command again" in run.stderr) is (failed < 3)


EXIT_CODES: list[tuple[int, tuple[str, ...], dict[str, str]]] = [
    (0, ("music",), {}),
    (0, ("empty",), {}),
    (1, ("music", "damaged.flac"), {}),
    (2, ("nowhere",), {}),
    (2, ("music", "--no-such-option"), {}),
    (2, ("music", "--max-failures", "0"), {}),
    (2, ("music", "--windows", "0"), {}),
    (2, ("music", "--log-level", "loud"), {}),
    (2, ("music",), {"MERTAG_TAG_MOODS": "3"}),
    (2, ("music",), {"MERTAG_CONFIG": "nowhere.toml"}),
    (3, ("music", "--model", "nowhere"), {}),
    (3, ("music", "--jsonl", "/dev/full"), {}),
    (3, ("music",), {"MERTAG_BUNDLE": "nowhere"}),
]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
@pytest.mark.parametrize(("code", "args", "env"), EXIT_CODES)
def test_exit_codes(
    mertag: Mertag, music: Path, tmp_path: Path, code: int, args: tuple[str, ...], env: dict[str, str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged.flac").write_bytes(b"fLaC" + bytes(500))
    run = mertag(*args, "--quiet", env=env)
    assert run.returncode == code, run.stderr
    assert b"Traceback" not in run.stderr
    assert (run.stderr == b"") is (code == 0 and args == ("music",))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
@pytest.mark.parametrize("args", [("--jsonl", "-"), ("--csv", "-"), ("--report", "-"), (), ("--dry-run",), ("--help",)])
def test_results_on_a_full_disk_end_the_run_with_a_reason(music: Path, args: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        run = process(music, *args, stdout=full)
        _, err = run.communicate(timeout=120)
    assert run.returncode == 3, err
    assert b"No space left on device" in err.splitlines()[-1]
    assert b"Traceback" not in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_a_log_on_a_full_disk_costs_log_lines_and_nothing_else(music: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        run = process(music, "--jsonl", "-", "--verbose", stderr=full)
        out, _ = run.communicate(timeout=120)
    assert run.returncode == 0
    assert len(out.splitlines()) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_while_songs_are_looked_for_ends_with_130_and_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    os.mkfifo(tmp_path / "list")
    # The list never ends while this end of the pipe is open: as a share on which the search takes minutes.
    run = process(tmp_path / "m", "--files-from", tmp_path / "list", start_new_session=True)
    with (tmp_path / "list").open("wb"):  # opens when the other end does
        time.sleep(0.2)
        os.killpg(run.pid, signal.SIGINT)
        _, err = run.communicate(timeout=60)
    assert run.returncode == 130, err
    assert b"run the same command again" in err
    assert b"Traceback" not in err
