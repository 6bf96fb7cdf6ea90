"""Extended attributes and access lists, which a copy must have as the original has them: each system's own calls.

Linux: the ``xattr`` calls of ``os``; an access list is an attribute. macOS: ``copyfile(3)``, as ``cp -p`` calls it.
Windows: nothing is copied; a new file has the access list that its folder gives, and no alternate data streams.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

_NONE_HERE = {errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
_NOT_OURS_TO_SET = {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EINVAL, errno.ENODATA}
_OWNERS = ("user.", "system.posix_acl")
"""Attributes that people and their programs set; the others are the system's (labels, capabilities)."""
_COPYFILE_ACL, _COPYFILE_XATTR = 1 << 0, 1 << 2  # <copyfile.h> of macOS


def keep_attributes(copy: Path, original: Path) -> None:
    """Give `copy` the extended attributes of `original`; raise OSError if one of an owner's cannot be kept."""
    if sys.platform == "linux":
        _as_on_linux(copy, original)
    elif sys.platform == "darwin":
        _as_on_macos(copy, original)


def _as_on_macos(copy: Path, original: Path) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.copyfile(os.fsencode(original), os.fsencode(copy), None, _COPYFILE_ACL | _COPYFILE_XATTR) != 0:
        number = ctypes.get_errno()
        if number not in _NONE_HERE:
            raise OSError(number, f"extended attributes: {os.strerror(number)}")


def _as_on_linux(copy: Path, original: Path) -> None:
    """Keep those of the system as far as permissions allow."""
    if sys.platform == "linux":
        try:
            names = os.listxattr(original)
        except OSError as error:
            if error.errno in _NONE_HERE:
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
