"""Which song a file holds: the digest of its audio, and the state of the file for which that is true."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from mertag.errors import FileError
from mertag.library import tags

_CHUNK_BYTES = 1 << 20


class Places:
    """Real paths as the state file knows them: absolute, no symbolic link on the way, as bytes.

    The last folder is remembered: files come folder by folder, and `os.path.realpath` looks at every folder on the
    way. Not for several threads.
    """

    def __init__(self) -> None:
        self._folder, self._real = "", ""

    def look(self, path: Path) -> tuple[bytes, os.stat_result]:
        """Return the real path of a file and its status.

        Raises
        ------
        OSError
            If it is not there.
        """
        text = os.fspath(path)
        status = os.lstat(text)
        if stat.S_ISLNK(status.st_mode):
            real = os.path.realpath(text, strict=True)
            return os.fsencode(real), os.stat(real)  # noqa: PTH116  here and below, a Path costs more than the call
        folder, slash, name = text.rpartition(os.sep)
        folder = folder + slash or os.curdir
        if folder != self._folder:
            self._folder, self._real = folder, os.path.join(os.path.realpath(folder, strict=True), "")  # noqa: PTH118
        return os.fsencode(self._real + name), status


def song_digest(path: Path) -> tuple[os.stat_result, bytes]:
    """Return the digest of a file's audio, and the file's status when it was so.

    Tags do not change the digest. Of a file in whose container mertag writes no tags, or that is too damaged for that,
    it is the digest of the whole.

    Raises
    ------
    FileError
        If the file changes meanwhile, or cannot be read.
    """
    try:
        before = path.stat()
        try:
            digest = bytes.fromhex(tags.audio_digest(path))
        except FileError as error:
            if isinstance(error.__cause__, OSError):
                raise
            digest = _whole(path)
        after = path.stat()
    except OSError as error:
        raise FileError(path, f"it cannot be read ({error.strerror or error})") from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise FileError(path, "another program is changing it")
    return after, digest


def size_and_time(place: bytes) -> tuple[int, int] | None:
    """Return size and time of change of a file, None if it cannot be looked at."""
    try:
        status = os.stat(place)  # noqa: PTH116  bytes, and a Path costs more than the call
    except OSError:
        return None
    return status.st_size, kept_time(status)


def kept_time(status: os.stat_result) -> int:
    """Return the time of change in nanoseconds, as a state file can hold it: no later than the year 2262."""
    return max(-(2**63), min(status.st_mtime_ns, 2**63 - 1))


def _whole(path: Path) -> bytes:
    digest = hashlib.blake2b(digest_size=32, person=b"whole file")  # never the digest of some audio
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.digest()
