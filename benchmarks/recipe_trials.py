"""Trials of our recipe: trainings compared on the clips of 4Q that are not set aside, in five folds by artist.

    python benchmarks/pack_training.py 4q DATA pack
    python benchmarks/recipe_trials.py run pack --out OUT --workers 8 [--music PACK] [--trial NAME ...] [--fold 0 ...]
    python benchmarks/recipe_trials.py report benchmarks/results/recipe_trials.npz [--pair FIRST SECOND]

72 of the clips, 18 a quadrant and none of an artist of the others, are never looked at: they are the figures' part of
the split of `mertag train`. A trial is judged by the mean probability over the segments of a clip; no song classifier.
Networks are trained side by side, each in a process of its own, on one GPU or on the CPU; each finished fold is one
file below OUT, and is not trained again. ``--music`` is a pack of clips without labels, of which trials learn whose
names end in ``-music``. ``report`` prints a row a trial: accuracy, log-loss, log-loss after one temperature for all
clips (a song classifier learns at least that), valence, arousal, and McNemar's p against the row before it. ``--pair``
compares two: songs that only one has right, McNemar's p, and what the log-loss changes by, with the standard error.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from packed import Packed, read_pack

from mertag.emotion import Target
from mertag.files import replaced_whole
from mertag_train.data.folds import folds, split
from mertag_train.data.heard import heard
from mertag_train.data.unlabelled import Stretches, Unlabelled
from mertag_train.learn.config import PartitionConfig, TrainConfig
from mertag_train.learn.predict import predict
from mertag_train.learn.recipes import OURS
from mertag_train.measure.metrics import McNemar, mcnemar
from mertag_train.runs.experiment import NetworkToTrain, train_one, trunk_of
from mertag_train.runs.processes import frames_on
from mertag_train.runs.work import Parts, Watcher, Work, groups_of, labels_of

TARGET, FOLDS, MUSIC = Target.QUADRANT, 5, "-music"
Said = dict[str, tuple[np.ndarray, int]]
"""Of each clip, by id: the mean probabilities (4,), and the class."""


def trials() -> dict[str, TrainConfig]:
    """Return them by name, each but the first with one thing more than another."""
    longer = replace(OURS.optimiser, learning_rate=0.05)
    alone = replace(OURS.teacher, pretraining=replace(OURS.teacher.pretraining, epochs=0))
    from_scratch = replace(OURS, learner="inherited", epochs=40, optimiser=longer, teacher=alone)
    inherited = replace(OURS, learner="inherited")
    twice = replace(OURS.teacher, pretraining=replace(OURS.teacher.pretraining, epochs=60))
    every = replace(OURS.sssl, partition=PartitionConfig())
    return {
        "no-teacher": replace(from_scratch, teacher=replace(alone, name="", weight=0.0, label_share=0.0)),
        "teacher": from_scratch,
        "teacher-sssl": replace(from_scratch, learner="sssl", warm_up_epochs=30),
        "pretrained-30": inherited,
        "pretrained-60": replace(inherited, teacher=twice),
        "pretrained-30-music": inherited,
        "pretrained-30-10-epochs-music": replace(inherited, epochs=10),
        "pretrained-30-hard-labels-music": replace(inherited, teacher=replace(OURS.teacher, label_share=0.0)),
        "ours-music": OURS,
        "ours-partition-over-all-music": replace(OURS, sssl=every),
    }


def main() -> None:
    """Run trials, or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("pack", type=Path)
    run.add_argument("--out", type=Path, required=True)
    run.add_argument("--music", type=Path, help="a pack of clips without labels")
    run.add_argument("--trial", nargs="+", choices=list(trials()), default=list(trials()))
    run.add_argument("--fold", nargs="+", default=[str(k) for k in range(FOLDS)])
    run.add_argument("--workers", type=int, default=1)
    run.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    report = commands.add_parser("report")
    report.add_argument("kept", type=Path, help="OUT, or one file of the mean probabilities of all clips")
    report.add_argument("--pair", nargs=2, metavar=("FIRST", "SECOND"), choices=list(trials()))
    options = parser.parse_args()
    if options.command == "report":
        means = means_of(options.kept)
        if options.pair:
            print_pair(*(means[name] for name in options.pair))
        else:
            print_report(means)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    jobs = [(options, name, fold) for name in options.trial for fold in options.fold]
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for said in pool.imap_unordered(run_fold, jobs):
            print(said, flush=True)


@cache
def read(pack: Path, music: Path | None, device: str) -> tuple[Packed, Unlabelled | None, torch.Tensor]:
    """Return the songs, music without a label, and all frames on the device; once a process."""
    packed, others = read_pack(pack), None
    dataset, _ = heard(packed.dataset, packed.store, OURS.segmentation)
    store, teacher = packed.store, packed.teacher
    if music is not None:
        more = read_pack(music)
        others = Unlabelled(root=music, rule=Stretches(), paths={}, store=more.store)
        store, _ = others.beside(store)
        assert teacher is not None
        assert more.teacher is not None
        teacher = replace(
            teacher,
            values=np.concatenate([teacher.values, more.teacher.values]),
            offsets=np.concatenate([teacher.offsets, teacher.offsets[-1] + more.teacher.offsets[1:]]),
        )
    return (
        replace(packed, dataset=dataset, store=store, teacher=teacher),
        others,
        frames_on(store, torch.device(device)),
    )


