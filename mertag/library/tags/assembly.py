"""Writing a new file from pieces of the old one, sharing its blocks where the file system can."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import BinaryIO

from mertag.library.tags.container import Piece, Range, total

_CHUNK = 2**20
_NO_SUCH_COPY = {
    errno.EXDEV,
    errno.EINVAL,
    errno.ENOSYS,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EBADF,
    errno.ETXTBSY,
}


def assemble(source: BinaryIO, copy: BinaryIO, pieces: Sequence[Piece]) -> None:
    """Write `pieces` to `copy`.

    If most of the file stays where it is, the whole is copied first, which file systems that share blocks do
    without copying, and only the rest is written over it.

    Parameters
    ----------
    source, copy : binary files
        The old file, open for reading, and the new one, empty, open for writing, and without a buffer.
    pieces : sequence of bytes or Range
        New bytes, and ranges of the old file.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    size, in_place, at = total(pieces), 0, 0
    for piece in pieces:
        in_place += len(piece) if isinstance(piece, Range) and piece.start == at else 0
        at += len(piece)
    whole_first = in_place > size // 2
    if whole_first:
        _copy(source, copy, Range(0, source.seek(0, os.SEEK_END)), 0)
    at = 0
    for piece in pieces:
        if isinstance(piece, bytes):
            _write(copy, piece, at)
        elif not (whole_first and piece.start == at):
            _copy(source, copy, piece, at)
        at += len(piece)
    copy.truncate(size)


def _copy(source: BinaryIO, copy: BinaryIO, part: Range, at: int) -> None:
    """Copy a range of `source` to `at`, inside the kernel where that is possible."""
    done = 0
    while done < len(part) and hasattr(os, "copy_file_range"):
        try:
            n = os.copy_file_range(
                source.fileno(),
                copy.fileno(),
                len(part) - done,
                offset_src=part.start + done,
                offset_dst=at + done,
            )
        except OSError as error:
            if error.errno not in _NO_SUCH_COPY:
                raise
            break
        if n == 0:
            break  # some file systems say so instead of refusing
        done += n
    while done < len(part):
        source.seek(part.start + done)
        chunk = source.read(min(_CHUNK, len(part) - done))
        if not chunk:
            raise OSError(errno.EIO, "the file became shorter while it was read")
        _write(copy, chunk, at + done)
        done += len(chunk)


def _write(copy: BinaryIO, data: bytes, at: int) -> None:
    copy.seek(at)
    rest = memoryview(data)
    while rest:
        rest = rest[copy.write(rest) :]
