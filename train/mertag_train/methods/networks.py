"""A segment network trained on the songs of one fold, and what it says of every segment: made once, kept on disk.

Several methods ask for the same network (they differ in how segments become a song), and an evaluation is stopped
and continued. So what a network says is kept under a name that stands for everything it depends on: learner,
settings, songs and their labels. While it trains, a checkpoint lies beside it.

::

    work/networks/inherited-0f3a…/
      request.json     what it depends on
      checkpoint.pt    while training; removed when it is done
      segments.npz     ids, counts and probabilities; written last
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from mertag.errors import DatasetError
from mertag_train.datasets.base import Song
from mertag_train.methods.base import Context, Fold

if TYPE_CHECKING:
    import torch

    from mertag_train.config import TrainConfig
    from mertag_train.store import LogMelStore
    from mertag_train.trainer import Clips, EpochReport, Progress
    from mertag_train.vgg import SegmentNetwork

Floats = npt.NDArray[np.float32]

SCHEMA = 1
SHOWN = 5


class Learner(Protocol):
    """What trains a segment network, such as `mertag_train.trainer.train_network`, whose parameters these are."""

    def __call__(
        self,
        store: LogMelStore,
        frames: torch.Tensor,
        train: Clips,
        validation: Clips | None,
        config: TrainConfig,
        *,
        n_classes: int,
        checkpoint_path: Path | None = None,
        resume: bool = False,
        on_epoch: Callable[[EpochReport], None] = ...,
        on_step: Callable[[Progress], None] = ...,
    ) -> SegmentNetwork:
        """Return the trained network."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentOutputs:
    """What a network says of the segments of some songs.

    Attributes
    ----------
    probabilities : mapping of str to float32 array, shape (n_segments, n_classes)
        By song id, segments in the order of the fixed grid.
    n_samples : mapping of str to int
        Duration of each song in samples.
    """

    probabilities: dict[str, Floats]
    n_samples: dict[str, int]

    def of(self, songs: Iterable[Song]) -> tuple[list[Floats], list[int]]:
        """Return the probabilities and the durations of some songs, in their order."""
        ids = [song.id for song in songs]
        return [self.probabilities[i] for i in ids], [self.n_samples[i] for i in ids]


def segment_outputs(
    fold: Fold,
    context: Context,
    *,
    name: str,
    learner: Learner,
    train: Sequence[Song],
) -> SegmentOutputs:
    """Return what a network trained on `train` says of all songs of the fold, training it unless it is on disk.

    Parameters
    ----------
    fold : Fold
        Its songs are predicted, on both sides.
    context : Context
        Settings, log-mels, and `Context.work`, where it is kept.
    name : str
        Names the learner in the folder; two learners never share one.
    learner : callable
        What trains.
    train : sequence of Song
        Songs of `fold.train`, all or some.

    Raises
    ------
    DatasetError
        If a song is shorter than one segment, or has no log-mel.
    TrainingError
        As the learner does.
    """
    store = context.log_mels()
    songs = (*fold.train, *fold.test)
    index = store.index_of([song.id for song in songs])
    refuse_short(songs, store.n_samples[index].tolist(), context.config)
    n_samples = dict(zip((song.id for song in songs), (int(n) for n in store.n_samples[index]), strict=True))
    request = {
        "schema": SCHEMA,
        "learner": name,
        "target": fold.target.value,
        "config": context.config.to_json(),
        "front_end": asdict(store.front_end),
        "train": {song.id: song.targets[fold.target] for song in train},
        "n_samples": n_samples,
    }
    folder = context.work / "networks" / f"{name}-{_digest(request)[:16]}"
    kept = folder / "segments.npz"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "request.json").write_text(json.dumps(request, indent=1) + "\n", encoding="utf-8")
        probabilities = _trained(fold, context, learner, train, store, index, folder)
        _write(kept, list(n_samples), probabilities)
        (folder / "checkpoint.pt").unlink(missing_ok=True)
    return SegmentOutputs(probabilities=_read(kept), n_samples=n_samples)


def refuse_short(songs: Iterable[Song], n_samples: Iterable[int], config: TrainConfig) -> None:
    """Raise DatasetError if a song is shorter than one segment: it could neither be learnt from nor be judged."""
    cut, front_end = config.segmentation, config.front_end
    short = [
        f"{song.path or song.id} ({n / front_end.sample_rate:.2f} s)"
        for song, n in zip(songs, n_samples, strict=True)
        if cut.n_segments(n, front_end) == 0
    ]
    if short:
        more = f" and {len(short) - SHOWN} more" if len(short) > SHOWN else ""
        raise DatasetError(
            f"shorter than one segment of {cut.duration_s:g} s: {', '.join(short[:SHOWN])}{more}. "
            "Choose a shorter --segment, or take them out of the data set."
        )


def _trained(
    fold: Fold,
    context: Context,
    learner: Learner,
    train: Sequence[Song],
    store: LogMelStore,
    index: npt.NDArray[np.int64],
    folder: Path,
) -> list[Floats]:
    from mertag_train.predict import predict  # here: what is on disk needs no torch
    from mertag_train.trainer import Clips

    def on_step(step: Progress) -> None:
        what = f"{fold.target}, fold {fold.name}, seed {fold.seed}: epoch {step.epoch} of {step.epochs}"
        context.on_progress(what, step.step, step.steps)

    clips = Clips(
        index=store.index_of([song.id for song in train]),
        label=np.array([song.targets[fold.target] for song in train], dtype=np.int64),
    )
    frames = context.frames()
    network = learner(
        store,
        frames,
        clips,
        None,
        context.config,
        n_classes=fold.n_classes,
        checkpoint_path=folder / "checkpoint.pt",
        resume=True,
        on_step=on_step,
    )
    return predict(network, store, frames, index, context.config.segmentation)


def _write(path: Path, ids: list[str], probabilities: list[Floats]) -> None:
    partial = path.with_name("partial.npz")
    np.savez(
        partial,
        ids=np.array(ids),
        counts=np.array([len(p) for p in probabilities], dtype=np.int64),
        probabilities=np.concatenate(probabilities).astype(np.float32),
    )
    partial.replace(path)


def _read(path: Path) -> dict[str, Floats]:
    try:
        with np.load(path, allow_pickle=False) as kept:
            ids, counts, flat = kept["ids"].tolist(), kept["counts"], kept["probabilities"]
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise DatasetError(f"{path}: not readable ({error}). Delete it, and it is made anew.") from error
    return dict(zip(ids, np.split(flat, np.cumsum(counts)[:-1]), strict=True))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
