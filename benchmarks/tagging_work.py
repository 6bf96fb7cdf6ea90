"""One piece of work for `tag.py`, in a process of its own: python tagging_work.py KIND OPTIONS < paths.

Prints one JSON object. The clock runs when the models are loaded, and stops after the last song.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from mertag.emotion import Target
from mertag.listen import segment_model
from mertag.listen.blocks import BlockPacker
from mertag.listen.bundle import load_bundle
from mertag.listen.decode.pool import DecoderPool
from mertag.listen.device import SongModel, open_models
from mertag.listen.manifest import Manifest
from mertag.listen.sessions import Session
from mertag.listen.tagger import usual_workers

KINDS = ("mertag", "mertag+tags", "idle", "bare", "decode", "plain")


def main() -> None:
    """Do it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--at-once", type=int)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--segment-hop", type=float)
    options = parser.parse_args()
    paths = [Path(line) for line in sys.stdin.read().splitlines()]
    work = {"bare": bare, "decode": decode, "plain": plain}.get(options.kind, tag)
    print(json.dumps(work(paths, options)))


def tag(paths: list[Path], options: argparse.Namespace) -> dict[str, Any]:
    """End to end; "idle" with a network that takes no time: what the fastest device could reach.

    Also the share of the time in which the network's threads were busy, that in which the feeding thread waited for
    decoded audio, and the processor time that this process took beside the network (decoders are other processes), as
    a share of the wall time; right where a call has one thread, or is a GPU's.
    """
    from mertag.batch import BatchOptions, FileDone, Status, tag_library
    from mertag.listen.tagger import Tagger

    run = Work()
    if options.kind == "idle":
        segment_model.run = answer_at_once
    segment_model.run = run.timed(segment_model.run)
    SongModel.__call__ = run.timed(SongModel.__call__)  # type: ignore[method-assign]
    waiting = Work()
    decode_all = DecoderPool.decode
    DecoderPool.decode = lambda pool, songs: waiting.each(decode_all(pool, songs))  # type: ignore[method-assign]
    decisions: dict[str, str] = {}
    with Tagger(
        options.model,
        device=options.device,
        precision=options.precision,
        threads=options.threads,
        at_once=options.at_once,
        workers=options.workers,
        segment_hop_s=options.segment_hop,
    ) as tagger:
        began, cpu, own = time.perf_counter(), cpu_s(), time.process_time()
        for event in tag_library(paths, tagger=tagger, options=BatchOptions(write_tags=options.kind == "mertag+tags")):
            if isinstance(event, FileDone):
                if event.emotion is None or event.status is Status.FAILED:
                    raise SystemExit(f"{event.path}: {event.status}: {event.reason}; measure with files that work")
                decisions[str(event.path)] = event.emotion.quadrant.value
        seconds, own_s = time.perf_counter() - began, time.process_time() - own - run.cpu_s
        segment = tagger.models.segment
    return {
        "seconds": seconds,
        "cpu_s": cpu_s() - cpu,
        "busy": run.seconds / segment.at_once / seconds,
        "waiting": waiting.seconds / seconds,
        "own": own_s / seconds,
        "decisions": decisions,
        "model": f"{segment.precision} on {segment.device}",
    }


def answer_at_once(manifest: Manifest, session: Session, waveform: np.ndarray, starts: np.ndarray) -> list[np.ndarray]:
    """Stand in for a network that takes no time at all: every class is as likely as the others."""
    return [np.full((len(starts), len(h.classes)), 1 / len(h.classes), np.float32) for h in manifest.heads]


def bare(paths: list[Path], options: argparse.Namespace) -> dict[str, Any]:
    """The session alone, on the blocks that the tagger would give it."""
    bundle = load_bundle(options.model)
    model = open_models(
        bundle,
        device=options.device,
        precision=options.precision,
        threads=options.threads,
        at_once=options.at_once,
    ).segment
    manifest = bundle.manifest
    blocks: list[tuple[np.ndarray, np.ndarray]] = []

    def keep(waveform: np.ndarray, starts: np.ndarray) -> dict[Target, np.ndarray]:
        blocks.append((waveform, starts))
        return {h.target: np.zeros((len(starts), len(h.classes)), np.float32) for h in manifest.heads}

    packer = BlockPacker(
        keep,
        front_end=manifest.front_end,
        segmentation=manifest.segmentation,
        max_segments=model.segments_per_call,
        one_song=lambda: model.one_song_a_call,
    )
    with DecoderPool(workers=0, front_end=manifest.front_end) as pool:
        for part in pool.decode(enumerate(paths)):
            if part.chunk is not None:
                packer.feed(part.index, part.chunk)
            elif part.error is not None:
                packer.drop(part.index)
            elif part.last:
                packer.end(part.index)
    packer.flush()
    began, cpu = time.perf_counter(), cpu_s()
    with ThreadPoolExecutor(model.at_once) as network:
        list(network.map(lambda block: model(*block), blocks))
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "cpu_s": cpu_s() - cpu, "segments": sum(len(starts) for _, starts in blocks)}


def decode(paths: list[Path], options: argparse.Namespace) -> dict[str, Any]:
    """Decoding alone, by as many processes as the tagger takes."""
    samples, front_end = 0, load_bundle(options.model).manifest.front_end
    cpu = cpu_s()
    workers = options.workers or usual_workers(options.device)
    with DecoderPool(workers=workers, front_end=front_end) as pool:
        pool.start()
        time.sleep(1.0)  # they come up
        began = time.perf_counter()
        for part in pool.decode(enumerate(paths)):
            samples += 0 if part.chunk is None else len(part.chunk)
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "cpu_s": cpu_s() - cpu, "audio_s": samples / front_end.sample_rate}


def plain(paths: list[Path], options: argparse.Namespace) -> dict[str, Any]:
    """The script that one would write first."""
    import librosa
    import torch
    from plain_script import network_of, tag_plainly

    torch.set_num_threads(options.threads)
    bundle = load_bundle(options.model)
    network = network_of(bundle)
    song_model = open_models(bundle, device="cpu", threads=1).song
    librosa.feature.melspectrogram(y=np.zeros(4096, np.float32), sr=22_050)  # loads and compiles on first use
    began, cpu = time.perf_counter(), cpu_s()
    songs = tag_plainly(paths, bundle=bundle, network=network, song_model=song_model)
    decisions = {str(path): emotion.quadrant.value for path, emotion in songs if emotion is not None}
    return {"seconds": time.perf_counter() - began, "cpu_s": cpu_s() - cpu, "decisions": decisions}


class Work:
    """Adds up what a function takes, whichever threads call it, or waiting for the next item.

    Attributes
    ----------
    seconds : float
        From the start to the end of each call.
    cpu_s : float
        Processor time of the calling thread: all of it for a session of one thread.
    """

    def __init__(self) -> None:
        self.seconds = self.cpu_s = 0.0
        self._lock = threading.Lock()

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, timed."""

        def call(*args: Any, **options: Any) -> Any:
            began, cpu = time.perf_counter(), time.thread_time()
            try:
                return function(*args, **options)
            finally:
                with self._lock:
                    self.seconds += time.perf_counter() - began
                    self.cpu_s += time.thread_time() - cpu

        return call

    def each(self, items: Any) -> Any:
        """Yield the items, timing how long each takes to come."""
        step = self.timed(next)
        try:
            while (item := step(items, None)) is not None:
                yield item
        finally:
            items.close()


def cpu_s() -> float:
    """Return the processor time of this process and of those that it has collected, in seconds."""
    below = os.times()
    return time.process_time() + below.children_user + below.children_system


if __name__ == "__main__":
    main()
