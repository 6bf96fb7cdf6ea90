"""Wrong segments in the training songs of a fold: the same for every method, none in the songs that are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mertag.errors import ConfigError
from mertag_train.data.splice import Spliced, splice
from mertag_train.evaluation.methods.base import Fold, Method, Shared

if TYPE_CHECKING:
    import torch

    from mertag_train.data.teacher import TeacherTargets
    from mertag_train.learn.config import TeacherConfig

SPLICE_SEED = 0


def refuse_unspliced(methods: Sequence[Method]) -> None:
    """Raise ConfigError for a method that listens to files, in which nothing can be spliced."""
    deaf = [method.name for method in methods if method.hears_files]
    if deaf:
        raise ConfigError(
            f"--splice-segments changes log-mels, and {', '.join(deaf)} listens to the files themselves; leave it out."
        )


class SplicedFolds:
    """Splices a share of each training song of a fold; what was spliced last is kept for the next method."""

    def __init__(self, shared: Shared, share: float) -> None:
        self._shared, self._share = shared, share
        self._last: tuple[object, Spliced] | None = None

    def around(self, fold: Fold) -> tuple[Shared, Spliced]:
        """Return what surrounds a fold, its log-mels, frames and teacher spliced, and what was spliced."""
        found = self._spliced(fold)

        def frames() -> torch.Tensor:
            from mertag_train.runs.processes import frames_on

            return frames_on(found.store, self._shared.device)

        def teacher(config: TeacherConfig) -> TeacherTargets | None:
            said = self._shared.teacher(config)
            return None if said is None else found.taught(said)

        return replace(self._shared, log_mels=lambda: found.store, frames=frames, teacher=teacher), found

    def _spliced(self, fold: Fold) -> Spliced:
        key = fold.target, fold.train
        if self._last is None or self._last[0] != key:
            self._last = None  # before the next one is made: a copy of all frames is enough
            store = self._shared.log_mels()
            clips = store.index_of([song.id for song in fold.train])
            self._last = key, splice(store, clips, fold.train_labels, share=self._share, seed=SPLICE_SEED)
        return self._last[1]
