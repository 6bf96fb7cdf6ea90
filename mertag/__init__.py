"""mertag: recognise the emotion of music, and write it into a library's tags, safely.

The public names below are loaded when they are first used (PEP 562), so that ``import mertag`` costs next to
nothing::

    import mertag

    with mertag.Tagger() as tagger:
        emotion = tagger.tag("song.mp3")
    print(emotion.quadrant.label, emotion.confidence)
    mertag.write_tags("song.mp3", emotion)

All errors derive from `mertag.errors.MertagError`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from mertag._version import __version__

if TYPE_CHECKING:
    from mertag import errors
    from mertag.batch import tag_library
    from mertag.emotion import SongEmotion
    from mertag.library.tags import write_tags
    from mertag.listen.bundle import load_bundle
    from mertag.listen.source import Source
    from mertag.listen.tagger import Tagger

__all__ = [
    "SongEmotion",
    "Source",
    "Tagger",
    "__version__",
    "errors",
    "load_bundle",
    "tag_library",
    "write_tags",
]

_HOMES = {
    "SongEmotion": "mertag.emotion",
    "Source": "mertag.listen.source",
    "Tagger": "mertag.listen.tagger",
    "load_bundle": "mertag.listen.bundle",
    "tag_library": "mertag.batch",
    "write_tags": "mertag.library.tags",
}


def __getattr__(name: str) -> object:
    """Load a public name from its module, and keep it."""
    if name == "errors":
        return import_module("mertag.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'mertag' has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted({*globals(), *__all__})
