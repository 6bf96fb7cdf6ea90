"""Runs in the state file, and which run is at work on which song.

Each run has a row, whose number is what ``mertag undo --run`` names. While it is under way it holds a lock on a small
file beside the state file. The operating system releases the lock when the process ends, however it ends: a run whose
lock can be had is over.

A claim is a lock per song: a row that names a path (or some audio and a model) and the run that works on it, so that
two runs at once analyse each song once and never write one file together. A claim of a run that is over is stale, and
anyone may take it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import socket
import sqlite3
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from mertag._version import __version__
from mertag.errors import StateError
from mertag.library.state.database import Database

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_HELD = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
_OWNER = re.compile(r".* (\d+) ([0-9a-f]{16})")
_HOLDER = "SELECT runs.id, runs.owner FROM claims JOIN runs ON runs.id = claims.run WHERE claims.what = ?"


class Run:
    """A run that is under way. A context manager; `finish` ends it.

    Parameters
    ----------
    database : Database
        The open state file.
    kind : str
        ``"tag"``, ``"remove"`` or ``"undo"``.
    command : str
        The command line, for the list of runs.

    Attributes
    ----------
    id : int
        Its number.
    started_s : float
        When it began, in seconds since 1970.

    Raises
    ------
    StateError
        If the state file does not work.
    """

    def __init__(self, database: Database, *, kind: str, command: str) -> None:
        self.database = database
        self.started_s = time.time()
        owner = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(8)}"
        self._file = _lock_file(database.path, owner)
        try:
            self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        except OSError as error:
            raise StateError(f"{self._file}: cannot be made ({error.strerror or error})") from error
        with contextlib.suppress(OSError):  # where there are no locks, its claims count as stale
            _lock(self._descriptor)
        try:
            with database.transaction() as connection:
                added = connection.execute(
                    "INSERT INTO runs (kind, command, version, owner, started_s) VALUES (?, ?, ?, ?, ?)",
                    (kind, _text(command), __version__, owner, self.started_s),
                )
            assert added.lastrowid is not None  # a row was inserted
            self.id: int = added.lastrowid
        except BaseException:
            self._unlock()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> None:
        """Note that it is over, and release its claims. May be called twice."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(StateError), self.database.transaction() as connection:
            connection.execute("DELETE FROM claims WHERE run = ?", (self.id,))
            connection.execute("UPDATE runs SET finished_s = ? WHERE id = ?", (time.time(), self.id))
        self._unlock()

    def claim(self, what: bytes) -> bool:
        """Claim a song; return whether that worked. A claim that any run holds, this one too, cannot be taken."""
        with self.database.transaction(durable=False) as connection:
            found = connection.execute(_HOLDER, (what,)).fetchone()
            if found is not None and (found[0] == self.id or is_under_way(self.database, found[1])):
                return False
            connection.execute("INSERT OR REPLACE INTO claims (what, run) VALUES (?, ?)", (what, self.id))
        return True

    def release(self, connection: sqlite3.Connection, what: Iterable[bytes]) -> None:
        """Release claims of this run, in a transaction of the caller's; those of others are left alone."""
        connection.executemany("DELETE FROM claims WHERE what = ? AND run = ?", [(one, self.id) for one in what])

    def release_all(self) -> None:
        """Release all claims of this run."""
        with self.database.transaction(durable=False) as connection:
            connection.execute("DELETE FROM claims WHERE run = ?", (self.id,))

    def _unlock(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1
        with contextlib.suppress(OSError):
            self._file.unlink()


def is_under_way(database: Database, owner: str) -> bool:
    """Return whether the run with this owner (column of ``runs``) still runs; without file locks, it counts as over."""
    if not _OWNER.fullmatch(owner):
        return False
    path = _lock_file(database.path, owner)
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return False
    try:
        _lock(descriptor, shared=True)  # shared: two that look at once must not take each other for the owner
    except OSError as error:
        return error.errno in _HELD
    finally:
        os.close(descriptor)
    with contextlib.suppress(OSError):
        path.unlink()  # its owner was killed
    return False


def remove_stale_claims(database: Database) -> None:
    """Remove the claims of runs that were killed."""
    found = database.rows("SELECT DISTINCT runs.id, runs.owner FROM claims JOIN runs ON runs.id = claims.run")
    dead = [(run,) for run, owner in found if not is_under_way(database, str(owner))]
    if dead:
        with database.transaction(durable=False) as connection:
            connection.executemany("DELETE FROM claims WHERE run = ?", dead)


def _text(argument: str) -> str:
    """Return text without lone surrogates (bytes of a file name that are no text), which sqlite refuses."""
    return argument.encode("utf-8", "backslashreplace").decode("utf-8")


def _lock_file(database: Path, owner: str) -> Path:
    return database.with_name(f"{database.name}.run-{owner.rpartition(' ')[2]}")


def _lock(descriptor: int, *, shared: bool = False) -> None:
    """Take the lock, or raise OSError at once."""
    if sys.platform == "win32":
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
