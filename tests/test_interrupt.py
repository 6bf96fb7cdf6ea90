"""An interrupt waits until the work at hand is done, and acts at once where nothing is."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from mertag.interrupt import Interruptible, Terminated

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def interrupt(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.01)  # it has come by then


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_one_that_comes_while_an_item_is_handled_acts_at_the_next(
    number: signal.Signals, kind: type[KeyboardInterrupt]
) -> None:
    handled: list[int] = []

    def handle_all() -> None:
        with Interruptible() as interruptible:
            for item in interruptible.each(range(3)):
                interrupt(number)
                handled.append(item)

    with pytest.raises(kind):
        handle_all()
    assert handled == [0]
    assert signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL)


def test_one_that_comes_while_an_item_is_awaited_acts_at_once() -> None:
    def items() -> Iterator[int]:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
        yield 1

    began_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Interruptible() as interruptible:
        list(interruptible.each(items()))
    assert time.monotonic() - began_s < 5


def test_one_that_was_kept_until_the_end_is_raised_there_unless_an_error_is() -> None:
    def fail() -> None:
        with Interruptible():
            interrupt(signal.SIGINT)
            raise ValueError("first")

    with pytest.raises(KeyboardInterrupt), Interruptible():
        interrupt(signal.SIGINT)
    with pytest.raises(ValueError, match="first"):
        fail()


def test_items_come_as_they_are() -> None:
    with Interruptible() as interruptible:
        assert list(interruptible.each([0, None, ""])) == [0, None, ""]
        with interruptible.waiting():
            pass
        interruptible.check()
