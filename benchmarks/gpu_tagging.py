"""The steps of `on_gpu.py tag`: that a GPU is really in use, that it says what the CPU says, and how fast it is.

All but `clips` work on noise, which takes as long as music. `gpu.py` compares ways to run the network; `tag.py`
measures end to end, decoding alone, the session alone, and a network that takes no time. What needs onnx or decodes
audio is imported by the steps that use it, so that one that is missing costs these only.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from guarded import Step, Told
from processes import Measured, me, measure

from mertag.listen import sessions
from mertag.listen.bundle import Bundle, load_bundle
from mertag.listen.device import open_models
from mertag.listen.manifest import Precision
from mertag.listen.segment_model import SegmentModel, sample
from mertag.outcomes import Tagged

NEEDS_A_GPU = "needs a GPU"
SONGS = {"mp3": (48, 2.5), "flac": (24, 2.0), "m4a": (24, 2.0)}
"""How many songs of each format, and of how many minutes."""
MEMORY_LIMITS = [2**n for n in range(33, 26, -1)]
"""Bytes that onnxruntime may take on the GPU, tried one after the other until it runs out: 8 GiB to 128 MiB."""
MEMORY_SEGMENTS = 64


def steps(options: argparse.Namespace) -> list[Step]:
    """Return them, the most important first."""
    given: dict[str, tuple[Callable[..., None], float]] = {
        "provider": (provider, 40),
        "parity-fp16": (partial(parity, Precision.FP16), 45),
        "speed-mp3": (partial(speed, "mp3"), 130),
        "clips": (clips, 40),
        "out-of-memory": (out_of_memory, 40),
        "tf32": (tf32, 30),
        "parity-fp32": (partial(parity, Precision.FP32), 45),
        "memory": (memory, 40),
        "speed-flac": (partial(speed, "flac"), 90),
        "speed-m4a": (partial(speed, "m4a"), 90),
    }
    return [Step(name=name, work=partial(work, options), most_s=most_s) for name, (work, most_s) in given.items()]


def provider(options: argparse.Namespace, told: Told) -> None:
    """Open the model as the tagger does, and say what it runs on; refuse another device than was asked for."""
    bundle = load_bundle(options.model)
    told.say(onnxruntime=sessions.onnxruntime_version(), model=bundle.id, precisions=list(bundle.manifest.segment))
    if options.device == "cuda":
        named = "--query-gpu=name,driver_version,memory.total"
        found = subprocess.run(
            ["nvidia-smi", named, "--format=csv,noheader"], capture_output=True, text=True, check=False
        )
        told.say(gpu=found.stdout.strip() or found.stderr.strip())
    began = time.perf_counter()
    model = open_models(bundle, device=options.device, precision=precision_of(bundle)).segment
    told.say(open_s=time.perf_counter() - began)
    told.say(provider=model.provider, precision=model.precision, reason=model.reason)
    if model.device != options.device:
        raise SystemExit(f"the model runs on the {model.device}, not on {options.device}")
    model.check()


def precision_of(bundle: Bundle) -> Precision | None:
    """Return the precision that a GPU takes; on a CPU too, so that a small case does the same."""
    return Precision.FP16 if Precision.FP16 in bundle.manifest.segment else None


def ways(options: argparse.Namespace, precision: Precision) -> argparse.Namespace:
    """Return the options of `gpu.py`."""
    small = options.small
    return argparse.Namespace(
        device=options.device,
        precision=precision.value,
        segments=2 if small else 64,
        blocks=1 if small else 16,
        repeats=1 if small else 5,
        threads=1 if small else sessions.usable_cores(),
    )


def parity(precision: Precision, options: argparse.Namespace, told: Told) -> None:
    """Measure the ways against each other, and against the CPU: probabilities, and the log-mel."""
    import gpu

    bundle = load_bundle(options.model)
    if precision not in bundle.manifest.segment:
        told.say(left_out=f"{bundle.id} has no {precision}")
        return
    told.say(**gpu.measured(bundle, ways(options, precision)))


def tf32(options: argparse.Namespace, told: Told) -> None:
    """Show by the log-mel that TF32 is off: with it on, the difference from the CPU is another one."""
    import gpu

    if options.device == "cpu":
        told.say(left_out=NEEDS_A_GPU)
        return
    bundle = load_bundle(options.model)
    asked = ways(options, Precision.FP16)
    graph = gpu.log_mel_graph(bundle.read(bundle.manifest.segment[Precision.FP16]))
    on_cpu = sessions.cpu_session(graph, threads=asked.threads, where=Path("log-mel"))
    names = [output.name for output in on_cpu.get_outputs()]
    feed = {"waveform": sample(bundle.manifest, n_segments=8)[0]}
    expected = on_cpu.run(names, feed)[0]
    for use_tf32 in ("0", "1"):
        found = gpu.session_on(graph, asked, use_tf32=use_tf32).run(names, feed)[0]
        told.say(**{f"log_mel_db_use_tf32_{use_tf32}": float(np.abs(found - expected).max())})


def made_songs(options: argparse.Namespace, suffix: str, folder: Path) -> list[Path]:
    """Return songs of noise."""
    import tag

    copies, minutes = (2, 0.1) if options.small else SONGS[suffix]
    asked = argparse.Namespace(paths=[], make=[suffix], minutes=minutes, copies=copies)
    return tag.groups(asked, folder)[suffix]


def speed(suffix: str, options: argparse.Namespace, told: Told) -> None:
    """Measure end to end beside decoding alone, the session alone, and no network, on songs of noise."""
    import tag

    precision = precision_of(load_bundle(options.model))
    asked = argparse.Namespace(
        model=options.model,
        device=options.device,
        precision=precision and precision.value,
        threads=1 if options.small else sessions.usable_cores(),
        workers=1 if options.small else None,
        repeats=1 if options.small else 2,
        no_plain=True,
        no_tags=options.small,
        no_idle=options.small,
    )
    with tempfile.TemporaryDirectory(prefix="mertag-bench-") as folder:
        songs = made_songs(options, suffix, Path(folder))
        runs: dict[str, list[float]] = {}

        def on_run(kind: str, measured: Measured) -> None:
            runs.setdefault(kind, []).append(measured.said["seconds"])
            told.say(runs=runs)

        found = tag.speed(suffix, songs, asked, Path(folder), on_run=on_run)
    seconds = {kind: min(each) for kind, each in found["seconds"].items()}
    told.say(songs_per_s={kind: found["files"] / s for kind, s in seconds.items()})
    told.say(real_time={kind: found["audio_s"] / s for kind, s in seconds.items()}, **found)


def clips(options: argparse.Namespace, told: Told) -> None:
    """Compare the device with the CPU, song by song: decisions, and the quadrants' probabilities."""
    from mertag.library.find import find_audio
    from mertag.listen.tagger import Tagger

    bundle = load_bundle(options.model)
    with tempfile.TemporaryDirectory(prefix="mertag-bench-") as folder:
        songs = list(find_audio([options.clips])) if options.clips else made_songs(options, "mp3", Path(folder))
        told.say(songs=len(songs), real=options.clips is not None)
        precision = precision_of(bundle)
        found: dict[str, dict[Path, Any]] = {}
        for device in ("cpu", options.device):
            with Tagger(bundle, device=device, precision=precision, workers=1 if options.small else None) as tagger:
                outcomes = list(tagger.tag_many(songs))
            found[device] = {o.path: o.emotion for o in outcomes if isinstance(o, Tagged)}
    if not found["cpu"] or found["cpu"].keys() != found[options.device].keys():
        raise SystemExit(f"tagged: {len(found['cpu'])} on the CPU, {len(found[options.device])} on {options.device}")
    pairs = [(found["cpu"][path], found[options.device][path]) for path in found["cpu"]]
    said = [[np.array(e.quadrant_probabilities) for e in pair] for pair in pairs]
    differences = [float(np.abs(a - b).max()) for a, b in said]
    told.say(same_decisions=sum(a.quadrant is b.quadrant for a, b in pairs), tagged=len(pairs))
    told.say(largest_difference=max(differences), mean_difference=sum(differences) / len(differences))


