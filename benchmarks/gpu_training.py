"""The steps of `on_gpu.py train`: how fast networks are trained, and how good the full-width ones are.

`rate-RECIPE` measures segments a second beside the bare step (`train.py`). `folds-RECIPE` cross-validates by artist, on
the folds that ``mertag evaluate`` makes: first the network of each fold, whose mean probability judges its songs; then
the networks without which the recipe's song classifier cannot learn, fold by fold. What is there after each network is
in ``RECIPE.npz`` (`gpu_report.py` makes tables of it). `run` trains one model as ``mertag train`` does, and puts its
folder into pieces.

numpy, torch, scikit-learn and what is here; `run` also needs msgspec and safetensors.
"""

from __future__ import annotations

import argparse
import io
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # what an optimiser loads when it is made, in a second or two: once, before steps are forked
from guarded import Step, Told
from packed import Packed, read_pack

import train
from mertag.emotion import Target
from mertag.errors import MertagError
from mertag.files import write_whole
from mertag.listen.windows import Segmentation
from mertag_train.data.folds import folds
from mertag_train.data.heard import heard
from mertag_train.learn import trainer
from mertag_train.learn.config import NetworkConfig, OptimiserConfig, PretrainingConfig, TrainConfig
from mertag_train.learn.predict import predict
from mertag_train.learn.recipes import OURS, PAPER
from mertag_train.networks.vgg import SegmentNetwork
from mertag_train.runs.experiment import (
    NetworkToTrain,
    fit_and_predict,
    networks_to_train,
    train_one,
    trunk_of,
)
from mertag_train.runs.processes import frames_on
from mertag_train.runs.work import Parts, Watcher, Work, groups_of, inner_parts, labels_of

TARGET = Target.QUADRANT
GPU_BATCH = 2
"""Ours trains with so many times the recipe's batch: 48 segments do not fill a GPU."""
RATE_CLIPS, RATE_TURNS = 160, 3
PIECE_BYTES = 15_000_000


def steps(options: argparse.Namespace) -> list[Step]:
    """Return them, the most important first."""
    given: dict[str, tuple[Callable[..., None], float]] = {
        "machine": (machine, 30),
        "rate-ours": (partial(rate, "ours"), 45),
        "rate-paper": (partial(rate, "paper"), 45),
        "folds-ours": (partial(cross_validate, "ours"), 280),
        "folds-paper": (partial(cross_validate, "paper"), 280),
        "run": (run_in_pieces, 280),
    }
    return [Step(name=name, work=partial(work, options), most_s=most_s) for name, (work, most_s) in given.items()]


def recipe(name: str, *, small: bool, taught: bool) -> TrainConfig:
    """Return a recipe as a GPU trains it: ours with all of VGG16's channels.

    Its batch is larger; the learning rate grows with it (Goyal et al., 2017), and the average of the weights forgets as
    much in an epoch as before. Small: the same learning by a tiny network on few segments.
    """
    config = PAPER
    if name == "ours":
        first = OURS.teacher.pretraining
        config = replace(
            OURS,
            network=replace(OURS.network, width=1.0),
            optimiser=larger_batch(OURS.optimiser),
            teacher=replace(OURS.teacher, pretraining=replace(first, optimiser=larger_batch(first.optimiser))),
        )
    if small:
        config = tiny(config)
    return config if taught else replace(config, teacher=replace(config.teacher, name=""))


def larger_batch(optimiser: OptimiserConfig) -> OptimiserConfig:
    """Return an optimiser for `GPU_BATCH` times the batch."""
    return replace(
        optimiser,
        batch_size=GPU_BATCH * optimiser.batch_size,
        learning_rate=GPU_BATCH * optimiser.learning_rate,
        ema_decay=optimiser.ema_decay**GPU_BATCH,
    )


def tiny(config: TrainConfig) -> TrainConfig:
    """Return a recipe that trains in a second, for trying the steps out."""
    small = OptimiserConfig(learning_rate=0.05, schedule="cosine", batch_size=8)
    return replace(
        config,
        segmentation=Segmentation(duration_s=1.0, hop_s=1.0),
        network=NetworkConfig(architecture=config.network.architecture, width=1 / 64),
        optimiser=small,
        teacher=replace(config.teacher, pretraining=PretrainingConfig(epochs=1, crops_per_clip=1, optimiser=small)),
        song=replace(config.song, inner_folds=2),
        epochs=2,
        warm_up_epochs=1,
        crops_per_clip=min(1, config.crops_per_clip),
        grid_per_clip=2,
    )


def opened(options: argparse.Namespace) -> tuple[Packed, torch.device]:
    """Return the pack without what cannot be heard, and the device."""
    packed = read_pack(options.pack)
    cut = recipe("ours", small=options.small, taught=False).segmentation
    dataset, remarks = heard(packed.dataset, packed.store, cut)
    for remark in remarks:
        print(remark)
    if options.small:
        # A tiny network learns next to nothing, and the loop would rightly stop.
        trainer.STALL_MARGIN = -1.0
        torch.set_num_threads(1)
    return replace(packed, dataset=dataset), torch.device(options.device)


