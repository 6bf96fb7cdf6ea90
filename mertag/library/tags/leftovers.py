"""Copies that a killed process left behind: finding and removing them.

A writer holds a lock on its copy. One that can be locked, and is not brand new, has no writer any more. Where
the file system has no locks, only the age tells. Should it be wrong, no song is harmed: a writer whose copy is
gone reports an error, and the song stays what it is.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import time
from pathlib import Path

from mertag.library.tags.safe_write import TEMPORARY_PREFIX, TEMPORARY_SUFFIX

if sys.platform != "win32":
    import fcntl

A_DAY_S = 86_400.0
"""How old a copy must be where nothing else tells that its writer is gone."""

_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
_NAME = re.compile(re.escape(TEMPORARY_PREFIX) + r"\d+-[0-9a-f]{16}" + re.escape(TEMPORARY_SUFFIX))


def remove_leftovers(folder: Path, *, older_than_s: float = 5.0) -> list[Path]:
    """Remove the copies in `folder` whose writers are gone.

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
            names = [entry.name for entry in found if _NAME.fullmatch(entry.name)]
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
    if sys.platform == "win32":
        return True  # a file that is open cannot be removed there
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises BlockingIOError while its writer lives
        except OSError as error:
            return error.errno in _NO_LOCKS and age_s >= A_DAY_S
    return True
