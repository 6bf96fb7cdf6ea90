"""WAV and AIFF: chunks in a row, one of which holds an ID3v2 tag.

Source: Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0" (RIFF,
little-endian); Apple, "Audio Interchange File Format" (IFF, big-endian). A chunk of odd length is followed by
a zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from mertag.library.tags.container import Bare, Fields, MalformedError, Piece, Range, Source, total
from mertag.library.tags.id3_tag import HEADER, Id3Tag, TaggedById3, fresh, parse, tag_length
from mertag.library.tags.older_tags import as_id3_frames, from_info

_CHUNK = 8
_FORM = 12
_LARGEST = 2**32 - 1
_LONGEST_INFO = 2**20
_MOST_CHUNKS = 10_000
_A_FEW = 16
"""By so many bytes the sizes of header and last chunk may be wrong: writers forget headers and pad bytes."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    id: bytes
    start: int
    size: int
    stop: int  # of the pad byte, if there is one


@dataclass(frozen=True, slots=True, kw_only=True)
class IffFile(TaggedById3):
    """A RIFF or IFF file."""

    kind: str  # "WAV" or "AIFF"
    order: Literal["little", "big"]  # byte order of its sizes
    head: bytes  # the first 12 bytes
    chunks: tuple[_Chunk, ...]
    tag: Id3Tag  # the tag, or a new one
    place: _Chunk | None  # where the tag stands: among the chunks, or behind them; None for a new one
    end: int  # where the chunks end
    size: int  # of the file
    bare: Bare | None = None

    def foreign(self) -> Iterator[tuple[str, Piece]]:
        """Yield the frames of others, all other chunks, and what follows the last one."""
        yield from self.tag.foreign()
        yield "file type", self.head[:4] + self.head[8:]
        for chunk in self.chunks:
            if chunk.id.upper() != _TAG and chunk.id not in _AUDIO:
                label = f"chunk {chunk.id.decode('latin-1')!r}"
                yield label, chunk.id
                yield label, Range(chunk.start + _CHUNK, chunk.start + _CHUNK + chunk.size)
        if self.place is not None and self.misplaced:
            yield "bytes after the last chunk", Range(self.end, self.place.start)
            yield "bytes after the last chunk", Range(self.place.stop, self.size)
        else:
            yield "bytes after the last chunk", Range(self.end, self.size)

    def payload(self) -> Iterator[Piece]:
        """Yield the samples, and the format, without which they could be another song's."""
        for chunk in self.chunks:
            if chunk.id in (*_AUDIO, *_FORMAT):
                yield chunk.size.to_bytes(8, "big")
                yield Range(chunk.start + _CHUNK, chunk.start + _CHUNK + chunk.size)

    @property
    def misplaced(self) -> bool:
        """Whether some readers do not see the tag, because it stands behind the declared end."""
        return self.place is not None and self.place.start >= self.end

    def rebuilt(self, fields: Fields) -> list[Piece]:
        """Return the chunks with the tag in its place, or at the end if there was none."""
        return self._laid(self.tag.rendered(fields))

    def without_tag(self) -> list[Piece]:
        """Return the other chunks."""
        return self._laid(b"")

    def _laid(self, content: bytes) -> list[Piece]:
        new = self._chunk(self.place.id if self.place else b"id3 " if self.kind == "WAV" else b"ID3 ", content)
        if self.place is not None and self.misplaced:  # readers that look behind the end take the first tag
            return [Range(0, self.place.start), *new, Range(self.place.stop, self.size)]
        body: list[Piece] = []
        for chunk in self.chunks:
            if chunk == self.place:
                body += new
                continue
            body += [chunk.id + chunk.size.to_bytes(4, self.order), Range(chunk.start + _CHUNK, chunk.stop)]
            if (chunk.stop - chunk.start) % 2:
                body.append(b"\0")  # the last chunk's pad byte, which its writer forgot
        if self.place is None:
            body += new
        length = 4 + total(body)
        if length > _LARGEST:
            raise MalformedError(f"a {self.kind} file cannot be larger than 4 GiB, and the tag does not fit")
        head = self.head[:4] + length.to_bytes(4, self.order) + self.head[8:]
        return [head, *body, Range(self.end, self.size)]

    def _chunk(self, name: bytes, content: bytes) -> list[Piece]:
        if not content:
            return []
        return [name + len(content).to_bytes(4, self.order) + content + b"\0" * (len(content) % 2)]


