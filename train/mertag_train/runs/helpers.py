"""Processes that train their shares of a run's networks beside the one that was asked to.

Networks that are trained without one another, for cross-fitting or an ensemble, need nothing of each other, and two
processes of one thread do more than one of two. A helper is a program of its own, started with what a run's folder
does not say; it leaves checkpoints, and ends with whoever started it, however that ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mertag.errors import TrainingError


class Helpers:
    """A context manager: entering starts the processes, leaving ends those that still run.

    Parameters
    ----------
    jobs : sequence of mapping
        What each process is told, plain JSON values: the arguments of `help_with`.
    """

    def __init__(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        self._jobs = jobs
        self._running: list[subprocess.Popen[bytes]] = []
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed when left

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._jobs)

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "mertag_train.runs.helpers"]
        here = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        for job in self._jobs:
            started = subprocess.Popen(
                [*command, json.dumps(job)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._words,
                env=here,
                start_new_session=True,  # Ctrl-C is for the one that was started by hand
            )
            self._running.append(started)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running:
            process.kill()  # a checkpoint is replaced whole: what was finished stays
            process.communicate()
        self._words.close()

    def wait(self) -> None:
        """Wait until all are done; raises as `check`."""
        for process in self._running:
            process.wait()
            self.check()

    def check(self) -> None:
        """Look whether all are well.

        Raises
        ------
        TrainingError
            If one failed, with what it said last.
        """
        for process in self._running:
            if process.poll():
                self._words.seek(0)
                said = self._words.read().decode(errors="replace").strip().splitlines()
                why = said[-1] if said else f"exit status {process.returncode}"
                raise TrainingError(f"a process that trained beside this one failed: {why}")


def help_with(folder: str, target: str, share: tuple[int, int], root: str, log_mels: str | None, threads: int) -> None:
    """Train a share of a run's networks.

    Parameters
    ----------
    folder, target, share
        As for `mertag_train.runs.run.help_to_train`.
    root, log_mels : str, str or None
        Where the data set lies now, and its log-mels.
    threads : int
        CPU threads.
    """
    import torch

    from mertag.emotion import Target
    from mertag_train.data.datasets import read
    from mertag_train.data.store import log_mels as log_mels_of
    from mertag_train.learn.config import TrainConfig
    from mertag_train.runs import run

    torch.set_num_threads(threads)
    about = run.settings(Path(folder))
    dataset = read(about["dataset"]["name"], Path(root), **about["dataset"].get("options", {}))
    front_end = TrainConfig.from_json(about["config"]).front_end
    store = log_mels_of(dataset, front_end, folder=None if log_mels is None else Path(log_mels))
    first, of = share
    run.help_to_train(Path(folder), dataset, store, Target(target), (first, of))


def _end_with_the_starter() -> None:
    os.read(0, 1)  # returns when the other end is closed; sys.stdin's lock would be in the way of a usual exit
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    help_with(**json.loads(sys.argv[1]))
