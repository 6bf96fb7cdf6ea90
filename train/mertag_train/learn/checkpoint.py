"""What is on disk while training: weights, optimiser, what the learner remembers, random states.

torch's own format, holding tensors and plain values only, and read with ``weights_only``: no code that somebody put
into such a file is ever run. It is gone when the training is done.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mertag.errors import TrainingError
from mertag.files import remove_leftovers, replaced_whole

if TYPE_CHECKING:
    from mertag_train.learn.config import TrainConfig
    from mertag_train.learn.learners import Learner
    from mertag_train.learn.optimise import Optimiser


def save(
    path: Path, optimiser: Optimiser, rng: np.random.Generator, learner: Learner, *, epoch: int, config: TrainConfig
) -> None:
    """Write a checkpoint; if it cannot be (TrainingError) or the process is killed, the one before is still there."""
    state: dict[str, Any] = {
        "epoch": epoch,
        "config": json.dumps(config.to_json(), sort_keys=True),
        "optimiser": optimiser.state_dict(),
        "learner": learner.state_dict(),
        "numpy_rng": json.dumps(rng.bit_generator.state),
        "torch_rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    try:
        with replaced_whole(path) as file:
            torch.save(state, file)
        remove_leftovers(path.parent)  # of a training that was killed
    except (OSError, RuntimeError) as error:  # RuntimeError: torch's writer, on a full disk
        raise TrainingError(
            f"{path}: the checkpoint of epoch {epoch} cannot be written ({error}); free some space, and go on with "
            "--resume"
        ) from error


def load(path: Path, optimiser: Optimiser, rng: np.random.Generator, learner: Learner, *, config: TrainConfig) -> int:
    """Restore a checkpoint, return its epoch; TrainingError if it is unreadable or of another configuration."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        written, epoch = state["config"], int(state["epoch"])
    except Exception as error:  # torch and zip readers raise almost anything for a damaged file
        raise TrainingError(f"{path}: {_UNREADABLE} ({error}); {_REMEDY}") from error
    if written != json.dumps(config.to_json(), sort_keys=True):
        raise TrainingError(
            f"{path}: the checkpoint was written with another configuration; start a run of its own for this one"
        )
    try:
        optimiser.load_state_dict(state["optimiser"])
        learner.load_state_dict(state["learner"])
        rng.bit_generator.state = json.loads(state["numpy_rng"])
        torch.set_rng_state(state["torch_rng"])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda_rng"][: torch.cuda.device_count()])
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise TrainingError(f"{path}: {_UNREADABLE} ({error}); {_REMEDY}") from error
    return epoch


_UNREADABLE = "not a readable checkpoint"
_REMEDY = "delete it, and --resume starts this target from its first epoch"
