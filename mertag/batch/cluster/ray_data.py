"""The steps of a run as a Ray Data pipeline: tasks that decode, actors that hold the network, rows that come back.

Ray decides what runs where, and holds decoding back where the network is slower. A task or an actor that dies is tried
again `MOST_RETRIES` times; what is lost then is no error of the whole: `mertag.batch.cluster` sees which rows are
missing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mertag.batch.cluster.catalogue import Entry
from mertag.batch.cluster.plan import Plan
from mertag.batch.cluster.workers import Listener, Listening, decode_songs, decoded_columns
from mertag.errors import MertagError, MissingExtraError
from mertag.files import path_text
from mertag.library import parquet
from mertag.library.parquet import Row
from mertag.listen.bundle import Bundle

MOST_RETRIES = 2


def ray_package() -> Any:
    """Return the package ray, with its data part; raise `MissingExtraError` if it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # mertag sends nothing anywhere, nor has others do so
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise MissingExtraError("tag", "ray", "ray") from error
    return ray


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Join a cluster, ``$RAY_ADDRESS``'s if none is named, else start one on this machine; yield the package ray.

    A program that has joined one already stays in it.

    Raises
    ------
    MertagError
        If the cluster cannot be reached.
    """
    ray = ray_package()
    if ray.is_initialized():
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS") or None
    own = {"include_dashboard": False} if address is None else {}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its C++ part warns on the terminal of Ray Data
    try:
        with _nothing_on_the_terminal():  # it also says that it was told so
            ray.init(address=address or "local", log_to_driver=False, logging_level=logging.CRITICAL, **own)
    except Exception as error:  # Ray raises whatever its parts raise
        where = f"no Ray cluster answers at {address}" if address else "no Ray cluster can be started on this machine"
        raise MertagError(f"{where}: {' '.join(str(error).split())}") from error
    try:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray's own would end the process in the midst
        yield ray
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _nothing_on_the_terminal() -> Iterator[None]:
    """Drop what native code writes to stderr meanwhile."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class _Listener(Listener):
    """A `Listener` that takes the bundle from Ray's object store."""

    def __init__(self, bundle: Sequence[Any], listening: Listening) -> None:
        super().__init__(ray_package().get(bundle[0]), listening)


class RayEngine:
    """Turns songs into rows on the cluster that `connected` has joined.

    Parameters
    ----------
    ray : module
        What `connected` yields.
    bundle : Bundle
        The model, which is sent to every node.
    plan : Plan
        What runs where.
    listening : Listening
        How to listen; device and threads are the plan's.
    steps : pair of callables, optional
        What decodes and what listens, if not `decode_songs` and `Listener`.

    Attributes
    ----------
    fault : str
        What a worker last failed with, other than by dying; empty: nothing.
    """

    def __init__(
        self, ray: Any, *, bundle: Bundle, plan: Plan, listening: Listening, steps: tuple[Any, Any] | None = None
    ) -> None:
        self._ray, self._plan = ray, plan
        files = {path.name: path.read_bytes() for path in sorted(bundle.folder.iterdir()) if path.is_file()}
        self._bundle = ray.put(files)  # each node fetches it once
        self._front_end = bundle.manifest.front_end
        self._listening = dataclasses.replace(listening, device=plan.device, threads=plan.threads)
        self._decode: Any = decode_songs if steps is None else steps[0]
        self._listener: Any = _Listener if steps is None else steps[1]
        self.fault = ""

    def rows(self, blocks: Sequence[Sequence[Entry]]) -> Iterator[list[Row]]:
        """Yield the rows of songs as they come, some at a time; a block of songs is decoded by one task.

        Raises
        ------
        MertagError
            If the pipeline cannot be run at all.
        """
        data, plan = self._ray.data, self._plan
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1  # what is lost is missing, and tried again
        context.execution_options.preserve_order = False
        with warnings.catch_warnings(), self._watched():
            warnings.simplefilter("ignore")  # Ray 2.60 has no other place for the retries
            songs = data.from_arrow([_table(block) for block in blocks])
            decoded = songs.map_batches(
                self._decode,
                batch_size=None,
                batch_format="pyarrow",
                fn_kwargs={"front_end": self._front_end},
                num_cpus=plan.decode_cpus,
                max_retries=MOST_RETRIES,
            )
            listened = decoded.map_batches(
                self._listener,
                batch_size=None,
                batch_format="pyarrow",
                fn_constructor_kwargs={"bundle": [self._bundle], "listening": self._listening},
                compute=data.ActorPoolStrategy(min_size=1, max_size=plan.actors, initial_size=plan.actors),
                num_cpus=plan.actor_cpus,
                num_gpus=plan.actor_gpus or None,
                max_restarts=MOST_RETRIES * plan.actors,
                max_task_retries=MOST_RETRIES,
            )
            try:
                for batch in listened.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                    yield parquet.rows_of(batch)
            except self._ray.exceptions.RayError as error:
                raise MertagError(f"the Ray pipeline stopped: {_cause(error)}") from error

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Keep what Ray Data says from the terminal, but note what workers fail with; its log files have all of it."""
        engine, exceptions = self, self._ray.exceptions
        names = ("WorkerCrashed", "ActorDied", "ActorUnavailable", "NodeDied", "OutOfMemory", "ObjectLost")
        died = tuple(getattr(exceptions, f"{name}Error") for name in names)

        class Noted(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                error = record.exc_info[1] if record.exc_info else None
                if error is not None and not isinstance(error, died):
                    engine.fault = _cause(error)

        logger = logging.getLogger("ray.data")
        handlers, propagate = list(logger.handlers), logger.propagate
        logger.handlers = [Noted(), *(one for one in handlers if not isinstance(one, logging.StreamHandler))]
        logger.propagate = False
        try:
            yield
        finally:
            logger.handlers, logger.propagate = handlers, propagate


def nodes(ray: Any) -> list[Mapping[str, float]]:
    """Return the processors of the nodes that are there."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _table(block: Sequence[Entry]) -> Any:
    pa = parquet.pyarrow("tag")
    schema = pa.schema([decoded_columns().field(name) for name in ("index", "id", "address")])
    rows = [{"index": e.index, "id": e.id, "address": os.fsencode(e.address)} for e in block]
    return pa.Table.from_pylist(rows, schema)


def _cause(error: BaseException) -> str:
    """Return what went wrong in a worker, in one line."""
    cause = getattr(error, "cause", None) or error
    while isinstance(cause, BaseException) and cause.__cause__ is not None:
        cause = cause.__cause__
    lines = str(cause).strip().splitlines()
    return path_text(lines[-1].strip() if lines else type(cause).__name__)
