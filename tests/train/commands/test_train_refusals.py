"""`mertag train` where it cannot run: the reason, the way on, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from quick_training import TINY, train
from toy_training import music_folders

from mertag_train.learn.config import TrainConfig
from mertag_train.runs import run, run_folder

pytestmark = [pytest.mark.command, pytest.mark.usefixtures("own_settings")]


@pytest.mark.usefixtures("tiny_network")
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
