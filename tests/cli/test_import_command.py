"""`mertag tag --parquet` and `mertag import`: results go to another machine, and tags are written there from them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mutagen
import pytest
from command_line import ROOT, Run
from distinct_songs import song
from fake_tagger import FACTS, FakeTagger, emotion

from mertag.emotion import Quadrant
from mertag.library import parquet, tags

pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq  # noqa: E402


@pytest.fixture
def mertag(mertag: Run, monkeypatch: pytest.MonkeyPatch, tagger: FakeTagger) -> Run:
    """Run a command; what is only remembered has the key of the tagger, too."""

    class Known:
        def __init__(self) -> None:
            self.model_key = tagger.model_key

        def __enter__(self) -> Known:
            return self

        def __exit__(self, *_: object) -> None: ...

        def tag_many(self, paths: Any) -> Any:
            return iter([None for _ in paths][:0])

    monkeypatch.setattr("mertag.cli.tag.without_model", lambda *_, **__: (Known(), FACTS))
    return mertag


@pytest.fixture
def music(music: Path) -> Path:
    """Return the folder with one that is damaged, too."""
    song(music / "bad_d.flac")
    return music


def rows(path: Path) -> dict[str, dict[str, Any]]:
    return {Path(row["path"]).name: row for row in pq.read_table(path).to_pylist()}


def test_every_file_has_one_row_with_figures_to_the_last_digit(mertag: Run, music: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    done = mertag("tag", music, "--state", tmp_path / "state", "--parquet", out)
    assert done.exit_code == 1, done.stderr  # one is bad
    assert not done.stdout, "no table beside it"
    found = rows(out)
    assert {name: row["status"] for name, row in found.items()} == {
        "q1_a.flac": "tagged",
        "q2_b.flac": "tagged",
        "short_c.flac": "skipped",
        "bad_d.flac": "failed",
    }
    expected = emotion(Quadrant.Q2)
    row = found["q2_b.flac"]
    assert (row["quadrant"], row["label"], row["confidence"]) == ("Q2", "Angry", expected.confidence)
    assert tuple(row[f"p_q{i}"] for i in (1, 2, 3, 4)) == expected.quadrant_probabilities
    assert row["id"] == row["path"] == str(music / "q2_b.flac")
    assert row["audio"] == tags.audio_digest(music / "q2_b.flac")
    assert row["model_key"] == FakeTagger().model_key
    assert found["bad_d.flac"]["reason"] == "damaged after 3.0 s"
    assert found["short_c.flac"]["quadrant"] is None


def test_what_is_remembered_has_the_same_row(mertag: Run, music: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "1.parquet", tmp_path / "2.parquet"
    for out in (first, second):
        mertag("tag", music, "--state", tmp_path / "state", "--parquet", out)
    assert rows(first)["q1_a.flac"] == rows(second)["q1_a.flac"]


def test_segments_are_columns_if_asked_for_and_every_song_is_heard_for_them(
    mertag: Run, tagger: FakeTagger, music: Path, tmp_path: Path
) -> None:
    out, state = tmp_path / "out.parquet", tmp_path / "state"
    mertag("tag", music, "--state", state, "--parquet", out)
    assert not set(parquet.SEGMENTS) & set(pq.read_schema(out).names)
    tagger.timelines = True
    tagger.analysed.clear()
    done = mertag("tag", music, "--state", state, "--parquet", out, "--segment-probabilities")
    assert done.exit_code == 1, done.stderr  # one is bad
    assert sorted(path.name for path in tagger.analysed) == sorted(path.name for path in music.iterdir())
    row = rows(out)["q2_b.flac"]
    assert row["segment_start_s"] == list(range(28)) == list(range(row["n_segments"]))
    assert row["segment_p_q2"] == pytest.approx([row["p_q2"]] * 28, abs=1e-7)
    assert rows(out)["short_c.flac"]["segment_p_q2"] is None
    assert "2 results: 2 new" in mertag("import", out, "--state", tmp_path / "other").stderr


@pytest.mark.parametrize(
    ("options", "says"), [([], "columns of --parquet"), (["--parquet", "o", "--retag"], "--retag")]
)
def test_segments_that_cannot_be_are_refused(mertag: Run, music: Path, options: list[str], says: str) -> None:
    done = mertag("tag", music, "--segment-probabilities", *options)
    assert (done.exit_code, says in done.stderr) == (2, True), done.stderr


def test_imported_results_become_tags_elsewhere_without_an_analysis(
    mertag: Run, tagger: FakeTagger, music: Path, tmp_path: Path
) -> None:
    out, there = tmp_path / "out.parquet", tmp_path / "there"
    mertag("tag", music, "--state", tmp_path / "state", "--parquet", out)
    music.rename(there)
    (there / "q2_b.flac").rename(there / "another name.flac")
    done = mertag("import", out, "--state", tmp_path / "other")
    assert done.exit_code == 0, done.stderr
    assert "2 results: 2 new, 0 known already\n2 songs without a result" in done.stderr
    assert "0 new, 2 known already" in mertag("import", out, "--state", tmp_path / "other").stderr
    tagger.analysed.clear()
    done = mertag("tag", there, "--state", tmp_path / "other", "--retag", "--write-tags")
    assert "2 tagged" in done.stderr, done.stderr
    assert not tagger.analysed
    assert mutagen.File(there / "another name.flac")["MOOD"] == ["Angry"]


def test_a_folder_and_a_url_are_imported_too(mertag: Run, music: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    out.mkdir()
    mertag("tag", music, "--state", tmp_path / "state", "--parquet", out / "a.parquet")
    for n, where in enumerate([out, out.as_uri(), f"local://{out}", f"local://{out}/a.parquet"]):
        done = mertag("import", where, "--state", tmp_path / f"other{n}")
        assert "2 results: 2 new" in done.stderr, done.output
    done = mertag("import", "local:///there/is/nothing.parquet", "--state", tmp_path / "other")
    assert (done.exit_code, "nothing at this address" in done.stderr) == (2, True), done.stderr
    done = mertag("import", music, "--state", tmp_path / "other")
    assert (done.exit_code, "no Parquet files" in done.stderr) == (2, True)


def test_without_a_memory_there_is_nothing_to_recognise_a_song_by(mertag: Run, music: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    mertag("tag", music, "--no-state", "--parquet", out)
    done = mertag("import", out, "--state", tmp_path / "other")
    assert "2 results do not say which audio they belong to" in done.stderr


@pytest.mark.parametrize(
    ("column", "value"),
    [("p_q1", 2.0), ("confidence", float("nan")), ("audio", "xx"), ("quadrant", "Q9"), ("model", None)],
)
def test_a_row_that_is_no_result_costs_the_whole_file(
    column: str, value: object, mertag: Run, music: Path, tmp_path: Path
) -> None:
    out, bad = tmp_path / "out.parquet", tmp_path / "bad.parquet"
    mertag("tag", music, "--state", tmp_path / "state", "--parquet", out)
    table = pq.read_table(out)
    changed = table.to_pylist()
    at = next(i for i, row in enumerate(changed) if "q2_b" in row["path"])
    changed[at][column] = value
    pq.write_table(pa.Table.from_pylist(changed, table.schema), bad)
    done = mertag("import", bad, "--state", tmp_path / "other")
    assert done.exit_code == 2, done.output
    assert f"row {at + 1} is no result" in done.stderr
    assert "2 new" in mertag("import", out, "--state", tmp_path / "other").stderr


def test_only_what_mertag_wrote_is_replaced_or_read(mertag: Run, music: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"a": [1]}), foreign)
    before = foreign.read_bytes()
    song_file = music / "q1_a.flac"
    for path in (foreign, song_file):
        done = mertag("tag", music, "--no-state", "--parquet", path)
        assert (done.exit_code, "mertag did not write it" in done.stderr) == (2, True), done.stderr
        assert mertag("import", path, "--state", tmp_path / "other").exit_code == 2
    assert foreign.read_bytes() == before
    assert "not written to stdout" in mertag("tag", music, "--parquet", "-").stderr


def test_an_older_table_is_replaced(mertag: Run, music: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    mertag("tag", music, "--no-state", "--parquet", out)
    mertag("tag", music / "q1_a.flac", "--no-state", "--parquet", out)
    assert list(rows(out)) == ["q1_a.flac"]


@pytest.mark.command
def test_an_interrupted_run_leaves_a_whole_table_of_what_is_finished(music: Path, tmp_path: Path) -> None:
    for n in range(40):
        song(music / f"q3_{n:02}.flac")
    out, log = tmp_path / "out.parquet", tmp_path / "log"
    log.touch()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "FAKE_DELAY_S": "0.2", "FAKE_LOG": str(log)}
    program = [sys.executable, str(ROOT / "tests" / "fake_tagger.py"), "tag", str(music), "--no-state"]
    run = subprocess.Popen([*program, "--parquet", str(out)], env=environment, stderr=subprocess.PIPE)
    while len(log.read_text().splitlines()) < 5:
        assert run.poll() is None
        time.sleep(0.05)
    assert not out.exists(), "nothing is there before it is whole"
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130, said
    assert 4 <= len(rows(out)) < 44
    assert json.loads(json.dumps(rows(out)))  # plain values


def test_without_pyarrow_the_extra_is_named(mertag: Run, music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for args in (["tag", music, "--parquet", "x.parquet"], ["import", "x.parquet"]):
        done = mertag(*args)
        assert done.exit_code == 3, done.output
        assert "[parquet]" in done.stderr
