"""The models of a bundle on a device that is really in use: CUDA if the network runs there, else the CPU."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from mertag.emotion import Target
from mertag.errors import ConfigError, DeviceError
from mertag.listen import cpu_precision as precisions
from mertag.listen import sessions
from mertag.listen.bundle import Bundle, check_segment_graph, check_song_graph
from mertag.listen.manifest import Precision
from mertag.listen.segment_model import Notify, SegmentModel, pad_to_shape, run, sample
from mertag.listen.sessions import BoundSession, Session, cpu_session, cuda_session, first_line, usable_cores
from mertag.listen.windows import Float64Array

__all__ = ["Device", "Models", "SegmentModel", "SongModel", "open_models"]

Device = Literal["auto", "cuda", "cpu"]

MOST_AT_ONCE = 8
"""Calls on the CPU at a time, at most: each takes memory of its own, up to some 100 MB."""

SAME = 1e-3
"""By how much probabilities may differ with and without I/O binding."""

TIMED_SEGMENTS = 3
"""On how many segments the precisions are compared: enough that what a graph shares between them shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SongModel:
    """The ``song.<target>.onnx`` of every head, on the CPU: they are small."""

    sessions: Mapping[Target, Session]

    def __call__(self, target: Target, features: npt.ArrayLike) -> Float64Array:
        """Return probabilities, shape (n_windows, n_classes), of features, shape (n_windows, 7 * n_classes).

        Raises
        ------
        DeviceError
            If the session fails.
        """
        try:
            (found,) = self.sessions[target].run(
                ["probabilities"], {"features": np.asarray(features, dtype=np.float32)}
            )
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise DeviceError(f"the song model for {target} failed ({first_line(error)})") from error
        return found.astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """What `open_models` returns."""

    segment: SegmentModel
    song: SongModel


