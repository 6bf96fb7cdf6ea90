"""Undoing what a run wrote, with the list of runs: the old bytes, exactly, newest write first.

A file is only touched if it is, byte for byte, what the run wrote, and only replaced by what is, byte for byte, what
was there before; both digests are in the journal. So it does not matter what else happened: a file that someone
changed since is left, one that is already as it was is only noted, and an undo that was killed can be run again.
Sidecars that a run made are removed; those it changed get their old content.

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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from mertag.errors import ConfigError, FileError, StateError, TagWriteError, reason_of
from mertag.files import sync_folder
from mertag.library.accounting import Event, FileDone, Status, handle_all
from mertag.library.moved_files import MovedFiles
from mertag.library.state.database import Database
from mertag.library.state.delta import DeltaError, old_pieces, read_pieces
from mertag.library.state.journal import Kind, digest_of, file_digest, unsettle
from mertag.library.state.runs import Run, is_under_way
from mertag.library.tags.container import total
from mertag.library.tags.safe_write import Original, open_original, refuse, replace_file

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoOptions:
    """How a run is undone.

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
    """Undo what a run wrote.

    Parameters
    ----------
    database : Database
        The open state file.
    run : int, optional
        Which run. None: the newest one with writes that stand (among `UndoOptions.paths`). One that was tried before is
        passed over if nothing of what is left of it can be taken back.
    options : UndoOptions
        What of it, and how.
    command : str
        For the list of runs: an undo is one, too.

    Yields
    ------
    Event
        See `mertag.library.accounting`; the statuses are `STATUSES`. If there is nothing to undo, ``Found(n=0)``. Who
        closes the generator after `Found` has begun nothing.

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
    moved = MovedFiles(database, options.paths)
    undo = _Undo(database, moved, options)
    chosen, ids = _chosen(database, run, moved, undo)

    def events() -> Generator[Event, None, None]:
        files = handle_all(ids, undo.one, statuses=STATUSES, run=chosen)
        yield next(files)
        with ExitStack() as stack:
            if ids and not options.dry_run:
                try:
                    undo.by = stack.enter_context(Run(database, kind="undo", command=f"{command} --run {chosen}")).id
                except StateError as error:
                    _log.warning("%s; files are given back all the same", error)
            yield from files

    return events()


def _chosen(database: Database, run: int | None, moved: MovedFiles, undo: _Undo) -> tuple[int | None, Sequence[int]]:
    """Return the run that is undone, and its entries, newest first."""
    if run is None:
        candidates = [
            n for (n,) in _rows(database, "SELECT DISTINCT run FROM writes WHERE undone = 0 ORDER BY run DESC")
        ]
    elif database.rows("SELECT 1 FROM runs WHERE id = ?", (run,)):
        candidates = [run]
    else:
        raise ConfigError(f"there is no run {run}; `mertag undo --list` shows the runs that wrote something")
    for candidate in candidates:
        ids = _entries(database, candidate, moved, standing_only=run is None)
        if ids:
            [(owner, finished_s)] = _rows(database, "SELECT owner, finished_s FROM runs WHERE id = ?", candidate)
            if finished_s is None and is_under_way(database, owner):
                raise ConfigError(f"run {candidate} still goes on; wait for its end, or stop it, and then undo it")
            tried = "SELECT 1 FROM runs WHERE kind = 'undo' AND command LIKE ?"
            if run is None and _rows(database, tried, f"% --run {candidate}") and not any(map(undo.would_be, ids)):
                continue  # else the newest run would be tried for ever
            return candidate, ids
    return run, ()


def _entries(database: Database, run: int, moved: MovedFiles, *, standing_only: bool) -> Sequence[int]:
    where = f"FROM writes WHERE run = ?{' AND undone = 0' if standing_only else ''} ORDER BY id DESC"
    if moved.is_everywhere:
        return array("q", (n for (n,) in _rows(database, f"SELECT id {where}", run)))
    ids = array("q")
    for number, name in _rows(database, f"SELECT id, path {where}", run):
        path = Path(os.fsdecode(name))
        if moved.covers(path) or (not os.path.lexists(path) and _entry(database, number).places(moved)):
            ids.append(number)
    return ids


def _rows(database: Database, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Return rows whose columns are as the tables say."""
    return database.rows(query, values)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One write, as the journal has it."""

    id: int
    run: int
    name: bytes
    kind: Kind
    old_digest: bytes | None
    new_digest: bytes
    new_size: int
    old_mtime_ns: int
    delta: bytes

    @property
    def path(self) -> Path:
        return Path(os.fsdecode(self.name))

    def places(self, moved: MovedFiles) -> list[Path]:
        return moved.places(self.path, self.kind, self.new_digest, self.new_size)


def _entry(database: Database, number: int) -> _Entry:
    columns = "id, run, path, kind, old_digest, new_digest, new_size, old_mtime_ns, delta"
    [row] = _rows(database, f"SELECT {columns} FROM writes WHERE id = ?", number)
    return _Entry(*row)


class _Undo:
    """Takes back one write after the other."""

    def __init__(self, database: Database, moved: MovedFiles, options: UndoOptions) -> None:
        self._database, self._moved, self._options = database, moved, options
        self.by = _UNKNOWN
        self._warned = False

    def would_be(self, number: int) -> bool:
        """Return whether a write can be taken back; changes nothing."""
        tried = _Undo(self._database, self._moved, replace(self._options, dry_run=True))
        return tried.one(0, number).status is not Status.LEFT

    def one(self, index: int, number: int) -> FileDone:
        entry = _entry(self._database, number)
        path = entry.path
        try:
            place = path if os.path.lexists(path) else self._elsewhere(entry)
            path = place or path
            status = Status.ALREADY_UNDONE if place is None else self._undone(entry, place)
        except DeltaError as error:
            reason = f"its entry in the journal cannot be used: {error}"
            return FileDone(index=index, path=path, status=Status.LEFT, reason=reason)
        except (FileError, OSError) as error:
            return FileDone(index=index, path=path, status=Status.LEFT, reason=reason_of(error))
        self._mark(entry)
        return FileDone(index=index, path=path, status=status)

    def _elsewhere(self, entry: _Entry) -> Path | None:
        """Return where a file is that is not in its place; None if there should be none, as before the write."""
        places = entry.places(self._moved)
        if len(places) == 1:
            return places[0]
        if places:
            raise TagWriteError(entry.path, f"it is gone, and several files are what it was, such as {places[0]}")
        if entry.old_digest is None and entry.path.parent.is_dir():
            return None
        command = f"mertag undo --run {entry.run} NEW-PLACE"
        raise TagWriteError(entry.path, f"it is not there any more; if it was moved, say where: {command}")

    def _undone(self, entry: _Entry, path: Path) -> Status:
        """Give one file its old bytes, or remove it if there was none."""
        with open_original(path) as original:
            now = file_digest(original.file)
            if now == entry.old_digest:
                return Status.ALREADY_UNDONE
            if now != entry.new_digest:
                raise TagWriteError(path, self._what_happened(entry, now))
            if entry.old_digest is None:
                self._remove(original)
            else:
                self._give_back(entry, original)
        return Status.UNDONE

    def _what_happened(self, entry: _Entry, now: bytes) -> str:
        query = "SELECT max(run) FROM writes WHERE path = ? AND id > ? AND undone = 0 AND new_digest = ?"
        [(later,)] = _rows(self._database, query, entry.name, entry.id, now)
        if later is not None and later != entry.run:
            return f"run {later} wrote it again later; undo that one first"
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

        broken = self._options.break_hard_links
        replace_file(original, pieces, check=check, break_hard_links=broken, before_replace=before)

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
                connection.execute("UPDATE writes SET undone = ? WHERE id = ?", (self.by, entry.id))

    @contextmanager
    def _tolerant(self) -> Iterator[None]:
        """Let the undo go on where the state file cannot be written: what a file is, its bytes say."""
        try:
            yield
        except StateError as error:
            if not self._warned:
                self._warned = True
                _log.warning("%s; files are given back all the same", error)


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSize:
    """What entries of the journal take (all that they hold, not the deltas alone), beside the files of these writes."""

    journal_bytes: int
    written_bytes: int

    @property
    def share(self) -> float:
        """The journal's share of the files, 0..1; 0 if there are none."""
        return self.journal_bytes / self.written_bytes if self.written_bytes else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun(JournalSize):
    """A run that wrote something."""

    id: int
    kind: str  # "tag" or "remove"
    command: str
    started_s: float  # since 1970
    ended: str  # "finished", "under way" or "killed"
    files: int
    standing: int  # so many of these writes were not undone
    folder: Path  # all of them are below it


