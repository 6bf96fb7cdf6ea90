"""What the networks of a fold say of every segment: trained once, kept on disk.

Several methods ask for the same network (they differ in how segments become a song), and an evaluation is stopped
and continued. So what a network says is kept under a name that stands for everything it depends on:
settings, songs and their labels. While it trains, a checkpoint lies beside it.

::

    work/networks/inherited-0f3a…/
      request.json     what it depends on
      epochs.jsonl     what each epoch has on record
      song.<epoch>.png one song's segments in the last epoch, and which of them it doubts
      checkpoint.pt    while training; removed when it is done
      speed.json       how many songs a second it said them of
      segments.npz     ids, counts and probabilities; written last
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from mertag.errors import DatasetError
from mertag.files import json_digest, replaced_whole
from mertag_train.arrays import Floats32, Ints
from mertag_train.data.datasets.base import Song
from mertag_train.data.folds import split
from mertag_train.data.heard import segment_starts, unheard
from mertag_train.evaluation.methods.base import Context, Fold
from mertag_train.runs.work import Parts, Watcher, Watchers, Work, groups_of, inner_parts, labels_of, truth_of

if TYPE_CHECKING:
    from torch import Tensor

    from mertag_train.data.store import LogMelStore
    from mertag_train.learn.config import TrainConfig
    from mertag_train.learn.trainer import Progress
    from mertag_train.runs.experiment import NetworkToTrain


SCHEMA = 2
SPEED = "speed.json"
SHOWN = 5


def work_of(fold: Fold, context: Context, config: TrainConfig) -> Work:
    """Return a fold as the work of one training, whose figures come from the test songs."""
    store = context.log_mels()
    songs = (*fold.train, *fold.test)
    refuse_unheard(songs, store, config)
    for_network, for_classifier = network_songs(fold, config)
    share = song_share(config)
    pseudo_labels = context.unlabelled is not None and context.unlabelled.pseudo_labels
    others = context.unlabelled if config.takes_unlabelled(pseudo_labels=pseudo_labels) else None
    return Work(
        store=store,
        frames=context.frames,
        labels=labels_of(songs, store, fold.target),
        groups=groups_of(songs, store, fold.group),
        truth=truth_of(for_network, store, fold.target, config, context.dataset, fold.truth)
        if context.spliced is None
        else context.spliced.truth(config.segmentation),
        parts=Parts(
            network=store.index_of([song.id for song in for_network]),
            song=store.index_of([song.id for song in for_classifier]),
            figures=store.index_of(fold.test_ids),
            inner=inner_parts(for_network, store, fold.target, config),
            unlabelled=store.index_of(() if others is None else others.store.ids),
            pseudo_labels=pseudo_labels,
            shares=(1 - share, share or 1.0),
        ),
        target=fold.target,
        config=config,
        teacher=context.teacher(config.teacher),
        folder=context.work / "networks",
        resume=True,
        watcher=_FoldProgress(fold, context),
    )


def song_share(config: TrainConfig) -> float:
    """Return which share of a fold's training songs only the song classifier learns from (`TrainConfig.fractions`)."""
    network, song, _ = config.fractions
    return song / (network + song)


def network_songs(fold: Fold, config: TrainConfig) -> tuple[tuple[Song, ...], tuple[Song, ...]]:
    """Return the training songs that the network, and those that the song classifier learns from.

    Where the song classifier learns from held-out songs, the two are apart by class-stratified groups, as the folds
    are; otherwise both learn from all.
    """
    if config.song.features != "held_out":
        return fold.train, fold.train
    share = song_share(config)
    dealt = split(fold.train, fold.target, fractions=(1 - share, share, 0.0), group=fold.group, seed=fold.seed)
    train, validation = (
        tuple(song for song in fold.train if dealt.fold_of[song.id] == part) for part in ("train", "validation")
    )
    return train, validation


def refuse_unheard(songs: Sequence[Song], store: LogMelStore, config: TrainConfig) -> None:
    """Raise DatasetError if a song has no segment that sounds: it could neither be learnt from nor be judged."""
    refuse_short(songs, store.n_samples[store.index_of([song.id for song in songs])].tolist(), config)
    silent = list(unheard(songs, store, config.segmentation))
    if silent:
        more = f" and {len(silent) - SHOWN} more" if len(silent) > SHOWN else ""
        raise DatasetError(f"silent: {', '.join(silent[:SHOWN])}{more}. Take them out of the data set.")


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


def silent_segments(store: LogMelStore, clips: Ints, config: TrainConfig) -> dict[str, int]:
    """Return how many segments of each clip are silent, by id, where there are any."""
    cut = config.segmentation
    counts = {
        store.ids[i]: cut.n_segments(int(store.n_samples[i]), store.front_end) - len(segment_starts(store, i, cut))
        for i in clips.tolist()
    }
    return {clip: count for clip, count in counts.items() if count}


class _FoldProgress(Watcher):
    """Tells the evaluation how far an epoch is."""

    def __init__(self, fold: Fold, context: Context) -> None:
        self._what = f"{context.config.learner}, {fold.target}, fold {fold.name}, seed {fold.seed}"
        self._told = context.on_progress

    def on_step(self, step: Progress) -> None:
        self._told(f"{self._what}: epoch {step.epoch} of {step.epochs}", step.step, step.steps)


