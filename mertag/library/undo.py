"""Taking back what a run wrote: the old bytes, exactly, newest write first.

A file is only touched if it is, byte for byte, what the run wrote, and only replaced by what is, byte for byte, what
was there before; both digests are in the journal. So it does not matter what else happened: a file that someone
changed since is left, one that is already as it was is only noted, and an undo that was killed can simply be run
again. Sidecars that a run made are removed; those it changed get their old content.

A file that is not where it was written is looked for by its content among the files that mertag knows and those that
are given. Owner, permissions and extended attributes stay as they are now. The time of change is now, so that players
notice, unless the write had kept it too, or it is asked for.
"""

from __future__ import annotations

import logging
import os
from array import array
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mertag.errors import ConfigError, FileError, StateError, TagWriteError, reason_of
from mertag.files import sync_folder
from mertag.library.accounting import Event, FileDone, Status, handle_all
from mertag.library.state.database import Database
from mertag.library.state.delta import DeltaError, old_pieces, read_pieces
from mertag.library.state.journal import digest_of, file_digest, unsettle
from mertag.library.state.runs import Run, is_under_way
from mertag.library.tags.container import total
from mertag.library.tags.safe_write import Original, open_original, refuse, replace_file
from mertag.library.whereabouts import Whereabouts

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoOptions:
    """How a run is taken back.

    Attributes
    ----------
    paths : tuple of Path
        Only what was written to these files and below these folders, and what was moved there; empty: all.
    dry_run : bool
        Say what would be done, and do nothing.
    restore_mtime : bool
        Give each file the modification time that it had before the run.
    break_hard_links : bool
        Also files that have several names by now: the other names keep the content that they have.
    """

    paths: tuple[Path, ...] = ()
    dry_run: bool = False
    restore_mtime: bool = False
    break_hard_links: bool = False


STATUSES = (Status.UNDONE, Status.ALREADY_UNDONE, Status.LEFT)
_DEFAULTS = UndoOptions()
_UNKNOWN = -1  # an undo that could not be noted as a run


def undo_run(
    database: Database, run: int | None = None, options: UndoOptions = _DEFAULTS, *, command: str = "undo"
) -> Generator[Event, None, None]:
    """Take back what a run wrote.

    Parameters
    ----------
    database : Database
        The open state file.
    run : int, optional
        Which run. None: the newest one with writes that stand (among `UndoOptions.paths`).
    options : UndoOptions
        What of it, and how.
    command : str
        For the list of runs: an undo is one, too.

    Yields
    ------
    Event
        See `mertag.library.accounting`; the statuses are `STATUSES`. If there is nothing to undo,
        ``Found(n=0)``.

    Raises
    ------
    ConfigError
        At once, if there is no such run, or it still goes on.
    StateError
        If the state file cannot be read. If it only cannot be written any more, files are given back all the same:
        another undo finds them as they were.
    KeyboardInterrupt
        After `Finished`; the file at hand is finished first.
    """
    whereabouts = Whereabouts(database, options.paths)
    chosen, ids = _chosen(database, run, whereabouts)

    def events() -> Generator[Event, None, None]:
        with ExitStack() as stack:
            by = _UNKNOWN
            if ids and not options.dry_run:
                try:
                    by = stack.enter_context(Run(database, kind="undo", command=command)).id
                except StateError as error:
                    _log.warning("%s; files are given back all the same", error)
            undo = _Undo(database, whereabouts, options, by)
            yield from handle_all(ids, undo.one, statuses=STATUSES, run=chosen)

    return events()


def _chosen(database: Database, run: int | None, whereabouts: Whereabouts) -> tuple[int | None, Sequence[int]]:
    """Return the run that is taken back, and its entries, newest first."""
    if run is None:
        found = database.rows("SELECT DISTINCT run FROM writes WHERE undone = 0 ORDER BY run DESC")
        candidates = [_int(number) for (number,) in found]
    elif database.rows("SELECT 1 FROM runs WHERE id = ?", (run,)):
        candidates = [run]
    else:
        raise ConfigError(f"there is no run {run}; `mertag undo --list` shows the runs that wrote something")
    for candidate in candidates:
        ids = _entries(database, candidate, whereabouts, standing_only=run is None)
        if ids:
            [(owner, finished)] = database.rows("SELECT owner, finished_s FROM runs WHERE id = ?", (candidate,))
            if finished is None and is_under_way(database, str(owner)):
                raise ConfigError(f"run {candidate} still goes on; wait for its end, or stop it, and then undo it")
            return candidate, ids
    return run, ()


