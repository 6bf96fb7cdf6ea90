"""The only place that prints, and the only one that turns errors into exit codes.

===== ==========================================================================
code  meaning
===== ==========================================================================
0     done (also when there was nothing to do)
1     done, but some files failed
2     usage: an option, a setting or a path that cannot be
3     cannot run: the model, the device, the data set, a package that is missing, memory or processes that are not given
70    a mistake in mertag itself; the traceback belongs into a bug report
130   interrupted; all finished work is kept
141   whoever read the output closed it (as in ``| head``)
143   terminated (SIGTERM); as 130
===== ==========================================================================

Results go to stdout, everything else to stderr. Text from file systems and tags passes `clean` first: it may
hold control characters, and bytes that no locale can encode.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

import typer

from mertag.errors import ConfigError, FileError, MertagError
from mertag.interrupt import Terminated

if TYPE_CHECKING:
    from rich.console import Console


class ExitCode(IntEnum):
    """What the process tells its caller; see the module's table."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 2
    CANNOT_RUN = 3
    BUG = 70
    INTERRUPTED = 130
    CLOSED_PIPE = 141
    TERMINATED = 143


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code of an error that reached the top."""
    if isinstance(error, ConfigError):
        return ExitCode.USAGE
    if isinstance(error, FileError):
        return ExitCode.SOME_FAILED
    if isinstance(error, MertagError):
        return ExitCode.CANNOT_RUN
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.TERMINATED if isinstance(error, Terminated) else ExitCode.INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return ExitCode.CLOSED_PIPE
    return ExitCode.CANNOT_RUN if _is_full_disk(error) or shortage(error) else ExitCode.BUG


def _is_full_disk(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None))


def shortage(error: BaseException) -> str:
    """Return what the system did not give, and what to do, if that is what an error means."""
    number = error.errno if isinstance(error, OSError) else None
    text = str(error)
    if isinstance(error, MemoryError) or number == errno.ENOMEM or "failed to map segment" in text:
        return "memory ran out, or more is not allowed (ulimit -v); give it more, or try fewer --workers and --threads"
    if number == errno.EAGAIN or (isinstance(error, RuntimeError) and "start new thread" in text):
        return (
            "no more processes or threads may be started (ulimit -u), or there is no memory for them (ulimit -v); "
            "allow more, or try fewer --workers and --threads"
        )
    if number in (errno.EMFILE, errno.ENFILE):
        return "no more files may be open (ulimit -n); allow more, or try fewer --workers"
    if isinstance(error, RecursionError):
        return "something that it reads is nested too deep; `--log-level debug` tells at which file it was"
    return ""


def clean(text: object) -> str:
    r"""Return `text` (a path, a message) on one line, with nothing in it that a terminal would obey.

    Control characters, characters that turn the direction of text, and bytes of a file name that are not text
    become ``\xNN`` or ``\uNNNN``.
    """
    from mertag.files import path_text, printable

    return printable(path_text(text) if isinstance(text, Path) else str(text))


def out(text: str) -> None:
    """Print one line of results, at once; `MertagError` if the disk is full, `BrokenPipeError` if nobody reads it."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise MertagError(f"the results could not be written: {error.strerror or error}") from error


def say(text: str) -> None:
    """Print one line that is not a result: progress, notes, the summary.

    Where it cannot be written (``2> log`` on a full disk) it is lost: no run ends for the want of a log line.
    """
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:
        raise
    except OSError:
        return


def warn(text: str) -> None:
    """Print a warning."""
    say(f"mertag: warning: {clean(text)}")


def complain(error: BaseException) -> None:
    """Print an error: one line if mertag raised it on purpose or something is used up, else its traceback."""
    if isinstance(error, MertagError) or _is_full_disk(error):
        say(f"mertag: error: {clean(error)}")
        return
    if short := shortage(error):
        say(f"mertag: error: {short}")
        return
    import traceback

    for line in "".join(traceback.format_exception(error)).splitlines():
        say(clean(line))
    say("mertag: error: this is a mistake in mertag itself; please report it with `mertag info`")


def duration(seconds: float) -> str:
    """Return a duration as a person says it: ``45 s``, ``3 min 20 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, s = divmod(whole, 60)
    hours, m = divmod(minutes, 60)
    return f"{hours} h {m} min" if hours else f"{m} min {s} s"


def results_stream() -> TextIO:
    """Return stdout as UTF-8 for a format that must be UTF-8 in any locale."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    return sys.stdout


def stream_is_terminal(name: str) -> bool:
    """Return whether ``"stdout"`` or ``"stderr"`` is a terminal."""
    stream: TextIO = getattr(sys, name)
    return stream.isatty()


def rich_console(*, stderr: bool = False) -> Console:
    """Return a rich console that treats all text as plain, and a closed pipe as `BrokenPipeError`."""
    from rich.console import Console

    class PlainConsole(Console):
        def on_broken_pipe(self) -> NoReturn:
            raise BrokenPipeError

    return PlainConsole(stderr=stderr, markup=False, highlight=False, emoji=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print a table of results: drawn on a terminal (columns in `right` to the right), tab-separated elsewhere."""
    if not stream_is_terminal("stdout"):
        out("\t".join(columns))
        for row in rows:
            out("\t".join(clean(cell) for cell in row))
        return
    from rich.table import Table
    from rich.text import Text

    drawn = Table()
    for column in columns:
        drawn.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(clean(cell)) for cell in row))
    rich_console().print(drawn)


@contextmanager
def errors_end_the_command() -> Iterator[None]:
    """Turn errors inside into a message and `typer.Exit` with the right code.

    Usage errors and exits of typer pass: it prints and maps them itself, to 2.
    """
    try:
        yield
    except MertagError as error:
        complain(error)
        raise typer.Exit(exit_code(error)) from error
    except BrokenPipeError as error:
        _silence()
        raise typer.Exit(ExitCode.CLOSED_PIPE) from error
    except KeyboardInterrupt as error:
        say("mertag: interrupted")
        raise typer.Exit(exit_code(error)) from error


def run(command: Callable[[], object]) -> object:
    """Call a typer command's ``main`` with streams that cannot crash, and end with an exit code (`SystemExit`)."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the locale cannot encode must not end the run
            stream.reconfigure(errors="backslashreplace")
    try:
        result = command()
        sys.stdout.flush()
        return result
    except SystemExit:
        _flush_or_silence()
        raise
    except KeyboardInterrupt as error:
        sys.exit(exit_code(error))
    except BrokenPipeError as error:
        _silence()
        sys.exit(exit_code(error))
    except Exception as error:  # noqa: BLE001  the last place that can give it a documented exit code
        complain(error)
        _flush_or_silence()
        sys.exit(exit_code(error))


def _open_closed_streams() -> None:
    """Let streams that the caller closed (``>&-``) lead nowhere: the next file opened would take their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115  for the life of the process


def _flush_or_silence() -> None:
    """Write what is buffered; if that cannot be, see that the interpreter's exit is quiet."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _silence()
        sys.exit(ExitCode.CLOSED_PIPE)
    except OSError:  # `out` has raised it, and that ends the command
        _silence()


def _silence() -> None:
    """Send what is still buffered nowhere, so that the interpreter's own flush at exit does not fail."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)


class LogLevel(StrEnum):
    """From which level on log lines are shown.

    - error: nothing yet; what fails is reported as a failed file, or ends the command
    - warning: what changes the results or the pace: a GPU whose memory ran out, an unusual hop
    - info: each file as it is finished, each decoder that had to be replaced
    - debug: what only a bug report needs
    """

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
            say(f"mertag: {record.levelname.lower()}: {clean(line)}")
