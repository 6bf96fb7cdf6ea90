"""Decoding many files in worker processes, which may crash or hang without harm to the run.

A task is a stream of chunks that must be held back when the consumer is slow, which no executor does. What it
guarantees:

- a file whose decoder crashes, hangs, or takes too much memory costs that file only; the process is replaced;
- it takes a path from `paths` only when a process is free for it, and keeps at most `CHUNKS_AHEAD` chunks a process;
- no process outlives the pool, nor its owner, however that ends.

With ``workers=0`` files are decoded one after the other in the calling process: nothing is started, and nothing is
isolated. That is for a single file whose owner can live with a crash.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import queue
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

from mertag import errors
from mertag.errors import ConfigError, DecodeError, FileError, MertagError
from mertag.listen.decode.process import CHUNKS_AHEAD, DIED, DecodeProcess, Event, describe_exit
from mertag.listen.decode.returning import Returning
from mertag.listen.decode.worker import CHUNK, DONE, ERROR, READY, guarded, load_function
from mertag.listen.windows import Float32Array, FrontEnd

__all__ = ["CHUNKS_AHEAD", "Decoded", "DecoderPool"]

_log = logging.getLogger(__name__)

_TICK_S = 0.5
_MOST_FAILED_STARTS = 3  # one may be bad luck (no memory just then)
_MOST_S_A_TICK = 5.0  # time without supervision (a slow consumer, a suspended machine) is no stall
_BASE_TIMEOUT_S = 60.0
_TIMEOUT_BYTES_PER_S = 1e6
_MOST_TIMEOUTS = 10  # so many times its time limit may a file take in all
_DEFAULT_FRONT_END = FrontEnd()

Place: TypeAlias = Path | str
"""A file, or, as a str, a URL, which is fetched by the process that decodes it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decoded:
    """A piece of a file, or its end.

    Attributes
    ----------
    index : int
        The index that came with the path.
    path : Path or str
        The file, or the URL.
    chunk : float32 array of shape (n,), or None
        The next samples, mono, at the front end's rate; None in the last message of a file, and in one that says
        only that nothing has come (see `DecoderPool`).
    last : bool
        Whether the file is done. True once for each file, in a message without samples.
    error : FileError or None
        In the last message: why the file failed. Chunks that came before it are of no use.
    damage : str
        In the last message: what of the sound is missing or could not be decoded, in words; empty: nothing.
    inspected : str
        In the last message: what `DecoderPool.inspect` said of the file.
    """

    index: int
    path: Place
    chunk: Float32Array | None = None
    last: bool = False
    error: FileError | None = None
    damage: str = ""
    inspected: str = ""


