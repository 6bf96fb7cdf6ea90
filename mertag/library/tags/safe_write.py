"""Replacing a song: the only place that does (all other files are written by `mertag.files`).

A tagger that edits in place and is killed leaves broken audio. So a new file is made beside the old one, from pieces
of the old one and new bytes, sharing blocks where the file system can; it gets the old one's mode, owner and extended
attributes (see `attributes`); it is synced, read again and checked; and only then it is renamed over the old one,
which is atomic. A full disk, a killed process or a power cut leaves the old file or the new one, never a part. Every
failure raises `TagWriteError` and leaves the old bytes untouched.

Refused is what cannot be undone quietly: a read-only file or folder, a file whose owner could not be kept (of one that
its group may write, the group is enough), and a file with several hard links, unless that is asked for. Symbolic links
are followed and stay links.

Between the last look at the old file and the replacement lie some microseconds, in which another program's
change would be lost; no portable call closes that gap.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import stat
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from mertag.errors import TagWriteError, UnsupportedFormatError
from mertag.files import BeforeReplace, create_locked, sync_folder, temporary_beside
from mertag.library.tags.attributes import keep_attributes
from mertag.library.tags.container import Piece, Range, total

SPARE_BYTES = 2**20
"""What must stay free on the disk beside the copy."""

_CHUNK = 2**20
_CANNOT_SHARE = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF, errno.ETXTBSY}
)
_log = logging.getLogger(__name__)
_owners_named: set[int] = set()


@dataclass(frozen=True, slots=True)
class Original:
    """A file that may be replaced."""

    path: Path  # as it was given: what errors name
    real: Path  # the file itself, no symbolic link on the way
    file: BinaryIO  # open for reading
    status: os.stat_result  # when it was opened


@contextlib.contextmanager
def open_original(path: Path) -> Iterator[Original]:
    """Open a file that may be replaced; follow symbolic links.

    Raises `UnsupportedFormatError` if it is no regular file, `TagWriteError` if it cannot be read, now or later.
    """
    try:
        real = path.resolve(strict=True)
        if not stat.S_ISREG(real.stat().st_mode):  # opening a pipe would wait for its other end
            raise UnsupportedFormatError(path, "it is not a regular file")
        file = cast(BinaryIO, real.open("rb", buffering=0))  # small reads far apart: a buffer would slow them
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symbolic links, before Python 3.13
        raise TagWriteError(path, f"it cannot be read ({_reason(error)})") from error
    try:
        with file:
            yield Original(path, real, file, os.fstat(file.fileno()))
    except OSError as error:  # in the midst of reading: a disk or a network share that fails
        raise TagWriteError(path, f"it cannot be read ({_reason(error)})") from error


def replace_file(
    original: Original,
    pieces: Sequence[Piece],
    *,
    check: Callable[[BinaryIO], None],
    preserve_mtime: bool = False,
    break_hard_links: bool = False,
    before_replace: BeforeReplace | None = None,
) -> None:
    """Replace a file by one that consists of `pieces`.

    Parameters
    ----------
    original : Original
        The file; it is closed when this returns.
    pieces : sequence of bytes or Range
        New bytes, and ranges of the old file.
    check : callable
        Gets the new file, synced and open for reading; raises `TagWriteError` if it is not as it should be.
    preserve_mtime : bool
        Give the new file the old modification time.
    break_hard_links : bool
        Replace this name of a file that has several.
    before_replace : callable, optional
        Gets the paths of the old and the new file after all checks, just before the one becomes the other:
        the place to note how to go back. If it raises, nothing is replaced.

    Raises
    ------
    TagWriteError
        Whatever it was that did not work; the old file is what it was.
    """
    refuse(original, total(pieces), break_hard_links=break_hard_links)
    target = _as_listed(original.real)
    temporary = temporary_beside(target)
    try:
        with create_locked(temporary, 0o600, buffering=0) as copy:
            assemble(original.file, copy, pieces)
            _keep_attributes(original, temporary, preserve_mtime=preserve_mtime)
            os.fsync(copy.fileno())
            check(copy)
            if before_replace is not None:  # under the lock: it may take long, and others tidy up
                before_replace(target, temporary)
        original.file.close()  # Windows replaces no file that is open
        _refuse_if_changed(original)
        temporary.replace(target)
    except BaseException as error:
        try:
            temporary.unlink(missing_ok=True)
        except OSError as left:
            _log.warning("%s could not be removed (%s); it is safe to delete", temporary, _reason(left))
        if not isinstance(error, OSError):
            raise
        reason = f"the new file could not be written ({_reason(error)}); the old one is untouched"
        raise TagWriteError(original.path, reason) from error
    sync_folder(target.parent)


def _as_listed(real: Path) -> Path:
    """Return a path with the name that its folder lists: where case does not count, another would rename it."""
    other = real.with_name(real.name.swapcase())
    try:
        if other.name == real.name or not other.samefile(real):
            return real
        names = [entry.name for entry in real.parent.iterdir()]
    except OSError:  # there is no such other name: case counts
        return real
    if real.name in names:
        return real

    def plain(name: str) -> str:
        return unicodedata.normalize("NFC", name).casefold()

    return next((real.with_name(name) for name in names if plain(name) == plain(real.name)), real)


def refuse(original: Original, size: int, *, break_hard_links: bool = False) -> None:
    """Raise `TagWriteError` if a file cannot be replaced, by one of `size` bytes, without a loss."""
    path, real, status = original.path, original.real, original.status
    folder = real.parent
    try:
        if sys.platform != "win32" and os.statvfs(folder).f_flag & os.ST_RDONLY:
            raise TagWriteError(path, "its disk is mounted read-only; mount it for writing first")
        locked = sys.platform != "win32" and not folder.stat().st_mode & 0o222
        usage = shutil.disk_usage(folder)
    except OSError as error:
        raise TagWriteError(path, f"its folder cannot be read ({_reason(error)})") from error
    if not status.st_mode & 0o222 or not os.access(real, os.W_OK):
        if _mounted_read_only(real):
            raise TagWriteError(path, "it is mounted read-only; mount it for writing first")
        raise TagWriteError(path, "it is read-only; give yourself write permission first")
    if locked or not os.access(folder, os.W_OK | os.X_OK):
        raise TagWriteError(path, "its folder is read-only, and the new file is made there before it replaces the old")
    if status.st_nlink > 1 and not break_hard_links:
        raise TagWriteError(
            path,
            f"it has {status.st_nlink} hard links; replacing one would separate it from the others and take "
            "twice the space (allow that with --break-hard-links)",
        )
    if usage.free < size + SPARE_BYTES and usage.total:  # some file systems do not say how large they are
        raise TagWriteError(
            path, f"the disk is too full: a safe write needs {size + SPARE_BYTES} bytes and {usage.free} are free"
        )


def _mounted_read_only(real: Path) -> bool:
    """Return whether writing fails because of the mount; a single file can be mounted, too."""
    try:
        os.close(os.open(real, os.O_WRONLY))
    except OSError as error:
        return error.errno == errno.EROFS
    return False


def _refuse_if_changed(original: Original) -> None:
    now, then = original.real.stat(), original.status
    for field in ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_nlink"):
        if field == "st_ctime_ns" and sys.platform == "win32":
            continue  # the time of creation there
        if getattr(now, field) != getattr(then, field):
            raise TagWriteError(original.path, "another program changed it meanwhile; nothing was written, try again")


def _keep_attributes(original: Original, temporary: Path, *, preserve_mtime: bool) -> None:
    """Give the copy the owner, mode, extended attributes and, if asked for, times of the original."""
    status, new = original.status, temporary.stat()
    if sys.platform != "win32" and (status.st_uid, status.st_gid) != (new.st_uid, new.st_gid):
        _keep_owner(original, temporary)
    if stat.S_IMODE(temporary.stat().st_mode) != stat.S_IMODE(status.st_mode):
        temporary.chmod(stat.S_IMODE(status.st_mode))
    keep_attributes(temporary, original.real)
    if preserve_mtime:
        os.utime(temporary, ns=(status.st_atime_ns, status.st_mtime_ns))


def _keep_owner(original: Original, temporary: Path) -> None:
    """Give the copy the owner and the group; of a file that the group may write, the group is enough."""
    uid, gid = original.status.st_uid, original.status.st_gid
    try:
        try:
            _chown(temporary, uid, gid)
        except PermissionError:
            if not original.status.st_mode & stat.S_IWGRP:
                raise
            _chown(temporary, -1, gid)
            level = logging.INFO if uid in _owners_named else logging.WARNING  # a NAS may be full of such files
            others = "" if uid in _owners_named else "; so will each file of that user that is written (--verbose)"
            _owners_named.add(uid)
            kept = "group, permissions and access list are kept"
            _log.log(level, "%s belonged to user %s and now belongs to you; %s%s", original.path, uid, kept, others)
    except OSError as error:
        raise TagWriteError(
            original.path,
            f"it belongs to user {uid}, group {gid}, and a new file could not be given to them ({_reason(error)}); "
            "run mertag as its owner, or be in its group and let that write it (chmod g+w)",
        ) from error


def _chown(path: Path, uid: int, gid: int) -> None:
    if sys.platform != "win32":  # there a new file has the owner and the access list that its folder gives
        os.chown(path, uid, gid)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)


def assemble(source: BinaryIO, copy: BinaryIO, pieces: Sequence[Piece]) -> None:
    """Write `pieces` to `copy`, which is empty and has no buffer.

    If most of the file stays where it is, the whole is copied first, which file systems that share blocks do
    without copying, and only the rest is written over it.
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
                source.fileno(), copy.fileno(), len(part) - done, offset_src=part.start + done, offset_dst=at + done
            )
        except OSError as error:
            if error.errno not in _CANNOT_SHARE:
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
