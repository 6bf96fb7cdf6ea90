"""Processes that train beside one another: the same networks, whoever trains them, and no process left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy_training import music_folders, same_weights, toy_config
from typer.testing import CliRunner

from mertag.cli.app import app
from mertag.emotion import Target
from mertag.errors import TrainingError
from mertag_train.data.datasets import read
from mertag_train.data.store import log_mels
from mertag_train.learn.config import MemberConfig, NetworkConfig, SongConfig, TrainConfig
from mertag_train.networks.ensemble import members_of
from mertag_train.runs import run
from mertag_train.runs.experiment import Parts, networks_to_train
from mertag_train.runs.helpers import Helpers

pytestmark = pytest.mark.command

KIND = MemberConfig(
    network=NetworkConfig(architecture="statistics", width=0.25, dropout=0.1),
    optimiser=toy_config().optimiser,
    augment=toy_config().augment,
    epochs=4,
    crops_per_clip=4,
)
TOGETHER = replace(
    toy_config(),
    learner="inherited",
    ensemble=(KIND, replace(KIND, epochs=3)),
    song=SongConfig(features="cross_fitted", inner_folds=3),
    fractions=(0.75, 0.0, 0.25),
    epochs=4,
)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return music_folders(tmp_path_factory.mktemp("beside") / "music", per_class=8, duration_s=2.5)


def trained(folder: Path, music: Path, jobs: int, config: TrainConfig = TOGETHER) -> Path:
    """Return a run, trained by this process and `jobs` - 1 others."""
    torch.set_num_threads(1)
    songs, kept = read("folder", music), music.parent / "log-mels"
    store = log_mels(songs, config.front_end, folder=kept)
    run.begin(folder, songs, store, config, command="", log_mels=kept)
    job = {"folder": str(folder), "target": "quadrant", "root": str(music), "log_mels": str(kept), "threads": 1}

    def helpers(_: Target) -> Helpers:
        return Helpers([{**job, "share": (number, jobs)} for number in range(1, jobs)])

    run.train(folder, songs, store, device=torch.device("cpu"), helpers=helpers if jobs > 1 else None)
    return folder


@pytest.mark.slow
def test_networks_that_are_trained_side_by_side_are_those_of_one_process(music: Path, tmp_path: Path) -> None:
    alone, beside = trained(tmp_path / "alone", music, 1), trained(tmp_path / "beside", music, 2)
    one, other = (members_of(run.load(folder).networks[Target.QUADRANT]) for folder in (alone, beside))
    assert len(one) == len(other) == 6
    for a, b in zip(one, other, strict=True):
        assert same_weights(a.state_dict(), b.state_dict())
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (alone, beside)]
    assert metrics[0]["figures"] == metrics[1]["figures"]
    assert all(float(found["environment"]["training_s"]) > 0 for found in metrics)
    assert sorted(p.name for p in alone.iterdir()) == sorted(p.name for p in beside.iterdir())
    epochs = [(folder / "epochs.quadrant.jsonl").read_text().splitlines() for folder in (alone, beside)]
    losses = [[json.loads(line)["loss"] for line in lines] for lines in epochs]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 4  # of the first network alone


def test_each_network_is_trained_by_one_process() -> None:
    index = torch.arange(12).numpy()
    parts = Parts(network=index, song=index, figures=index, inner=(index[:4], index[4:8], index[8:]))
    todo = networks_to_train(parts, Target.QUADRANT, TOGETHER)
    assert len({one.checkpoint for one in todo}) == len(todo) == 6
    assert [one.config.epochs for one in todo] == [4, 4, 4, 3, 3, 3]  # so that the dear ones are shared out evenly
    for one in todo:
        assert not set(one.learnt.tolist()) & set(one.watched.tolist())
    single = networks_to_train(parts, Target.QUADRANT, replace(TOGETHER, ensemble=()))
    assert [one.inner for one in single] == [0, 1, 2, 3]  # the model, and those for the song classifier


def test_what_a_helper_said_last_is_told(tmp_path: Path) -> None:
    job = {"folder": str(tmp_path / "nowhere"), "target": "quadrant", "root": "", "log_mels": None, "threads": 1}
    with Helpers([{**job, "share": (1, 2)}]) as helpers, pytest.raises(TrainingError, match="no run is here"):
        helpers.wait()


def test_a_helper_ends_with_whoever_started_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.json")  # nobody writes: the helper waits
    job = {"folder": str(tmp_path), "target": "quadrant", "root": "", "log_mels": None, "threads": 1, "share": (1, 2)}
    script = (
        "import os, signal, sys, time\n"
        "from mertag_train.runs.helpers import Helpers\n"
        f"helpers = Helpers([{job!r}]).__enter__()\n"
        "print(helpers._running[0].pid, flush=True)\n"
        "time.sleep(4)\n"
        "assert helpers._running[0].poll() is None\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env, check=False)
    helper = int(done.stdout)
    assert done.returncode == -signal.SIGKILL, done.stderr  # and not because the helper was gone before
    for _ in range(100):
        if not _runs(helper):
            return
        time.sleep(0.1)
    pytest.fail("the helper still runs")


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.slow
def test_the_command_trains_side_by_side(music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERTAG_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "config.toml").touch()
    words = ["train", "--dataset", "folder", "--data-dir", music, "--out", tmp_path / "run", "--budget", "small"]
    words += ["--learner", "inherited", "--svm-songs", "cross-fitted", "--epochs", 1, "--warm-up", 0, "--quiet"]
    words += ["--jobs", 2, "--threads", 1, "--device", "cpu", "--log-mels", music.parent / "log-mels"]
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "run" / "metrics.json").exists()
    assert not list((tmp_path / "run").glob("checkpoint*"))
