"""What is on disk while training: weights, optimiser, random states. Tensors and plain values, never a pickle."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mertag.errors import TrainingError

if TYPE_CHECKING:
    from .config import TrainConfig
    from .optimise import Optimiser


def save(path: Path, optimiser: Optimiser, rng: np.random.Generator, *, epoch: int, config: TrainConfig) -> None:
    """Write a checkpoint; a killed process leaves the one before."""
    state: dict[str, Any] = {
        "epoch": epoch,
        "config": json.dumps(config.to_json(), sort_keys=True),
        "optimiser": optimiser.state_dict(),
        "numpy_rng": json.dumps(rng.bit_generator.state),
        "torch_rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load(path: Path, optimiser: Optimiser, rng: np.random.Generator, *, config: TrainConfig) -> int:
    """Restore a checkpoint; return its epoch.

    Raises
    ------
    TrainingError
        If it cannot be read, or was written by another configuration.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        written, epoch = state["config"], int(state["epoch"])
    except (OSError, RuntimeError, KeyError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise TrainingError(f"{path}: not a readable checkpoint ({error}); start anew without --resume") from error
    if written != json.dumps(config.to_json(), sort_keys=True):
        raise TrainingError(
            f"{path}: the checkpoint was written with another configuration; "
            "give the same options as then, or start anew without --resume"
        )
    optimiser.load_state_dict(state["optimiser"])
    rng.bit_generator.state = json.loads(state["numpy_rng"])
    torch.set_rng_state(state["torch_rng"])
    if state["cuda_rng"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda_rng"])
    return epoch