def run_fold(job: tuple[argparse.Namespace, str, str]) -> str:
    """Train one trial without one fold, judge that fold, keep what was said, and say how it went."""
    options, name, fold = job
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // options.workers))
    done, began = options.out / f"{name}.{fold}.npz", time.monotonic()
    if done.exists():
        return f"{name}, fold {fold}: is there"
    packed, others, frames = read(options.pack, options.music, options.device)
    songs, store, config = packed.dataset.songs, packed.store, trials()[name]
    learnt = frozenset(split(songs, TARGET, fractions=OURS.fractions, group="artist", seed=0).ids("train"))
    dealt = folds([s for s in songs if s.id in learnt], TARGET, n=FOLDS, group="artist", seed=0)
    figures = store.index_of(dealt.ids(fold))
    heard_too = () if others is None or not name.endswith(MUSIC) else others.store.ids
    work = Work(
        store=store,
        frames=lambda: frames,
        labels=labels_of(songs, store, TARGET),
        groups=groups_of(songs, store, "artist"),
        parts=Parts(
            network=store.index_of(dealt.others(fold)),
            song=figures,
            figures=figures,
            inner=(),
            unlabelled=store.index_of(heard_too),
        ),
        target=TARGET,
        config=config,
        teacher=packed.teacher if config.teacher.name else None,
    )
    trunk = trunk_of(work)
    kept = options.out / f"trunk{config.teacher.pretraining.epochs}{MUSIC if heard_too else ''}.{fold}.pt"
    weights = None
    if trunk is not None:
        if not kept.exists():
            first = train_one(work, trunk, begin_with=None, checkpoint=None, resume=False, watcher=Watcher())
            with replaced_whole(kept) as file:
                torch.save({key: value.cpu() for key, value in first.state_dict().items()}, file)
        weights = torch.load(kept, map_location="cpu", weights_only=True)
    one = NetworkToTrain(
        inner=0,
        config=config,
        learnt=work.parts.network,
        unlabelled=work.parts.unlabelled,
        watched=None,
        checkpoint="checkpoint.pt",
    )
    network = train_one(work, one, begin_with=weights, checkpoint=None, resume=False, watcher=Watcher())
    every = predict(network, store, frames, figures, config.segmentation)
    said = np.stack([p.astype(np.float64).mean(0) for p in every])
    with replaced_whole(done) as file:
        np.savez(file, ids=np.array([store.ids[i] for i in figures]), labels=work.labels[figures], said=said)
    right = float((said.argmax(1) == work.labels[figures]).mean())
    return f"{name}, fold {fold}: {right:.3f} of {len(figures)} right, {time.monotonic() - began:.0f} s"


def means_of(kept: Path) -> dict[str, Said]:
    """Return, by trial and clip, the mean probabilities (4,) and the class: from a folder, or from one file of it."""
    found: dict[str, Said] = {}
    if kept.is_dir():
        for path in sorted(kept.glob("*.[0-9].npz")):
            with np.load(path) as held:
                rows = zip(held["ids"].tolist(), held["said"], held["labels"].tolist(), strict=True)
                found.setdefault(path.name.split(".")[0], {}).update({i: (p, k) for i, p, k in rows})
        return found
    with np.load(kept) as held:
        ids, labels = held["ids"].tolist(), held["labels"].tolist()
        for name in held.files:
            if name not in ("ids", "labels"):
                rows = zip(ids, held[name].astype(np.float64), labels, strict=True)
                found[name] = {i: (p, k) for i, p, k in rows if np.isfinite(p).all()}
    return found


def print_report(means: Mapping[str, Said]) -> None:
    """Print a row a trial, as Markdown."""
    print("| trial | clips | accuracy | log-loss | at the best temperature | valence | arousal | p to the row above |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    before: Said = {}
    for name in (each for each in trials() if each in means):
        of_clip = means[name]
        p = np.clip(np.stack([said for said, _ in of_clip.values()]), 1e-6, 1)
        y = np.array([label for _, label in of_clip.values()])
        losses = {t: log_loss(p ** (1 / t), y) for t in np.arange(0.3, 1.6, 0.05)}
        valence = (p[:, 0] + p[:, 3] > 0.5) == np.isin(y, [0, 3])
        arousal = (p[:, 0] + p[:, 1] > 0.5) == np.isin(y, [0, 1])
        against = f"{against_each_other(before, of_clip).p_value:.4f}" if before else ""
        print(
            f"| `{name}` | {len(y)} | {np.mean(p.argmax(1) == y):.3f} | {log_loss(p, y):.3f} | "
            f"{min(losses.values()):.3f} | {valence.mean():.3f} | {arousal.mean():.3f} | {against} |"
        )
        before = of_clip


def against_each_other(first: Said, second: Said) -> McNemar:
    """Compare the decisions of two trials on the clips that both judge."""
    both = [clip for clip in first if clip in second]
    decided = [[int(said[clip][0].argmax()) for clip in both] for said in (first, second)]
    return mcnemar([first[clip][1] for clip in both], *decided)


def print_pair(first: Said, second: Said) -> None:
    """Print what differs between two trials."""
    both = [clip for clip in first if clip in second]
    losses = [np.array([-np.log(max(said[clip][0][said[clip][1]], 1e-6)) for clip in both]) for said in (first, second)]
    rights = [np.mean([said[clip][0].argmax() == said[clip][1] for clip in both]) for said in (first, second)]
    found, change = against_each_other(first, second), losses[1] - losses[0]
    error = change.std() / len(both) ** 0.5
    print(f"{len(both)} clips; right: {rights[0]:.3f}, {rights[1]:.3f}")
    print(f"right alone: {found.only_first}, {found.only_second}; McNemar p {found.p_value:.4f}")
    print(f"log-loss {change.mean():+.3f}, standard error {error:.3f}")


def log_loss(p: np.ndarray, y: np.ndarray) -> float:
    """Return the mean log-loss of distributions (n, 4), normalised here, in nats."""
    share = p / p.sum(1, keepdims=True)
    return float(-np.log(share[np.arange(len(y)), y]).mean())


if __name__ == "__main__":
    main()