_AUDIO = (b"data", b"SSND")
_FORMAT = (b"fmt ", b"COMM")
_TAG = b"ID3 "


def read(source: Source) -> IffFile:
    """Read the chunks of a WAV or AIFF file.

    Raises `MalformedError` if a chunk reaches past the end, there is no audio or there are several tags.
    """
    head = source.read(0, _FORM, "its header")
    order: Literal["little", "big"] = "little" if head[:4] == b"RIFF" else "big"
    kind = "WAV" if order == "little" else "AIFF"
    end = _CHUNK + int.from_bytes(head[4:8], order)
    if end > source.size + _A_FEW:
        raise MalformedError(
            f"its {kind} header promises {end} bytes and the file has {source.size}: it is truncated, or was "
            "written to a pipe; re-wrap it first (such as: ffmpeg -i OLD -c copy NEW)"
        )
    chunks = _chunks(source, min(end, source.size), order)
    if sum(chunk.id in _AUDIO for chunk in chunks) != 1:
        raise MalformedError(f"this {kind} file does not have exactly one chunk of audio")
    tags = [chunk for chunk in chunks if chunk.id.upper() == _TAG]
    if len(tags) > 1:
        raise MalformedError(f"this {kind} file has {len(tags)} ID3 tags, and players disagree which one counts")
    behind = list(_behind(source, chunks[-1].stop, order))
    place = next((chunk for chunk in (*tags, *behind) if chunk.id.upper() == _TAG), None)
    infos = [chunk for chunk in (*chunks, *behind) if chunk.id == b"LIST" and kind == "WAV"]
    texts = (from_info(source.peek(chunk.start + _CHUNK, min(chunk.size, _LONGEST_INFO))) for chunk in infos)
    file = IffFile(
        kind=kind,
        order=order,
        head=head,
        chunks=tuple(chunks),
        tag=fresh(as_id3_frames(*texts)),
        place=place,
        end=chunks[-1].stop,
        size=source.size,
    )
    if place is None:
        return file
    content = source.read(place.start + _CHUNK, place.size, "its ID3 tag")
    length = tag_length(content[:HEADER])
    if not 0 < length <= len(content) or content[length:].strip(b"\0"):
        raise MalformedError("its ID3 tag is damaged: it does not fill its chunk")
    return replace(file, tag=parse(content[:length]), bare=Bare(file, file.without_tag()))


def _chunks(source: Source, end: int, order: Literal["little", "big"]) -> list[_Chunk]:
    """Return the chunks up to `end`; the last one may reach a few bytes over it, and over the file's end."""
    chunks: list[_Chunk] = []
    position = _FORM
    while end - position >= _CHUNK:
        if len(chunks) == _MOST_CHUNKS:
            raise MalformedError(f"it has more than {_MOST_CHUNKS} chunks: it is damaged")
        header = source.read(position, _CHUNK, "a chunk header")
        stop = position + _CHUNK + int.from_bytes(header[4:], order)
        if stop > end + _A_FEW or stop > source.size + _A_FEW:
            raise MalformedError(f"its chunk {header[:4].decode('latin-1')!r} reaches past the end: it is truncated")
        stop = min(stop, source.size)
        size = stop - position - _CHUNK
        padded = size % 2 and (stop < end or source.peek(stop, 1) == b"\0")
        chunks.append(_Chunk(header[:4], position, size, stop + bool(padded)))
        position = chunks[-1].stop
    return chunks


def _behind(source: Source, position: int, order: Literal["little", "big"]) -> Iterator[_Chunk]:
    """Yield the chunks that go on behind the declared end: TagLib, for one, reads on there."""
    for _ in range(_MOST_CHUNKS):
        header = source.peek(position, _CHUNK)
        size = int.from_bytes(header[4:], order)
        stop = position + _CHUNK + size
        if len(header) < _CHUNK or stop > source.size or not all(0x20 <= byte < 0x7F for byte in header[:4]):
            return
        stop += int(size % 2 and source.peek(stop, 1) == b"\0")
        yield _Chunk(header[:4], position, size, stop)
        position = stop