def _entries(database: Database, run: int, whereabouts: Whereabouts, *, standing_only: bool) -> Sequence[int]:
    condition = "run = ? AND undone = 0" if standing_only else "run = ?"
    if whereabouts.is_everywhere:
        rows = database.rows(f"SELECT id FROM writes WHERE {condition} ORDER BY id DESC", (run,))
        return array("q", (_int(number) for (number,) in rows))
    ids = array("q")
    for number, name in database.rows(f"SELECT id, path FROM writes WHERE {condition} ORDER BY id DESC", (run,)):
        path = _path(name)
        if whereabouts.covers(path) or (
            not os.path.lexists(path) and _moved(_entry(database, _int(number)), whereabouts)
        ):
            ids.append(_int(number))
    return ids


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One write, as the journal has it."""

    id: int
    run: int
    path: Path
    kind: str
    old_digest: bytes | None
    new_digest: bytes
    new_size: int
    old_mtime_ns: int
    delta: bytes


def _entry(database: Database, number: int) -> _Entry:
    columns = "run, path, kind, old_digest, new_digest, new_size, old_mtime_ns, delta"
    [(run, path, kind, old, new, size, mtime_ns, delta)] = database.rows(
        f"SELECT {columns} FROM writes WHERE id = ?", (number,)
    )
    return _Entry(
        id=number,
        run=_int(run),
        path=_path(path),
        kind=str(kind),
        old_digest=None if old is None else _bytes(old),
        new_digest=_bytes(new),
        new_size=_int(size),
        old_mtime_ns=_int(mtime_ns),
        delta=_bytes(delta),
    )


def _moved(entry: _Entry, whereabouts: Whereabouts) -> list[Path]:
    return whereabouts.moved(entry.path, entry.kind, entry.new_digest, entry.new_size)


class _Undo:
    """Takes back one write after the other."""

    def __init__(self, database: Database, whereabouts: Whereabouts, options: UndoOptions, by: int) -> None:
        self._database, self._whereabouts, self._options, self._by = database, whereabouts, options, by
        self._warned = False

    def one(self, index: int, number: int) -> FileDone:
        entry = _entry(self._database, number)
        path = entry.path
        try:
            if not os.path.lexists(path):
                path = self._elsewhere(entry)
            status = self._undone(entry, path)
        except _GoneError:
            status = Status.ALREADY_UNDONE
        except DeltaError as error:
            reason = f"its entry in the journal cannot be used: {error}"
            return FileDone(index=index, path=path, status=Status.LEFT, reason=reason)
        except (FileError, OSError) as error:
            return FileDone(index=index, path=path, status=Status.LEFT, reason=reason_of(error))
        self._mark(entry)
        return FileDone(index=index, path=path, status=status)

    def _elsewhere(self, entry: _Entry) -> Path:
        """Return where a file is that is not in its place."""
        found = _moved(entry, self._whereabouts)
        if len(found) == 1:
            return found[0]
        if found:
            raise TagWriteError(entry.path, f"it is gone, and several files are what it was, such as {found[0]}")
        if entry.old_digest is None and entry.path.parent.is_dir():
            raise _GoneError
        raise TagWriteError(
            entry.path,
            f"it is not there any more; if it was moved, say where: mertag undo --run {entry.run} NEW-PLACE",
        )

    def _undone(self, entry: _Entry, path: Path) -> Status:
        """Give one file its old bytes, or remove it if there was none."""
        with open_original(path) as original:
            now = file_digest(original.file)
            if now == entry.old_digest:
                return Status.ALREADY_UNDONE
            if now != entry.new_digest:
                raise TagWriteError(path, self._what_happened(entry))
            if entry.old_digest is None:
                self._remove(original)
            else:
                self._give_back(entry, original)
        return Status.UNDONE

    def _what_happened(self, entry: _Entry) -> str:
        later = self._database.rows(
            "SELECT max(run) FROM writes WHERE path = ? AND id > ? AND undone = 0", (os.fsencode(entry.path), entry.id)
        )
        if later[0][0] is not None and later[0][0] != entry.run:
            return f"run {later[0][0]} wrote it again later; undo that one first"
        return "someone changed it since; it is left as it is"

    def _give_back(self, entry: _Entry, original: Original) -> None:
        pieces = old_pieces(entry.delta, original.file)
        if digest_of(read_pieces(pieces, original.file)) != entry.old_digest:
            raise DeltaError("it does not give the old file")
        if self._options.dry_run:
            refuse(original, total(pieces), break_hard_links=self._options.break_hard_links)
            return

        def check(copy: BinaryIO) -> None:
            if file_digest(copy) != entry.old_digest:
                raise TagWriteError(original.path, "the file that was made is not the old one, and was discarded")

        def before(old: Path, new: Path) -> None:
            self._unsettle(old)
            if self._options.restore_mtime or original.status.st_mtime_ns == entry.old_mtime_ns:
                os.utime(new, ns=(original.status.st_atime_ns, entry.old_mtime_ns))

        replace_file(
            original,
            pieces,
            check=check,
            break_hard_links=self._options.break_hard_links,
            before_replace=before,
        )

    def _remove(self, original: Original) -> None:
        refuse(original, 0, break_hard_links=self._options.break_hard_links)
        if self._options.dry_run:
            return
        self._unsettle(original.real)
        original.file.close()  # Windows removes no file that is open
        original.real.unlink()
        sync_folder(original.real.parent)

    def _unsettle(self, path: Path) -> None:
        with self._tolerant():
            unsettle(self._database, path)

    def _mark(self, entry: _Entry) -> None:
        if not self._options.dry_run:
            with self._tolerant(), self._database.transaction() as connection:
                connection.execute("UPDATE writes SET undone = ? WHERE id = ?", (self._by, entry.id))

    @contextmanager
    def _tolerant(self) -> Iterator[None]:
        """Let the undo go on where the state file cannot be written: what a file is, its bytes say."""
        try:
            yield
        except StateError as error:
            if not self._warned:
                self._warned = True
                _log.warning("%s; files are given back all the same", error)


class _GoneError(Exception):
    """There is nothing to take back."""


def _path(name: object) -> Path:
    return Path(os.fsdecode(_bytes(name)))


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)  # as the table says
    return value


def _int(value: object) -> int:
    assert isinstance(value, int)  # as the table says
    return value
