"""`mertag tag` and its memory: second runs, several processes, kills, a state file that cannot be used."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import tiny_bundle
from command_line import ROOT, Run, process
from distinct_songs import song
from fake_tagger import FakeTagger

from mertag.library import tags

pytestmark = pytest.mark.command


def summary_of(err: bytes) -> dict[str, int]:
    """Return the counts of the summary's line, which must add up."""
    found = re.search(rb"found (\d+) = (\d+) tagged \+ (\d+) unchanged \+ (\d+) skipped \+ (\d+) failed", err)
    assert found, err.decode()
    n, *parts = map(int, found.groups())
    assert n == sum(parts)
    return dict(zip(("found", "tagged", "unchanged", "skipped", "failed"), (n, *parts), strict=True))


def test_a_second_run_needs_no_analysis_and_names_no_run(mertag: Run, music: Path, tagger: FakeTagger) -> None:
    first = mertag("tag", music, "--write-id3")
    assert "this was run 1; `mertag undo --run 1` gives the old files back" in first.stderr
    second = mertag("tag", music, "--write-id3", "--jsonl", "-")
    assert (second.exit_code, tagger.analysed) == (0, [])
    assert "found 3 = 0 tagged + 2 unchanged + 1 skipped + 0 failed" in second.stderr
    assert "undo" not in second.stderr
    records = {Path(r["path"]).name: r for r in map(json.loads, second.stdout.splitlines())}
    assert records["q2_b.flac"]["emotion"]["quadrant"] == "Q2"


def test_what_is_shown_from_memory_is_said_not_to_be_analysed_again(
    mertag: Run, music: Path, tagger: FakeTagger
) -> None:
    again = "remembered from an earlier run, and not analysed again"
    assert again not in mertag("tag", music).stderr
    assert f"{again}: 2 songs" in mertag("tag", music).stderr
    assert tagger.analysed == []
    assert again not in mertag("tag", music, "--write-id3").stderr


def test_force_analyses_again(mertag: Run, music: Path, tagger: FakeTagger) -> None:
    mertag("tag", music, "--write-id3")
    assert mertag("tag", music, "--write-id3", "--force").exit_code == 0
    assert len(tagger.analysed) == 3


def test_without_a_state_nothing_is_remembered_nor_made(
    mertag: Run, music: Path, tagger: FakeTagger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    for _ in range(2):
        assert mertag("tag", music, "--write-id3", "--no-state").exit_code == 0
        assert len(tagger.analysed) == 3
    assert not (tmp_path / "home").exists()


def test_the_state_may_lie_elsewhere_and_other_places_know_nothing_of_it(
    mertag: Run, music: Path, tagger: FakeTagger, tmp_path: Path
) -> None:
    mertag("tag", music, "--write-id3", "--state", tmp_path / "mine" / "s")
    mertag("tag", music, "--write-id3", "--state", tmp_path / "mine" / "s")
    assert tagger.analysed == []
    mertag("tag", music, "--write-id3")
    assert len(tagger.analysed) == 3


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--retag", "--no-state"), "--no-state"),
        (("--retag", "--force"), "choose one"),
        (("--state", "x", "--no-state"), "choose one"),
        (("--state", "."), "is a folder"),
    ],
)
def test_what_contradicts_itself_is_a_usage_error(
    mertag: Run, music: Path, tagger: FakeTagger, args: tuple[str, ...], says: str
) -> None:
    result = mertag("tag", music, *args)
    assert (result.exit_code, tagger.analysed) == (2, [])
    assert says in result.stderr


