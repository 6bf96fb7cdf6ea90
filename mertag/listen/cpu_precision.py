"""Which precision is faster on this CPU: timed once, and remembered.

int8 is several times as fast as floating point where the CPU has dot products of bytes (VNNI), and can be slower where
it has not. Both are timed on a fixed small input, and the result is kept in the user's cache folder; a cache that
cannot be read or written costs that time again.
"""

from __future__ import annotations

import json
import platform
import timeit
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from mertag import strict_json
from mertag.files import write_whole
from mertag.listen.manifest import Precision

CACHE_NAME = "cpu-precision.json"
_MAX_ENTRIES = 64
_REPEATS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A precision, and why it was chosen."""

    precision: Precision
    reason: str


def cpu_candidates(available: Mapping[Precision, str]) -> list[Precision]:
    """Return the precisions worth trying on a CPU.

    CPUs have no half-precision convolutions: fp16 weights are computed with in fp32 there, so that they only stand in
    where the bundle has no fp32 graph.
    """
    exact = Precision.FP32 if Precision.FP32 in available else Precision.FP16
    return [p for p in (Precision.INT8, exact) if p in available]


def fastest(
    candidates: list[Precision],
    *,
    key: str,
    prepare: Callable[[Precision], Callable[[], object]],
    cache: Path | None = None,
) -> Choice:
    """Return the fastest of the candidates, from the cache if it was timed before.

    The result depends on the `key` (see `cache_key`). `prepare` makes what is timed, for one precision; its own time
    does not count. `cache` is the cache file; if not given, it lies in the user's cache folder.
    """
    if len(candidates) == 1:
        return Choice(precision=candidates[0], reason=f"{candidates[0]}: all that the bundle has for a CPU")
    file = cache or Path(platformdirs.user_cache_path("mertag")) / CACHE_NAME
    known, trouble = _load(file)
    times = known.get(key, {})
    if set(times) != set(candidates):
        times = {}
        for precision in candidates:
            run = prepare(precision)
            run()  # the first one, which allocates, does not count
            times[precision] = min(timeit.repeat(run, number=1, repeat=_REPEATS))
        trouble = _save(file, {**known, key: times}) or trouble
    best = min(candidates, key=times.__getitem__)
    figures = ", ".join(f"{p} {times[p] * 1e3:.0f} ms" for p in sorted(candidates, key=times.__getitem__))
    reason = f"{best}: faster on this CPU ({figures})"
    return Choice(precision=best, reason=f"{reason}; {trouble}" if trouble else reason)


def cache_key(bundle_id: str, *, threads: int, onnxruntime_version: str) -> str:
    """Return what the timing depends on, as one string."""
    return f"{bundle_id} | {cpu_model()} | onnxruntime {onnxruntime_version} | {threads} threads"


def cpu_model() -> str:
    """Return the name of the CPU, with the instructions that decide int8's speed where they are known."""
    name, flags = platform.processor() or platform.machine(), ""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            label, _, value = line.partition(":")
            if label.strip() == "model name":
                name = value.strip()
            elif label.strip() == "flags":
                flags = " ".join(sorted(f for f in value.split() if "vnni" in f or f == "amx_int8"))
                break
    except OSError:  # not Linux
        pass
    return f"{name} {flags}".strip()


def _load(file: Path) -> tuple[dict[str, dict[str, float]], str]:
    """Return what is remembered, and what was wrong with it."""
    try:
        return strict_json.decode(file.read_bytes(), dict[str, dict[str, float]]), ""
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError) as error:
        return {}, f"the cache {file} could not be read ({type(error).__name__})"


def _save(file: Path, times: Mapping[str, Mapping[str, float]]) -> str:
    """Replace the cache file; return what went wrong, or nothing."""
    newest = dict(list(times.items())[-_MAX_ENTRIES:])
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(newest, indent=1))
    except OSError as error:
        return f"the timing could not be kept in {file} ({error.strerror or type(error).__name__})"
    return ""
