"""How fast the training loop is, beside the work that cannot be avoided, and beside a plain script.

    python benchmarks/train.py --width 0.25 --segment 1 --clips 64

Four rates, segments a second, measured in turn and several times, so that a noisy machine bears on all of them alike:

- bare: forward and backward pass of the same network on batches that lie ready;
- mertag: an epoch of `mertag_train.learn.trainer.train_network` with inherited labels: cut, pass, clip, step;
- mertag, sssl: an epoch of self-learning, which also measures losses and sees the unlabelled segments twice;
- plain: the same network and batches by a DataLoader with worker processes, in fp32, the memory as it comes.

The ratios are medians of the ratios within one turn. The matrix rate is that of one large product in the type that the
training computes in; the share of it is what the multiplications of the passes alone would need.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from mertag.listen.windows import FrontEnd, Segmentation
from mertag_train.data.store import Clip, LogMelStore, write_store
from mertag_train.data.teacher import TeacherTargets
from mertag_train.learn.config import NetworkConfig, TrainConfig
from mertag_train.learn.learners import Clips
from mertag_train.learn.optimise import autocast
from mertag_train.learn.recipes import PAPER
from mertag_train.learn.trainer import EpochReport, network_of, train_network

CLASSES = ("Q1", "Q2", "Q3", "Q4")


class Segments(Dataset[tuple[torch.Tensor, int]]):
    """What the plain script reads: segments cut one by one from arrays."""

    def __init__(self, store: LogMelStore, labels: np.ndarray, segmentation: Segmentation) -> None:
        self.clips = [np.array(store.clip(i)) for i in range(len(store.ids))]
        self.labels = labels
        self.n_frames = segmentation.segment_frames(store.front_end)
        self.places = [
            (clip, int(start))
            for clip in range(len(store.ids))
            for start in segmentation.start_frames(int(store.n_samples[clip]), store.front_end)
        ]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        clip, start = self.places[i]
        return torch.from_numpy(self.clips[clip][start : start + self.n_frames]).float(), int(self.labels[clip])


def main() -> None:
    """Print the rates and the ratios; write them as JSON where asked for."""
    options = parsed()
    device = torch.device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    config = replace(
        PAPER,
        network=NetworkConfig(architecture=options.architecture, width=options.width),
        segmentation=Segmentation(duration_s=options.segment, hop_s=1.0),
        optimiser=replace(PAPER.optimiser, batch_size=options.batch_size),
        epochs=1,
    )
    with tempfile.TemporaryDirectory() as folder:
        store = noise_store(Path(folder) / "store", options.clips)
        labels = np.arange(options.clips, dtype=np.int64) % len(CLASSES)
        clips = Clips(index=np.arange(options.clips), label=labels)
        frames = torch.from_numpy(np.array(store.frames)).to(device)
        rates: dict[str, list[float]] = {"bare": [], "mertag": [], "mertag, sssl": [], "plain": []}
        sssl = replace(config, learner="sssl", epochs=2, warm_up_epochs=1)
        for turn in range(options.repeats + 1):
            found = {
                "bare": bare(config, options.clips * 30, device),
                "mertag": ours(store, frames, clips, replace(config, learner="inherited")),
                "mertag, sssl": ours(store, frames, clips, sssl),
                "plain": plain(store, labels, config, device, workers=options.workers),
            }
            if turn:  # the first is for warming up
                for name, rate in found.items():
                    rates[name].append(rate)
    report(options, config, device, rates)


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--architecture", choices=("compact", "published"), default="compact")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--segment", type=float, default=3.0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--clips", type=int, default=16, help="clips of 30 s, made of noise")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="processes of the plain script's DataLoader")
    parser.add_argument("--threads", type=int, default=0, help="torch threads on a CPU; 0 for its own choice")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def noise_store(folder: Path, n_clips: int) -> LogMelStore:
    """Return a store of clips of noise, each 30 s and a little."""
    front_end, rng = FrontEnd(), np.random.default_rng(0)
    n_samples = 30 * front_end.sample_rate + front_end.n_fft
    n_frames = 1 + (n_samples - front_end.n_fft) // front_end.hop_length
    clips = (Clip(str(i), n_samples, rng.normal(-30, 15, (n_frames, front_end.n_mels))) for i in range(n_clips))
    return write_store(folder, clips, front_end)


def finished(device: torch.device) -> float:
    """Return the time when the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def bare(config: TrainConfig, n_segments: int, device: torch.device) -> float:
    """Return the rate of forward and backward pass alone."""
    network = network_of(config, len(CLASSES)).to(device, memory_format=torch.channels_last).train()
    size = config.optimiser.batch_size
    n_frames = config.segmentation.segment_frames(config.front_end)
    batch = torch.randn(size, n_frames, config.front_end.n_mels, device=device)
    labels = torch.arange(size, device=device) % len(CLASSES)
    steps = max(2, n_segments // size)
    began = finished(device)
    for _ in range(steps):
        network.zero_grad(set_to_none=True)
        with autocast(device):
            logits = network(batch)
        nn.functional.cross_entropy(logits.float(), labels).backward()
    return steps * size / (finished(device) - began)


def ours(
    store: LogMelStore, frames: torch.Tensor, clips: Clips, config: TrainConfig, teacher: TeacherTargets | None = None
) -> float:
    """Return the rate of the last epoch of a training."""
    reports: list[EpochReport] = []
    # One epoch of noise teaches nothing, and the loop would rightly stop: its last check is switched off here.
    import mertag_train.learn.trainer as loop

    loop.STALL_MARGIN = -1.0
    train_network(store, frames, clips, None, config, class_names=CLASSES, teacher=teacher, on_epoch=reports.append)
    return reports[-1].segments_per_s


def plain(store: LogMelStore, labels: np.ndarray, config: TrainConfig, device: torch.device, *, workers: int) -> float:
    """Return the rate of an epoch of the script that one would write first."""
    network = network_of(config, len(CLASSES)).to(device).train()
    sgd = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    data = Segments(store, labels, config.segmentation)
    loader = DataLoader(data, batch_size=config.optimiser.batch_size, shuffle=True, num_workers=workers)
    began = finished(device)
    for batch, of in loader:
        sgd.zero_grad()
        nn.functional.cross_entropy(network(batch.to(device)), of.to(device)).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        sgd.step()
    return len(data) / (finished(device) - began)


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return the measured rate of one large product, in multiplications and additions a second."""
    n = 8192 if device.type == "cuda" else 1536
    a = torch.randn(n, n, device=device).to(dtype)
    rates = []
    for _ in range(5):
        began = finished(device)
        a @ a
        rates.append(2 * n**3 / (finished(device) - began))
    return max(rates)


def flops_a_segment(config: TrainConfig, device: torch.device) -> float:
    """Return the multiplications and additions of forward and backward pass."""
    network = network_of(config, len(CLASSES)).to(device).train()
    n_frames = config.segmentation.segment_frames(config.front_end)
    counter = FlopCounterMode(display=False)
    with counter:
        network(torch.randn(2, n_frames, config.front_end.n_mels, device=device)).sum().backward()
    return counter.get_total_flops() / 2


def compared(config: TrainConfig, device: torch.device, rates: dict[str, list[float]]) -> dict[str, Any]:
    """Return the medians of rates, how they stand to each other, and to the rate of one large product."""
    with autocast(device) as context:
        dtype = torch.bfloat16 if getattr(context, "_enabled", False) else torch.float32
    matrix = matrix_rate(device, dtype)
    medians = {name: statistics.median(found) for name, found in rates.items()}

    def ratio(other: str) -> float:
        return statistics.median(a / b for a, b in zip(rates["mertag"], rates[other], strict=True))

    return {
        "type": str(dtype).removeprefix("torch."),
        "segments_per_s": medians,
        **{f"to_{other}": ratio(other) for other in ("bare", "plain") if other in rates},
        "matrix_tflops": matrix / 1e12,
        "share_of_matrix_rate": medians["mertag"] * flops_a_segment(config, device) / matrix,
    }


def report(
    options: argparse.Namespace, config: TrainConfig, device: torch.device, rates: dict[str, list[float]]
) -> None:
    """Print, and write as JSON."""
    machine = torch.cuda.get_device_name() if device.type == "cuda" else f"{platform.machine()} CPU"
    result: dict[str, Any] = {
        "machine": f"{machine}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "network": f"{options.architecture}, width {options.width}, {options.segment} s, batch {options.batch_size}",
        **compared(config, device, rates),
    }
    print(result["machine"])
    print(f"{result['network']}; computed in {result['type']}; {options.repeats} turns, medians")
    for name, rate in result["segments_per_s"].items():
        print(f"{name:>14}: {rate:8.1f} segments/s")
    print(f"mertag to bare:  {result['to_bare']:.2f}")
    print(f"mertag to plain: {result['to_plain']:.2f}")
    print(f"{result['share_of_matrix_rate']:.0%} of the matrix rate, {result['matrix_tflops']:.2f} TFLOP/s")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