# A path stands in an index, too; six numbers take some bytes each, and sqlite's own part is small.
_ENTRY_BYTES = "(length(delta) + 2 * length(path) + ifnull(length(old_digest), 0) + length(new_digest) + 40)"


def past_runs(database: Database) -> list[PastRun]:
    """Return the runs that wrote something, newest first; raise `StateError` if the state file cannot be read."""
    query = f"""
        SELECT runs.id, runs.kind, command, started_s,
            count(*), sum(undone = 0), sum({_ENTRY_BYTES}), sum(new_size), min(path), max(path), finished_s, owner
        FROM writes JOIN runs ON runs.id = writes.run GROUP BY runs.id ORDER BY runs.id DESC
    """
    names = ("id", "kind", "command", "started_s", "files", "standing", "journal_bytes", "written_bytes")
    runs = []
    for *columns, first, last, finished_s, owner in _rows(database, query):
        ended = "finished"
        if finished_s is None:
            ended = "under way" if is_under_way(database, owner) else "killed"
        folder = Path(os.fsdecode(os.path.commonpath([os.path.dirname(first), os.path.dirname(last)])))  # noqa: PTH120
        runs.append(PastRun(**dict(zip(names, columns, strict=True)), ended=ended, folder=folder))
    return runs


def journal_size(database: Database) -> JournalSize:
    """Return what the whole journal takes, beside the files, each counted once; raise `StateError` as `past_runs`."""
    [(journal,)] = _rows(database, f"SELECT total({_ENTRY_BYTES}) FROM writes")
    newest = "SELECT new_size, max(id) FROM writes GROUP BY path"
    [(written,)] = _rows(database, f"SELECT total(new_size) FROM ({newest})")
    return JournalSize(journal_bytes=int(journal), written_bytes=int(written))
