"""The interface of a method: what it is given for one fold, and what it gives back.

Everything a method fits, scalers and calibration included, it fits on `Fold.train`; the labels of `Fold.test` are never
read. What the figures are made of is decided elsewhere, so that it is the same for all.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from mertag.emotion import CLASS_NAMES, Target
from mertag_train.arrays import Floats, Ints
from mertag_train.data.datasets.base import Dataset, Song
from mertag_train.data.embedding_model import BUNDLED
from mertag_train.data.folds import Group

if TYPE_CHECKING:
    import torch

    from mertag_train.data.splice import Spliced
    from mertag_train.data.store import LogMelStore
    from mertag_train.data.teacher import TeacherTargets
    from mertag_train.data.unlabelled import Unlabelled
    from mertag_train.learn.config import Recipe, TeacherConfig, TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """One fold of a cross-validation, for one target and one seed.

    Attributes
    ----------
    name : str
        As in the folds file, such as ``"3"``.
    target : Target
        What is predicted.
    train, test : tuple of Song
        What is learnt from; what is predicted. No recording (with ``group="artist"``, no artist) is in both.
    seed : int
        Of all that is random in the method. The folds themselves do not depend on it.
    group : {"artist", "recording"}
        What never stands on two sides: a method that splits `train` again keeps to it.
    truth : mapping of str to int, or None
        The real classes of `train`, by song id, where wrong ones were given on purpose; never learnt from.
    """

    name: str
    target: Target
    train: tuple[Song, ...]
    test: tuple[Song, ...]
    seed: int
    group: Group
    truth: Mapping[str, int] | None = None

    @property
    def n_classes(self) -> int:
        """K."""
        return len(CLASS_NAMES[self.target])

    @property
    def train_labels(self) -> Ints:
        """Classes of `train`, shape (n_train,)."""
        return np.array([song.targets[self.target] for song in self.train], dtype=np.int64)

    @property
    def test_ids(self) -> tuple[str, ...]:
        """Ids of `test`, in its order."""
        return tuple(song.id for song in self.test)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all tasks of an evaluation share: audio, and places to keep what is expensive.

    Attributes
    ----------
    dataset : Dataset
        Name, root and scale; all its songs.
    log_mels : callable
        Returns the log-mels of all songs; computed at the first call.
    frames : callable
        Returns their frames as one tensor, shape (total_frames, n_mels), on `device`; loaded at the first call.
    device : torch.device
        What trains.
    cache : Path
        Folder for what depends on the audio alone (features, embeddings); shared by all folds, targets, seeds and
        evaluations. It exists. Name what is kept there by everything that it depends on, and write it atomically.
    embedding_model : Path
        The ONNX file of a method that needs one (`NeedsModel`).
    teacher : callable
        Returns what the teacher of a recipe says of the clips; computed when first asked for. None for none.
    unlabelled : Unlabelled or None
        Songs without a label, which stand in `log_mels` after the others; for methods that learn from them.
    workers : int
        How many processes may run.
    on_progress : callable
        Told ``(what, done, total)``, such as ``("features", 17, 719)``.
    """

    dataset: Dataset
    log_mels: Callable[[], LogMelStore]
    frames: Callable[[], torch.Tensor]
    device: torch.device
    cache: Path
    embedding_model: Path = BUNDLED
    teacher: Callable[[TeacherConfig], TeacherTargets | None] = lambda config: None
    unlabelled: Unlabelled | None = None
    workers: int = 1
    on_progress: Callable[[str, int, int], None] = lambda what, done, total: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context(Shared):
    """What surrounds a fold.

    Attributes
    ----------
    config : TrainConfig
        Settings of everything that is trained, with the method's recipe, the segment duration and the seed of this
        task.
    work : Path
        Folder for what is trained in this evaluation; shared by the methods. The same rules as for `cache`.
    spliced : Spliced or None
        What was spliced into the training songs on purpose, in `log_mels`.
    """

    config: TrainConfig
    work: Path
    spliced: Spliced | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What a method says of the test songs of one fold.

    Attributes
    ----------
    song_ids : tuple of str
        `Fold.test_ids`, all of them, in that order.
    probabilities : float64 array, shape (n_test, n_classes)
        One distribution a song, classes in the order of `CLASS_NAMES`. The decision is the most probable class
        (`mertag_train.measure.metrics.predicted_classes`), so that a method which decides otherwise must show it here.
    diagnostics : mapping of str to float
        What else should be on record, such as the number of segments; stored, never used for a figure.
    epochs : sequence of mapping of str to float
        The same of each epoch of a training, with its number as ``epoch``.
    songs_per_s : float or None
        How many songs a second the method listened to; None where that was not measured.
    """

    song_ids: tuple[str, ...]
    probabilities: Floats
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    epochs: Sequence[Mapping[str, float]] = ()
    songs_per_s: float | None = None


class Stopwatch:
    """Measures how many songs a second are computed, by what it is told as ``on_clip(done, total)``.

    Songs that were on disk are those of the first call.
    """

    def __init__(self, on_clip: Callable[[int, int], None]) -> None:
        self._on_clip = on_clip
        self._first: tuple[float, int] | None = None
        self._last = (0.0, 0)

    def __call__(self, done: int, total: int) -> None:
        """Take the time, and tell on."""
        self._last = (time.monotonic(), done)
        self._first = self._first or self._last
        self._on_clip(done, total)

    @property
    def songs_per_s(self) -> float | None:
        """The speed; None where nothing was computed."""
        if self._first is None or self._last[1] == self._first[1]:
            return None
        return (self._last[1] - self._first[1]) / max(self._last[0] - self._first[0], 1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Method(ABC):
    """A way to recognise the emotion of songs.

    Attributes
    ----------
    name : str
        As ``--method`` spells it; lower case, words joined by hyphens.
    summary : str
        One line for tables and the help.
    uses_segments : bool
        Whether the segment duration matters: without, it is run once and not once a duration.
    uses_seed : bool
        Whether anything is random: without, it is run with the first seed only.
    paper_row : str or None
        The row of the paper's table 3 that it stands beside, such as ``"Proposed"``; None if it has none there.
    recipe : str or None
        The recipe that it always has, ``"paper"`` or ``"ours"``; None for the one that was asked for.
    hears_files : bool
        Whether it listens to the songs' files, and not to log-mels.
    """

    name: str
    summary: str
    uses_segments: bool = False
    uses_seed: bool = True
    paper_row: str | None = None
    recipe: Recipe | None = None
    hears_files: bool = False

    @abstractmethod
    def settings(self, config: TrainConfig) -> Mapping[str, Any]:
        """Return, as plain JSON values, everything that its predictions depend on beside fold, target and seed.

        Two results with different settings are never put into one figure. A method that trains no network leaves
        `config` out of it, and names its own constants and, where it has one, its version.
        """

    def learns_without_labels(self, config: TrainConfig, *, pseudo_labels: bool) -> bool:
        """Return whether it learns from songs without a label (`Shared.unlabelled`), by the settings of a task."""
        return False

    @abstractmethod
    def predict(self, fold: Fold, context: Context) -> Predictions:
        """Learn from `fold.train` and predict `fold.test`.

        Raises
        ------
        MertagError
            With file and remedy, such as DatasetError for a clip that cannot be read.
        """


@runtime_checkable
class NeedsModel(Protocol):
    """A method that needs `Context.embedding_model`; what it depends on is then known only with the file."""

    def model_settings(self, path: Path) -> Mapping[str, Any]:
        """Return what stands beside `Method.settings`: the hash of the file.

        Raises
        ------
        ConfigError
            If there is no file, or it cannot be read; the message says what to give.
        """
        ...
