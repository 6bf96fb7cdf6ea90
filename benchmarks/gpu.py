"""Ways to run the network on a GPU, against each other, on blocks of audio that lie ready; and whether they agree.

    python benchmarks/gpu.py --device cuda --json gpu.json
    python benchmarks/gpu.py --device cpu                     # the same program, with what a CPU knows of it

In turn, and several times:

- plain: ``InferenceSession.run``; bound: memory bound once a shape (what `mertag tag` does on a GPU);
- two: plain, two calls at once, on streams of their own; nhwc: convolutions with the channels last.

A way that does not work is left out, with the reason. Each is also compared with the same graph on the CPU, in float32:
the largest difference of a probability, and of the log-mel in dB (of noise 20 dB and 90 dB below full scale).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.utils
from processes import machine, spread

from mertag.errors import DeviceError
from mertag.listen import sessions
from mertag.listen.bundle import Bundle, load_bundle
from mertag.listen.manifest import Precision
from mertag.listen.segment_model import SEGMENTS_PER_CALL, pad_to_shape, sample

Call = dict[str, np.ndarray]
Run = Callable[[list[Call]], list[np.ndarray]]


def main() -> None:
    """Measure; print, and write as JSON where asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--precision", default="fp16")
    parser.add_argument("--segments", type=int, default=SEGMENTS_PER_CALL["cuda"], help="of a block")
    parser.add_argument("--blocks", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=sessions.usable_cores(), help="of the CPU, where it computes")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = measured(load_bundle(options.model), options)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def measured(bundle: Bundle, options: argparse.Namespace) -> dict[str, Any]:
    """Measure all ways in turn, and print them."""
    name = bundle.manifest.segment[Precision(options.precision)]
    model = bundle.read(name)
    calls = blocks(bundle, options.segments, options.blocks)
    exact = sessions.cpu_session(model, threads=options.threads, where=bundle.path(name))
    expected = np.concatenate([exact.run(None, call)[0] for call in calls[:2]])  # type: ignore[arg-type]
    ways, left_out = opened(model, blocks(bundle, 1, 1), options)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    apart: dict[str, float] = {}
    for turn in range(options.repeats + 1):
        for way, run in ways.items():
            began = time.perf_counter()
            found = run(calls)
            took_s = time.perf_counter() - began
            if turn:  # the first plans convolutions
                seconds[way].append(took_s)
            else:
                apart[way] = float(np.abs(np.concatenate(found[:2]) - expected).max())
    per_segment = {w: [1000 * s / (options.segments * options.blocks) for s in took] for w, took in seconds.items()}
    print(f"{machine(options.threads)}\n{bundle.id}, {name} on {options.device}: {options.blocks} blocks of", end=" ")
    print(f"{options.segments} segments; medians of {options.repeats} turns")
    print(f"{'':>10} {'ms a segment':>24} {'to plain':>9} {'from the CPU':>13}")
    ratios = {
        way: statistics.median(a / b for a, b in zip(took, seconds["plain"], strict=True))
        for way, took in seconds.items()
    }
    for way, took in per_segment.items():
        print(f"{way:>10} {spread(took):>24} {ratios[way]:9.2f} {apart[way]:13.1e}")
    for way, reason in left_out.items():
        print(f"{way:>10} left out: {reason}")
    parity = mel_parity(bundle, model, options)
    print("log-mel, largest difference from the CPU in dB:", ", ".join(f"{k} {v:.1e}" for k, v in parity.items()))
    return {
        "machine": machine(options.threads),
        "model": bundle.id,
        "graph": name,
        "device": options.device,
        "segments": options.segments,
        "ms_per_segment": per_segment,
        "ratio_to_plain": ratios,
        "largest_difference": apart,
        "left_out": left_out,
        "log_mel_db": parity,
    }


