"""The segment model on a GPU: opened, and tried, so that what does not run there is known before the first song."""

from __future__ import annotations

import os
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from mertag.errors import DeviceError
from mertag.listen.bound import BoundSession
from mertag.listen.bundle import Bundle
from mertag.listen.contract import check_segment_graph
from mertag.listen.manifest import Precision
from mertag.listen.segment_model import pad_to_shape, run, sample
from mertag.listen.sessions import Session, cpu_session, first_line, gpu_session

Gpu = Literal["cuda", "tensorrt"]

SAME = 1e-3
"""By how much the probabilities of two ways to make the same call may differ."""
ALIKE = 2e-2
"""By how much those of TensorRT, which chooses precisions by itself, may differ from the CPU's."""

Found = list[npt.NDArray[np.float32]]


class Opened(NamedTuple):
    """A model on a GPU: its session, its precision, and what else there is to say."""

    session: Session
    precision: Precision
    remark: str


def open_gpu(bundle: Bundle, gpu: Gpu, *, asked: Precision | None) -> Opened:
    """Open the segment model on a GPU, and try it.

    Parameters
    ----------
    bundle : Bundle
        A loaded bundle.
    gpu : {"cuda", "tensorrt"}
        Which of onnxruntime's providers. TensorRT must give nearly what the CPU gives: it chooses precisions, and a
        mel spectrogram in half precision is none.
    asked : Precision or None
        Which graph; None for the one made for GPUs.

    Raises
    ------
    DeviceError
        If the GPU does not run it.
    BundleError
        If the graph does not keep the contract.
    """
    manifest, available = bundle.manifest, bundle.manifest.segment
    order = (Precision.FP16, Precision.FP32, Precision.INT8)
    chosen = asked or next(p for p in order if p in available)
    name, graphs = available[chosen], gpu == "cuda" and os.environ.get("MERTAG_CUDA_GRAPHS") == "1"
    model, probe = bundle.read(name), bundle.read(manifest.heads[0].song)
    session = gpu_session(model, gpu, where=bundle.path(name), probe=probe, graphs=graphs)
    check_segment_graph(bundle, name, session)
    call = pad_to_shape(*sample(manifest, n_segments=1), front_end=manifest.front_end)

    def tried(candidate: Session) -> Found:
        return run(manifest, candidate, *call)

    try:
        first = tried(session)
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise DeviceError(f"the GPU loads the model but does not run it ({first_line(error)})") from error
    if gpu == "tensorrt":
        on_cpu = tried(cpu_session(model, threads=0, where=bundle.path(name)))
        if not _alike(first, on_cpu, ALIKE):
            raise DeviceError("TensorRT does not give what the CPU gives; use --device cuda")
    trouble = "it gives other results"
    try:
        bound: Session = BoundSession(session, "cuda", graphs=graphs)
        if all(_alike(tried(bound), first, SAME) for _ in range(3 if graphs else 1)):  # recorded, then replayed
            return Opened(bound, chosen, "CUDA graphs" if graphs else "")
    except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions share no base class
        trouble = first_line(error)
    if graphs:
        raise DeviceError(f"CUDA graphs do not work here ({trouble}); unset MERTAG_CUDA_GRAPHS")
    return Opened(session, chosen, f"memory not bound ({trouble})")


def _alike(ones: Found, others: Found, limit: float) -> bool:
    return all(bool(np.abs(one - other).max() <= limit) for one, other in zip(ones, others, strict=True))
