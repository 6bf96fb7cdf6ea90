"""Names of files in any script, in any locale."""

from __future__ import annotations

import os


def named(text: str) -> str:
    """Return the name whose bytes are the text in UTF-8, also where names of files are in another encoding."""
    return os.fsdecode(text.encode())