class KeptNetworks:
    """The networks of a fold, by what they say: see `mertag_train.runs.experiment.Predict`.

    `work` is what is trained, and measured on the test songs. DatasetError is raised if a song is shorter than one
    segment, or has no log-mel, or the songs cannot be dealt as the settings ask.
    """

    def __init__(self, fold: Fold, context: Context, config: TrainConfig) -> None:
        self.work = work_of(fold, context, config)
        self._spliced = {} if context.spliced is None else {"spliced": context.spliced.fingerprint}
        self._everyone = self.work.store.index_of([song.id for song in (*fold.train, *fold.test)])
        self._said: dict[Path, dict[str, Floats32]] = {}

    def __call__(self, one: NetworkToTrain, clips: Ints) -> list[Floats32]:
        """Return what a network says of the segments of some clips."""
        said = self._of(one)
        return [said[self.work.store.ids[i]] for i in clips.tolist()]

    def songs_per_s(self, one: NetworkToTrain) -> float | None:
        """Return how many songs a second a network heard, from log-mels; None if not known."""
        try:
            return float(json.loads((self._folder(one) / SPEED).read_text(encoding="utf-8"))["songs_per_s"])
        except (OSError, ValueError, KeyError):  # of an earlier version, or damaged
            return None

    def epochs(self, one: NetworkToTrain) -> list[dict[str, Any]]:
        """Return what a network's epochs have on record; nothing where that is gone."""
        from mertag_train.runs.watch import read_epochs

        try:
            return read_epochs(self._folder(one) / "epochs.jsonl")
        except ValueError:  # damaged: nothing depends on it
            return []

    def _request(self, one: NetworkToTrain) -> dict[str, Any]:
        work = self.work
        silent = silent_segments(work.store, self._everyone, work.config)
        self_learns = one.config.learner == "sssl"
        others = {work.store.ids[i]: int(work.store.n_samples[i]) for i in one.unlabelled.tolist()}
        return {
            "schema": SCHEMA,
            "target": work.target.value,
            "config": one.config.to_json(),
            "front_end": asdict(work.store.front_end),
            "train": {work.store.ids[i]: int(work.labels[i]) for i in one.learnt.tolist()},
            "n_samples": {work.store.ids[i]: int(work.store.n_samples[i]) for i in self._everyone.tolist()},
            **({"silent_segments": silent} if silent else {}),
            **({"unlabelled": others} if others else {}),
            **({"pseudo_labels": True} if others and work.parts.pseudo_labels and self_learns else {}),
            **self._spliced,
        }

    def _folder(self, one: NetworkToTrain) -> Path:
        assert self.work.folder is not None
        return self.work.folder / f"{one.config.learner}-{json_digest(self._request(one))[:16]}"

    def _of(self, one: NetworkToTrain) -> dict[str, Floats32]:
        """Return what one network says of all songs of the fold, training it unless that is on disk."""
        folder = self._folder(one)
        kept = folder / "segments.npz"
        if folder not in self._said:
            if not kept.exists():
                self._train(one, folder)
            self._said[folder] = read_outputs(kept)
        return self._said[folder]

    def _trunk(self) -> dict[str, Tensor] | None:
        """Return the weights that the networks of the fold begin with, from disk or trained now."""
        from safetensors.torch import load_file, save

        from mertag_train.runs.experiment import train_one, trunk_of

        one = trunk_of(self.work)
        if one is None:
            return None
        folder = self._folder(one)
        kept = folder / "trunk.safetensors"
        if not kept.exists():
            write_request(folder, self._request(one))
            checkpoint = folder / "checkpoint.pt"
            network = train_one(
                self.work, one, begin_with=None, checkpoint=checkpoint, resume=True, watcher=self.work.watcher
            )
            with replaced_whole(kept) as file:
                file.write(save({name: value.cpu().contiguous() for name, value in network.state_dict().items()}))
            checkpoint.unlink(missing_ok=True)
        return load_file(kept)

    def _train(self, one: NetworkToTrain, folder: Path) -> None:
        from mertag_train.learn.predict import predict  # here: what is on disk needs no torch
        from mertag_train.runs.experiment import train_one
        from mertag_train.runs.song_picture import SongPicture
        from mertag_train.runs.watch import EpochLog

        work, checkpoint = self.work, folder / "checkpoint.pt"
        write_request(folder, self._request(one))
        watcher = Watchers(EpochLog(folder), SongPicture(folder, last_only=True), work.watcher)
        # The test songs are not looked at while it learns.
        network = train_one(
            work,
            replace(one, watched=None),
            begin_with=self._trunk(),
            checkpoint=checkpoint,
            resume=True,
            watcher=watcher,
            may_guess=True,
        )
        frames, began = work.frames(), time.monotonic()
        said = predict(network, work.store, frames, self._everyone, work.config.segmentation)
        speed = {"songs_per_s": len(said) / (time.monotonic() - began)}
        (folder / SPEED).write_text(json.dumps(speed) + "\n", encoding="utf-8")
        write_outputs(folder / "segments.npz", [work.store.ids[i] for i in self._everyone.tolist()], said)
        checkpoint.unlink(missing_ok=True)


def write_request(folder: Path, request: Mapping[str, Any]) -> None:
    """Make a folder, and say in it what its content depends on."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "request.json").write_text(json.dumps(request, indent=1) + "\n", encoding="utf-8")


def write_outputs(path: Path, ids: Sequence[str], probabilities: Sequence[Floats32]) -> None:
    """Write the segment probabilities (or embeddings) of songs, each of shape (n_segments, n_classes)."""
    with replaced_whole(path) as file:
        np.savez(
            file,
            ids=np.array(list(ids)),
            counts=np.array([len(p) for p in probabilities], dtype=np.int64),
            probabilities=np.concatenate(list(probabilities)).astype(np.float32),
        )


def read_outputs(path: Path) -> dict[str, Floats32]:
    """Read them back, by song id; raise DatasetError if the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            ids, counts, flat = kept["ids"].tolist(), kept["counts"], kept["probabilities"]
        return dict(zip(ids, np.split(flat, np.cumsum(counts)[:-1]), strict=True))
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise DatasetError(f"{path}: not readable ({error}). Delete it, and it is made anew.") from error
