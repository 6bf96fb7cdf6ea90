"""The comment of an ASF file: the description in the Content Description object of its header.

The object holds five lengths of two bytes (title, author, copyright, description, rating) and then the five texts, in
UTF-16, each mostly with a zero at its end. Source: Microsoft, "Advanced Systems Format (ASF) Specification", section
3.10.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from mertag.library.tags.comment import Comment
from mertag.library.tags.container import MalformedError

GUID = UUID("75B22633-668E-11CF-A6D9-00AA0062CE6C").bytes_le
EMPTY = GUID + (24 + 10).to_bytes(8, "little") + bytes(10)
"""The object of a file that says nothing there; as good as none."""

_TEXTS = 24 + 10  # where the texts begin: after GUID, size and lengths
_DESCRIPTION = 3


def mood_in(objects: Sequence[bytes]) -> str | None:
    """Return the mood in the description, if there is one."""
    return next((_comment(item).mood for item in objects if item[:16] == GUID), None)


def without_mood(item: bytes) -> bytes:
    """Return a Content Description object without the mood in it; nothing if it says nothing else."""
    comment = _comment(item)
    bare = item if comment.mood is None else comment.rest or _described(item, b"")
    return b"" if bare == EMPTY else bare


def with_mood(objects: Sequence[bytes], mood: str | None) -> list[bytes]:
    """Return the objects of a header with another mood in the description, or without one.

    Raises `MalformedError` if the description cannot hold it.
    """
    there = next((i for i, item in enumerate(objects) if item[:16] == GUID), len(objects))
    old = EMPTY if there == len(objects) else objects[there]
    new = without_mood(old) if mood is None else _comment(old).with_mood(mood)
    return [*objects[:there], *([new] if new else []), *objects[there + 1 :]]


def _comment(item: bytes) -> Comment:
    """Return the description in an object; in one that does not add up it cannot be changed."""
    lengths = _lengths(item)
    if _TEXTS + sum(lengths) > len(item):
        return Comment(text=b"", codec=None, around=bytes)
    start = _TEXTS + sum(lengths[:_DESCRIPTION])
    text = item[start : start + lengths[_DESCRIPTION]]
    end = next((i for i in range(0, len(text) - 1, 2) if text[i : i + 2] == bytes(2)), len(text))
    tail = text[end:] if text else bytes(2)
    return Comment(text=text[:end], codec="utf-16-le", around=lambda new: _described(item, new + tail), is_new=not text)


def _lengths(item: bytes) -> list[int]:
    return [int.from_bytes(item[i : i + 2], "little") for i in range(24, _TEXTS, 2)]


def _described(item: bytes, description: bytes) -> bytes:
    """Return an object with another description, its zero included."""
    lengths = _lengths(item)
    start = _TEXTS + sum(lengths[:_DESCRIPTION])
    texts = item[_TEXTS:start] + description + item[start + lengths[_DESCRIPTION] :]
    if len(description) >= 2**16:
        raise MalformedError("its comment is full: an ASF description cannot be longer than 64 KiB")
    lengths[_DESCRIPTION] = len(description)
    head = b"".join(length.to_bytes(2, "little") for length in lengths)
    return GUID + (_TEXTS + len(texts)).to_bytes(8, "little") + head + texts
