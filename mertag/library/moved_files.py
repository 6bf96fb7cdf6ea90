"""Files that are no longer where they were written, and which files are meant by the paths that were given.

A file that was moved or renamed is recognised by its content: the digest of the whole file, as it was written. Looked
for are the files that the state file knows, and those below the paths that are given.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from mertag.library.find import find_audio
from mertag.library.sidecar import SUFFIX, sidecar_path
from mertag.library.state.database import Database
from mertag.library.state.journal import Kind, file_digest


class MovedFiles:
    """Finds files that were moved.

    Parameters
    ----------
    database : Database
        The open state file.
    paths : sequence of Path
        What is meant: these files, and all below these folders. They need not be there. Empty: everything.
    """

    def __init__(self, database: Database, paths: Sequence[Path]) -> None:
        self._database = database
        self._roots = {os.path.realpath(path) for path in paths}
        self._by_size: dict[Kind, dict[int, list[str]]] = {}

    @property
    def is_everywhere(self) -> bool:
        """Whether everything is meant."""
        return not self._roots

    def covers(self, path: Path) -> bool:
        """Return whether a file (real path) is meant; the sidecar of a song is, if the song is."""
        if not self._roots or str(path).removesuffix(SUFFIX) in self._roots:
            return True
        return any(str(one) in self._roots for one in (path, *path.parents))

    def places(self, path: Path, kind: Kind, digest: bytes, size: int) -> list[Path]:
        """Return where a file is now that was at `path`, if it is meant; several places if it was copied.

        It is a song (``"tags"``) or a sidecar; digest and size in bytes are those of the whole file.
        """
        if kind not in self._by_size:  # as they are when this is first asked for
            by_size: dict[int, list[str]] = {}
            for name, known_size in self._sidecars() if kind == "sidecar" else self._songs():
                by_size.setdefault(known_size, []).append(name)
            self._by_size[kind] = by_size
        places = []
        for name in self._by_size[kind].get(size, ()):
            candidate = Path(name)
            if candidate == path or not self.covers(candidate) or not _is(candidate, digest):
                continue
            # the same song twice in the library: the other one has an entry of its own
            own = "SELECT 1 FROM writes WHERE path = ? AND new_digest = ? AND undone = 0"
            if not self._database.rows(own, (os.fsencode(candidate), digest)):
                places.append(candidate)
        return places

    def _songs(self) -> Iterator[tuple[str, int]]:
        rows = cast(list[tuple[bytes, int]], self._database.rows("SELECT path, size FROM files"))
        known = {os.fsdecode(name): size for name, size in rows}
        there = [root for root in sorted(self._roots) if os.path.exists(root)]  # noqa: PTH110  a Path would refuse NUL
        for path in find_audio(there, on_error=lambda path, reason: None):  # what cannot be read is not found
            real = os.path.realpath(path)
            size = _size(real)
            if size is not None:
                known[real] = size
        yield from known.items()

    def _sidecars(self) -> Iterator[tuple[str, int]]:
        for name, _ in self._songs():
            sidecar = str(sidecar_path(Path(name)))
            size = _size(sidecar)
            if size is not None:
                yield sidecar, size


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size  # noqa: PTH116  there may be very many
    except OSError:
        return None


def _is(path: Path, digest: bytes) -> bool:
    try:
        with path.open("rb", buffering=0) as file:
            return file_digest(cast(BinaryIO, file)) == digest
    except OSError:  # it is gone, too, or cannot be read
        return False
