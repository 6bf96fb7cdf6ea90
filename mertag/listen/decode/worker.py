"""The decoder process: reads tasks from its standard input, and writes samples to its standard output.

A program of its own, not a child of multiprocessing: it never imports the caller's ``__main__``, inherits no threads,
and leaves no shared memory behind. It imports numpy, soundfile and soxr only, and PyAV when a file needs it.

- Task: one line of JSON with ``path`` (bytes of the file name as Latin-1), ``front_end`` and ``chunk_s``. With ``url``,
  that is fetched into the file ``path`` first. With ``inspect``, an import name, that function is called with the path
  before anything is decoded, and what it returns stands in the answer.
- Answer: messages of a header, `HEADER`, and a body. `READY` once; for each task `START` (body: file size as text;
  while it is fetched, what has come so far), any number of `CHUNK` (body: float32 samples), then `DONE` (body: JSON
  with ``damage``, in words, and ``inspected``), or `ERROR` (body: JSON with ``type`` and ``reason``).

The end of its standard input ends it at once: so it does not outlive its parent, however that dies.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import struct
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mertag.listen.decode.returning import Returning

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mertag.listen.windows import FrontEnd

    Decode = Callable[..., Iterator[npt.NDArray[np.float32]]]

MOST_AUDIO_S, LEAST_BYTES_PER_S = 6 * 3600.0, 250
"""A file may hold six hours of audio, and beyond that one second for each 250 bytes (2 kbit/s): what goes on after that
is a decoder that finds no end."""

HEADER = struct.Struct("<BQ")
READY, START, CHUNK, DONE, ERROR = range(5)


def main(decoder: str, memory_limit_bytes: int) -> None:
    """Serve tasks until the standard input ends, taking at most `memory_limit_bytes` of memory (0: no limit).

    `decoder` is the import name of the function that decodes, ``module:function``, called as
    `mertag.listen.decode.audio.decode` is.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this process
    tasks_fd, answers_fd = os.dup(0), os.dup(1)
    _limit_memory(memory_limit_bytes)
    decode: Decode = load_function(decoder)
    # What decoders print would end up in the messages to the parent, or on the terminal.
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(tasks_fd, tasks), daemon=True).start()
    try:
        _send(answers_fd, READY)
        while True:
            _serve(json.loads(tasks.get()), decode, answers_fd)
    except BrokenPipeError:  # the parent is gone
        os._exit(0)


def load_function(name: str) -> Callable[..., Any]:
    """Return the function with the import name ``module:function``."""
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found


def guarded(
    decode: Decode, path: Path, *, front_end: FrontEnd, chunk_s: float
) -> Generator[npt.NDArray[np.float32], None, str]:
    """Yield and return what `decode` does; whatever it raises becomes a FileError, since it costs this file only."""
    from mertag.errors import DecodeError, FileError

    most_s = MOST_AUDIO_S + _size(path) / LEAST_BYTES_PER_S
    left = round(most_s * front_end.sample_rate)
    try:
        chunks = Returning(decode(path, front_end=front_end, chunk_s=chunk_s))
        for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                raise DecodeError(path, f"the decoder found no end in {most_s / 3600:.1f} hours of audio")
            yield chunk
        return chunks.value
    except FileError:
        raise
    except MemoryError as error:
        raise DecodeError(path, "needs more memory to decode than a decoder may take") from error
    except Exception as error:
        raise DecodeError(path, f"the decoder failed: {type(error).__name__}: {error}") from error


def _serve(task: dict[str, Any], decode: Decode, answers_fd: int) -> None:
    from mertag.errors import FileError
    from mertag.listen.windows import FrontEnd

    path = Path(os.fsdecode(task["path"].encode("latin-1")))
    try:
        with contextlib.ExitStack() as stack:
            if task["url"]:
                from mertag.listen.decode.fetch import fetched

                stack.enter_context(
                    fetched(task["url"], path, lambda n_bytes: _send(answers_fd, START, str(n_bytes).encode()))
                )
            _send(answers_fd, START, str(_size(path)).encode())
            inspected = str(load_function(task["inspect"])(path)) if task["inspect"] else ""
            chunks = Returning(guarded(decode, path, front_end=FrontEnd(**task["front_end"]), chunk_s=task["chunk_s"]))
            for chunk in chunks:
                _send(answers_fd, CHUNK, chunk.view("u1").data)
    except FileError as error:
        _send(answers_fd, ERROR, json.dumps({"type": type(error).__name__, "reason": error.reason}).encode())
    else:
        _send(answers_fd, DONE, json.dumps({"damage": chunks.value, "inspected": inspected}).encode())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # the decoder says what is wrong


def _send(fd: int, kind: int, body: bytes | memoryview = b"") -> None:
    view = memoryview(body)
    for part in (memoryview(HEADER.pack(kind, view.nbytes)), view):
        rest = part
        while rest.nbytes:
            rest = rest[os.write(fd, rest) :]


def _receive(fd: int, tasks: queue.SimpleQueue[bytes]) -> None:
    with open(fd, "rb") as lines:
        for line in lines:
            tasks.put(line)
    os._exit(0)


def _limit_memory(limit_bytes: int) -> None:
    """Limit what this process allocates, so that a damaged header cannot exhaust the machine's memory.

    Linux counts all private memory in RLIMIT_DATA; macOS enforces no such limit, and Windows has none.
    """
    if limit_bytes > 0 and sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