def machine(options: argparse.Namespace, told: Told) -> None:
    """Say what is measured on, and what it does at its best."""
    device = torch.device(options.device)
    told.say(torch=torch.__version__, cpu_threads=torch.get_num_threads())
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        told.say(gpu=about.name, memory_gb=about.total_memory / 1e9, cuda=torch.version.cuda)
        told.say(matrix_tflops_bf16=train.matrix_rate(device, torch.bfloat16) / 1e12)
        told.say(matrix_tflops_fp32=train.matrix_rate(device, torch.float32) / 1e12)


def rate(name: str, options: argparse.Namespace, told: Told) -> None:
    """Measure the bare step, an epoch with inherited labels, and one of self-learning, in turn."""
    packed, device = opened(options)
    store, frames = packed.store, frames_on(packed.store, device)
    config = recipe(name, small=options.small, taught=False)
    labels = labels_of(packed.dataset.songs, store, TARGET)
    index = np.flatnonzero(labels >= 0)[:RATE_CLIPS]
    clips = trainer.Clips(index=index, label=labels[index])
    # The fixed grid, once: an epoch is then every segment of the clips.
    plain = replace(config, learner="inherited", epochs=1, crops_per_clip=0, grid_per_clip=0)
    sssl = replace(plain, learner="sssl", epochs=2, warm_up_epochs=1)
    n_segments = int(sum(config.segmentation.n_segments(int(n), store.front_end) for n in store.n_samples[index]))
    rates: dict[str, list[float]] = {"bare": [], "mertag": [], "mertag, sssl": []}
    told.say(network=f"{config.network.architecture}, width {config.network.width:g}", n_segments=n_segments)
    told.say(batch_size=config.optimiser.batch_size)
    for turn in range(1 + (1 if options.small else RATE_TURNS)):
        found = {
            "bare": train.bare(plain, n_segments, device),
            "mertag": train.ours(store, frames, clips, plain),
            "mertag, sssl": train.ours(store, frames, clips, sssl),
        }
        if turn:  # the first is for warming up
            for kind, value in found.items():
                rates[kind].append(value)
            told.say(turns=turn, rates=rates, **train.compared(plain, device, rates))
        if told.left_s() < 10 and turn:
            break
    if device.type == "cuda":
        told.say(peak_memory_gb=torch.cuda.max_memory_allocated(device) / 1e9)


def fold_works(packed: Packed, config: TrainConfig, device: torch.device, n_folds: int) -> dict[str, Work]:
    """Return the training of each fold, whose figures come from its own songs."""
    songs, store, group = packed.dataset.songs, packed.store, config.group
    frames = frames_on(store, device)
    dealt = folds(songs, TARGET, n=n_folds, group=group)
    works = {}
    for name, learnt, tested in dealt.pairs():
        of_network = [song for song in songs if song.id in set(learnt)]
        network = store.index_of([song.id for song in of_network])
        works[name] = Work(
            store=store,
            frames=lambda: frames,
            labels=labels_of(songs, store, TARGET),
            groups=groups_of(songs, store, group),
            parts=Parts(
                network=network,
                song=network,
                figures=store.index_of(tested),
                inner=inner_parts(of_network, store, TARGET, config),
            ),
            target=TARGET,
            config=config,
            teacher=packed.teacher if config.teacher.name else None,
        )
    return works


class OutOfTimeError(Exception):
    """There is no time for another network."""


class FoldNetworks:
    """The networks of one fold, each trained once; what they say is kept, and not they, but for the model."""

    def __init__(self, work: Work, told: Told, watcher: Watcher, longest: list[float]) -> None:
        self.work, self._told, self._watcher, self._longest = work, told, watcher, longest
        self._trunk: Mapping[str, torch.Tensor] | None = None
        self._model: SegmentNetwork | None = None
        self._said: dict[str, list[np.ndarray]] = {}

    def __call__(self, one: NetworkToTrain, clips: np.ndarray) -> list[np.ndarray]:
        """Return what a network says of clips; see `mertag_train.runs.experiment.Predict`."""
        if one.inner:
            if one.checkpoint not in self._said:
                self._said[one.checkpoint] = self._predict(self._trained(one), clips)
            return self._said[one.checkpoint]
        if self._model is None:
            self._model = self._trained(one)
        return self._predict(self._model, clips)

    def _predict(self, network: SegmentNetwork, clips: np.ndarray) -> list[np.ndarray]:
        work = self.work
        return predict(network, work.store, work.frames(), clips, work.config.segmentation)

    def _trained(self, one: NetworkToTrain) -> SegmentNetwork:
        trunk = trunk_of(self.work)
        if trunk is not None and self._trunk is None:
            weights = self._timed(trunk, None).state_dict()
            self._trunk = {name: value.cpu() for name, value in weights.items()}
        return self._timed(one, self._trunk)

    def _timed(self, one: NetworkToTrain, begin_with: Mapping[str, torch.Tensor] | None) -> SegmentNetwork:
        if self._told.left_s() < max(self._longest, default=0.0):
            raise OutOfTimeError
        began = time.monotonic()
        network = train_one(self.work, one, begin_with=begin_with, checkpoint=None, resume=False, watcher=self._watcher)
        self._longest.append(time.monotonic() - began)
        return network