def out_of_memory(options: argparse.Namespace, told: Told) -> None:
    """Give a session less and less memory, until a call does not fit: the block is halved, and the results stay."""
    import gpu

    if options.device == "cpu":
        told.say(left_out=NEEDS_A_GPU)
        return
    bundle = load_bundle(options.model)
    precision = precision_of(bundle) or next(iter(bundle.manifest.segment))
    graph = bundle.read(bundle.manifest.segment[precision])
    waveform, starts = sample(bundle.manifest, n_segments=MEMORY_SEGMENTS)
    expected = open_models(bundle, device="cuda", precision=precision).segment(waveform, starts)
    tried: dict[str, Any] = {}
    for limit in MEMORY_LIMITS:
        notes: list[str] = []
        session = gpu.session_on(graph, ways(options, precision), gpu_mem_limit=str(limit))
        model = SegmentModel(
            manifest=bundle.manifest,
            session=session,
            device="cuda",
            precision=precision,
            reason="",
            notify=notes.append,
            segments_per_call=MEMORY_SEGMENTS,
        )
        found = model(waveform, starts)
        apart = max(float(np.abs(found[target] - expected[target]).max()) for target in found)
        tried[f"{limit // 2**20} MiB"] = {"segments_per_call": model.segments_per_call, "apart": apart, "notes": notes}
        told.say(tried=tried)
        if model.segments_per_call < MEMORY_SEGMENTS:
            return
    raise SystemExit("no limit was small enough for memory to run out")


def memory(options: argparse.Namespace, told: Told) -> None:
    """Measure the peak memory of all processes, and of the GPU, while songs are tagged."""
    precision = precision_of(load_bundle(options.model))
    command = [*me("tagging_work.py"), "mertag", "--device", options.device]
    command += ["--model", str(options.model)] if options.model else []
    command += ["--precision", precision.value] if precision else []
    with tempfile.TemporaryDirectory(prefix="mertag-bench-") as folder:
        songs = made_songs(options, "mp3", Path(folder))
        sampler = GpuMemory() if options.device == "cuda" else None
        told.say(peak_mb=measure(command, given=songs).peak_mb)
        if sampler is None:
            told.say(gpu=NEEDS_A_GPU)
        else:
            told.say(gpu_before_mb=sampler.first, gpu_peak_mb=sampler.close())


class GpuMemory:
    """Watches how much of the GPU's memory is in use, in MiB, by ``nvidia-smi``, ten times a second."""

    def __init__(self) -> None:
        command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-lms", "100"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.first = self.peak = self._read()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _read(self) -> int:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return int(line) if line.strip().isdecimal() else 0

    def _watch(self) -> None:
        while self._process.poll() is None:
            self.peak = max(self.peak, self._read())

    def close(self) -> int:
        """Stop, and return the peak."""
        self._process.terminate()
        self._thread.join()
        return self.peak
