"""`mertag evaluate` from its options to its files: continued after a kill, joined, and clear about what is wrong."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import shutil
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
from toy_training import TinyNetwork, music_folders
from typer.testing import CliRunner

from mertag.cli.app import app

pytestmark = pytest.mark.command

Run = Callable[..., tuple[int, str, str]]

TOY = (
    "--folds",
    2,
    "--epochs",
    1,
    "--segment",
    1,
    "--crops",
    1,
    "--svm-songs",
    0.4,
    "--device",
    "cpu",
    "--teacher",
    "none",
)
ALL = "majority,inherited-vote,inherited-run,inherited-mean,inherited-svm"
CHILD = """
import sys
from toy_training import TinyNetwork
import mertag_train.learn.trainer
mertag_train.learn.trainer.SegmentNetwork = TinyNetwork
from mertag.cli.app import main
sys.argv[0] = "mertag"
main()
"""


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return music_folders(tmp_path_factory.mktemp("music") / "songs", per_class=8, duration_s=2.2)


@pytest.fixture(scope="module")
def log_mels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log-mels") / "store"  # made by the first test that needs it


@pytest.fixture
def mertag(no_settings: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, music: Path, log_mels: Path) -> Run:
    """Run `mertag evaluate` on the toy music in an empty folder, with a tiny network."""
    monkeypatch.setattr("mertag_train.learn.trainer.SegmentNetwork", TinyNetwork)
    monkeypatch.chdir(tmp_path)

    def run(*args: object, dataset: str | None = "folder", data_dir: Path | None = music) -> tuple[int, str, str]:
        given: list[object] = [] if dataset is None else ["--dataset", dataset]
        given += [] if data_dir is None else ["--data-dir", data_dir]
        result = CliRunner().invoke(app, ["evaluate", *map(str, [*given, "--log-mels", log_mels, *args])])
        return result.exit_code, result.stdout, result.stderr

    return run


def results(folder: Path) -> dict[str, Any]:
    """Return every result without what the clock and the machine decide."""
    found = {}
    for path in sorted((folder / "results").rglob("*.json")):
        value = json.loads(path.read_text(encoding="utf-8"))
        found[str(path.relative_to(folder))] = {
            k: v for k, v in value.items() if k not in ("elapsed_s", "songs_per_s", "environment")
        }
    return found


def test_a_run_leaves_figures_for_people_and_for_programs(mertag: Run, tmp_path: Path) -> None:
    code, out, err = mertag("--method", ALL, *TOY)
    assert code == 0, err
    lines = [line.split("\t") for line in out.splitlines()]
    assert lines[0][:6] == ["Target", "Method", "Segment", "Folds", "Songs", "Accuracy"]
    assert [line[1] for line in lines if line[0] == "quadrant"] == ALL.split(",")
    assert next(line for line in lines if line[:2] == ["quadrant", "majority"])[4:6] == ["32", "0.250"]
    folder = tmp_path / "evaluation" / "folder-recording"
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert [s["method"] for s in report["systems"] if s["learnt"] == s["target"]] == ALL.split(",")
    assert len(report["comparisons"]) == 10
    assert "| inherited-svm | 1 s | 2 |" in (folder / "report.md").read_text(encoding="utf-8")
    assert r"\begin{tabular}" in (folder / "report.tex").read_text(encoding="utf-8")
    assert (folder / "figures" / "quadrant.inherited-svm.1s.png").read_bytes().startswith(b"\x89PNG")
    with (folder / "folds.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 32


def test_figures_are_drawn_again_only_where_they_changed(mertag: Run, tmp_path: Path) -> None:
    mertag("--method", "majority", *TOY)
    path = tmp_path / "evaluation/folder-recording/figures/quadrant.majority.png"
    before = path.stat()
    mertag(data_dir=None)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    path.write_bytes(b"no picture")
    mertag(data_dir=None)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_table_says_which_option_shows_the_results_of_the_other_grouping(mertag: Run) -> None:
    options = ("--method", "majority", *TOY, "--no-figures")
    assert "--group" not in mertag(*options, "--table", 3)[2]
    code, _, err = mertag("--table", 3, "--group", "artist", dataset=None, data_dir=None)
    assert code == 0
    assert "folds by artist; evaluation also holds folder-recording: --group recording shows them" in err


def test_a_table_of_methods_says_which_option_shows_segments_of_another_duration(mertag: Run) -> None:
    options = ("--method", "inherited-mean", *TOY, "--no-figures")
    _, out, err = mertag(*options, "--table", 3)  # segments of 1 s, as --segment of these options says
    assert "folder\tinherited-mean" in out
    assert "--segment" not in err
    _, out, err = mertag("--table", 3, dataset=None, data_dir=None)
    assert "folder\tinherited-mean" not in out
    assert "this table shows segments of 3 s; evaluation also holds others: --segment 1 shows them" in err
    _, out, err = mertag("--table", 3, "--budget", "small", dataset=None, data_dir=None)
    assert "folder\tinherited-mean" in out
    assert "--segment" not in err


def test_the_same_call_again_only_reports(mertag: Run, tmp_path: Path) -> None:
    mertag("--method", "majority,inherited-mean", *TOY)
    before = results(tmp_path / "evaluation" / "folder-recording")
    code, _, err = mertag("--method", "majority,inherited-mean", *TOY, "--no-figures")
    assert code == 0
    assert "4 of 4 folds were there already" in err
    assert "right," not in err
    code, out, _ = mertag("--json", "--quiet", "--no-figures", data_dir=None)  # no data set is needed for a report
    assert code == 0
    assert json.loads(out)["protocol"]["songs"] == 32
    assert results(tmp_path / "evaluation" / "folder-recording") == before


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_at_any_time_and_started_again_the_result_is_that_of_an_uninterrupted_run(
    mertag: Run, tmp_path: Path, music: Path, log_mels: Path
) -> None:
    options = ["--method", ALL, *TOY, "--epochs", 6, "--seeds", 2, "--threads", 1, "--no-figures"]
    assert mertag(*options, "--out", "whole")[0] == 0
    command = [sys.executable, "-c", CHILD, "evaluate", "--dataset", "folder", "--data-dir", music]
    command += ["--log-mels", log_mels, *options, "--out", "killed"]
    here = Path(__file__).parent
    paths = [here.parent, *(here.parents[2] / p for p in (".", "train", "export"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "MERTAG_CONFIG": ""}
    folder = tmp_path / "killed" / "folder-recording"
    # Killed as soon as there is: the first checkpoint, two results, some results of the second seed.
    moments: tuple[Callable[[], bool], ...] = (
        lambda: any(folder.glob("work/networks/*/checkpoint.pt")),
        lambda: len(list(folder.rglob("seed-*.json"))) >= 2,
        lambda: len(list(folder.rglob("seed-1.*.json"))) >= 3,
    )
    for moment in moments:
        child = subprocess.Popen(
            [*map(str, command)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        while child.poll() is None and not moment():
            time.sleep(0.002)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert not list(folder.rglob("report.json")), "it was done before it could be killed"
    code, _, err = mertag(*options, "--out", "killed")
    assert code == 0, err
    assert "folds were there already" in err
    assert results(folder) == results(tmp_path / "whole" / "folder-recording")
    for name in ("report.md", "report.tex", "folds.csv"):
        there = (tmp_path / "whole" / "folder-recording" / name).read_text(encoding="utf-8")
        assert (folder / name).read_text(encoding="utf-8") == there, name
    assert not list(folder.rglob("checkpoint.pt"))


def test_folds_of_two_machines_make_one_table(mertag: Run, tmp_path: Path) -> None:
    options = ("--method", "inherited-mean", *TOY, "--no-figures")
    mertag(*options, "--out", "whole")
    mertag(*options, "--fold", "0", "--out", "one")
    code, out, _ = mertag(*options, "--fold", "1", "--out", "two")
    assert code == 0
    assert "1 of 2" in out
    one = tmp_path / "one" / "folder-recording"
    shutil.copytree(tmp_path / "two" / "folder-recording" / "results", one / "results", dirs_exist_ok=True)
    assert mertag("--out", "one", "--no-figures")[0] == 0
    assert results(one) == results(tmp_path / "whole" / "folder-recording")
    texts = [
        folder.joinpath("report.md").read_text(encoding="utf-8")
        for folder in (one, tmp_path / "whole" / "folder-recording")
    ]
    # The last column of the figures is how many songs a second a machine heard.
    first, second = ([line.rsplit("|", 2)[0] for line in text.splitlines()] for text in texts)
    assert first == second


def test_the_papers_tables_with_ours_beside_them(mertag: Run, tmp_path: Path) -> None:
    code, out, err = mertag("--method", "majority,inherited-mean", *TOY, "--table", 3, "--no-figures")
    assert code == 0, err
    rows = [line.split("\t") for line in out.splitlines()]
    assert rows[0][:4] == ["Data set", "Method", "V-acc. paper", "V-acc. ours"]
    [ours] = [row for row in rows if row[:2] == ["folder", "majority"]]
    assert ours[2:4] == ["", "50.00"]
    assert all(row[3] == "" for row in rows[1:] if row[0] != "folder")
    assert "[" in err  # the footnotes
    for suffix in ("json", "md", "tex"):
        assert (tmp_path / "evaluation" / f"table-3.{suffix}").stat().st_size > 1000
    code, out, err = mertag("--table", 1)
    assert code == 0, err
    rows = [line.split("\t") for line in out.splitlines()]
    assert ["folder", "1 (0)", "", "", "32", "96", "64", "64"] in rows  # 2.2 s: 3 by the paper's rule, 2 full
    code, out, _ = mertag("--table", 2, dataset=None, data_dir=None)
    assert code == 0
    assert "PMEmo\t1\t77.43\t\t81.32\t\t85.42\t\t86.61\t" in out


def test_on_a_terminal_nothing_is_folded_or_wider_than_it(mertag: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--method", "majority,inherited-vote", *TOY, "--seeds", 2, "--no-figures")
    assert mertag(*options)[0] == 0
    monkeypatch.setattr("mertag.cli.console.stream_is_terminal", lambda name: name == "stdout")
    for columns, more in itertools.product((80, 120), ((), ("--table", 1), ("--table", 2), ("--table", 3))):
        monkeypatch.setenv("COLUMNS", str(columns))
        code, out, err = mertag(*more, "--no-figures", data_dir=None, dataset=None if more else "folder")
        assert code == 0, err
        lines = re.sub(r"\x1b\[[0-9;]*m", "", out).splitlines()
        assert lines
        assert max(map(len, lines)) <= columns
    code, out, _ = mertag("--no-figures", data_dir=None)
    assert "inherited-vote 1 s" in out
    assert "±" in out
    assert "valence (from the quadrant), " not in out  # titles are for eyes, and go to stderr


def test_what_the_reader_notes_is_said_and_written(mertag: Run, tmp_path: Path) -> None:
    _, _, err = mertag("--method", "majority", *TOY, "--no-figures")
    assert "Artists are unknown: a table can name them." in err
    assert "95 %: Wilson's interval." in err
    assert "Artists are unknown" in (tmp_path / "evaluation" / "folder-recording" / "report.md").read_text(
        encoding="utf-8"
    )
    assert "Wilson" not in mertag("--quiet", "--no-figures", data_dir=None)[2]


def test_shuffled_labels_lie_in_a_folder_of_their_own(mertag: Run, tmp_path: Path) -> None:
    assert mertag("--method", "majority", *TOY, "--shuffle-labels")[0] == 0
    assert (tmp_path / "evaluation" / "folder-recording-shuffled" / "report.json").exists()
    assert not (tmp_path / "evaluation" / "folder-recording").exists()


def test_wrong_options_are_said_at_once_with_exit_code_2(mertag: Run, music: Path) -> None:
    for options, message in (
        (["--method", "magic"], "unknown method 'magic'; choose from majority"),
        (["--method", "majority", "--target", "joy"], "--target joy: choose from quadrant, valence, arousal"),
        (["--method", "majority", "--segment", "0.1"], "--segment 0.1: give durations"),
        (["--method", "majority", "--segment", "x"], "--segment x: give durations"),
        (["--method", "majority", "--group", "genre"], "--group genre: choose recording or artist"),
        (["--method", "majority", "--folds", 2, "--fold", "9"], "--fold 9: the folds are 0, 1."),
        (["--method", "majority", "--threshold", "5"], "--threshold 5: pmemo takes two"),
        (["--method", "majority", "--table", 2], "table 2 compares segment durations, which majority does not use."),
        (["--out", "nowhere"], "nothing was run in nowhere"),
    ):
        code, out, err = mertag(*options)
        assert (code, out) == (2, ""), options
        assert message in err
    code, _, err = mertag("--method", "majority", dataset=None)
    assert code == 2
    assert "which data set? Give --dataset" in err


def test_a_data_set_that_is_missing_or_wrong_names_file_line_and_remedy_with_exit_code_3(
    mertag: Run, tmp_path: Path, music: Path
) -> None:
    code, _, err = mertag("--method", "majority", data_dir=tmp_path / "absent")
    assert (code, "absent" in err) == (3, True)
    head = "path,valence,arousal\n"
    songs = sorted(music.rglob("*.wav"))
    good = [f"{song},{1 + 8 * (i % 2)},{1 + 8 * (i // 2 % 2)}" for i, song in enumerate(songs)]
    table = tmp_path / "mine.csv"
    for text, message in (
        ("path,valence\n", "line 1"),
        (
            head + "\n".join([*good[:3], f"{songs[3]},11,5"]),
            "line 5: column 'valence' holds 11, outside the scale 1 to 9",
        ),
        (head + "\n".join([*good, good[0]]), f"line {len(good) + 2}"),
    ):
        table.write_text(text)
        code, _, err = mertag("--method", "majority", "--scale", "1,9", data_dir=table)
        assert code == 3, err
        assert "mine.csv" in err
        assert message in err


def test_an_unreadable_clip_is_named(mertag: Run, tmp_path: Path, music: Path) -> None:
    broken = shutil.copytree(music, tmp_path / "broken")
    (broken / "Q2" / "3.wav").write_bytes(b"no sound")
    options = ["--method", "inherited-mean", *TOY, "--log-mels", tmp_path / "new"]
    code, _, err = mertag(*options, data_dir=broken)
    assert code == 3
    assert str(Path("Q2", "3.wav")) in err
    code, _, err = mertag("--method", "features-svm", "--folds", 2, "--log-mels", tmp_path / "new", data_dir=broken)
    assert code == 3
    assert str(Path("Q2", "3.wav")) in err


def test_a_fold_of_one_class_in_a_folds_file_is_refused(mertag: Run, tmp_path: Path, music: Path) -> None:
    rows = [f"{p.relative_to(music).as_posix()},{p.parent.name}" for p in sorted(music.rglob("*.wav"))]
    (tmp_path / "f.csv").write_text("song_id,fold\n" + "\n".join(rows))
    code, _, err = mertag("--method", "majority", "--folds-file", "f.csv")
    assert code == 3
    assert "f.csv: fold 'Q1' holds Q1 songs only: nothing can be measured on it." in err


def test_published_folds_are_used(mertag: Run, tmp_path: Path, music: Path) -> None:
    rows = [f"{p.relative_to(music).as_posix()},{'ab'[int(p.stem) % 2]}" for p in sorted(music.rglob("*.wav"))]
    (tmp_path / "f.csv").write_text("song_id,fold\n" + "\n".join(rows))
    assert mertag("--method", "majority", "--folds-file", "f.csv")[0] == 0
    found = results(tmp_path / "evaluation" / "folder-recording")
    assert [v["fold"] for v in found.values()] == ["a", "b"]
    assert all(len(v["song_ids"]) == 16 for v in found.values())


def test_a_clip_that_cannot_be_heard_is_left_out_named_and_counted(mertag: Run, tmp_path: Path, music: Path) -> None:
    songs = shutil.copytree(music, tmp_path / "songs")
    soundfile.write(songs / "Q1" / "mute.wav", np.zeros(4 * 22_050), 22_050)
    soundfile.write(songs / "Q2" / "brief.wav", np.full(8_000, 0.1), 22_050)
    own = ("--log-mels", tmp_path / "own", "--teacher", "none")
    code, _, err = mertag("--method", "inherited-mean", *TOY, *own, data_dir=songs)
    assert code == 0, err
    assert "left out: 2 of " in err
    assert "mute.wav: silent: nothing in it is louder than -65 dBFS" in err
    assert "brief.wav: 0.36 s, shorter than one segment of 1 s" in err
