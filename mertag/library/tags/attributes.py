"""What a file has beside its bytes: owner, mode, extended attributes."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_NO_ATTRIBUTES = {errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
_NOT_OURS_TO_SET = {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EINVAL, errno.ENODATA}
_OWNERS = ("user.", "system.posix_acl")
"""Attributes that people and their programs set; the others are the system's (labels, capabilities)."""


def keep_owner(copy: Path, status: os.stat_result) -> None:
    """Give `copy` the owner and group in `status`; raise OSError if it cannot be."""
    new = copy.stat()
    if os.name == "posix" and (status.st_uid, status.st_gid) != (new.st_uid, new.st_gid):
        os.chown(copy, status.st_uid, status.st_gid)


def keep_mode(copy: Path, status: os.stat_result) -> None:
    """Give `copy` the permissions in `status`; raise OSError if it cannot be."""
    if stat.S_IMODE(copy.stat().st_mode) != stat.S_IMODE(status.st_mode):
        copy.chmod(stat.S_IMODE(status.st_mode))


def keep_extended_attributes(copy: Path, original: Path) -> None:
    """Give `copy` the extended attributes of `original`; those of the system only as far as we may.

    Raises
    ------
    OSError
        If an attribute that a person may have set cannot be copied. A file system may have none at all.
    """
    if not hasattr(os, "listxattr"):
        return
    try:
        names = os.listxattr(original)
    except OSError as error:
        if error.errno in _NO_ATTRIBUTES:
            return
        raise
    for name in os.listxattr(copy):
        if name.startswith(_OWNERS) and name not in names:
            os.removexattr(copy, name)  # an access list that the folder hands to every new file
    for name in names:
        try:
            os.setxattr(copy, name, os.getxattr(original, name))
        except OSError as error:
            if name.startswith(_OWNERS) or error.errno not in _NOT_OURS_TO_SET:
                raise OSError(error.errno, f"attribute {name}: {error.strerror}") from error
