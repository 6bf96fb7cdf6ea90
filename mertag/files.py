r"""Files that are whole or not there, files that may be anything, digests, and paths as text.

Everything that is written outside a song goes through `replaced_whole`; songs have stricter rules, which stand in
`mertag.library.tags.safe_write`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

if sys.platform != "win32":
    import fcntl

TEMPORARY_PREFIX, TEMPORARY_SUFFIX = ".mertag-", ".tmp"
"""A file in the making is called ``.mertag-<process id>-<random>.tmp``, however long the name that it will have."""

BeforeReplace = Callable[[Path, Path], None]
"""Gets the paths of the old file, which may not be there, and of the new one, just before the one becomes the other:
the place to note how to go back. If it raises, nothing is replaced."""

A_DAY_S = 86_400.0
"""How old a file in the making must be where nothing else tells that its writer is gone."""

_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
_TEMPORARY = re.compile(re.escape(TEMPORARY_PREFIX) + r"\d+-[0-9a-f]{16}" + re.escape(TEMPORARY_SUFFIX))
_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}  # some network shares: folders are not synced there
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_UNPRINTABLE = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f"  # control characters: a terminal obeys them
    "\\u2028\\u2029"  # line separators
    "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069"  # text direction: can make a name read as another
    "\\ud800-\\udfff]"  # surrogates: bytes of a name that are not text, and cannot be encoded
)
_log = logging.getLogger(__name__)


def temporary_beside(target: Path) -> Path:
    """Return a name in the folder of `target` that no other process will choose."""
    return target.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(8)}{TEMPORARY_SUFFIX}")


@contextlib.contextmanager
def create_locked(path: Path, mode: int, *, buffering: int = -1) -> Iterator[BinaryIO]:
    """Create a file, and lock it as long as it is open: see `remove_leftovers`."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    with os.fdopen(os.open(path, flags, mode), "r+b", buffering=buffering) as file:
        if sys.platform != "win32":
            with contextlib.suppress(OSError):  # some network shares have no locks
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield file


@contextlib.contextmanager
def replaced_whole(target: Path, *, before_replace: BeforeReplace | None = None) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of `target` when the block ends: at any moment, the old one or the new one.

    A symbolic link stays, and what it points to is replaced; the permissions of a file that was there are kept. The new
    file and its folder are synced to the disk.

    Parameters
    ----------
    target : Path
        Its folder must be there.
    before_replace : callable, optional
        See `BeforeReplace`.

    Yields
    ------
    binary file
        Open for writing.

    Raises
    ------
    OSError
        If that did not work; what was there is untouched, as after any error in the block.
    """
    target = Path(os.path.realpath(target))
    temporary = temporary_beside(target)
    try:
        with create_locked(temporary, 0o666) as file:
            yield file
            file.flush()
            if target.exists():
                temporary.chmod(target.stat().st_mode & 0o777)
            os.fsync(file.fileno())
        if before_replace is not None:
            before_replace(target, temporary)
        temporary.replace(target)
    except BaseException:  # an interrupt too must leave no temporary file behind
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def remove_leftovers(folder: Path, *, older_than_s: float = 5.0) -> list[Path]:
    """Remove the files in the making in `folder` whose writers were killed.

    A writer holds a lock on its file. One that can be locked, and is not brand new, has no writer any more. Where the
    file system has no locks, only the age tells. Should it be wrong, nothing is harmed: a writer whose file is gone
    reports an error, and what was to be replaced stays what it is.

    Parameters
    ----------
    folder : Path
        Its subfolders are not looked at.
    older_than_s : float
        Younger ones stay: their writer may be about to lock them.

    Returns
    -------
    list of Path
        What was removed. What cannot be removed, or cannot be known to be left behind, stays.
    """
    removed: list[Path] = []
    try:
        with os.scandir(folder) as found:
            names = [entry.name for entry in found if _TEMPORARY.fullmatch(entry.name)]
    except OSError:
        return removed  # a folder that cannot be listed has nothing that can be removed
    for name in sorted(names):
        path = folder / name
        try:
            age_s = time.time() - path.lstat().st_ctime
            if age_s >= older_than_s and _is_abandoned(path, age_s):
                path.unlink()
                removed.append(path)
        except OSError:
            continue  # gone meanwhile, locked, or not ours
    return removed


def _is_abandoned(path: Path, age_s: float) -> bool:
    if not path.is_file() or path.is_symlink():
        return False
    if sys.platform != "win32":  # there a file that is open cannot be removed
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises BlockingIOError while its writer lives
            except OSError as error:
                return error.errno in _NO_LOCKS and age_s >= A_DAY_S
    return True


def write_whole(target: Path, data: bytes | str, *, before_replace: BeforeReplace | None = None) -> None:
    """Put bytes, or text as UTF-8, in the place of `target`; see `replaced_whole`."""
    with replaced_whole(target, before_replace=before_replace) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def sync_folder(folder: Path) -> None:
    """Make a replacement survive a power cut. It has happened by now, so that a failure is only logged."""
    try:
        if sys.platform != "win32":  # there a folder cannot be opened
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            _log.warning(
                "%s could not be synced (%s); a power cut now may bring old files back",
                folder,
                error.strerror or error,
            )


def read_regular(path: Path, limit: int) -> bytes:
    """Return the bytes of a file that may be anything: a pipe is not waited for, a huge one not read whole.

    Raises
    ------
    ValueError
        If it is no regular file, or larger than `limit` bytes.
    OSError
        If it cannot be read.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a plain file")
        if status.st_size > limit:
            raise ValueError(f"{status.st_size} bytes, more than the {limit} allowed here")
        return file.read(min(limit, status.st_size))  # not `limit`: so much memory would be taken first


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def json_digest(value: object) -> str:
    """Return the SHA-256, in hexadecimal, of plain JSON values: the order of keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def path_text(path: Path | str) -> str:
    r"""Return a path as text that can always be encoded: a byte that is not UTF-8 stands as ``\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_url(text: str) -> bool:
    """Return whether a text is a URL, such as ``s3://bucket/song.mp3``."""
    return _URL.match(text) is not None


def local_path(text: str) -> Path | None:
    """Return the path that a path, or a URL ``file://``, stands for; None for another URL."""
    if text[:7].lower() == "file://":
        return Path(url2pathname(urlsplit(text).path))
    return None if is_url(text) else Path(text)


def printable(text: str) -> str:
    r"""Return `text` on one line and harmless: what a terminal would obey becomes ``\xNN`` or ``\uNNNN``.

    A surrogate that stands for a byte (as in file names that are not UTF-8) becomes ``\xNN`` of that byte.
    """
    return _UNPRINTABLE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
