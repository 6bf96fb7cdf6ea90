"""Forks of the process that runs the tests."""

from __future__ import annotations

import gc
import os


def fork() -> int:
    """Return what `os.fork` does; the child collects no garbage.

    What other tests have left may be an onnxruntime session, whose end waits for its threads, and these are not in the
    child: it would wait for ever.
    """
    gc.disable()
    child = os.fork()
    if child:
        gc.enable()
    return child
