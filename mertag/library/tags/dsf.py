"""DSF, the DSD stream file: the ID3v2 tag stands at the end, and the header points to it.

Source: Sony, "DSF File Format Specification 1.01".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mertag.library.tags.container import Bare, Fields, MalformedError, Piece, Range, Source
from mertag.library.tags.id3_tag import HEADER, Id3Tag, TaggedById3, fresh, parse, tag_length

_HEADER = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class DsfFile(TaggedById3):
    """A DSF file: its tag, and where the audio stands."""

    tag: Id3Tag
    audio: Range
    kind: str = "DSF"
    bare: Bare | None = None

    def foreign(self) -> Iterator[tuple[str, Piece]]:
        """Yield the frames of others."""
        yield from self.tag.foreign()

    def payload(self) -> Iterator[Piece]:
        """Yield the format and the data chunk."""
        yield self.audio

    def rebuilt(self, fields: Fields) -> list[Piece]:
        """Return the header with the new sizes, the audio, and the tag."""
        tag = self.tag.rendered(fields)
        return [_head(self.audio.stop + len(tag), self.audio.stop), self.audio, tag]


def _head(size: int, pointer: int) -> bytes:
    return b"DSD " + b"".join(n.to_bytes(8, "little") for n in (_HEADER, size, pointer))


def read(source: Source) -> DsfFile:
    """Read the header and the tag of a DSF file; raise `MalformedError` if the header does not fit the file."""
    head = source.read(0, _HEADER, "its header")
    length, size, pointer = (int.from_bytes(head[i : i + 8], "little") for i in (4, 12, 20))
    if length != _HEADER or size != source.size:
        raise MalformedError(f"its DSF header promises {size} bytes and the file has {source.size}: it is damaged")
    if not pointer:
        return DsfFile(tag=fresh(), audio=Range(_HEADER, size))
    if not _HEADER < pointer < size:
        raise MalformedError("its DSF header points to a tag outside the file: it is damaged")
    content = source.read(pointer, size - pointer, "its ID3 tag")
    length = tag_length(content[:HEADER])
    if not 0 < length <= len(content) or content[length:].strip(b"\0"):
        raise MalformedError("its DSF header does not point to an ID3 tag that ends the file: it is damaged")
    audio = Range(_HEADER, pointer)
    bare = Bare(DsfFile(tag=fresh(), audio=audio), (_head(pointer, 0), audio))
    return DsfFile(tag=parse(content[:length]), audio=audio, bare=bare)
