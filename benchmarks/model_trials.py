"""Trials of the default model: recipes compared on songs that are not the ones set aside.

    python benchmarks/model_trials.py --data-dir DIR --trial plain --fold 0,1
    python benchmarks/model_trials.py --data-dir DIR --report

72 of the clips of 4Q, 18 a quadrant and none of an artist of the others, are set aside and never looked at here: they
are the figures' part of the split of `mertag train --recipe bundled`. The others are dealt into five folds by artist;
a trial trains on four and is measured on the fifth. Each finished fold is one file below ``--out``, and a trial that
was stopped goes on after its last epoch. ``--report`` prints a row a trial: accuracy, log-loss and, against the
first trial on the same clips, the mean difference of the log-loss with its standard error.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from mertag.emotion import CLASS_NAMES, Target
from mertag.listen.windows import Segmentation
from mertag_train.data.datasets import Dataset, read
from mertag_train.data.folds import Folds, folds, split
from mertag_train.data.store import log_mels
from mertag_train.evaluation.methods.networks import read_outputs, write_outputs
from mertag_train.learn.config import (
    AugmentConfig,
    NetworkConfig,
    OptimiserConfig,
    ShortCropConfig,
    SongConfig,
    TrainConfig,
)
from mertag_train.learn.predict import predict
from mertag_train.learn.trainer import Clips, EpochReport, train_network

FOLDS = 5

PLAIN = TrainConfig(
    recipe="ours",
    segmentation=Segmentation(duration_s=3.0, hop_s=1.0),
    network=NetworkConfig(architecture="compact", width=0.25),
    optimiser=OptimiserConfig(learning_rate=0.03, schedule="cosine", batch_size=32, ema_decay=0.99),
    augment=AugmentConfig(mixup_alpha=0.4, gain_db=6.0),
    short_crops=ShortCropConfig(share=1.0, duration_s=1.0),
    learner="inherited",
    song=SongConfig(features="cross_fitted"),
    epochs=12,
    crops_per_clip=2,
    fractions=(0.9, 0.0, 0.1),
)
"""A quarter of VGG16's channels on six 1-second crops a clip and epoch, judged on 3-second segments."""


def _trials() -> Mapping[str, TrainConfig]:
    replace = dataclasses.replace
    moved = replace(PLAIN.augment, pitch_bands=3, equaliser_db=6.0)
    light = replace(
        PLAIN, network=replace(PLAIN.network, dropout=0.2), augment=replace(moved, mixup_alpha=0.0, gain_db=12.0)
    )
    statistics = replace(
        PLAIN,
        network=NetworkConfig(architecture="statistics", width=0.25, dropout=0.4),
        optimiser=OptimiserConfig(learning_rate=0.03, batch_size=64, weight_decay=2e-3),
        augment=replace(PLAIN.augment, mixup_alpha=0.0, gain_db=12.0, time_masks=0, frequency_masks=0),
        short_crops=ShortCropConfig(share=0.0),
        crops_per_clip=0,
        epochs=6,
    )
    noise = replace(statistics, augment=replace(statistics.augment, noise_share=0.08))
    return {
        "plain": PLAIN,
        "1s-then-3s": replace(PLAIN, short_crops=ShortCropConfig(share=0.6, duration_s=1.0)),
        "pitch-eq": replace(PLAIN, augment=moved),
        "light": light,
        "light-6-db": replace(light, augment=replace(light.augment, gain_db=6.0)),
        "light-rate-0.1": replace(light, optimiser=replace(light.optimiser, learning_rate=0.1)),
        "statistics": statistics,
        "statistics-mixup": replace(statistics, augment=replace(statistics.augment, mixup_alpha=0.4)),
        "statistics-masks": replace(statistics, augment=replace(PLAIN.augment, gain_db=12.0)),
        "statistics-eq": replace(statistics, augment=replace(statistics.augment, pitch_bands=2, equaliser_db=6.0)),
        "statistics-noise": noise,
        "statistics-played-noise": replace(noise, augment=replace(noise.augment, noise="played")),
        "statistics-noise-5s": replace(noise, segmentation=Segmentation(duration_s=5.0, hop_s=1.0)),
        "statistics-noise-dropout-0.6": replace(noise, network=replace(noise.network, dropout=0.6)),
    }


TRIALS = _trials()


