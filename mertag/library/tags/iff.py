"""WAV and AIFF: chunks in a row, one of which holds an ID3v2 tag.

Source: Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0" (RIFF,
little-endian); Apple, "Audio Interchange File Format" (IFF, big-endian). A chunk of odd length is followed by
a zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from mertag.library.tags.container import Fields, MalformedError, Piece, Range, Source, total
from mertag.library.tags.id3_tag import HEADER, Id3Tag, TaggedById3, fresh, parse, tag_length
from mertag.library.tags.older_tags import as_id3_frames, from_info

_CHUNK = 8
_FORM = 12
_LARGEST = 2**32 - 1
_LONGEST_INFO = 2**20
_MOST_CHUNKS = 10_000


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
    end: int  # where the chunks end
    size: int  # of the file

    def foreign(self) -> Iterator[tuple[str, Piece]]:
        """Yield the frames of others, all other chunks, and what follows the last one."""
        yield from self.tag.foreign()
        yield "file type", self.head[:4] + self.head[8:]
        for chunk in self.chunks:
            if chunk.id.upper() != _TAG and chunk.id not in _AUDIO:
                label = f"chunk {chunk.id.decode('latin-1')!r}"
                yield label, chunk.id
                yield label, Range(chunk.start + _CHUNK, chunk.start + _CHUNK + chunk.size)
        yield "bytes after the last chunk", Range(self.end, self.size)

    def payload(self) -> Iterator[Piece]:
        """Yield the samples, and the format, without which they could be another song's."""
        for chunk in self.chunks:
            if chunk.id in (*_AUDIO, *_FORMAT):
                yield chunk.size.to_bytes(8, "big")
                yield Range(chunk.start + _CHUNK, chunk.start + _CHUNK + chunk.size)

    def rebuilt(self, fields: Fields) -> list[Piece]:
        """Return the chunks with the tag in its place, or at the end if there was none."""
        content = self.tag.rendered(fields)
        new_id = b"id3 " if self.kind == "WAV" else b"ID3 "
        body: list[Piece] = []
        placed = False
        for chunk in self.chunks:
            if chunk.id.upper() == _TAG:
                body += self._chunk(chunk.id, content)
                placed = True
                continue
            body.append(Range(chunk.start, chunk.stop))
            if (chunk.stop - chunk.start) % 2:
                body.append(b"\0")  # the last chunk's pad byte, which its writer forgot
        if not placed:
            body += self._chunk(new_id, content)
        length = 4 + total(body)
        if length > _LARGEST:
            raise MalformedError(f"a {self.kind} file cannot be larger than 4 GiB, and the tag does not fit")
        head = self.head[:4] + length.to_bytes(4, self.order) + self.head[8:]
        return [head, *body, Range(self.end, self.size)]

    def _chunk(self, name: bytes, content: bytes) -> list[Piece]:
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
    if end > source.size + 1:  # one pad byte may be missing
        raise MalformedError(
            f"its {kind} header promises {end} bytes and the file has {source.size}: it is truncated, or was "
            "written to a pipe; re-wrap it first (such as: ffmpeg -i OLD -c copy NEW)"
        )
    end = min(end, source.size)
    chunks = _chunks(source, end, order)
    if sum(chunk.id in _AUDIO for chunk in chunks) != 1:
        raise MalformedError(f"this {kind} file does not have exactly one chunk of audio")
    tags = [chunk for chunk in chunks if chunk.id.upper() == _TAG]
    if len(tags) > 1:
        raise MalformedError(f"this {kind} file has {len(tags)} ID3 tags, and players disagree which one counts")
    if tags:
        content = source.read(tags[0].start + _CHUNK, tags[0].size, "its ID3 tag")
        length = tag_length(content[:HEADER])
        if not 0 < length <= len(content) or content[length:].strip(b"\0"):
            raise MalformedError("its ID3 tag is damaged: it does not fill its chunk")
        tag = parse(content[:length])
    else:
        lists = [
            source.peek(c.start + _CHUNK, min(c.size, _LONGEST_INFO))
            for c in chunks
            if c.id == b"LIST" and kind == "WAV"
        ]
        tag = fresh(as_id3_frames(*map(from_info, lists)))
    return IffFile(
        kind=kind, order=order, head=head, chunks=tuple(chunks), tag=tag, end=chunks[-1].stop, size=source.size
    )


def _chunks(source: Source, end: int, order: Literal["little", "big"]) -> list[_Chunk]:
    chunks: list[_Chunk] = []
    position = _FORM
    while end - position >= _CHUNK:
        if len(chunks) == _MOST_CHUNKS:
            raise MalformedError(f"it has more than {_MOST_CHUNKS} chunks: it is damaged")
        header = source.read(position, _CHUNK, "a chunk header")
        size = int.from_bytes(header[4:], order)
        stop = position + _CHUNK + size
        if stop > end:
            raise MalformedError(f"its chunk {header[:4].decode('latin-1')!r} reaches past the end: it is truncated")
        stop = min(stop + size % 2, end)
        chunks.append(_Chunk(header[:4], position, size, stop))
        position = stop
    return chunks
