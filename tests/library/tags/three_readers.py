"""What three readers that share no code with mertag see of a file's tags: mutagen, TagLib, and FFmpeg's libraries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mutagen
import pytest

from mertag.library.tags.readers import ffmpeg

Seen = Mapping[str, Mapping[str, Any]]
OURS = ("MOOD", "TMOO", "MERTAG")


def three_readers(path: Path) -> Seen:
    """Return by reader what it sees of others' tags; nothing from a reader that cannot read the file."""
    taglib = pytest.importorskip("taglib")
    try:
        with taglib.File(path) as file:
            by_taglib: dict[str, Any] = dict(file.tags)
    except OSError:
        by_taglib = {}
    try:
        found = getattr(mutagen.File(path), "tags", None)
        pairs = found.items() if hasattr(found, "items") else found or ()
        by_mutagen = {str(key): str(value) for key, value in pairs}
    except mutagen.MutagenError:
        by_mutagen = {}
    names = {"year": "date", "tracknumber": "track"}  # FFmpeg names them as each kind of tag does
    found = ffmpeg.seen(path, path.name) or {}
    by_ffmpeg = {names.get(key.lower(), key.lower()): value for key, value in found.items()}
    seen = {"TagLib": by_taglib, "FFmpeg": by_ffmpeg, "mutagen": by_mutagen}
    return {
        reader: {key: value for key, value in tags.items() if not any(ours in key.upper() for ours in OURS)}
        for reader, tags in seen.items()
    }


def assert_nothing_hidden(before: Seen, after: Seen) -> None:
    """Check that each reader sees all that it saw: the same, or the whole of what an older kind of tag cuts off."""
    for reader, tags in before.items():
        for key, value in tags.items():
            texts = ["\n".join(v) if isinstance(v, list) else str(v) for v in (value, after[reader].get(key, ""))]
            assert texts[1].startswith(texts[0].rstrip()), (reader, key, value, after[reader])
