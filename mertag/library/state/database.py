"""The state file: what was analysed, what was written, and how to undo it.

One sqlite file, by default ``state.sqlite`` in the user's state folder, never on the library's own share. Several
processes may use it at once (write-ahead log; a transaction that finds it busy waits). A file that is damaged, or that
is no state file of mertag's, is set aside under another name, never deleted: what it holds may still be wanted. A file
of an earlier schema is migrated when it is opened, one of a later schema is refused.

Paths are kept as bytes (`os.fsencode` of the real, absolute path): a file name need not be text. Times are seconds
since 1970, digests raw bytes.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from mertag.errors import ConfigError, StateError

if sys.platform != "win32":
    import fcntl

APPLICATION_ID = 0x6D657274  # "mert": tells a state file from any other sqlite file
BUSY_S = 60.0

MIGRATIONS = (
    f"""
PRAGMA application_id = {APPLICATION_ID};
CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,             -- tag, remove, undo
    command TEXT NOT NULL,
    version TEXT NOT NULL,          -- of mertag
    owner TEXT NOT NULL,            -- host, process and its start: whether it still runs
    started_s REAL NOT NULL,
    finished_s REAL                 -- NULL: it runs, or was killed
);
CREATE TABLE analyses (
    audio BLOB NOT NULL,            -- digest of the audio, which tags do not change
    model TEXT NOT NULL,            -- bundle, hop, window rule: all that the result depends on
    result TEXT NOT NULL,           -- JSON: an emotion, or why there is none
    analysed_s REAL NOT NULL,
    PRIMARY KEY (audio, model)
) WITHOUT ROWID;
CREATE TABLE files (
    path BLOB PRIMARY KEY,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    audio BLOB NOT NULL,
    settled TEXT NOT NULL           -- for which model and options nothing was left to do; empty: for none
) WITHOUT ROWID;
CREATE INDEX files_by_audio ON files (audio);
CREATE TABLE claims (
    what BLOB PRIMARY KEY,          -- a path that is under way; or a zero byte and the audio and model that are
    run INTEGER NOT NULL REFERENCES runs (id)
) WITHOUT ROWID;
CREATE TABLE writes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run INTEGER NOT NULL REFERENCES runs (id),
    path BLOB NOT NULL,
    kind TEXT NOT NULL,             -- tags, sidecar
    undone INTEGER NOT NULL DEFAULT 0,  -- the run that took it back; 0: it stands, -1: unknown
    old_digest BLOB,                -- of the whole file; NULL: there was no file
    new_digest BLOB NOT NULL,
    old_size INTEGER NOT NULL,
    new_size INTEGER NOT NULL,
    old_mtime_ns INTEGER NOT NULL,
    delta BLOB NOT NULL             -- what turns the new file into the old one; see mertag.library.state.delta
);
CREATE INDEX writes_by_run ON writes (run);
CREATE INDEX writes_by_path ON writes (path);
""",
    """
CREATE TABLE facts (
    path BLOB PRIMARY KEY,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    facts TEXT NOT NULL             -- JSON: what its tags say; see mertag.library.overview.facts
) WITHOUT ROWID;
""",
)
"""Step i turns a file of schema i (its ``user_version``; 0: an empty file) into one of schema i + 1.

