"""Ctrl-C that is answered at once, also while one step of a training takes its time.

Python acts on an interrupt between two of its own instructions, and a step of a network is one for many seconds. So a
thread hears of the signal, too: after half a second it says what is waited for, and a second Ctrl-C does not wait.
Everything that is kept is written whole, so that nothing is lost but what was begun.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mertag.cli import console

PATIENCE_S = 0.5
INTERRUPTED = 130
WAITING = "mertag: stopping after the step at hand; press Ctrl-C again to stop at once"


@contextmanager
def answered_interrupts(*, patience_s: float = PATIENCE_S, leave: Callable[[int], object] = os._exit) -> Iterator[None]:
    """Answer interrupts within; on another thread than the main one, and where another program listens, do nothing.

    `leave` ends the process at a second interrupt.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours, told = socket.socketpair()
    ours.setblocking(False)
    told.setblocking(True)
    before = signal.set_wakeup_fd(ours.fileno(), warn_on_full_buffer=False)
    if before != -1:
        signal.set_wakeup_fd(before)
        ours.close()
        told.close()
        yield
        return
    thread = threading.Thread(target=_listen, args=(told, patience_s, leave), daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        ours.close()
        thread.join()
        told.close()


def _listen(told: socket.socket, patience_s: float, leave: Callable[[int], object]) -> None:
    """Wait for interrupts until the other end is closed."""
    said = False
    while numbers := told.recv(16):
        for _ in (number for number in numbers if number == signal.SIGINT):
            if said:
                console.say("mertag: interrupted")
                leave(INTERRUPTED)
                return
            said = True
        if said:
            told.settimeout(patience_s)
            try:
                if not told.recv(1, socket.MSG_PEEK):
                    return  # it has ended meanwhile
            except TimeoutError:
                console.say(WAITING)
            told.settimeout(None)
