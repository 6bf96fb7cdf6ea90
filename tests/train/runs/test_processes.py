"""Networks that are trained side by side: the same ones as in one process, and no process left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_training import music_folders, same_weights, toy_config
from typer.testing import CliRunner

from mertag.cli.app import app
from mertag.emotion import Target
from mertag.errors import TrainingError
from mertag_train.data.datasets import read
from mertag_train.data.store import log_mels
from mertag_train.learn.config import NetworkConfig, SongConfig, TrainConfig
from mertag_train.runs import run
from mertag_train.runs.work import Watcher

CROSS_FITTED = replace(
    toy_config(),
    learner="inherited",
    network=NetworkConfig(architecture="compact", width=0.05, dropout=0.1),  # the real one, as in a process of its own
    song=SongConfig(features="cross_fitted", inner_folds=3),
    fractions=(0.75, 0.0, 0.25),
    epochs=4,
)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return music_folders(tmp_path_factory.mktemp("beside") / "music", per_class=8, duration_s=2.5)


def trained(folder: Path, music: Path, jobs: int, config: TrainConfig = CROSS_FITTED, **more: Any) -> Path:
    """Return a run, `jobs` of whose networks were trained at a time."""
    torch.set_num_threads(1)
    songs, kept = read("folder", music), music.parent / "log-mels"
    store = log_mels(songs, config.front_end, folder=kept)
    if not more.get("resume"):
        run.begin(folder, songs, store, config, command="", log_mels=kept)
    run.train(folder, songs, store, device=torch.device("cpu"), jobs=jobs, **more)
    return folder


@pytest.fixture(scope="module")
def alone(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("alone") / "run", music, 1)


def assert_same_run(alone: Path, beside: Path) -> None:
    one, other = (run.load(folder).networks[Target.QUADRANT].state_dict() for folder in (alone, beside))
    assert same_weights(one, other)
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (alone, beside)]
    assert metrics[0]["figures"] == metrics[1]["figures"]
    assert metrics[0]["cross_validation"] == metrics[1]["cross_validation"]
    assert all(float(found["environment"]["training_s"]) > 0 for found in metrics)
    assert sorted(p.name for p in alone.iterdir()) == sorted(p.name for p in beside.iterdir())
    epochs = [(folder / "epochs.quadrant.jsonl").read_text().splitlines() for folder in (alone, beside)]
    losses = [[json.loads(line)["loss"] for line in lines] for lines in epochs]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 4  # of the first network alone


@pytest.mark.slow
def test_networks_that_are_trained_side_by_side_are_those_of_one_process(
    music: Path, alone: Path, tmp_path: Path
) -> None:
    assert_same_run(alone, trained(tmp_path / "run", music, 2))


class Breaking(Watcher):
    """Fails, or is killed, in the process that trains the first network; or interrupts the one that waits."""

    def __init__(self, how: str) -> None:
        self.how = how

    def elsewhere(self) -> Watcher:
        return self

    def on_epoch(self, report: object) -> None:
        if self.how == "fail":
            raise ValueError("the disk is gone")
        if self.how == "die":
            os.kill(os.getpid(), signal.SIGKILL)

    def on_trained(self, done: int, total: int) -> None:
        if self.how == "interrupt":
            raise KeyboardInterrupt


def training_processes(parent: int) -> list[int]:
    """Return the processes that train for another, and still run."""
    command = ["ps", "-o", "pid=,args=", "--ppid", str(parent)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if re.search(r"loky\.backend\.popen", line)]


LONG = replace(CROSS_FITTED, epochs=2000)


@pytest.mark.slow
@pytest.mark.parametrize(("how", "says"), [("fail", "the disk is gone"), ("die", "terminated")])
def test_a_process_that_fails_ends_all_and_says_why(how: str, says: str, music: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(TrainingError, match=f"a process that trained beside this one failed: .*{says}"):
        trained(tmp_path / "run", music, 2, LONG, watcher=Breaking(how))
    assert not training_processes(os.getpid())
    assert time.monotonic() - began < 60


@pytest.mark.slow
def test_an_interrupted_training_goes_on_side_by_side_to_the_same_run(music: Path, alone: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", music, 2, watcher=Breaking("interrupt"))
    assert not training_processes(os.getpid())
    assert list((tmp_path / "run").glob("checkpoint*"))
    assert_same_run(alone, trained(tmp_path / "run", music, 2, resume=True))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_no_process_outlives_the_one_that_started_it(music: Path, tmp_path: Path) -> None:
    script = (
        "import sys\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "from pathlib import Path\n"
        "from test_processes import LONG, trained\n"
        f"trained(Path({str(tmp_path / 'run')!r}), Path({str(music)!r}), 2, LONG)\n"
    )
    starter = subprocess.Popen([sys.executable, "-c", script])
    try:
        for _ in range(600):
            beside = training_processes(starter.pid)
            if list((tmp_path / "run").glob("checkpoint*")) or starter.poll() is not None:
                break
            time.sleep(0.1)
    finally:
        starter.kill()
        starter.wait()
    assert len(beside) == 2
    for _ in range(200):
        if not any(_runs(pid) for pid in beside):
            return
        time.sleep(0.1)
    pytest.fail("a process still runs")


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