A step that was released never changes: whoever changes the tables adds one.
"""

Notify = Callable[[str], None]


def default_path() -> Path:
    """Return where the state file is unless another place is named; raise `ConfigError` without a home folder."""
    import platformdirs

    try:
        path = platformdirs.user_state_path("mertag") / "state.sqlite"
    except RuntimeError as error:  # no HOME, and the user is not in the list of users
        raise ConfigError(f"no place for the state file is known ({error}); name one with --state") from error
    if not path.is_absolute():  # as older versions of platformdirs answer then: a folder called "~"
        raise ConfigError("no place for the state file is known, since there is no HOME; name one with --state")
    return path


class Database:
    """An open state file. A context manager; may be used from several threads.

    Parameters
    ----------
    path : Path
        The file; it and its folder are made where they are missing.
    notify : callable
        Gets a sentence when a file was set aside.

    Raises
    ------
    ConfigError
        If the file cannot be there: no permission, a folder in its place.
    StateError
        If it was made by a newer mertag, or cannot be used for another reason (a full disk).
    """

    def __init__(self, path: Path, *, notify: Notify = lambda message: None) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise ConfigError(f"{path} is a folder; name a file with --state")
            with _locked(path.with_name(path.name + ".lock")):  # two processes must not both set it aside, or make it
                self._connection = self._opened(notify)
        except OSError as error:
            raise ConfigError(
                f"{path}: the state file cannot be made there ({error.strerror or error}); "
                "name another with --state, or go without (--no-state)"
            ) from error
        self._lock = threading.RLock()
        self._durable = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it. May be called twice."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Run statements in one transaction; what is committed survives the end of the process.

        Parameters
        ----------
        durable : bool
            Whether it survives a power cut, too. Without, a commit does not wait for the disk; the next durable one
            makes all before it durable.

        Raises
        ------
        StateError
            If the file cannot be read or written (a full disk, damage), or stayed busy for `BUSY_S`.
        """
        with self._lock:
            try:
                if durable != self._durable:
                    self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                    self._durable = durable
                self._connection.execute("BEGIN IMMEDIATE")
                with self._connection:  # commits, or rolls back
                    yield self._connection
            except sqlite3.Error as error:
                raise self._failed(error) from error

    def rows(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT; raise `StateError` if the file cannot be read."""
        with self._lock:
            try:
                return list(self._connection.execute(query, values))
            except sqlite3.Error as error:
                raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> StateError:
        """Return what to raise; mark a file that proved damaged, so that the next run checks it."""
        remedy = ""
        if isinstance(error, sqlite3.DatabaseError) and _is_damage(error):
            with contextlib.suppress(OSError):
                _suspicion(self.path).touch()
            remedy = "; the next run checks it, and sets it aside if it is damaged"
        return StateError(f"{self.path}: the state file does not work ({error}){remedy}")

    def _opened(self, notify: Notify) -> sqlite3.Connection:
        try:
            return _open(self.path)
        except _ForeignError as error:
            reason = str(error)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise StateError(f"{self.path}: the state file does not work ({error})") from error
            reason = f"it is damaged: {error}"
        aside = _set_aside(self.path)
        notify(f"{self.path} could not be used as a state file ({reason}); it was set aside as {aside.name}")
        try:
            return _open(self.path)
        except (sqlite3.DatabaseError, _ForeignError) as error:
            raise StateError(f"{self.path}: the state file does not work ({error})") from error


class _ForeignError(Exception):
    """A sqlite file that is not ours, or damaged inside."""


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (schema,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application != APPLICATION_ID:
            raise _ForeignError("it is another program's database")
        if schema > len(MIGRATIONS):
            raise StateError(
                f"{path}: this state file was made by a newer mertag (schema {schema}); update mertag, or name "
                "another file with --state"
            )
        connection.execute("PRAGMA journal_mode = WAL")  # where the file system has no shared memory, it stays as it is
        connection.execute("PRAGMA synchronous = FULL")  # how to go back must be on the disk before a file is replaced
        if _suspicion(path).exists():  # too slow to be done every time
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            _suspicion(path).unlink(missing_ok=True)
            if found != "ok":
                raise _ForeignError(f"it is damaged: {found}")
        for number in range(schema if tables else 0, len(MIGRATIONS)):
            connection.executescript(
                f"BEGIN IMMEDIATE; {MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;"
            )
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _suspicion(path: Path) -> Path:
    """Return the name of the empty file that says: check this state file when it is opened next."""
    return path.with_name(path.name + ".check")


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", None) in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}


def _set_aside(path: Path) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    aside = next(p for i in range(1000) if not (p := path.with_name(f"{path.name}.aside-{stamp}-{i}")).exists())
    for end in ("-wal", "-shm"):  # its write-ahead log goes with it
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + end).replace(aside.with_name(aside.name + end))
    path.replace(aside)
    return aside


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        if sys.platform != "win32":
            with contextlib.suppress(OSError):  # some network shares have no locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
