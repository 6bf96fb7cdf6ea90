"""Log lines on stderr, with their level: what the library tells through the ``mertag`` loggers.

======== ==================================================================================
level    what it tells
======== ==================================================================================
error    nothing yet: what fails is reported as a failed file, or ends the command
warning  what changes the results or the pace: a GPU whose memory ran out, an unusual hop
info     each file as it is finished, each decoder that had to be replaced
debug    what only a bug report needs
======== ==================================================================================
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from mertag.cli import console


class LogLevel(StrEnum):
    """From which level on log lines are shown."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


@contextmanager
def lines_on_stderr() -> Iterator[None]:
    """Show the log lines of ``mertag`` and all loggers below it while open, from warnings on."""
    logger = logging.getLogger("mertag")
    handler = _Lines()
    before = logger.level, logger.propagate
    show_from(LogLevel.warning)
    logger.propagate = False  # whoever set up the root logger would show them twice
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def show_from(level: LogLevel) -> None:
    """Show what is of this level and above, until `lines_on_stderr` closes."""
    logging.getLogger("mertag").setLevel(level.upper())


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        lines = [record.getMessage()]  # one line, whatever a file name in it holds
        if record.exc_info:
            lines += logging.Formatter().formatException(record.exc_info).splitlines()
        for line in lines:
            console.say(f"mertag: {record.levelname.lower()}: {console.clean(line)}")
