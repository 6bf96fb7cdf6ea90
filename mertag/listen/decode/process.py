"""One decoder process, seen from its parent: start it, give it a file, collect its messages, end it.

A thread for each process reads its pipe and puts events into a queue that all processes share. It takes a chunk from
the pipe only if fewer than `CHUNKS_AHEAD` of its chunks wait there; the process then blocks on the full pipe. So the
memory that decoding takes is bounded, however slow the consumer.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from mertag.errors import MertagError
from mertag.listen.decode.worker import CHUNK, HEADER, READY, START

CHUNKS_AHEAD = 2
DIED = -1
"""Kind of the event that ends every process; the other kinds are those of `mertag.listen.decode.worker`."""

_BOOTSTRAP = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from mertag.listen.decode.worker import main; main(sys.argv[2], int(sys.argv[3]))"
)
_PIPE_BYTES = 1 << 20  # Linux gives 64 KiB, with which a 4-minute track takes 25 ms instead of 8
_WAIT_S = 5.0

Event = tuple["DecodeProcess", int, Any]


class DecodeProcess:
    """A running decoder process; raises MertagError if it cannot be started.

    `events` receives ``(process, kind, body)``: the chunk as a float32 array, else bytes. `decoder` and
    `memory_limit_bytes` are those of `mertag.listen.decode.worker.main`.
    """

    def __init__(self, events: queue.SimpleQueue[Event], *, decoder: str, memory_limit_bytes: int) -> None:
        if not sys.executable:
            raise MertagError("cannot start decoder processes: this Python does not know its own program file")
        root = str(Path(__file__).resolve().parents[3])
        search_path = [entry for entry in sys.path if entry]
        if root not in search_path:
            search_path.insert(0, root)
        single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        options = [json.dumps(search_path), decoder, str(memory_limit_bytes)]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _BOOTSTRAP, *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=os.environ | single,
                # A process group of its own keeps Ctrl-C on the terminal from it.
                process_group=None if sys.platform == "win32" else 0,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except OSError as error:
            raise MertagError(f"cannot start a decoder process: {error}. Try fewer workers") from error
        pipes = self._process.stdin, self._process.stdout, self._process.stderr
        self._stdin, self._stdout, self._stderr = cast("tuple[io.FileIO, ...]", pipes)  # with bufsize 0
        if sys.platform == "linux":
            import fcntl

            with contextlib.suppress(OSError):  # a user may have only so many large pipes; small ones are only slower
                fcntl.fcntl(self._stdout.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._events = events
        self._room = threading.Semaphore(CHUNKS_AHEAD)
        self._n_read = 0
        self._n_seen = -1
        self._waiting = True
        self._killed = False
        self.ready = False  # until it has come up
        self.file_bytes = 0  # of the file it is at
        self.stalled_s = 0.0  # for how long it has sent nothing although it could
        self.busy_s = 0.0  # for how long it has not been waiting for the consumer since it got its file
        self._reader = threading.Thread(target=self._read, name="mertag-decoder", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def assign(self, path: Path, settings: Mapping[str, Any], *, url: str = "") -> None:
        """Give it a file (or a `url` to fetch it from) and what every task holds; raises OSError if it is gone."""
        task = {"path": os.fsencode(path).decode("latin-1"), "url": url, **settings}
        self.file_bytes, self.stalled_s, self.busy_s, self._n_seen = 0, 0.0, 0.0, -1
        self._stdin.write(json.dumps(task).encode() + b"\n")

    def chunk_done(self) -> None:
        """Say that one of its chunks has left the queue."""
        self._room.release()

    def watch(self, elapsed_s: float) -> None:
        """Add `elapsed_s` to `busy_s`, and to `stalled_s`, which is cleared if something came; not while it waits."""
        if self._waiting:
            self.busy_s += elapsed_s
        if self._waiting and self._n_seen == self._n_read:
            self.stalled_s += elapsed_s
        else:
            self._n_seen, self.stalled_s = self._n_read, 0.0

    def kill(self) -> None:
        """End it now. Returns at once; `wait` collects it."""
        self._killed = True
        self._process.kill()
        self._room.release()  # its thread may wait for room

    def wait(self) -> int | None:
        """Collect it after its end, or after `kill`; return its exit status, None if it does not end."""
        try:
            status = self._process.wait(_WAIT_S)
        except subprocess.TimeoutExpired:  # stuck in the kernel, on a share that is gone: nothing ends it
            return None
        self._reader.join(_WAIT_S)
        for pipe in (self._stdin, self._stdout, self._stderr):
            pipe.close()
        return status

    def last_words(self) -> str:
        """Return the last line that a dead process wrote to its standard error stream before it came up."""
        lines = self._stderr.readall().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def _read(self) -> None:
        header = bytearray(HEADER.size)
        while self._fill(memoryview(header)):
            kind, n_bytes = HEADER.unpack(header)
            body: Any
            if kind == CHUNK:
                self._waiting = False
                self._room.acquire()
                self._waiting = True
                if self._killed:
                    break
                body = np.empty(n_bytes // 4, np.float32)
                if not self._fill(body.view("u1").data):
                    break
            else:
                body = bytearray(n_bytes)
                if not self._fill(memoryview(body)):
                    break
                if kind == START:
                    self.file_bytes = int(body)
                elif kind == READY:
                    self.ready = True
            self._events.put((self, kind, body))
        self._events.put((self, DIED, b""))

    def _fill(self, view: memoryview) -> bool:
        while view.nbytes:
            n = self._stdout.readinto(view)
            if not n:
                return False
            self._n_read += 1
            view = view[n:]
        return True


def describe_exit(status: int | None) -> str:
    """Return in words how a process ended."""
    if status is not None and status < 0:
        names = {number.value: number.name for number in signal.Signals}
        return f"the decoder crashed on it ({names.get(-status, f'signal {-status}')})"
    return f"the decoder ended in the midst of it (exit status {status})"
