"""``--unlabelled``: said before anything is trained, never judged, and the same music when a run goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from toy_embeddings import statistics_model
from toy_training import RATE, TinyNetwork
from typer.testing import CliRunner

from mertag.cli.app import app
from mertag_train.learn import recipes, trainer
from mertag_train.learn.config import NetworkConfig, PretrainingConfig
from mertag_train.runs import run

pytestmark = pytest.mark.command

Command = Callable[..., tuple[int, str]]
QUICK = ("--learner", "inherited", "--epochs", 1, "--crops", 1, "--segment", 1, "--device", "cpu", "--threads", 1)


@pytest.fixture
def others(tmp_path: Path, music: Path) -> Path:
    folder = tmp_path / "others"
    folder.mkdir()
    for i in range(3):
        sound = np.random.default_rng(i).normal(0, 0.1, 3 * RATE).astype(np.float32)
        soundfile.write(folder / f"{i}.wav", sound, RATE)
    (folder / "broken.wav").write_bytes(b"RIFF")
    (folder / "known.wav").write_bytes((music / "Q1" / "0.wav").read_bytes())
    return folder


@pytest.fixture
def mertag(no_settings: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, music: Path) -> Command:
    """Run a command on the toy music with a tiny network, a short pre-training, and a teacher of two numbers."""
    ours = recipes.RECIPES["ours"]
    first = PretrainingConfig(epochs=1, crops_per_clip=1, optimiser=ours.optimiser)
    short = replace(ours, network=NetworkConfig(width=0.5), teacher=replace(ours.teacher, pretraining=first))
    short = replace(short, teacher=replace(short.teacher, label_share=0.0))
    monkeypatch.setitem(recipes.RECIPES, "ours", short)
    monkeypatch.setattr(trainer, "SegmentNetwork", TinyNetwork)
    monkeypatch.setattr("mertag_train.learn.trainer._refuse_stall", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    teacher = statistics_model(tmp_path / "teacher.onnx", ("n", 8_000), sample_rate=8_000)

    def command(name: str, *words: object, resumed: bool = False) -> tuple[int, str]:
        data = () if resumed else ("--dataset", "folder", "--data-dir", music)
        result = CliRunner().invoke(app, [name, *map(str, (*data, "--teacher", teacher, *words))])
        return result.exit_code, result.stdout + result.stderr

    return command


def test_a_run_says_what_it_hears_without_a_label_and_never_judges_it(
    mertag: Command, others: Path, tmp_path: Path
) -> None:
    code, said = mertag(
        "train", *QUICK, "--svm-songs", 0.18, "--unlabelled", others, "--unlabelled-stretches", 2, "--out", "run"
    )
    assert code == 0, said
    assert f"without a label: 3 songs in {others}, 3 stretches of at most 30 s" in said
    assert "left out: 1 files that are labelled songs" in said
    assert "broken.wav: " in said
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["command"].endswith("--unlabelled DIR --unlabelled-stretches 2 --unlabelled-in pre-training")
    assert about["unlabelled"]["root"] == str(others)
    assert about["unlabelled"]["stretches"] == 3
    everything = "".join((tmp_path / "run" / name).read_text() for name in ("split.csv", "predictions.quadrant.csv"))
    assert "unlabelled" not in everything


def test_a_run_goes_on_with_the_same_music_only(
    mertag: Command, others: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    options = (*QUICK, "--svm-songs", 0.18, "--out", "run")
    with monkeypatch.context() as patch:
        patch.setattr(run, "train", stopped)
        mertag("train", *options, "--unlabelled", others)
    soundfile.write(others / "new.wav", np.random.default_rng(9).normal(0, 0.1, 3 * RATE), RATE)
    code, said = mertag("train", "--resume", "run", resumed=True)
    assert code == 2, said
    assert "not the music that the run was begun with (3 stretches there, 4 here, or others)" in said
    (others / "new.wav").unlink()
    moved = others.rename(tmp_path / "moved")
    code, said = mertag("train", "--resume", "run", "--unlabelled", moved, resumed=True)
    assert code == 0, said
    assert f"without a label: 3 songs in {moved}" in said


def test_an_evaluation_keeps_results_with_and_without_such_music_apart(
    mertag: Command, others: Path, tmp_path: Path
) -> None:
    options = ("--method", "inherited-mean", "--folds", 2, *QUICK[2:], "--no-figures", "--svm-songs", 0.4)
    code, said = mertag("evaluate", *options, "--unlabelled", others)
    assert code == 0, said
    assert "without a label: 3 songs" in said
    results = [json.loads(p.read_text()) for p in (tmp_path / "evaluation").rglob("seed-0.fold-*.json")]
    assert [result["settings"]["unlabelled"]["stretches"] for result in results] == [3, 3]
    assert not any(clip.startswith("unlabelled/") for result in results for clip in result["song_ids"])
    trunks = list((tmp_path / "evaluation").rglob("teacher-*/request.json"))
    assert [len(json.loads(path.read_text())["unlabelled"]) for path in trunks] == [3, 3]
    code, said = mertag("evaluate", *options)
    assert code == 2
    assert "made with other settings: unlabelled" in said


@pytest.mark.parametrize(
    "options",
    [("--budget", "small"), ("--recipe", "paper", "--learner", "inherited")],
)
def test_where_nothing_is_learnt_from_it_it_is_refused(mertag: Command, others: Path, options: Any) -> None:
    code, said = mertag("train", *options, "--unlabelled", others)
    assert code == 2
    assert "nothing is learnt from it" in said
