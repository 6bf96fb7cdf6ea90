"""New music in watched folders: which files have arrived, and are whole.

A file is whole when its size and time of change have stayed the same for a while. Files in the making have other names
in most programs: hidden ones, ones that do not end in an audio suffix (``song.mp3.part``), and those of `is_temporary`.
"""

from __future__ import annotations

import functools
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from watchfiles import Change, watch

from mertag.errors import ConfigError
from mertag.library.find import OnError, find_audio

_TEMPORARY = re.compile(r"\.(part|partial|temp|tmp|incomplete|download|crdownload)\.[^.]+", re.IGNORECASE)


def is_temporary(name: str) -> bool:
    """Return whether a program gives such a name to a file that it still writes: ``song.temp.m4a``."""
    return _TEMPORARY.search(name) is not None


class Arrivals:
    """Files that have come or changed, until they are whole.

    Parameters
    ----------
    settle_s : float
        How long size and time of change must stay the same, in seconds.
    clock : callable
        Returns seconds that only grow.
    """

    def __init__(self, settle_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._settle_s, self._clock = settle_s, clock
        self._waiting: dict[Path, tuple[tuple[int, int], float]] = {}  # size and time of change, since when

    def note(self, path: Path, *, old: bool = False) -> None:
        """Note a file that has come or changed, or an `old` one, which is whole if it has not changed lately."""
        state = _state(path)
        if state is None or is_temporary(path.name):
            return
        since_s = self._clock()
        if old:
            since_s -= max(0.0, time.time() - state[1] / 1e9)
        known = self._waiting.get(path)
        self._waiting[path] = known if known is not None and known[0] == state else (state, since_s)

    def whole(self) -> list[Path]:
        """Return the files that are whole by now, in the order in which they came, and forget them."""
        found = []
        for path, (before, since_s) in list(self._waiting.items()):
            now = _state(path)
            if now is None:
                del self._waiting[path]
            elif now != before:
                self._waiting[path] = now, self._clock()
            elif self._clock() - since_s >= self._settle_s:
                del self._waiting[path]
                found.append(path)
        return found

    @property
    def wait_s(self) -> float | None:
        """In how many seconds the next file can be whole; None if none is waited for."""
        if not self._waiting:
            return None
        return max(0.0, min(since_s for _, since_s in self._waiting.values()) + self._settle_s - self._clock())


class Changes:
    """What comes and changes below some folders, from `__enter__` on.

    Parameters
    ----------
    roots : sequence of Path
        The folders.
    poll : bool
        Look at all files now and then, in place of asking the system: for shares that another machine writes to.
    """

    def __init__(self, roots: Sequence[Path], *, poll: bool) -> None:
        self._roots, self._poll = roots, poll
        self._changes: queue.SimpleQueue[set[Path] | Exception] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="mertag-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()  # 50 ms; one that comes back from Rust while the interpreter ends aborts the process

    def wait(self, timeout_s: float | None) -> set[Path]:
        """Return what has come or changed, real paths, as soon as there is something; nothing after `timeout_s`.

        Raises
        ------
        ConfigError
            If the system cannot watch the folders.
        """
        try:
            found = self._changes.get(timeout=timeout_s)
        except queue.Empty:
            return set()
        if isinstance(found, Exception):
            raise ConfigError(
                f"the folders cannot be watched ({found}); give --poll, or have the system watch more (on Linux: "
                "sysctl fs.inotify.max_user_watches)"
            ) from found
        return found

    def _watch(self) -> None:
        try:
            for changes in watch(
                *self._roots,
                watch_filter=None,  # find_audio decides
                debounce=500,
                rust_timeout=500,
                stop_event=self._stop,
                force_polling=self._poll or None,
                poll_delay_ms=2000,
                raise_interrupt=False,
                ignore_permission_denied=True,
            ):
                paths = {Path(os.path.realpath(path)) for change, path in changes if change is not Change.deleted}
                if paths:
                    self._changes.put(paths)
        except Exception as error:  # noqa: BLE001  whatever it is, the other thread must know that it has ended
            self._changes.put(error)


def arriving(
    roots: Sequence[Path],
    *,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    settle_s: float,
    poll: bool = False,
    on_error: OnError,
) -> Generator[list[Path], None, None]:
    """Yield songs that are whole, for ever: at first all that are there (perhaps none), then those that come.

    Parameters
    ----------
    roots : sequence of Path
        Folders.
    include, exclude, on_error
        As of `mertag.library.find.find_audio`.
    settle_s, poll
        As of `Arrivals` and `Changes`.

    Raises
    ------
    ConfigError
        If a folder is not there, or cannot be watched.
    """
    for root in roots:
        if not root.is_dir():
            raise ConfigError(f"{root}: no such folder; folders are watched, and `mertag tag` takes files")
    arrivals = Arrivals(settle_s)
    found = functools.partial(find_audio, roots, include=tuple(include), exclude=tuple(exclude), on_error=on_error)
    with Changes(roots, poll=poll) as changes:  # before they are searched, so that nothing is missed
        for path in found():
            arrivals.note(path, old=True)
        yield arrivals.whole()
        while True:  # what its consumer writes comes once more, and then it has nothing to do
            changed = changes.wait(arrivals.wait_s)
            for path in found(within=changed) if changed else ():
                arrivals.note(path)
            whole = arrivals.whole()
            if whole:
                yield whole


def _state(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
