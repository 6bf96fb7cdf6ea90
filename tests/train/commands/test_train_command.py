"""`mertag train`: from a folder of music to a run, its lines off a terminal, and how it goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from quick_training import QUICK, TINY, train

import mertag
from mertag.emotion import Target
from mertag_train.commands.options import default_targets
from mertag_train.data.datasets import read
from mertag_train.learn.config import TrainConfig
from mertag_train.learn.trainer import Progress
from mertag_train.runs import run
from mertag_train.runs.work import Watcher, Watchers

pytestmark = [pytest.mark.command, pytest.mark.usefixtures("own_settings")]


ROOT = Path(mertag.__file__).resolve().parents[1]


def figures(folder: Path) -> Any:
    return json.loads((folder / "metrics.json").read_text())["figures"]


@pytest.mark.usefixtures("tiny_network")
def test_json_is_the_runs_figures_and_what_comes_next(music: Path, log_mels: Path, tmp_path: Path) -> None:
    words = ("--dataset", "folder", "--data-dir", music, "--out", "a run", "--log-mels", log_mels, "--json")
    code, out, err = train(*words, *QUICK, "--epochs", 1)
    assert code == 0, err
    found = json.loads(out)
    assert found["path"] == "a run"
    assert found["metrics"] == figures(tmp_path / "a run")
    assert found["next"].startswith("mertag export 'a run'")
    assert f"next: {found['next']}" in err
    assert bool(found["at_chance"]) == found["next"].endswith(" --force")


@pytest.mark.parametrize(
    ("options", "epochs", "warm_up", "parts"),
    [
        ((), 10, 5, 3),
        (("--epochs", 20), 20, 5, 3),  # what is said stands, also where it is a GPU's number
        (("--epochs", 20, "--warm-up", 8), 20, 8, 3),
        (("--recipe", "paper"), 30, 5, 5),
        (("--budget", "small"), 10, 3, 5),
    ],
)
def test_a_cpu_has_a_budget_of_its_own_which_options_come_on_top_of(
    music: Path,
    log_mels: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[object, ...],
    epochs: int,
    warm_up: int,
    parts: int,
) -> None:
    begun: list[TrainConfig] = []

    def stopped(folder: Path, songs: object, store: object, config: TrainConfig, **_: object) -> None:
        begun.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "begin", stopped)
    words = ("--dataset", "folder", "--data-dir", music, "--log-mels", log_mels, "--segment", 1)
    train(*words, "--device", "cpu", "--teacher", "none", *options)
    (config,) = begun
    assert (config.epochs, config.warm_up_epochs, config.song.inner_folds) == (epochs, warm_up, parts)


@pytest.mark.usefixtures("tiny_network")
def test_a_folder_of_music_becomes_a_run(music: Path, tmp_path: Path) -> None:
    words = ("--dataset", "folder", "--data-dir", music, "--out", "my run", "--log-mels", tmp_path / "log-mels")
    code, out, err = train(*words, *QUICK, "--epochs", 1)
    assert code == 0, err
    assert sorted(p.name for p in (tmp_path / "my run").iterdir() if p.name != "tensorboard") == [
        "curves.quadrant.png",
        "epochs.quadrant.jsonl",
        "metrics.json",
        "network.quadrant.safetensors",
        "predictions.quadrant.csv",
        "run.json",
        "song.quadrant.npz",
        "split.csv",
    ]
    lines = out.splitlines()
    assert lines[0].split("\t") == [*("Target", "Method", "Songs", "Accuracy", "95 %", "Macro-F1", "MCC", "Cal. error")]
    assert [line.split("\t")[:2] for line in lines[1:]] == [
        [target, method]
        for target in ("quadrant", "valence (from the quadrant)", "arousal (from the quadrant)")
        for method in ("majority", "song classifier", "mean probability")
    ]
    said = err.splitlines()
    assert said[0] == "folder: 44 of 44 labelled songs have audio here"
    assert said[1:3] == ["  log-mels: 44 of 44 clips", "log-mels: 44 songs"]
    assert re.fullmatch(
        r"split by recording, since no artist is known: 3\d songs to learn from, "
        r"\d that only the song classifier learns from, \d set aside for the figures",
        said[3],
    )
    assert said[4] == "run: my run (on cpu)"
    assert said[5].startswith("recipe ours (inherited): one network; VGG16 with batch norm, 0.5 of the channels")
    assert " M weights), segments of 1 s, learning rate 0.02; about " in said[5]
    assert said[6] == "quadrant:"
    (epoch,) = (line for line in said[7:] if line.startswith("  epoch ") and ": step " not in line)
    assert epoch.startswith("  epoch 1 of 1: loss ")
    assert "held-out accuracy" in epoch
    assert "majority: the most frequent class of the songs that are learnt from" in err
    assert said[-1].startswith("next: mertag export 'my run'")
    assert said[-1].endswith(" --force") == ("cannot be told from chance" in err)
    assert "\x1b" not in err + out
    found = run.load(tmp_path / "my run")
    assert list(found.networks) == [Target.QUADRANT]
    assert found.command == (
        "mertag train --dataset folder --data-dir DIR --recipe ours --seed 0 "
        "--target quadrant --learner inherited --epochs 1 --crops 1 --segment 1.0 --svm-songs 0.18 --teacher none"
    )


@pytest.mark.slow
def test_the_real_network_is_trained_in_a_process_of_its_own(music: Path, log_mels: Path, tmp_path: Path) -> None:
    words = ("train", "--dataset", "folder", "--data-dir", music, "--out", "my run", "--log-mels", log_mels)
    command = [sys.executable, "-m", "mertag", *words, *QUICK, "--epochs", 1]
    path = os.pathsep.join(map(str, (ROOT, ROOT / "train", ROOT / "export")))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "next: mertag export 'my run'"
    network = run.load(tmp_path / "my run").networks[Target.QUADRANT]
    assert sum(p.numel() for p in network.parameters()) > 15e6


@pytest.mark.usefixtures("tiny_network")
def test_an_interrupted_training_goes_on_to_the_same_figures(
    music: Path, log_mels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ("--dataset", "folder", "--data-dir", music, "--log-mels", log_mels)
    code, whole_table, _ = train(*source, *TINY, "--out", "whole")
    assert code == 0

    begin = run.train

    def interrupted(*args: Any, **options: Any) -> Any:
        class Stopping(Watcher):
            def on_step(self, step: Progress) -> None:
                if step.epoch == 2:
                    raise KeyboardInterrupt

        return begin(*args, **{**options, "watcher": Watchers(options["watcher"], Stopping())})

    with monkeypatch.context() as patch:
        patch.setattr(run, "train", interrupted)
        code, out, err = train(*source, *TINY, "--out", "broken")
    assert (code, out) == (130, "")
    assert "go on with: mertag train --resume broken" in err

    code, table, err = train("--resume", "broken", "--device", "cpu")  # it knows where songs and log-mels are
    assert code == 0, err
    assert "epoch 2 of 2" in err
    assert "epoch 1 of 2" not in err
    assert table == whole_table
    assert figures(tmp_path / "broken") == figures(tmp_path / "whole")

    code, _, err = train("--resume", "broken")
    assert code == 2
    assert "the run is finished; export it with `mertag export broken`" in err


@pytest.fixture
def rated(music: Path, tmp_path: Path) -> Path:
    """A table of ratings from 1 to 9, in a folder of its own, that says what the folders say."""
    rng = np.random.default_rng(0)
    lines = ["path,valence,arousal"]
    for quadrant, (v, a) in {"Q1": (1, 1), "Q2": (0, 1), "Q3": (0, 0), "Q4": (1, 0)}.items():
        for path in sorted((music / quadrant).iterdir()):
            high, low = rng.uniform(5.1, 9), rng.uniform(1, 4.9)
            lines.append(f"{path},{high if v else low:.2f},{high if a else low:.2f}")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "ratings.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "tables" / "ratings.csv"


@pytest.mark.usefixtures("tiny_network")
def test_two_heads_from_a_table_of_ratings_keep_its_scale_when_the_run_goes_on(
    rated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--dataset", "folder", "--data-dir", rated, "--scale", "1,9", "--target", "valence,arousal", *TINY)
    with monkeypatch.context() as patch:
        patch.setattr(run, "train", stopped)
        assert train(*options, "--out", "run")[0] == 130
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["dataset"]["options"] == {"scale": [1.0, 9.0]}
    assert about["dataset"]["root"] == str(rated)
    assert about["dataset"]["log_mels"] is None

    code, table, err = train("--resume", "run", "--device", "cpu", "--quiet")
    assert (code, err) == (0, "")
    assert [line.split("\t")[0] for line in table.splitlines()[1:]] == ["valence"] * 3 + ["arousal"] * 3
    found = run.load(tmp_path / "run")
    assert found.config.targets == (Target.VALENCE, Target.AROUSAL)
    assert set(found.networks) == set(found.classifiers) == {Target.VALENCE, Target.AROUSAL}
    assert "--target valence,arousal" in found.command
    assert "--scale 1,9" in found.command
    assert str(tmp_path) not in found.command


def stopped(*args: object, **options: object) -> None:
    raise KeyboardInterrupt


def test_what_is_learnt_is_what_the_songs_were_rated_for(music: Path) -> None:
    folders = read("folder", music)
    assert default_targets(folders) == (Target.QUADRANT,)
    assert default_targets(replace(folders, targets=(Target.VALENCE,))) == (Target.VALENCE, Target.AROUSAL)
    assert default_targets(replace(folders, name="pmemo")) == (Target.VALENCE, Target.AROUSAL)


def test_help_names_every_option() -> None:
    code, out, _ = train("--help")
    assert code == 0
    assert "--resume" in out
    assert "CTX" not in out.upper().split()


@pytest.mark.usefixtures("tiny_network")
def test_a_clip_that_cannot_be_heard_is_left_out_named_and_counted(music: Path, tmp_path: Path) -> None:
    songs = shutil.copytree(music, tmp_path / "songs")
    soundfile.write(songs / "Q1" / "mute.wav", np.zeros(4 * 22_050), 22_050)
    soundfile.write(songs / "Q2" / "brief.wav", np.full(8_000, 0.1), 22_050)
    soundfile.write(songs / "Q3" / "nan.wav", np.full(44_100, np.nan), 22_050, subtype="FLOAT")
    soundfile.write(songs / "Q4" / "loud.wav", np.full(44_100, 1e9), 22_050, subtype="FLOAT")
    options = ("--dataset", "folder", "--data-dir", songs, "--out", "run", "--teacher", "none")
    code, _, err = train(*options, *QUICK, "--epochs", 1)
    assert code == 0, err
    assert "left out: 4 of 48 songs, which cannot be learnt from or judged" in err
    assert "mute.wav: silent: nothing in it is louder than -65 dBFS" in err
    assert "brief.wav: 0.36 s, shorter than one segment of 1 s" in err
    assert "nan.wav: damaged after 0.0 s" in err
    assert "loud.wav: samples of up to " in err
    dealt = (tmp_path / "run" / "split.csv").read_text()
    assert not any(name in dealt for name in ("mute", "brief", "nan.wav", "loud"))
