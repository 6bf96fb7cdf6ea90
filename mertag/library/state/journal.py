"""The undo journal: one entry a write, on the disk before the file is replaced.

An entry holds what turns the new file into the old one (`mertag.library.state.delta`, mostly some hundred bytes) and
the digests of both. It is verified before it is kept: what it gives from the new file is compared with the old one. If
an entry cannot be made, nothing is written.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, TypeAlias, cast

from mertag.errors import StateError, TagWriteError
from mertag.library.sidecar import SUFFIX
from mertag.library.state.analyses import kept_time
from mertag.library.state.database import Database
from mertag.library.state.delta import DeltaError, make_delta, old_pieces, read_pieces

Kind: TypeAlias = Literal["tags", "sidecar"]


class Journal:
    """The journal of one run, by its number. May be used from several threads."""

    def __init__(self, database: Database, run: int) -> None:
        self._database, self._run = database, run

    def before_replace(self, kind: Kind) -> Entry:
        """Return the hook that notes one write, for `write_tags` or `write_sidecar`; only a sidecar may be new."""
        return Entry(self._database, self._run, kind)


class Entry:
    """The entry of one write; called with the old and the new file just before the new one replaces the old.

    It commits, or raises `TagWriteError`, and then nothing may be written. If the write itself fails after that,
    `withdraw` deletes the entry; one that stays behind all the same does no harm.
    """

    def __init__(self, database: Database, run: int, kind: Kind) -> None:
        self._database, self._run, self._kind = database, run, kind
        self._noted: tuple[int, Path, bytes] | None = None  # its row, the file, the digest of the new one

    def __call__(self, old: Path, new: Path) -> None:
        """Note how to turn `new` back into `old`; raise `TagWriteError` if that did not work."""
        try:
            found = _compared(old, new, may_be_new=self._kind == "sidecar")
            with self._database.transaction() as connection:
                _unsettle(connection.execute, old)
                columns = f"run, path, kind, {', '.join(found._fields)}"
                values = (self._run, os.fsencode(old), self._kind, *found)
                added = connection.execute(f"INSERT INTO writes ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
                assert added.lastrowid is not None  # a row was inserted
            self._noted = (added.lastrowid, old, found.new_digest)
        except (OSError, DeltaError, StateError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise TagWriteError(
                old, f"nothing was written, for it could not be noted how to undo it: {reason}"
            ) from error

    def withdraw(self) -> None:
        """Delete the entry, if the write did not happen; raise `StateError` if the state file does not work."""
        if self._noted is None:
            return
        row, path, new_digest = self._noted
        try:
            with path.open("rb", buffering=0) as file:
                happened = file_digest(cast(BinaryIO, file)) == new_digest
        except FileNotFoundError:
            happened = False
        except OSError:
            return  # it cannot be known
        if not happened:
            with self._database.transaction() as connection:
                connection.execute("DELETE FROM writes WHERE id = ?", (row,))
        self._noted = None


def unsettle(database: Database, path: Path) -> None:
    """Forget that a song was up to date: it, or its sidecar `path`, is about to change."""
    with database.transaction() as connection:
        _unsettle(connection.execute, path)


def digest_of(chunks: Iterable[bytes]) -> bytes:
    """Return the BLAKE2b digest, 32 bytes, of bytes in a row."""
    digest = hashlib.blake2b(digest_size=32)
    for chunk in chunks:
        digest.update(chunk)
    return digest.digest()


def file_digest(file: BinaryIO) -> bytes:
    """Return the digest of a whole file, open for reading."""
    file.seek(0)
    return hashlib.file_digest(cast(FileIO, file), lambda: hashlib.blake2b(digest_size=32)).digest()


class _Compared(NamedTuple):
    old_digest: bytes | None
    new_digest: bytes
    old_size: int
    new_size: int
    old_mtime_ns: int
    delta: bytes


def _compared(old: Path, new: Path, *, may_be_new: bool) -> _Compared:
    """Return what an entry holds of two files."""
    with new.open("rb", buffering=0) as raw_new:
        new_file = cast(BinaryIO, raw_new)
        new_digest, new_size = file_digest(new_file), os.fstat(raw_new.fileno()).st_size
        try:
            raw_old = old.open("rb", buffering=0)
        except FileNotFoundError:
            if not may_be_new:
                raise
            return _Compared(None, new_digest, 0, new_size, 0, b"")
        with raw_old:
            old_file, status = cast(BinaryIO, raw_old), os.fstat(raw_old.fileno())
            old_digest, delta = file_digest(old_file), make_delta(old_file, new_file)
            if not _gives(delta, new_file, old_file):
                raise DeltaError("what was noted does not give the old file; another program may be changing it")
    return _Compared(old_digest, new_digest, status.st_size, new_size, kept_time(status), delta)


def _gives(delta: bytes, new: BinaryIO, old: BinaryIO) -> bool:
    """Return whether a delta turns `new` into `old`, byte for byte."""
    old.seek(0)
    for chunk in read_pieces(old_pieces(delta, new), new):
        if old.read(len(chunk)) != chunk:
            return False
    return not old.read(1)


def _unsettle(execute: Callable[[str, tuple[bytes]], object], path: Path) -> None:
    for name in {os.fsencode(path), os.fsencode(path).removesuffix(SUFFIX.encode())}:
        execute("UPDATE files SET settled = '' WHERE path = ?", (name,))
