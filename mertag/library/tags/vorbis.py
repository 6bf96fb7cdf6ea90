"""Vorbis comments, the tag of FLAC and of all in Ogg: read, and put together around the raw foreign ones.

Source: xiph.org, "Ogg Vorbis I format specification: comment field and header specification". All numbers are
32 bits, little-endian; names are ASCII and case does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

from mertag.library.tags.comment import Comment, in_brackets, located
from mertag.library.tags.container import Entry, Fields, MalformedError, collect, splice
from mertag.library.tags.options import COMMENT, KEYS


@dataclass(frozen=True, slots=True, kw_only=True)
class VorbisComment:
    """A comment block."""

    vendor: bytes = b"mertag"  # who encoded the file
    entries: tuple[Entry, ...] = ()  # the comments, each with its length in front
    tail: bytes = b""  # what follows the comments: a framing bit, padding, or bytes that an encoder wants kept

    @property
    def fields(self) -> Fields:
        """The fields that are ours to touch."""
        return collect(self.entries)

    def foreign(self) -> list[tuple[str, bytes]]:
        """Return what must stay, each part with a name."""
        parts = [("vendor string", self.vendor), ("bytes after the comments", self.tail)]
        foreign = (entry.foreign for entry in self.entries if entry.foreign)
        return parts + [(f"comment {raw[4:40].split(b'=')[0].decode('utf-8', 'replace')}", raw) for raw in foreign]

    def rendered(self, fields: Fields) -> bytes:
        """Return the block with `fields`, without `tail`."""
        entries = splice(self.entries, fields, _encode)
        head = len(self.vendor).to_bytes(4, "little") + self.vendor
        return head + len(entries).to_bytes(4, "little") + b"".join(entries)


def parse(data: bytes) -> VorbisComment:
    """Return the comment block that `data` begins with.

    Raises `MalformedError` if a length reaches past the end of the block.
    """
    vendor, position = _string(data, 0)
    count = _number(data, position)
    position += 4
    if count > (len(data) - position) // 4:
        raise MalformedError(f"its Vorbis comment is damaged: it cannot hold {count} comments")
    entries = []
    for _ in range(count):
        text, after = _string(data, position)
        entries.append(_entry(text, data[position:after]))
        position = after
    return VorbisComment(vendor=vendor, entries=located(entries), tail=data[position:])


def entry_of(text: bytes) -> Entry:
    """Return a comment, ``NAME=value``, as an entry that is not in the file yet."""
    return _entry(text, _raw(text))


def _entry(text: bytes, raw: bytes) -> Entry:
    name, equals, value = text.partition(b"=")
    key = name.decode("ascii", "replace").upper()
    if equals and key in KEYS:
        return Entry(key, (value.decode("utf-8", "replace"),), raw)
    if equals and key == COMMENT:
        return Entry(None, (), raw, Comment(text=value, codec="utf-8", around=lambda new: _raw(name + equals + new)))
    return Entry(None, (), raw)


def _encode(key: str, values: tuple[str, ...]) -> list[bytes]:
    texts = map(in_brackets, values) if key == COMMENT else values
    return [_raw(f"{key}={text}".encode()) for text in texts]


def _raw(text: bytes) -> bytes:
    return len(text).to_bytes(4, "little") + text


def _number(data: bytes, position: int) -> int:
    if position + 4 > len(data):
        raise MalformedError("its Vorbis comment is damaged: it is cut off")
    return int.from_bytes(data[position : position + 4], "little")


def _string(data: bytes, position: int) -> tuple[bytes, int]:
    start = position + 4
    stop = start + _number(data, position)
    if stop > len(data):
        raise MalformedError("its Vorbis comment is damaged: a comment is longer than the block")
    return data[start:stop], stop