def opened(model: bytes, trial: list[Call], options: argparse.Namespace) -> tuple[dict[str, Run], dict[str, str]]:
    """Return the ways that work here on a trial, each as what runs calls, and why the others do not."""
    ways: dict[str, Run] = {}
    left_out: dict[str, str] = {}
    plain = session_on(model, options)
    ways["plain"] = one_by_one(plain)
    ways["bound"] = one_by_one(sessions.BoundSession(plain, options.device))
    ways["two"] = two_at_once(plain)
    if options.device == "cpu":
        return ways, {"nhwc": "needs a GPU"}
    try:
        ways["nhwc"] = one_by_one(session_on(model, options, prefer_nhwc="1"))
        ways["nhwc"](trial)
    except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions share no base class
        ways.pop("nhwc", None)
        left_out["nhwc"] = sessions.first_line(error)
    return ways, left_out


def session_on(model: bytes, options: argparse.Namespace, **more: str) -> Any:
    """Return a session on the device, with provider options beside the usual ones."""
    ort = sessions.onnxruntime()
    if options.device == "cpu":
        return sessions.cpu_session(model, threads=options.threads, where=Path("the graph"))
    if not more:
        try:
            return sessions.cuda_session(model, where=Path("the graph"), probe=model)
        except DeviceError as error:
            raise SystemExit(f"{error}; --device cpu measures what a CPU knows of this") from error
    session = ort.InferenceSession(model, providers=[(sessions.CUDA, sessions.CUDA_OPTIONS | more), sessions.CPU])
    if session.get_providers()[0] != sessions.CUDA:
        raise DeviceError(f"with {more}, onnxruntime does not run it by CUDA")
    return session


def one_by_one(session: sessions.Session) -> Run:
    """Return what runs calls one after the other."""
    names = [output.name for output in session.get_outputs()]
    return lambda calls: [session.run(names, call)[0] for call in calls]


def two_at_once(session: sessions.Session) -> Run:
    """Return what runs calls two at a time."""
    names = [output.name for output in session.get_outputs()]

    def run(calls: list[Call]) -> list[np.ndarray]:
        with ThreadPoolExecutor(2) as threads:
            return list(threads.map(lambda call: session.run(names, call)[0], calls))

    return run


def blocks(bundle: Bundle, n_segments: int, n_blocks: int) -> list[Call]:
    """Return blocks of noise, each another one, in the shape that the tagger gives them on a GPU."""
    manifest = bundle.manifest
    waveform, starts = pad_to_shape(*sample(manifest, n_segments=n_segments), front_end=manifest.front_end)
    return [{"waveform": np.roll(waveform, 512 * number), "starts": starts} for number in range(n_blocks)]


def mel_parity(bundle: Bundle, model: bytes, options: argparse.Namespace) -> dict[str, float]:
    """Return by how much the device's log-mel differs from the CPU's, in dB, for loud and for soft noise."""
    graph = log_mel_graph(model)
    on_cpu = sessions.cpu_session(graph, threads=options.threads, where=Path("log-mel"))
    on_device = session_on(graph, options)
    names = [output.name for output in on_cpu.get_outputs()]
    waveform, _ = sample(bundle.manifest, n_segments=8)
    found: dict[str, float] = {}
    for level_db in (-20, -90):
        feed = {"waveform": (waveform * 10 ** (level_db / 20) / np.abs(waveform).max()).astype(np.float32)}
        found[f"{level_db} dBFS"] = float(np.abs(on_cpu.run(names, feed)[0] - on_device.run(names, feed)[0]).max())
    return found


def log_mel_graph(model: bytes) -> bytes:
    """Return the part of a segment graph that ends in the log-mel: what the means of the bands are taken from."""
    whole = onnx.shape_inference.infer_shapes(onnx.load_from_string(model))
    (end,) = {node.input[0] for node in whole.graph.node if node.op_type == "Sub" and node.input[1].endswith("mean")}
    return onnx.utils.Extractor(whole).extract_model(["waveform"], [end]).SerializeToString()


if __name__ == "__main__":
    main()