def open_models(
    bundle: Bundle,
    *,
    device: Device = "auto",
    threads: int | None = None,
    at_once: int | None = None,
    precision: Precision | str | None = None,
    notify: Notify | None = None,
) -> Models:
    """Open the models of a bundle.

    Parameters
    ----------
    bundle : Bundle
        A loaded bundle.
    device : {"auto", "cuda", "cpu"}
        ``"cuda"`` fails unless the network really runs there; ``"auto"`` takes CUDA if it does, and
        `SegmentModel.reason` says why.
    threads : int, optional
        Threads on the CPU; if not given, one for each physical core.
    at_once : int, optional
        Calls on the CPU at a time, which share the threads. If not given, each thread has a call of its own, up to
        `MOST_AT_ONCE` calls, since threads in one call wait for each other: most songs an hour. With 1 all threads
        are at one call: soonest for one short song.
    precision : Precision, optional
        If not given ``$MERTAG_PRECISION``, else fp16 on a GPU and on a CPU what is timed to be faster.
    notify : callable, optional
        Is told, in a sentence, when a GPU's memory runs out or the CPU has to take over.

    Raises
    ------
    DeviceError
        If the device that was asked for does not run the model.
    BundleError
        If a graph cannot be loaded, or has other inputs or outputs than it must.
    ConfigError
        If there is no such device or precision, or `threads` or `at_once` is not positive.
    """
    if device not in get_args(Device):
        raise ConfigError(f"no device {device!r}; choose auto, cuda or cpu")
    if threads is not None and threads < 1:
        raise ConfigError(f"threads is {threads}; it must be 1 or more")
    if at_once is not None and at_once < 1:
        raise ConfigError(f"at_once is {at_once}; it must be 1 or more")
    named, available = precision or os.environ.get("MERTAG_PRECISION"), bundle.manifest.segment
    if named and named not in available:
        raise ConfigError(f"no precision {named!r} in {bundle.id}; it has {', '.join(available)}")
    asked = Precision(named) if named else None
    n_threads = threads or usable_cores()
    threads_each = -(-n_threads // (at_once or MOST_AT_ONCE))
    song_sessions: dict[Target, Session] = {}
    for head in bundle.manifest.heads:
        session = cpu_session(bundle.read(head.song), threads=1, where=bundle.path(head.song))
        check_song_graph(bundle, head, session)
        song_sessions[head.target] = session
    song = SongModel(sessions=song_sessions)

    def to_cpu() -> tuple[Session, Precision]:
        session, choice = _open_cpu(bundle, n_threads, asked)  # one call at a time, as on the GPU before
        return session, choice.precision

    why_not = ""
    if device != "cpu":
        try:
            session, chosen, remark = open_gpu(bundle, asked=asked)
        except DeviceError as error:
            if device != "auto":
                raise DeviceError(f"--device {device}: {error}") from error
            why_not = f"no GPU: {error}; "
        else:
            segment = SegmentModel(
                manifest=bundle.manifest,
                session=session,
                device="cuda",
                precision=chosen,
                reason=f"{chosen}: " + ("asked for" if asked else "made for GPUs") + (remark and f"; {remark}"),
                to_cpu=to_cpu,
                move_on_any_error=device == "auto",
                notify=notify,
            )
            return Models(segment=segment, song=song)
    calls, share = n_threads // threads_each, f"{threads_each} thread" + "s" * (threads_each > 1)
    session, choice = _open_cpu(bundle, threads_each, asked)
    segment = SegmentModel(
        manifest=bundle.manifest,
        session=session,
        device="cpu",
        precision=choice.precision,
        reason=f"{why_not}{choice.reason}; " + (f"{calls} calls at once, {share} each" if calls > 1 else share),
        notify=notify,
        at_once=calls,
    )
    return Models(segment=segment, song=song)


def open_gpu(bundle: Bundle, *, asked: Precision | None) -> tuple[Session, Precision, str]:
    """Open the segment model on a GPU, and try it, so that what does not run there is known before the first song.

    It is the graph that was `asked` for, else the one made for GPUs.

    Returns
    -------
    Session, Precision, str
        With I/O binding if that gives the same; the text says why it has none.

    Raises
    ------
    DeviceError
        If the GPU does not run it.
    BundleError
        If the graph has other inputs or outputs than it must.
    """
    manifest, available = bundle.manifest, bundle.manifest.segment
    order = (Precision.FP16, Precision.FP32, Precision.INT8)
    chosen = asked or next(p for p in order if p in available)
    name = available[chosen]
    session = cuda_session(bundle.read(name), where=bundle.path(name), probe=bundle.read(manifest.heads[0].song))
    check_segment_graph(bundle, name, session)
    waveform, starts = pad_to_shape(*sample(manifest, n_segments=1), front_end=manifest.front_end)
    try:
        first = run(manifest, session, waveform, starts)
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise DeviceError(f"the GPU loads the model but does not run it ({first_line(error)})") from error
    try:
        bound = BoundSession(session, "cuda")
        second = run(manifest, bound, waveform, starts)
        if all(np.abs(one - other).max() <= SAME for one, other in zip(second, first, strict=True)):  # false for NaN
            return bound, chosen, ""
        trouble = "it gives other results"
    except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions share no base class
        trouble = first_line(error)
    return session, chosen, f"memory not bound ({trouble})"


def _open_cpu(bundle: Bundle, threads: int, asked: Precision | None) -> tuple[Session, precisions.Choice]:
    opened: dict[Precision, Session] = {}

    def session_of(precision: Precision) -> Session:
        if precision not in opened:
            name = bundle.manifest.segment[precision]
            session = cpu_session(bundle.read(name), threads=threads, where=bundle.path(name))
            check_segment_graph(bundle, name, session)
            opened[precision] = session
        return opened[precision]

    def prepare(precision: Precision) -> Callable[[], object]:
        session = session_of(precision)
        waveform, starts = sample(bundle.manifest, n_segments=TIMED_SEGMENTS)
        return lambda: run(bundle.manifest, session, waveform, starts)

    if asked:
        choice = precisions.Choice(precision=asked, reason=f"{asked}: asked for")
    else:
        key = precisions.cache_key(bundle.id, threads=threads, onnxruntime_version=sessions.onnxruntime_version())
        choice = precisions.fastest(precisions.cpu_candidates(bundle.manifest.segment), key=key, prepare=prepare)
    return session_of(choice.precision), choice
