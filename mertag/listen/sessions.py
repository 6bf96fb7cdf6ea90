"""onnxruntime sessions from bytes: on which provider, with which options, and what its errors mean.

onnxruntime is imported when the first session is made. It falls back to the CPU silently, prints to both
output streams, and its exceptions share no base class; all of that is dealt with here and nowhere else.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from mertag.errors import BundleError, DeviceError

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"

# TF32 rounds the mel's power spectra to 10 bits: 5 % of the bins moved by more than 1 dB. An exhaustive
# search for convolution algorithms would run anew for every new shape.
CUDA_OPTIONS = {
    "device_id": "0",
    "use_tf32": "0",
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
}
_NAMES = {CUDA: "CUDA", TENSORRT: "TensorRT"}
_FATAL, _WARNING = 4, 2  # onnxruntime's log severities


class Session(Protocol):
    """The part of ``onnxruntime.InferenceSession`` that is used."""

    def run(self, output_names: list[str], input_feed: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[np.float32]]:
        """Run the graph."""

    def get_inputs(self) -> list[Any]:
        """Return the inputs, each with name, type and shape."""

    def get_outputs(self) -> list[Any]:
        """Return the outputs, likewise."""

    def get_providers(self) -> list[str]:
        """Return the providers in use, the first one foremost."""


def cpu_session(model: bytes, *, threads: int, where: Path) -> Session:
    """Make a session on the CPU.

    Parameters
    ----------
    model : bytes
        The ONNX file.
    threads : int
        Threads of one call; 0 lets onnxruntime choose.
    where : Path
        The file the bytes came from, for the message.

    Raises
    ------
    BundleError
        If onnxruntime cannot load the model.
    """
    try:
        return _make(model, threads, [CPU])
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise BundleError(
            f"{where}: onnxruntime {onnxruntime_version()} cannot load it ({first_line(error)}); "
            "update onnxruntime, or export the bundle again"
        ) from error


def gpu_session(
    model: bytes, gpu: Literal["cuda", "tensorrt"], *, where: Path, probe: bytes, graphs: bool = False
) -> Session:
    """Make a session that really runs on the GPU.

    Parameters
    ----------
    model : bytes
        The ONNX file.
    gpu : {"cuda", "tensorrt"}
        Which provider; what TensorRT does not know runs by CUDA.
    where : Path
        The file the bytes came from, for the message.
    probe : bytes
        A small ONNX file, tried first: onnxruntime makes a session that cannot run on the GPU for the CPU, silently
        and at full cost.
    graphs : bool
        Make it for CUDA graphs; see `mertag.listen.bound`.

    Raises
    ------
    DeviceError
        If it would not; the message says why, and what to do.
    """
    import onnxruntime as ort

    wanted = TENSORRT if gpu == "tensorrt" else CUDA
    if wanted not in ort.get_available_providers():
        raise DeviceError(
            f"the installed onnxruntime {ort.__version__} is built without {_NAMES[wanted]}; "
            "install onnxruntime-gpu in its place"
        )
    missing = _preload()
    providers: list[Any] = [(CUDA, CUDA_OPTIONS | {"enable_cuda_graph": "1" if graphs else "0"}), CPU]
    if wanted == TENSORRT:
        providers.insert(0, (TENSORRT, _tensorrt_options()))
    # The failure is told by our own error: onnxruntime's report of it, on stderr, would only be in the way.
    ort.set_default_logger_severity(_FATAL)
    try:
        plain = [(CUDA, CUDA_OPTIONS), CPU] if wanted == CUDA else providers
        for graph, with_ in ((probe, plain), (model, providers)):
            session = _make(graph, 0, with_)
            if session.get_providers()[0] != wanted:
                if missing:
                    raise DeviceError(f"CUDA libraries are missing ({missing}); pip install 'mertag[cuda]'")
                if CUDA in session.get_providers():
                    raise DeviceError("TensorRT's libraries are missing or of another version; see onnxruntime's page")
                raise DeviceError("onnxruntime found no usable GPU; see whether `nvidia-smi` lists one")
    except DeviceError:
        raise
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise DeviceError(f"the GPU does not load {where.name} ({first_line(error)})") from error
    finally:
        ort.set_default_logger_severity(_WARNING)
    return session


def _tensorrt_options() -> dict[str, str]:
    """Return TensorRT's options: half precision is allowed, and what it has built is kept, since that takes minutes."""
    import platformdirs

    folder = platformdirs.user_cache_path("mertag") / "tensorrt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeviceError(f"{folder}: cannot be made for TensorRT's engines ({error.strerror})") from error
    return {
        "device_id": "0",
        "trt_fp16_enable": "1",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
    }


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of a session means that memory ran out."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(
        sign in text
        for sign in (
            "failed to allocate memory",
            "out of memory",
            "alloc_failed",
            "bad_alloc",
            "bad allocation",
        )
    )


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, at most 200 characters of it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]


def usable_cores() -> int:
    """Return how many physical cores this process may use.

    Two hyper-threads share one core's arithmetic units: a thread each makes a network slower, not
    faster. Only Linux tells, under ``/sys``; elsewhere all processors count.
    """
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    cores = set()
    for cpu in os.sched_getaffinity(0):
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        try:
            cores.add(((topology / "physical_package_id").read_text(), (topology / "core_id").read_text()))
        except OSError:  # no such file in some containers: then a processor counts as a core
            cores.add((str(cpu), ""))
    return max(1, min(len(cores), _container_limit()))


def _container_limit() -> int:
    """Return the processors that the control group allows, rounded up; a large number if it sets no limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return -(-int(quota) // int(period))
    except (OSError, ValueError):  # no such file, or "max"
        return sys.maxsize


def _make(model: bytes, threads: int, providers: list[Any]) -> Session:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _FATAL
    # Between calls the threads sleep: spinning would take the cores from the decoders.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # A memory plan is kept for every shape that was ever seen, and nearly every block has a shape of its own.
    options.enable_mem_pattern = False
    session: Session = ort.InferenceSession(model, options, providers=providers, enable_fallback=0)
    return session


def _preload() -> str:
    """Load the CUDA libraries of the ``nvidia-*`` packages; return what is missing, or nothing.

    ``preload_dlls`` (onnxruntime 1.21 and later) prints what it does not find.
    """
    import onnxruntime as ort

    if not hasattr(ort, "preload_dlls"):
        return ""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        ort.preload_dlls()
    return next(_missing(printed.getvalue()), "")


def _missing(printed: str) -> Iterator[str]:
    for line in printed.splitlines():
        if line.startswith("Failed to load"):
            yield line.removeprefix("Failed to load").split(":")[0].strip()


def onnxruntime_version() -> str:
    """Return the version of the installed onnxruntime."""
    import onnxruntime as ort

    return str(ort.__version__)
