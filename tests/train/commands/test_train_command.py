"""`mertag train`: from a folder of music to a run, its options, its lines off a terminal, its exit codes."""

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
from toy_training import TinyNetwork, music_folders
from typer.testing import CliRunner

import mertag
from mertag.cli.app import app
from mertag.emotion import Target
from mertag_train.commands.options import default_targets
from mertag_train.data.datasets import read
from mertag_train.learn import trainer
from mertag_train.learn.config import TrainConfig
from mertag_train.learn.trainer import Progress
from mertag_train.runs import run, run_folder
from mertag_train.runs.work import Watcher, Watchers

pytestmark = pytest.mark.command

ROOT = Path(mertag.__file__).resolve().parents[1]
QUICK = (
    "--learner",
    "inherited",
    "--svm-songs",
    0.18,
    "--segment",
    1,
    "--crops",
    1,
    "--device",
    "cpu",
    "--threads",
    1,
    "--teacher",
    "none",
)
TINY = (*QUICK, "--epochs", 2)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return music_folders(tmp_path_factory.mktemp("toy") / "music", per_class=11, duration_s=2.5)


@pytest.fixture(scope="module")
def log_mels(music: Path) -> Path:
    """Where the first training of this module leaves the log-mels, and the others find them."""
    return music.parent / "log-mels"


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "SegmentNetwork", TinyNetwork)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MERTAG_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.delenv("MERTAG_DATA", raising=False)
    (tmp_path / "config.toml").touch()
    monkeypatch.chdir(tmp_path)


def train(*args: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["train", *map(str, args)])
    return result.exit_code, result.stdout, result.stderr


def figures(folder: Path) -> Any:
    return json.loads((folder / "metrics.json").read_text())["figures"]


@pytest.mark.usefixtures("tiny")
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


@pytest.mark.usefixtures("tiny")
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


@pytest.mark.usefixtures("tiny")
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


@pytest.mark.usefixtures("tiny")
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


@pytest.mark.usefixtures("tiny")
def test_a_disk_that_is_full_is_said_with_how_to_go_on(
    music: Path, log_mels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run, "train", full)
    code, _, err = train("--dataset", "folder", "--data-dir", music, *TINY, "--log-mels", log_mels, "--out", "run")
    assert code == 3
    assert "No space left on device" in err
    assert "go on with: mertag train --resume run" in err


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        ((), 2, "which data set? Give --dataset"),
        (("--dataset", "gtzan"), 2, "unknown data set 'gtzan'; choose from pmemo, 4q, eim, deam, mtg-jamendo, folder"),
        (("--dataset", "4q"), 3, "--data-dir, or set MERTAG_DATA"),
        (("--dataset", "folder", "--data-dir", "nowhere"), 3, "there is no such file or folder"),
        (("--dataset", "4q", "--scale", "1,9"), 2, "--scale is for --dataset folder"),
        (("--dataset", "folder", "--scale", "high"), 2, "--scale 'high': give the lowest and the highest rating"),
        (("--dataset", "folder", "--target", "mood"), 2, "--target 'mood': choose quadrant, or valence,arousal"),
        (("--dataset", "folder", "--target", "valence"), 2, "either a quadrant head or a valence and an arousal head"),
        (("--dataset", "folder", "--group", "label"), 2, "group by artist or recording"),
        (("--dataset", "folder", "--learning-rate", "0"), 2, "learning rate must be above 0"),
        (("--dataset", "folder", "--epochs", "0"), 2, "--epochs"),
        (("--dataset", "folder", "--segment", "0.5"), 2, "--segment"),
        (("--resume", "nowhere"), 2, "no run is here"),
        (("--dataset", "folder", "--data-dir", "nowhere", "--device", "tpu"), 2, "--device"),
    ],
)
def test_what_cannot_be_is_said_with_its_exit_code(args: tuple[str, ...], code: int, says: str) -> None:
    found, out, err = train(*args)
    assert (found, out) == (code, "")
    assert says in " ".join(err.split())


