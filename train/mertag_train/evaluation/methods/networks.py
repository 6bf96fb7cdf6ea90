"""A segment network trained on the songs of one fold, and what it says of every segment: made once, kept on disk.

Several methods ask for the same network (they differ in how segments become a song), and an evaluation is stopped
and continued. So what a network says is kept under a name that stands for everything it depends on:
settings, songs and their labels. While it trains, a checkpoint lies beside it.

::

    work/networks/inherited-0f3a…/
      request.json     what it depends on
      epochs.json      what each epoch has on record
      checkpoint.pt    while training; removed when it is done
      segments.npz     ids, counts and probabilities; written last
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mertag.emotion import CLASS_NAMES
from mertag.errors import DatasetError
from mertag.files import json_digest
from mertag_train.data.datasets.base import Song
from mertag_train.evaluation.methods.base import Context, Fold
from mertag_train.runs.kept_outputs import read_outputs, write_outputs
from mertag_train.runs.segment_truth import segment_truth

if TYPE_CHECKING:
    from mertag_train.data.store import LogMelStore
    from mertag_train.learn.config import TrainConfig
    from mertag_train.learn.trainer import EpochReport, Progress

Floats = npt.NDArray[np.float32]

SCHEMA = 2
SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentOutputs:
    """What a network says of the segments of some songs.

    Attributes
    ----------
    probabilities : mapping of str to float32 array, shape (n_segments, n_classes)
        By song id, segments in the order of the fixed grid.
    n_samples : mapping of str to int
        Duration of each song in samples.
    epochs : list of mapping
        What is on record of the training (`mertag_train.learn.trainer.EpochReport.to_json`).
    """

    probabilities: dict[str, Floats]
    n_samples: dict[str, int]
    epochs: list[dict[str, Any]]

    def of(self, songs: Iterable[Song]) -> tuple[list[Floats], list[int]]:
        """Return the probabilities and the durations of some songs, in their order."""
        ids = [song.id for song in songs]
        return [self.probabilities[i] for i in ids], [self.n_samples[i] for i in ids]


def segment_outputs(fold: Fold, context: Context, config: TrainConfig, train: Sequence[Song]) -> SegmentOutputs:
    """Return what a network trained on `train` says of all songs of the fold, training it unless it is on disk.

    Parameters
    ----------
    fold : Fold
        Its songs are predicted, on both sides.
    context : Context
        Log-mels, and `Context.work`, where it is kept.
    config : TrainConfig
        With which it is trained.
    train : sequence of Song
        Songs of `fold.train`, all or some.

    Raises
    ------
    DatasetError
        If a song is shorter than one segment, or has no log-mel.
    TrainingError
        As the training does.
    """
    store = context.log_mels()
    songs = (*fold.train, *fold.test)
    index = store.index_of([song.id for song in songs])
    refuse_short(songs, store.n_samples[index].tolist(), config)
    n_samples = dict(zip((song.id for song in songs), (int(n) for n in store.n_samples[index]), strict=True))
    request = {
        "schema": SCHEMA,
        "target": fold.target.value,
        "config": config.to_json(),
        "front_end": asdict(store.front_end),
        "train": {song.id: song.targets[fold.target] for song in train},
        "n_samples": n_samples,
    }
    folder = context.work / "networks" / f"{config.learner}-{json_digest(request)[:16]}"
    kept, record = folder / "segments.npz", folder / "epochs.json"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "request.json").write_text(json.dumps(request, indent=1) + "\n", encoding="utf-8")
        probabilities = _trained(fold, context, config, train, store, index, folder)
        write_outputs(kept, list(n_samples), probabilities)
        (folder / "checkpoint.pt").unlink(missing_ok=True)
    return SegmentOutputs(probabilities=read_outputs(kept), n_samples=n_samples, epochs=read_record(record))


def read_record(path: Path) -> list[dict[str, Any]]:
    """Return the epochs on record, plain JSON; none where there is no record, or a damaged one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return []
    return found if isinstance(found, list) else []


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
    config: TrainConfig,
    train: Sequence[Song],
    store: LogMelStore,
    index: npt.NDArray[np.int64],
    folder: Path,
) -> list[Floats]:
    from mertag_train.learn.predict import predict  # here: what is on disk needs no torch
    from mertag_train.learn.trainer import Clips, train_network

    record = folder / "epochs.json"
    epochs = read_record(record) if (folder / "checkpoint.pt").exists() else []

    def on_step(step: Progress) -> None:
        what = (
            f"{config.learner}, {fold.target}, fold {fold.name}, seed {fold.seed}: epoch {step.epoch} of {step.epochs}"
        )
        context.on_progress(what, step.step, step.steps)

    def on_epoch(report: EpochReport) -> None:
        epochs[:] = [*(e for e in epochs if e["epoch"] < report.epoch), report.to_json()]
        record.write_text(json.dumps(epochs) + "\n", encoding="utf-8")

    clips = Clips(
        index=store.index_of([song.id for song in train]),
        label=np.array([song.targets[fold.target] for song in train], dtype=np.int64),
        truth=segment_truth(train, store, fold.target, config, context.dataset, right=fold.truth),
    )
    frames = context.frames()
    network = train_network(
        store,
        frames,
        clips,
        None,
        config,
        class_names=CLASS_NAMES[fold.target],
        checkpoint_path=folder / "checkpoint.pt",
        resume=True,
        on_epoch=on_epoch,
        on_step=on_step,
    )
    return predict(network, store, frames, index, config.segmentation)