def test_a_state_that_cannot_be_made_ends_a_run_that_writes_and_not_one_that_shows(
    mertag: Run, music: Path, tagger: FakeTagger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("no folder")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    refused = mertag("tag", music, "--write-id3")
    assert (refused.exit_code, tagger.analysed) == (2, [])
    assert "--no-state" in refused.stderr
    shown = mertag("tag", music)
    assert shown.exit_code == 0
    assert "nothing is remembered" in shown.stderr
    assert len(shown.stdout.splitlines()) == 3


@pytest.mark.parametrize("name", ["q1_0.flac", "a_song_without_its_suffix"])
def test_a_song_is_never_taken_for_the_state_file(mertag: Run, music: Path, tmp_path: Path, name: str) -> None:
    flac = next(music.glob("*.flac"))
    place = tmp_path / name
    place.write_bytes(flac.read_bytes())
    result = mertag("tag", music, "--write-id3", "--state", place)
    assert result.exit_code == 2
    assert "this is a song" in result.stderr
    assert place.read_bytes() == flac.read_bytes()
    assert not list(tmp_path.glob("*.aside-*"))


def test_a_state_that_is_no_state_is_set_aside_and_the_run_goes_on(mertag: Run, music: Path, tmp_path: Path) -> None:
    place = tmp_path / "s"
    place.write_text("precious notes of someone else" * 100)
    result = mertag("tag", music, "--write-id3", "--state", place)
    assert result.exit_code == 0
    assert "set aside" in result.stderr
    (aside,) = tmp_path.glob("s.aside-*")
    assert aside.read_text().startswith("precious notes")
    assert "2 unchanged" in mertag("tag", music, "--write-id3", "--state", place).stderr


def test_another_model_is_said_before_the_analysis(mertag: Run, music: Path, tagger: FakeTagger) -> None:
    mertag("tag", music, "--write-id3")
    tagger.model = "new@2+22222222"
    result = mertag("tag", music, "--write-id3", "--jsonl", "-")
    said = "3 songs were analysed with the model fake@1+00000000, and this run uses new@2+22222222"
    assert said in result.stderr
    assert all(line.startswith("{") for line in result.stdout.splitlines())
    assert said not in mertag("tag", music, "--quiet").stderr


def test_retag_needs_no_network_and_writes_what_a_real_run_heard(tmp_path: Path) -> None:
    bundle = tiny_bundle.build(tmp_path / "bundle").folder
    music = tmp_path / "music"
    for name in ("a.flac", "b.wav"):
        tiny_bundle_song(music / name)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MERTAG_CONFIG": ""}
    code = (
        "import sys\nfrom mertag.cli.app import app\n"
        "try:\n    app()\nfinally:\n    print(*sorted(sys.modules), file=open(sys.argv[-1], 'w'))"
    )

    def run(*args: object) -> tuple[str, set[str]]:
        modules = tmp_path / "modules"
        command = [sys.executable, "-c", code, "tag", str(music), "--model", str(bundle), *map(str, args)]
        # what follows "--exclude" is a pattern, and to the code above where to write
        done = subprocess.run(
            [*command, "--exclude", str(modules)], env=environment, capture_output=True, text=True, check=True
        )
        return done.stderr, set(modules.read_text().split())

    said, loaded = run("--write-id3", "--device", "cpu")
    assert "2 tagged" in said
    assert "onnxruntime" in loaded
    first = {p.name: tags.read_tags(p) for p in music.iterdir()}
    for path in music.iterdir():
        tags.remove_tags(path)
    said, loaded = run("--write-id3", "--retag")
    assert "2 tagged" in said
    assert not loaded & {"onnxruntime", "soxr", "av"}
    assert {p.name: tags.read_tags(p) for p in music.iterdir()} == first


def tiny_bundle_song(path: Path) -> None:
    import soundfile

    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, tiny_bundle.music(3 * 22_050, seed=len(path.name)), 22_050)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_run_that_is_killed_half_way_is_resumed_and_each_song_analysed_once(tmp_path: Path) -> None:
    music, log = tmp_path / "music", tmp_path / "log"
    names = [song(music / f"q1_{i:03}.flac").name for i in range(40)]
    run = process(music, "--write-id3", log=log, delay_s=0.02)
    deadline_s = time.monotonic() + 60
    while not log.exists() or log.read_text().count("\n") < 15:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=60)
    before = log.read_text().splitlines()
    run = process(music, "--write-id3", "--jsonl", tmp_path / "o.jsonl", log=log, delay_s=0.0)
    _, err = run.communicate(timeout=120)
    assert run.returncode == 0, err.decode()
    counts = summary_of(err)
    assert counts["found"] == counts["tagged"] + counts["unchanged"] == 40
    times = Counter(log.read_text().splitlines())
    assert sorted(times) == names
    twice = [name for name, n in times.items() if n > 1]
    assert twice in ([], before[-1:])  # the one that was being analysed when the kill came
    assert b"waiting for its results" not in err
    assert all(tags.read_tags(path)["MOOD"] == ("Happy",) for path in music.glob("*.flac"))


def test_two_processes_at_once_analyse_each_song_once_and_both_add_up(tmp_path: Path) -> None:
    music, log = tmp_path / "music", tmp_path / "log"
    names = [song(music / f"q1_{i:03}.flac").name for i in range(40)]
    runs = [process(music, "--write-id3", "--sidecar", log=log, delay_s=0.02) for _ in range(2)]
    counts = []
    for run in runs:
        _, err = run.communicate(timeout=120)
        assert run.returncode == 0, err.decode()
        counts.append(summary_of(err))
    assert sorted(log.read_text().splitlines()) == names
    assert [c["found"] for c in counts] == [40, 40]
    assert sum(c["tagged"] for c in counts) == 40
    assert sum(c["unchanged"] for c in counts) == 40
    assert all(tags.read_tags(path)["MOOD"] == ("Happy",) for path in music.glob("*.flac"))
    assert len(list(music.iterdir())) == 80