class DecoderPool:
    """Worker processes that decode. A context manager: leaving it ends them.

    Parameters
    ----------
    workers : int
        How many processes at most; they are started when there is a file for them. 0: decode in this process.
    front_end : FrontEnd
        Its `sample_rate` is the rate of the samples.
    timeout_s : float or None
        For how long a process may say nothing, in seconds, before its file is given up. None: 60 s, and 1 s
        more for each megabyte of the file. In all, a file may take ten times as long, without the time in which the
        process waits for the consumer.
    chunk_s : float
        Duration of a chunk in seconds.
    memory_limit_bytes : int
        Most memory a process may take (only Linux enforces it); 0 for no limit.
    decoder : str
        Import name, ``module:function``, of what decodes; called as `mertag.listen.decode.audio.decode` is.
    inspect : str
        Import name, ``module:function``, of what is called in the process with the path of each file before it is
        decoded, and returns a text; empty: nothing.
    report_idle : bool
        Whether `decode` yields a message without samples when nothing has come for half a second, so that the consumer
        can do something else.

    Raises
    ------
    ConfigError
        If a setting cannot be.
    """

    def __init__(
        self,
        *,
        workers: int,
        front_end: FrontEnd = _DEFAULT_FRONT_END,
        timeout_s: float | None = None,
        chunk_s: float = 30.0,
        memory_limit_bytes: int = 2 << 30,
        decoder: str = "mertag.listen.decode.audio:decode",
        inspect: str = "",
        report_idle: bool = False,
    ) -> None:
        if workers < 0:
            raise ConfigError(f"workers must be 0 or more, not {workers}")
        if timeout_s is not None and timeout_s <= 0:
            raise ConfigError(f"the decoder's time limit must be positive, not {timeout_s} s")
        self._workers, self._front_end, self._chunk_s = workers, front_end, chunk_s
        self._report_idle = report_idle
        self._settings: dict[str, Any] = {
            "front_end": dataclasses.asdict(front_end),
            "chunk_s": chunk_s,
            "inspect": inspect,
        }
        self._timeout_s, self._memory_limit_bytes, self._decoder = timeout_s, memory_limit_bytes, decoder
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._processes: set[DecodeProcess] = set()
        self._idle: list[DecodeProcess] = []
        self._failed_starts = 0
        self._running = False
        self._copies = _Copies()
        self._finalizer = weakref.finalize(self, _end, self._processes, None, self._copies)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes. May be called twice."""
        self._idle.clear()
        _end(self._processes, None, self._copies)

    def start(self, workers: int | None = None) -> None:
        """Start processes now, so that they come up (0.3 s) while something else is loaded; not given, all."""
        while len(self._processes) < min(self._workers, self._workers if workers is None else workers):
            self._idle.append(self._start_one())

    def limit(self, workers: int) -> None:
        """Set anew how many processes to use at most, between two calls of `decode`."""
        if self._running or (workers == 0) != (self._workers == 0):
            raise RuntimeError("the number of decoder processes cannot change now")
        self._workers = workers

    @property
    def pids(self) -> frozenset[int]:
        """Ids of the processes that run now."""
        return frozenset(process.pid for process in self._processes)

    def decode(self, paths: Iterable[tuple[int, Place]]) -> Iterator[Decoded]:
        """Decode files, several at a time.

        Parameters
        ----------
        paths : iterable of (index, Path or URL)
            Taken one by one, whenever a process is free.

        Yields
        ------
        Decoded
            Chunks of one file in order; those of different files interleave. Each file ends in one message
            with ``last=True``.

        Raises
        ------
        MertagError
            If processes cannot be started. What goes wrong in a file is yielded, not raised.
        RuntimeError
            If the pool is already decoding.
        """
        if self._workers == 0:
            yield from self._decode_here(paths)
            return
        if self._running:
            raise RuntimeError("this pool is already decoding: finish or close that iterator first")
        self._running = True
        busy: dict[DecodeProcess, tuple[int, Place]] = {}
        try:
            yield from self._decode_in_processes(iter(paths), busy)
        finally:
            self._running = False
            _end(self._processes, set(busy))

    def _decode_in_processes(
        self, paths: Iterator[tuple[int, Place]], busy: dict[DecodeProcess, tuple[int, Place]]
    ) -> Iterator[Decoded]:
        more = True
        watched = time.monotonic()
        while True:
            while more and len(busy) < self._workers:
                try:
                    index, path = next(paths)
                except StopIteration:
                    more = False
                    break
                busy[self._assign(path)] = (index, path)
            if not busy:
                return
            try:
                process, kind, body = self._events.get(timeout=_TICK_S)
            except queue.Empty:
                if self._report_idle:
                    index, path = next(iter(busy.values()))
                    yield Decoded(index=index, path=path)
            else:
                if process in busy:
                    index, path = busy[process]
                    if kind == CHUNK:
                        yield Decoded(index=index, path=path, chunk=body)
                        process.chunk_done()
                    elif kind == READY:
                        self._failed_starts = 0
                    elif kind == DIED and not process.ready:  # the file is not to blame
                        self._note_death(process)
                        busy[self._assign(path)] = busy.pop(process)
                    elif kind in (DONE, ERROR, DIED):
                        del busy[process]
                        error = self._finish(process, kind, body, path)
                        said = json.loads(body) if kind == DONE else {"damage": "", "inspected": ""}
                        damage, inspected = said["damage"], said["inspected"]
                        yield Decoded(
                            index=index, path=path, last=True, error=error, damage=damage, inspected=inspected
                        )
                elif kind == DIED and process in self._processes:  # an idle one; `_assign` starts another
                    self._note_death(process)
            now = time.monotonic()
            if now - watched >= _TICK_S:
                for process, reason in self._late(busy, min(now - watched, _MOST_S_A_TICK)):
                    index, path = busy.pop(process)
                    _log.info("decoder process %d: %s", process.pid, reason)
                    _end(self._processes, {process})
                    yield Decoded(index=index, path=path, last=True, error=DecodeError(path, reason))
                watched = now

    def _decode_here(self, paths: Iterable[tuple[int, Place]]) -> Iterator[Decoded]:
        decode = load_function(self._decoder)
        for index, path in paths:
            error: FileError | None = None
            inspected = damage = ""
            try:
                with contextlib.ExitStack() as stack:
                    file = path
                    if isinstance(path, str):
                        from mertag.listen.decode.fetch import fetched

                        file = stack.enter_context(fetched(path, self._copies.at("here")))
                    if self._settings["inspect"]:
                        inspected = str(load_function(self._settings["inspect"])(file))
                    chunks = Returning(guarded(decode, Path(file), front_end=self._front_end, chunk_s=self._chunk_s))
                    for chunk in chunks:
                        yield Decoded(index=index, path=path, chunk=chunk)
                    damage = chunks.value
            except FileError as caught:
                error = caught
            yield Decoded(index=index, path=path, last=True, error=error, damage=damage, inspected=inspected)

    def _assign(self, path: Place) -> DecodeProcess:
        while True:
            process = self._idle.pop() if self._idle else self._start_one()
            try:
                if isinstance(path, str):
                    process.assign(self._copies.at(str(process.pid)), self._settings, url=path)
                else:
                    process.assign(path, self._settings)
                return process
            except OSError:  # it died before it had a file
                self._note_death(process)

    def _note_death(self, process: DecodeProcess) -> str:
        """Forget a process that died, and return how; raise if processes do not even come up."""
        words = process.last_words()
        if process in self._idle:
            self._idle.remove(process)
        status = process.wait()
        self._processes.discard(process)
        if not process.ready:
            self._failed_starts += 1
            if self._failed_starts >= _MOST_FAILED_STARTS:
                raise MertagError(f"decoder processes do not start: {words or describe_exit(status)}")
        _log.info("decoder process %d ended: %s", process.pid, describe_exit(status))
        return describe_exit(status)

    def _finish(self, process: DecodeProcess, kind: int, body: bytes, path: Place) -> FileError | None:
        if kind == DIED:
            return DecodeError(path, self._note_death(process))
        self._idle.append(process)
        if kind == DONE:
            return None
        sent = json.loads(body)
        return getattr(errors, sent["type"], DecodeError)(path, sent["reason"])

    def _start_one(self) -> DecodeProcess:
        process = DecodeProcess(self._events, decoder=self._decoder, memory_limit_bytes=self._memory_limit_bytes)
        self._processes.add(process)
        _log.debug("decoder process %d started", process.pid)
        return process

    def _late(self, busy: Iterable[DecodeProcess], elapsed_s: float) -> list[tuple[DecodeProcess, str]]:
        """Return the processes whose file takes too long, and how."""
        found: list[tuple[DecodeProcess, str]] = []
        for process in busy:
            process.watch(elapsed_s)
            limit_s = self._timeout_s
            if not process.ready:  # the file is not to blame for a slow start
                limit_s = max(_BASE_TIMEOUT_S, limit_s or 0.0)
            elif limit_s is None:
                limit_s = _BASE_TIMEOUT_S + process.file_bytes / _TIMEOUT_BYTES_PER_S
            most_s = _MOST_TIMEOUTS * limit_s
            if process.stalled_s >= limit_s:
                found.append((process, f"the decoder made no progress for {limit_s:.0f} s and was stopped"))
            elif process.busy_s >= most_s:
                found.append((process, f"the decoder was not done after {most_s:.0f} s and was stopped"))
        return found


class _Copies:
    """The folder of what is fetched, one file for each process; a process that dies leaves its file until the end."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def at(self, name: str) -> Path:
        """Return the path of one copy."""
        if self._folder is None:
            try:
                self._folder = Path(tempfile.mkdtemp(prefix="mertag-"))
            except OSError as error:
                raise MertagError(f"no temporary folder can be made for what is fetched: {error}") from error
        return self._folder / name

    def remove(self) -> None:
        """Remove the folder."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _end(processes: set[DecodeProcess], which: set[DecodeProcess] | None = None, copies: _Copies | None = None) -> None:
    """End `which` of the processes (all, if None), take them out of the set, and remove what was fetched."""
    ending = list(processes if which is None else which & processes)
    for process in ending:  # all at once, then collect them: no waiting one after the other
        process.kill()
    for process in ending:
        process.wait()
        processes.discard(process)
    if copies is not None:
        copies.remove()