def main() -> None:
    """Run a trial, or print what was run."""
    given = _arguments()
    dataset = read("4q", given.data_dir)
    if given.report:
        report(given.out, dataset)
        return
    torch.set_num_threads(given.threads)
    dealt = trial_folds(dataset)
    config = TRIALS[given.trial]
    if given.epochs:
        config = dataclasses.replace(config, epochs=given.epochs)
    name = f"{given.trial}-{config.epochs}" + (f"-seed-{given.seed}" if given.seed else "")
    for fold in given.fold.split(","):
        run_fold(dataset, dealt, fold, dataclasses.replace(config, seed=given.seed), given.out / name, given.log_mels)


def trial_folds(dataset: Dataset) -> Folds:
    """Return the folds of the clips that are not set aside."""
    learnt = frozenset(
        split(dataset.songs, Target.QUADRANT, fractions=(0.9, 0.0, 0.1), group="artist", seed=0).ids("train")
    )
    return folds([s for s in dataset.songs if s.id in learnt], Target.QUADRANT, n=FOLDS, group="artist", seed=0)


def run_fold(
    dataset: Dataset, dealt: Folds, fold: str, config: TrainConfig, folder: Path, kept_log_mels: Path | None
) -> None:
    """Train on the other folds and write what the network says of this one; nothing if that is there already."""
    done = folder / f"fold-{fold}.npz"
    if done.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    store = log_mels(dataset, config.front_end, folder=kept_log_mels)
    class_of = {song.id: song.targets[Target.QUADRANT] for song in dataset.songs}

    def clips(ids: tuple[str, ...]) -> Clips:
        return Clips(index=store.index_of(ids), label=np.array([class_of[i] for i in ids], dtype=np.int64))

    frames = torch.from_numpy(np.array(store.frames))
    test = clips(dealt.ids(fold))
    began = time.process_time()

    def on_epoch(epoch: EpochReport) -> None:
        print(
            f"{folder.name} fold {fold} epoch {epoch.epoch}/{epoch.epochs} loss {epoch.loss:.3f} "
            f"unseen {epoch.validation_accuracy:.3f} {epoch.duration_s:.0f} s",
            flush=True,
        )

    network = train_network(
        store,
        frames,
        clips(dealt.others(fold)),
        test,
        config,
        class_names=CLASS_NAMES[Target.QUADRANT],
        checkpoint_path=folder / f"fold-{fold}.pt",
        resume=True,
        on_epoch=on_epoch,
    )
    said = predict(network, store, frames, test.index, config.segmentation)
    write_outputs(done, dealt.ids(fold), said)
    print(f"{folder.name} fold {fold}: {time.process_time() - began:.0f} s of processor time", flush=True)
    (folder / f"fold-{fold}.pt").unlink()


def report(out: Path, dataset: Dataset) -> None:
    """Print a row a trial, of its finished folds."""
    class_of = {song.id: song.targets[Target.QUADRANT] for song in dataset.songs}
    losses: dict[str, dict[str, float]] = {}
    for folder in sorted(out.iterdir()):
        said = {song: p for path in sorted(folder.glob("fold-?.npz")) for song, p in read_outputs(path).items()}
        found = {song: (class_of[song], p.mean(0)) for song, p in said.items()}
        if not found:
            continue
        losses[folder.name] = {song: -math.log(max(float(p[k]), 1e-6)) for song, (k, p) in found.items()}
        right = float(np.mean([int(p.argmax()) == k for k, p in found.values()]))
        row = {"trial": folder.name, "clips": len(found), "accuracy": round(right, 3)}
        row["log_loss"] = round(float(np.mean(list(losses[folder.name].values()))), 3)
        for other, theirs in losses.items():
            if other != folder.name and (both := sorted(theirs.keys() & losses[folder.name].keys())):
                differ = np.array([losses[folder.name][s] - theirs[s] for s in both])
                row[f"against {other}"] = f"{differ.mean():+.3f} ± {differ.std() / math.sqrt(len(differ)):.3f}"
        print(json.dumps(row))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--log-mels", type=Path, help="folder of the log-mels; made where it is absent")
    parser.add_argument("--trial", choices=sorted(TRIALS), default="plain")
    parser.add_argument("--epochs", type=int, help="instead of the trial's")
    parser.add_argument("--fold", default="0,1,2,3,4")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("trials"))
    parser.add_argument("--report", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
