"""Ctrl-C, and SIGTERM, that wait until the file at hand is finished."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Terminated(KeyboardInterrupt):
    """SIGTERM came: a job that is stopped from outside ends as one that is interrupted by hand."""


def terminate(number: int, frame: FrameType | None) -> None:
    """Raise `Terminated`: a handler of SIGTERM for what does not use `Interruptible` all the time."""
    raise Terminated


_USUAL: Mapping[int, tuple[Any, ...]] = {
    signal.SIGINT: (signal.default_int_handler,),
    signal.SIGTERM: (signal.SIG_DFL, terminate),
}


class Interruptible:
    """While open, SIGINT and SIGTERM raise `KeyboardInterrupt` (or `Terminated`), and only inside `waiting` and `each`.

    One that comes at another moment, when a file is being written or reported, is kept for the next of these. It acts
    on the main thread only, and only where Python's own handlers, or `terminate`, are in place: another program's is
    its own.
    """

    def __init__(self) -> None:
        self._waiting = False
        self._pending: KeyboardInterrupt | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number, usual in _USUAL.items():
                if signal.getsignal(number) in usual:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
        if self._pending is not None and kind is None:
            raise self._pending

    def each(self, items: Iterable[T]) -> Iterator[T]:
        """Yield the items; an interrupt acts while one is awaited.

        Raises
        ------
        KeyboardInterrupt
            If an interrupt came, now or since the last item was yielded.
        """
        iterator = iter(items)
        while True:
            with self.waiting():
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let an interrupt act at once while open; one that came before acts at the beginning."""
        self._waiting = True
        try:
            self.check()
            yield
        finally:
            self._waiting = False

    def check(self) -> None:
        """Raise the `KeyboardInterrupt` that was kept, if one was."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            raise pending

    def _handle(self, number: int, frame: FrameType | None) -> None:
        interrupt = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
        if self._waiting:
            raise interrupt
        self._pending = interrupt