class _Epochs(Watcher):
    """Prints each epoch."""

    def on_epoch(self, report: trainer.EpochReport) -> None:
        print(f"  epoch {report.epoch}: loss {report.loss:.3f}, {report.segments_per_s:.0f} segments/s", flush=True)


def cross_validate(name: str, options: argparse.Namespace, told: Told) -> None:
    """Judge the songs of as many folds as there is time for, first by the mean, then by the song classifier."""
    packed, device = opened(options)
    config = recipe(name, small=options.small, taught=packed.teacher is not None)
    works = fold_works(packed, config, device, options.n_folds)
    chosen = {fold: work for fold, work in works.items() if options.folds is None or fold in options.folds}
    kept: dict[str, np.ndarray] = {
        "ids": np.array(packed.store.ids),
        "labels": next(iter(works.values())).labels,
        "classes": np.array(next(iter(works.values())).class_names),
    }
    told.say(folds=list(chosen), judged={}, batch_size=config.optimiser.batch_size)
    longest: list[float] = []
    networks = {fold: FoldNetworks(work, told, _Epochs(), longest) for fold, work in chosen.items()}
    judged: dict[str, dict[str, float]] = {}
    troubles: dict[str, str] = {}
    for by in (by_mean, by_classifier):
        for fold, of_fold in networks.items():
            print(f"fold {fold}, {by.__name__}", flush=True)
            try:
                kept |= by(fold, of_fold)
            except OutOfTimeError:
                print("out of time")
                break
            except MertagError as error:
                troubles[fold] = str(error)
                told.say(troubles=troubles)
                continue
            write_whole(options.out / f"{name}.npz", as_npz(kept))
            judged[fold] = accuracies(fold, kept)
            told.say(judged=judged, network_s=[round(s, 2) for s in longest])
    if not judged:
        raise SystemExit("no fold was judged")


def by_mean(fold: str, networks: FoldNetworks) -> dict[str, np.ndarray]:
    """Return what the network of a fold says of its songs: segments, how many of each, and their means."""
    work = networks.work
    said = networks(networks_to_train(work)[0], work.parts.figures)
    return {
        f"{fold}.songs": work.parts.figures,
        f"{fold}.counts": np.array([len(p) for p in said]),
        f"{fold}.segments": np.concatenate(said).astype(np.float16),
        f"{fold}.mean_probability": np.stack([p.astype(np.float64).mean(0) for p in said]),
    }


def by_classifier(fold: str, networks: FoldNetworks) -> dict[str, np.ndarray]:
    """Return what the song classifier of a fold says of its songs."""
    found = fit_and_predict(networks.work, networks)
    return {f"{fold}.song_classifier": found.probabilities["song_classifier"]}


def accuracies(fold: str, kept: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the share of a fold's songs that each method judges rightly."""
    labels = kept["labels"][kept[f"{fold}.songs"]]
    methods = ("mean_probability", "song_classifier")
    known = {method: kept[f"{fold}.{method}"] for method in methods if f"{fold}.{method}" in kept}
    return {"songs": len(labels), **{method: float((p.argmax(1) == labels).mean()) for method, p in known.items()}}


def as_npz(arrays: Mapping[str, Any]) -> bytes:
    """Return arrays as the bytes of an ``.npz``."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def run_in_pieces(options: argparse.Namespace, told: Told) -> None:
    """Train one model of ours as ``mertag train`` does, and leave its folder as pieces of a tar file."""
    from mertag_train.runs import run

    packed, device = opened(options)
    config = recipe("ours", small=options.small, taught=packed.teacher is not None)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        run.begin(folder, packed.dataset, packed.store, config, command="benchmarks/on_gpu.py train --steps run")
        results = run.train(
            folder, packed.dataset, packed.store, device=device, teacher=packed.teacher, watcher=_Epochs()
        )
        figures = results[TARGET].metrics[TARGET]
        told.say(accuracy={method: metrics.accuracy for method, metrics in figures.items()})
        told.say(pieces=pieces_of(folder, options.out))


def pieces_of(folder: Path, out: Path) -> list[str]:
    """Write a folder as ``NAME.tar.0`` and so on; ``cat NAME.tar.* | tar x`` makes it again. Return their names."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        tar.add(folder, arcname=folder.name)
    data = file.getvalue()
    names = []
    for number, start in enumerate(range(0, len(data), PIECE_BYTES)):
        names.append(f"{folder.name}.tar.{number}")
        write_whole(out / names[-1], data[start : start + PIECE_BYTES])
    return names
