"""Lists of paths that another program wrote: what ``--files-from`` reads.

Names are bytes, and kept as they are. They end with NUL where there is a NUL in the list (``find -print0``,
``fd -0``): then any name can be listed. Else they end with a line break; a carriage return before it belongs to
the line break, and a byte order mark at the beginning to nobody. Empty names are passed over.
"""

from __future__ import annotations

import codecs
import os
import sys
from pathlib import Path

from mertag.errors import ConfigError


def read_paths(source: str) -> list[Path]:
    """Return the paths that a file, or stdin (``"-"``), lists, in its order.

    Raises
    ------
    ConfigError
        If the list cannot be read, or is UTF-16.
    """
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise ConfigError(f"--files-from {source}: cannot be read: {error.strerror or error}") from error
    try:
        return parse_paths(data)
    except ValueError as error:
        raise ConfigError(f"--files-from {source}: {error}") from error


def parse_paths(data: bytes) -> list[Path]:
    """Return the paths in a list.

    Raises
    ------
    ValueError
        If it is UTF-16, in which every other byte is NUL (what ``>`` of Windows PowerShell writes).
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("the list is UTF-16; write it as UTF-8 (in PowerShell: | Out-File -Encoding utf8)")
    data = data.removeprefix(codecs.BOM_UTF8)
    names = data.split(b"\0") if b"\0" in data else [line.removesuffix(b"\r") for line in data.split(b"\n")]
    return [Path(os.fsdecode(name)) for name in names if name]
