"""Playlists as files: what is the same is not written again, and what is not mertag's is not replaced."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mertag.errors import ConfigError, MertagError, reason_of
from mertag.files import write_whole
from mertag.library.playlists.rules import MARK

_HEAD_BYTES = 400
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


def file_name(name: str) -> str:
    """Return a name that every file system takes, in UTF-8 also where names of files are in another encoding."""
    return os.fsdecode((_UNSAFE.sub("_", name).strip(". ") or "_").encode())


def write_playlist(path: Path, content: bytes, *, has_songs: bool = True, dry_run: bool = False) -> bool:
    """Write a playlist, if it is not there already; return whether it was, or in a dry run would be.

    One without a song is only written in the place of an earlier one, which would be out of date.

    Raises
    ------
    ConfigError
        If the file is there, and mertag did not make it, or it cannot be read.
    MertagError
        If it cannot be written.
    """
    try:
        old = path.read_bytes() if path.exists() else None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {reason_of(error)}") from error
    if old == content or (old is None and not has_songs):
        return False
    if old and MARK.encode() not in old[:_HEAD_BYTES]:
        raise ConfigError(f"{path}: the file exists, and mertag did not make it; choose another folder with --out")
    if not dry_run:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
        except OSError as error:
            raise MertagError(f"{path}: could not be written: {reason_of(error)}") from error
    return True
