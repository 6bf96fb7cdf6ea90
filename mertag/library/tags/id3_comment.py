"""The comment of an ID3v2 tag that players show: the first COMM frame (COM in 2.2) without a description.

Its content is an encoding, a language of three letters, a description, and the text. A frame keeps its language, its
encoding, its byte order mark and its unsynchronisation. One that is compressed, encrypted or grouped is not changed.
Source: id3.org, ID3v2.4.0-frames, section 4.10.
"""

from __future__ import annotations

from collections.abc import Callable

from mertag.library.tags.comment import Comment, in_brackets
from mertag.library.tags.id3_bytes import syncsafe, unsynchronise

_CODECS = {0: "latin-1", 1: "utf-16-le", 2: "utf-16-be", 3: "utf-8"}
_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_HEAD = 4  # encoding and language
_UNSYNCHRONISED, _LENGTH = 2, 1  # flags of 2.4


def read(frame: bytes, version: int, framed: Callable[[bytes, bytes], bytes]) -> Comment | None:
    """Return the comment in a frame; None if it has a description, or is none.

    `framed` makes a frame of a header, of which it takes the name and the flags, and a content.
    """
    header = 6 if version == 2 else 10
    flags = 0 if version == 2 else frame[9]
    content = frame[header:]
    known = _UNSYNCHRONISED | _LENGTH if version == 4 else 0
    if flags & ~known:
        return Comment(text=b"", codec=None, around=bytes)
    if flags & _LENGTH:
        content = content[4:]
    if flags & _UNSYNCHRONISED:
        content = content.replace(b"\xff\x00", b"\xff")
    split = _split(content)
    if split is None:
        return None
    start, stop, codec = split

    def around(text: bytes) -> bytes:
        new = content[:start] + text + content[stop:]
        length = syncsafe(len(new)) if flags & _LENGTH else b""
        return framed(frame[:header], length + (unsynchronise(new) if flags & _UNSYNCHRONISED else new))

    return Comment(text=content[start:stop], codec=codec, around=around)


def content_with(mood: str, version: int) -> bytes:
    """Return the content of a new frame, as short as it can be."""
    text = in_brackets(mood)
    try:
        return b"\x00eng\x00" + text.encode("latin-1")
    except UnicodeEncodeError:
        if version == 4:
            return b"\x03eng\x00" + text.encode("utf-8")
        return b"\x01eng\xff\xfe\x00\x00\xff\xfe" + text.encode("utf-16-le")


def _split(content: bytes) -> tuple[int, int, str] | None:
    """Return where the text begins and ends, and its encoding; None if there is a description, or no text frame."""
    if len(content) < _HEAD + 1 or content[0] not in _CODECS:
        return None
    codec, wide = _CODECS[content[0]], content[0] in (1, 2)
    position = _HEAD
    if content[0] == 1 and content[position : position + 2] in _MARKS:
        codec = _MARKS[content[position : position + 2]]
        position += 2
    end = b"\0\0" if wide else b"\0"
    if content[position : position + len(end)] != end:
        return None
    position += len(end)
    if content[0] == 1 and content[position : position + 2] in _MARKS:
        codec = _MARKS[content[position : position + 2]]
        position += 2
    stop = position
    while stop + len(end) <= len(content) and content[stop : stop + len(end)] != end:
        stop += len(end)
    return position, stop if content[stop : stop + len(end)] == end else len(content), codec