def test_cuda_that_is_not_there_cannot_run(music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, _, err = train("--dataset", "folder", "--data-dir", music, "--device", "cuda")
    assert code == 3
    assert "torch finds no GPU here; train with --device cpu" in err


def test_labels_that_the_songs_do_not_have_are_named(tmp_path: Path) -> None:
    music_folders(tmp_path / "music", per_class=2, duration_s=0.1)
    for old, new in {"Q1": "V+", "Q2": "V-"}.items():
        (tmp_path / "music" / old).rename(tmp_path / "music" / new)
    for name in ("Q3", "Q4"):
        (tmp_path / "music" / name).rename(tmp_path / name)
    source = ("--dataset", "folder", "--data-dir", tmp_path / "music")
    code, _, err = train(*source)
    assert code == 2
    assert "folder has no arousal labels; it has valence, and a model is trained on quadrants, or on" in err
    code, _, err = train(*source, "--target", "quadrant")
    assert code == 2
    assert "folder has no quadrant labels" in err


def test_what_is_learnt_is_what_the_songs_were_rated_for(music: Path) -> None:
    folders = read("folder", music)
    assert default_targets(folders) == (Target.QUADRANT,)
    assert default_targets(replace(folders, targets=(Target.VALENCE,))) == (Target.VALENCE, Target.AROUSAL)
    assert default_targets(replace(folders, name="pmemo")) == (Target.VALENCE, Target.AROUSAL)


def test_songs_without_audio_are_the_reason_that_is_given_and_nothing_is_decoded(tmp_path: Path) -> None:
    music = music_folders(tmp_path / "music", per_class=3, duration_s=1.5)
    lines = [f"Q{k}/{i}.wav,Q{k}" for k in (1, 2, 3, 4) for i in range(30)]
    (music / "labels.csv").write_text("path,quadrant\n" + "\n".join(lines) + "\n")
    (music / "Q2/0.wav").unlink()
    (music / "Q2/1.wav").unlink()
    code, _, err = train("--dataset", "folder", "--data-dir", music, *TINY, "--out", "run")
    assert code == 3
    said = err.splitlines()
    assert said[0].startswith("folder: 10 of 120 labelled songs have audio here; without: Q1/3.wav, Q1/4.wav, ")
    assert said[0].endswith(", and 105 more")
    assert said[1].startswith(
        f"mertag: error: 110 of 120 labelled songs of 'folder' have no audio in {music} (Q1/3.wav,"
    )
    assert "With the other 10: these songs cannot be split by quadrant: class Q2 (Angry) has 1 song" in said[1]
    assert len(said) == 2
    assert not (tmp_path / "run").exists()


def test_too_few_songs_are_said_before_anything_is_trained(tmp_path: Path) -> None:
    music = music_folders(tmp_path / "music", per_class=4, duration_s=1.5)
    code, _, err = train("--dataset", "folder", "--data-dir", music, *TINY, "--out", "run")
    assert code == 3
    assert "about 13 of each class are enough" in err
    assert not (tmp_path / "run").exists()


def test_a_folder_of_music_named_for_log_mels_or_the_run_is_left_alone(music: Path) -> None:
    before = sorted(music.rglob("*"))
    for option in ("--log-mels", "--out"):
        code, _, err = train("--dataset", "folder", "--data-dir", music, *TINY, option, music)
        assert code in (2, 3)
        assert "name" in err
    assert sorted(music.rglob("*")) == before


def begun(folder: Path) -> None:
    """Leave what an interrupted run leaves, without its songs."""
    config = TrainConfig().to_json()
    dataset = {"name": "folder", "root": "/nowhere", "options": {}, "log_mels": None}
    folder.mkdir()
    about = {"schema": run_folder.SCHEMA, "command": "", "config": config, "dataset": dataset}
    (folder / "run.json").write_text(json.dumps(about))


def test_options_that_would_change_a_run_are_refused_with_resume(tmp_path: Path) -> None:
    begun(tmp_path / "run")
    code, _, err = train("--resume", "run", "--epochs", 50, "--batch-size", 4)
    assert code == 2
    assert "leave out --batch-size, --epochs, or begin a run of its own" in err


def test_settings_of_the_configuration_file_are_for_new_runs(tmp_path: Path) -> None:
    begun(tmp_path / "run")
    (tmp_path / "config.toml").write_text("[train]\nepochs = 50\n")
    code, _, err = train("--resume", "run")
    assert code == 3
    assert "/nowhere" in err  # past the options, to the data set


def test_help_names_every_option() -> None:
    code, out, _ = train("--help")
    assert code == 0
    assert "--resume" in out
    assert "CTX" not in out.upper().split()


@pytest.mark.usefixtures("tiny")
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
