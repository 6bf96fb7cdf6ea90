"""Checkpoints: what is saved comes back, a damaged or foreign one is refused, a failed write keeps the old one."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forking import fork
from torch import nn
from torch.optim.swa_utils import AveragedModel
from toy_training import same_weights

from mertag.errors import TrainingError
from mertag.files import remove_leftovers
from mertag_train.learn import trainer
from mertag_train.learn.learners.base import InheritedLearner
from mertag_train.learn.optimise import Optimiser
from mertag_train.learn.recipes import OURS


class Remembers(InheritedLearner):
    """A learner that remembers one number."""

    def __init__(self, number: int = 0) -> None:
        self.number = number

    def state_dict(self) -> dict[str, Any]:
        return {"number": self.number}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.number = state["number"]


def optimiser_of(seed: int) -> Optimiser:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    made = Optimiser(network, replace(OURS.optimiser, ema_decay=0.5), epochs=3)
    for _ in range(3):
        made.step(network(torch.randn(4, 2)).square().sum(), done=0.0, share=0.1)
    return made


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.pt"
    trainer.save_checkpoint(path, optimiser_of(1), np.random.default_rng(7), Remembers(), epoch=3, config=OURS)
    return path


def test_weights_momentum_average_and_random_states_come_back(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    mine, rng = optimiser_of(1), np.random.default_rng(7)
    rng.random(5)
    trainer.save_checkpoint(path, mine, rng, Remembers(5), epoch=3, config=OURS)
    expected = rng.random(3).tolist(), torch.rand(3).tolist()

    theirs, other, learner = optimiser_of(2), np.random.default_rng(0), Remembers()
    assert trainer.load_checkpoint(path, theirs, other, learner, config=OURS) == 3
    assert (other.random(3).tolist(), torch.rand(3).tolist()) == expected
    assert isinstance(theirs.average, AveragedModel)
    assert int(theirs.average.n_averaged) == 4  # the start, and three steps
    assert learner.number == 5
    assert same_weights(theirs.network.state_dict(), mine.network.state_dict())
    assert same_weights(theirs.predictor.state_dict(), mine.predictor.state_dict())
    momentum = [s["momentum_buffer"] for o in (mine, theirs) for s in o.sgd.state.values()]
    half = len(momentum) // 2
    assert all(torch.equal(a, b) for a, b in zip(momentum[:half], momentum[half:], strict=True))
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_another_configuration_is_refused(saved: Path) -> None:
    with pytest.raises(TrainingError, match="written with another configuration"):
        trainer.load_checkpoint(
            saved, optimiser_of(1), np.random.default_rng(0), Remembers(), config=replace(OURS, seed=1)
        )


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_a_truncated_checkpoint_is_a_training_error(share: float, saved: Path) -> None:
    os.truncate(saved, int(share * saved.stat().st_size))
    with pytest.raises(TrainingError, match=r"not a readable checkpoint.*delete it, and --resume"):
        trainer.load_checkpoint(saved, optimiser_of(1), np.random.default_rng(0), Remembers(), config=OURS)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("content", [b"text", b"\x80\x02.", b"\x80\x04K\x01.", b"PK\x03\x04" + bytes(200)])
def test_something_else_is_a_training_error(content: bytes, saved: Path) -> None:
    saved.write_bytes(content)
    with pytest.raises(TrainingError, match="not a readable checkpoint"):
        trainer.load_checkpoint(saved, optimiser_of(1), np.random.default_rng(0), Remembers(), config=OURS)


def test_code_in_a_checkpoint_is_never_run(saved: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    torch.save({"config": Evil(), "epoch": 1}, saved)
    with pytest.raises(TrainingError, match="not a readable checkpoint"):
        trainer.load_checkpoint(saved, optimiser_of(1), np.random.default_rng(0), Remembers(), config=OURS)
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_of_another_network_is_a_training_error(saved: Path) -> None:
    other = Optimiser(nn.Linear(3, 3), replace(OURS.optimiser, ema_decay=0.5), epochs=3)
    with pytest.raises(TrainingError, match="not a readable checkpoint"):
        trainer.load_checkpoint(saved, other, np.random.default_rng(0), Remembers(), config=OURS)


def test_a_full_disk_keeps_the_checkpoint_before(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(state: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingError, match=r"checkpoint of epoch 4 cannot be written.*free some space.*--resume"):
        trainer.save_checkpoint(saved, optimiser_of(2), np.random.default_rng(0), Remembers(), epoch=4, config=OURS)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes of this kind here")
def test_a_process_killed_while_writing_leaves_the_checkpoint_before(saved: Path) -> None:
    before = saved.read_bytes()
    optimiser = optimiser_of(2)

    def half(state: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        file.flush()  # type: ignore[attr-defined]
        os.kill(os.getpid(), signal.SIGKILL)

    child = fork()
    if child == 0:
        torch.save = half
        trainer.save_checkpoint(saved, optimiser, np.random.default_rng(0), Remembers(), epoch=9, config=OURS)
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert len(list(saved.parent.iterdir())) == 2
    assert saved.read_bytes() == before
    assert trainer.load_checkpoint(saved, optimiser_of(1), np.random.default_rng(0), Remembers(), config=OURS) == 3
    trainer.save_checkpoint(saved, optimiser_of(1), np.random.default_rng(0), Remembers(), epoch=4, config=OURS)
    remove_leftovers(saved.parent, older_than_s=0)  # `save` removes those that are older than some seconds
    assert list(saved.parent.iterdir()) == [saved]
