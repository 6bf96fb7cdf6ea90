"""The networks of a target, several at a time, each in a process of its own: the same ones as in one process.

Networks that are trained without one another need nothing of each other, and two processes of one thread do more than
one of two. A process leaves the checkpoint of its network, which is found again by who goes on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import joblib
import numpy as np
import torch
from torch import Tensor

from mertag.errors import TrainingError
from mertag_train.data.store import LogMelStore
from mertag_train.learn.trainer import Progress
from mertag_train.runs.experiment import NetworkToTrain, train_one
from mertag_train.runs.work import Watcher, Watchers, Work


def frames_on(store: LogMelStore, device: torch.device) -> torch.Tensor:
    """Return the frames of a store on a device, shape (total_frames, n_mels); those in memory are not copied there."""
    frames = store.frames
    in_memory = type(frames) is np.ndarray and frames.flags.writeable  # a memory map is another type
    return torch.from_numpy(frames if in_memory else np.array(frames)).to(device)


def train_side_by_side(
    work: Work,
    networks: Sequence[NetworkToTrain],
    watchers: Sequence[Watcher],
    *,
    begin_with: Mapping[str, Tensor] | None,
    jobs: int,
) -> None:
    """Train networks on the work's device, `jobs` at a time, each with as many threads as torch has here.

    All begin with the weights `begin_with`, or with random ones. The work has a folder, in which checkpoints are left;
    its watcher is told how many networks are trained, and one of the `watchers` of each network, in the process that
    trains it (`Watcher.elsewhere`). Raises TrainingError if one of them failed; all others are then ended.
    """
    threads = torch.get_num_threads()
    elsewhere = replace(work, frames=partial(frames_on, work.store, work.frames().device), watcher=Watcher())
    tasks = [
        joblib.delayed(_train_here)(elsewhere, one, begin_with, watcher, threads, os.getpid())
        for one, watcher in zip(networks, watchers, strict=True)
    ]
    try:
        with joblib.parallel_config(backend="loky", inner_max_num_threads=threads), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*have been cancelled", module="joblib")  # as they should be
            parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch="all")
            with contextlib.closing(parallel(tasks)) as done:
                for number, _ in enumerate(done, start=1):
                    work.watcher.on_trained(number, len(networks))
    except Exception as error:  # whatever it was, in the other process
        raise TrainingError(f"a process that trained beside this one failed: {error}") from error


def _train_here(
    work: Work,
    one: NetworkToTrain,
    begin_with: Mapping[str, Tensor] | None,
    watcher: Watcher,
    threads: int,
    parent: int,
) -> None:
    if os.getpid() != parent:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that was started by hand
    torch.set_num_threads(threads)
    assert work.folder is not None
    told = Watchers(watcher, _EndWithParent(parent))
    checkpoint = work.folder / one.checkpoint
    train_one(work, one, begin_with=begin_with, checkpoint=checkpoint, resume=work.resume, watcher=told)
    told.close()


class _EndWithParent(Watcher):
    """Ends this process when the one that started it was killed: a resumed run would write the same checkpoints."""

    def __init__(self, parent: int) -> None:
        self._parent = parent

    def on_step(self, step: Progress) -> None:
        """Look whether it is still there."""
        if os.name == "posix" and os.getppid() != self._parent:
            os._exit(1)
