"""One optimiser step: autocast, schedule, clipping, the moving average of the weights."""

from __future__ import annotations

import math
import os
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from mertag_train.learn.config import OptimiserConfig

Tensors = tuple[Tensor, ...] | list[Tensor]


def bf16_is_fast(device: torch.device) -> bool:
    """Return whether bf16 is native there; where it is emulated (AVX2), it is 15 times slower than fp32.

    ``MERTAG_BF16``, 0 or 1, decides instead, so that a training can be repeated on another processor.
    """
    if chosen := os.environ.get("MERTAG_BF16"):
        return chosen != "0"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Return bf16 autocast where bf16 is native, else a context that changes nothing."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16_is_fast(device))


def learning_rate(config: OptimiserConfig, done: float, *, epochs: int, step: float) -> float:
    """Return the learning rate of one step: a linear climb, then a cosine to zero.

    The peak is at the first step after the climb; the zero would be at the step after the last. The schedule goes by
    epochs, and not by steps, so that an epoch of many small steps does not use up the rate of the others: `done` of
    them are behind, in parts of one too, and the step is the share `step` of its epoch.
    """
    climb = epochs * config.ramp if config.schedule == "one_cycle" else min(1.0, epochs / 2)
    if done < climb:
        return config.learning_rate * (done + step) / (climb + step)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * (done - climb) / max(step, epochs - climb)))


class Optimiser:
    """SGD on one network, on its device; the schedule goes by the number of epochs."""

    def __init__(self, network: nn.Module, config: OptimiserConfig, *, epochs: int) -> None:
        self.network, self.config, self.epochs = network, config, epochs
        # Biases and batch-norm gains are not decayed: they do not over-fit, and decay only shifts them.
        decayed = [p for p in network.parameters() if p.ndim > 1]
        plain = [p for p in network.parameters() if p.ndim <= 1]
        self.sgd = torch.optim.SGD(
            [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}],
            lr=config.learning_rate,
            momentum=config.momentum,
        )
        self.average = AveragedModel(network, multi_avg_fn=self._follow, use_buffers=True) if config.ema_decay else None
        if self.average is not None:
            self.average.eval()
            self.average.n_averaged += 1  # the random start counts: else the first step would be copied

    @property
    def predictor(self) -> nn.Module:
        """The network that predicts: the moving average where one is kept."""
        return self.network if self.average is None else self.average.module

    def step(self, loss: Tensor, *, done: float, share: float) -> float:
        """Descend one step along the gradient of `loss`; return the learning rate that was used.

        `done` epochs are behind, and the step is the share `share` of one (`learning_rate`).
        """
        rate = learning_rate(self.config, done, epochs=self.epochs, step=share)
        for group in self.sgd.param_groups:
            group["lr"] = rate
        self.sgd.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        self.sgd.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        return rate

    def _follow(self, mine: Tensors, theirs: Tensors, steps: Tensor | int) -> None:
        """Move the average, tensors of one type, towards the network's, `steps` of which it has taken in."""
        # Early on, a long memory would hold mostly the random start.
        decay = min(self.config.ema_decay, (1 + int(steps)) / (10 + int(steps)))
        if mine[0].is_floating_point():  # and not batch norm's count of batches
            torch._foreach_lerp_(mine, theirs, 1 - decay)

    @torch.no_grad()
    def is_finite(self) -> bool:
        """Return whether every weight is a number: a step along a broken gradient leaves none."""
        return all(bool(torch.isfinite(p).all()) for p in self.network.parameters())

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resumed run needs: tensors and plain values only."""
        return {
            "network": self.network.state_dict(),
            "sgd": self.sgd.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.network.load_state_dict(state["network"])
        self.sgd.load_state_dict(state["sgd"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
