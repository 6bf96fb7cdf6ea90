"""APEv2 tags, at the end of WavPack, Monkey's Audio, Musepack, TAK and OptimFROG files.

The items of others stay as they are, and so do an ID3v1 tag behind the APEv2 tag and an ID3v2 tag at the head. A new
APEv2 tag repeats what these say, see `mertag.library.tags.older_tags`.
Source: the Hydrogenaudio knowledge base, "APEv2 specification", "APE Tags Header", "APE Tag Item".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mertag.formats import id3v1
from mertag.library.tags.comment import Comment, in_brackets, located
from mertag.library.tags.container import (
    MAX_TAG_BYTES,
    Bare,
    Entry,
    Fields,
    MalformedError,
    Piece,
    Range,
    Source,
    collect,
    splice,
)
from mertag.library.tags.id3_tag import HEADER, tag_length
from mertag.library.tags.older_tags import Texts, as_ape_items, from_id3, from_id3v1, genre_names, longer
from mertag.library.tags.options import COMMENT, KEYS, MOOD

_MAGIC = b"APETAGEX"
_FOOTER = 32
_HAS_HEADER, _IS_HEADER = 1 << 31, 1 << 29
_V1, _V2 = 1000, 2000
_MOST_ITEMS = 10_000


def has_ape_tag(source: Source) -> bool:
    """Return whether an APE tag ends the file, or stands before an ID3v1 tag that does."""
    stop = source.size - len(id3v1(source))
    return stop >= _FOOTER and source.peek(stop - _FOOTER, 8) == _MAGIC


@dataclass(frozen=True, slots=True, kw_only=True)
class ApeFile:
    """A file with an APE tag, or without one yet, at its end."""

    kind: str  # such as "WavPack"
    version: int  # 1000 or 2000
    flags: int  # as in the footer
    entries: tuple[Entry, ...]
    audio: Range  # everything before the tag
    stop: int  # where the tag ends
    size: int  # of the file
    bare: Bare | None = None

    @property
    def name(self) -> str:
        """Such as ``"WavPack (APEv2)"``."""
        return f"{self.kind} (APEv{self.version // 1000})"

    @property
    def fields(self) -> Fields:
        """The fields of the tag."""
        return collect(self.entries)

    def foreign(self) -> Iterator[tuple[str, Piece]]:
        """Yield the items of others, and what stands behind the tag."""
        yield "APE tag version", self.version.to_bytes(4, "little") + self.flags.to_bytes(4, "little")
        for entry in self.entries:
            if entry.foreign:
                yield f"item {entry.raw[8:40].split(bytes(1))[0].decode('latin-1')}", entry.foreign
        yield "ID3v1 tag", Range(self.stop, self.size)

    def payload(self) -> Iterator[Piece]:
        """Yield everything before the tag."""
        yield self.audio

    def rebuilt(self, fields: Fields) -> list[Piece]:
        """Return the audio, the new tag, and what stands behind it."""
        items = splice(self.entries, fields, _encode)
        body = b"".join(items)

        def frame(flags: int) -> bytes:
            numbers = (self.version, len(body) + _FOOTER, len(items), flags)
            return _MAGIC + b"".join(n.to_bytes(4, "little") for n in numbers) + bytes(8)

        header = frame(self.flags | _IS_HEADER) if self.flags & _HAS_HEADER else b""
        return [self.audio, header + body + frame(self.flags), Range(self.stop, self.size)]


def read(source: Source, kind: str) -> ApeFile:
    """Read the tag at the end of a file; raise `MalformedError` if the tag is damaged."""
    v1 = id3v1(source)
    stop = source.size - len(v1)
    older = as_ape_items(_older(source, v1))
    file = ApeFile(
        kind=kind,
        version=_V2,
        flags=_HAS_HEADER,
        entries=located([_entry(item, 0) for item in older]),
        audio=Range(0, stop),
        stop=stop,
        size=source.size,
    )
    foot = source.peek(stop - _FOOTER, _FOOTER) if stop >= _FOOTER else b""
    if foot[:8] != _MAGIC:
        return file
    version, length, count, flags = (int.from_bytes(foot[i : i + 4], "little") for i in (8, 12, 16, 20))
    start = stop - length
    if version not in (_V1, _V2) or not _FOOTER <= length <= stop or flags & _IS_HEADER:
        raise MalformedError("its APE tag is damaged: the footer makes no sense")
    if version == _V1:
        flags = 0  # APEv1 has neither flags nor a header
    body = source.read(start, length - _FOOTER, "its APE tag")
    if flags & _HAS_HEADER:
        start -= _FOOTER
        if start < 0 or source.peek(start, 8) != _MAGIC:
            raise MalformedError("its APE tag is damaged: the header is missing")
    if count > _MOST_ITEMS:
        raise MalformedError(f"its APE tag is damaged: it cannot hold {count} items")
    entries: list[Entry] = []
    position = 0
    for _ in range(count):
        entry = _entry(body, position)
        entries.append(entry)
        position += len(entry.raw)
    if position != len(body):
        raise MalformedError("its APE tag is damaged: there are bytes after the last item")
    return replace(
        file,
        version=version,
        flags=flags,
        entries=located(entries),
        audio=Range(0, start),
        bare=Bare(file, (Range(0, start), Range(stop, source.size))),
    )


def _older(source: Source, v1: bytes) -> Texts:
    """Return what ID3 tags say: ID3v1, which TagLib shows, and of ID3v2, which FFmpeg shows, what it leaves out."""
    length = tag_length(source.peek(0, HEADER))
    front = source.peek(0, length) if length <= MAX_TAG_BYTES else b""
    return genre_names(longer(from_id3v1(v1), from_id3(front, b"")))


def _entry(body: bytes, position: int) -> Entry:
    size = int.from_bytes(body[position : position + 4], "little")
    nul = body.find(b"\0", position + 8, position + 8 + 256)
    stop = nul + 1 + size
    if nul < 0 or stop > len(body):
        raise MalformedError("its APE tag is damaged: an item is longer than the tag")
    raw = body[position:stop]
    key = body[position + 8 : nul].decode("latin-1").upper()
    if key == COMMENT:
        first, *more = raw[nul + 1 - position :].split(b"\0", 1)
        head, tail = raw[4 : nul + 1 - position], b"".join(b"\0" + text for text in more)
        codec = None if raw[4] & 6 else "utf-8"  # else binary, or a link
        return Entry(None, (), raw, Comment(text=first, codec=codec, around=lambda new: _item(head, new + tail)))
    if key not in KEYS:
        return Entry(None, (), raw)
    return Entry(key, tuple(body[nul + 1 : stop].decode("utf-8", "replace").split("\0")), raw)


def _encode(key: str, values: tuple[str, ...]) -> list[bytes]:
    name = key.title() if key in (MOOD, COMMENT) else key
    texts = map(in_brackets, values) if key == COMMENT else values
    return [_item(bytes(4) + name.encode() + b"\0", "\0".join(texts).encode())]


def _item(head: bytes, value: bytes) -> bytes:
    """Return an item; `head` is its flags and its name with the zero behind it."""
    return len(value).to_bytes(4, "little") + head + value
