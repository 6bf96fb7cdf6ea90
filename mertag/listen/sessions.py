"""onnxruntime sessions from bytes: on which provider, with which options, and what its errors mean.

onnxruntime is imported when the first session is made. It has telemetry, falls back to the CPU silently, prints to
both output streams, and its exceptions share no base class; all of that is dealt with here and nowhere else.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import re
import sys
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from mertag.errors import BundleError, DeviceError
from mertag.extras import install_command

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

# TF32 rounds the mel's power spectra to 10 bits: 5 % of the bins moved by more than 1 dB. An exhaustive
# search for convolution algorithms would run anew for every new shape.
CUDA_OPTIONS = {
    "device_id": "0",
    "use_tf32": "0",
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
}
_FATAL, _WARNING = 4, 2  # onnxruntime's log severities
_NO_MEMORY = ("failed to allocate memory", "out of memory", "alloc_failed", "bad_alloc", "bad allocation")

MOST_SHAPES = 16
"""For so many combinations of input shapes a `BoundSession` keeps memory; the one used longest ago goes first."""


def onnxruntime() -> Any:
    """Return the module, with its telemetry off.

    From 1.29 on, importing it leaves a device id and a queue of events in the user's cache folder, and looks up a host
    to send them to, unless the environment forbids it by then: its own switch comes too late.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime as ort

    return ort


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
    """Make a session of the ONNX file `model`, read from `where`, on the CPU, with `threads` threads a call (0: some).

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


def cuda_session(model: bytes, *, where: Path, probe: bytes) -> Session:
    """Make a session of the ONNX file `model`, read from `where`, that really runs by CUDA.

    `probe`, a small ONNX file, is tried first: onnxruntime makes a session that cannot run on the GPU for the CPU,
    silently and at full cost.

    Raises
    ------
    DeviceError
        If it would not; the message says why, and what to do.
    """
    if not _has_driver():  # first: where there is none, libraries that are missing are none of anyone's concern
        raise DeviceError("no NVIDIA driver is installed")
    if why_not := _no_gpu():
        raise DeviceError(why_not)
    ort = onnxruntime()
    if CUDA not in ort.get_available_providers():
        raise DeviceError(
            f"the installed onnxruntime {ort.__version__} is built without CUDA; install onnxruntime-gpu in its place"
        )
    missing = _preload()
    # The failure is told by our own error: onnxruntime's report of it, on stderr, would only be in the way.
    ort.set_default_logger_severity(_FATAL)
    try:
        for graph in (probe, model):
            session = _make(graph, 0, [(CUDA, CUDA_OPTIONS), CPU])
            if session.get_providers()[0] != CUDA:
                if missing:
                    raise DeviceError(f"CUDA libraries are missing ({missing}): {install_command('cuda')}")
                raise DeviceError("onnxruntime found no usable GPU; see whether `nvidia-smi` lists one")
    except DeviceError:
        raise
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise DeviceError(f"the GPU does not load {where.name} ({first_line(error)})") from error
    finally:
        ort.set_default_logger_severity(_WARNING)
    return session


_Binding = tuple[Any, dict[str, Any], list[Any]]
"""onnxruntime's binding, its inputs by name, and its outputs."""


class BoundSession:
    """A `Session` with I/O binding: inputs and outputs keep their places in device memory. For one thread at a time.

    ``InferenceSession.run`` allocates device memory for each call. Here it is allocated once for each combination of
    input shapes, which pays where these come from a short list (`mertag.listen.segment_model.pad_to_shape`). Source:
    onnxruntime's documentation, "I/O Binding".

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        Its outputs have as many rows as its last input, and its inputs and outputs no other lengths that change.
    device : {"cuda", "cpu"}
        Where the memory lies.
    """

    def __init__(self, session: Any, device: Literal["cuda", "cpu"]) -> None:
        self._session, self._device = session, device
        self._row = {output.name: output.shape[1:] for output in session.get_outputs()}
        self._bindings: dict[tuple[tuple[int, ...], ...], _Binding] = {}  # by input shapes, the last used one last
        self.get_inputs, self.get_outputs = session.get_inputs, session.get_outputs
        self.get_providers = session.get_providers

    def run(self, output_names: list[str], input_feed: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[np.float32]]:
        """Run the graph; all outputs are float32."""
        shapes = tuple(values.shape for values in input_feed.values())
        bound = self._bindings.pop(shapes, None) or self._bind(output_names, input_feed)
        self._bindings[shapes] = bound
        binding, inputs, outputs = bound
        for name, values in input_feed.items():
            inputs[name].update_inplace(np.ascontiguousarray(values))
        self._session.run_with_iobinding(binding)
        # Copied: on the CPU it is the memory that the next call writes to.
        return [np.array(output.numpy()) for output in outputs]

    def _bind(self, output_names: list[str], input_feed: dict[str, npt.NDArray[Any]]) -> _Binding:
        ort = onnxruntime()
        while len(self._bindings) >= MOST_SHAPES:
            del self._bindings[next(iter(self._bindings))]
        binding = self._session.io_binding()
        inputs: dict[str, Any] = {}
        for name, values in input_feed.items():
            inputs[name] = ort.OrtValue.ortvalue_from_shape_and_type(values.shape, values.dtype, self._device, 0)
            binding.bind_ortvalue_input(name, inputs[name])
        n_rows = len(next(reversed(input_feed.values())))
        outputs: list[Any] = []
        for name in output_names:
            shape = [n_rows, *self._row[name]]
            outputs.append(ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, self._device, 0))
            binding.bind_ortvalue_output(name, outputs[-1])
        return binding, inputs, outputs


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of a session means that memory ran out."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in _NO_MEMORY)


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
    with contextlib.suppress(OSError, ValueError):  # no such file, or "max": the control group sets no limit
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(len(cores), -(-int(quota) // int(period))))
    return max(1, len(cores))


def _make(model: bytes, threads: int, providers: list[Any]) -> Session:
    ort = onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _FATAL
    # Between calls the threads sleep: spinning would take the cores from the decoders.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # A memory plan is kept for every shape that was ever seen, and nearly every block has a shape of its own.
    options.enable_mem_pattern = False
    session: Session = ort.InferenceSession(model, options, providers=providers, enable_fallback=0)
    return session


def _driver() -> Any:
    """Return the library of NVIDIA's driver, None if there is none."""
    try:
        return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None


def _has_driver() -> bool:
    """Return whether the driver of an NVIDIA GPU is installed."""
    return _driver() is not None


_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE


def _no_gpu() -> str:
    """Return why the driver has no GPU to offer; empty if it has one, or cannot be asked."""
    driver = _driver()
    code = 0 if driver is None else int(driver.cuInit(0))
    if code == _NO_DEVICE:
        hidden = " that CUDA_VISIBLE_DEVICES shows" if "CUDA_VISIBLE_DEVICES" in os.environ else ""
        return f"the NVIDIA driver finds no GPU{hidden}; see whether `nvidia-smi` lists one"
    return f"the NVIDIA driver does not start (error {code}); see what `nvidia-smi` says" if code else ""


def _preload() -> str:
    """Load the CUDA libraries of the ``nvidia-*`` packages; return what is missing, or nothing."""
    ort = onnxruntime()
    if not hasattr(ort, "preload_dlls"):  # onnxruntime 1.21 and later; it prints what it does not find
        return ""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        ort.preload_dlls()
    failed = re.search(r"^Failed to load([^:\n]*)", printed.getvalue(), re.MULTILINE)
    return failed[1].strip() if failed else ""


def onnxruntime_version() -> str:
    """Return the version of the installed onnxruntime."""
    return str(onnxruntime().__version__)
