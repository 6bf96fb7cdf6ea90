"""FLAC: metadata blocks, one of which is a Vorbis comment, and then the frames.

All other blocks (pictures, cue sheets, applications, seek tables) stay as they are, and so does an ID3v2 tag
in front. Source: RFC 9639, sections 8 and 9.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mertag.formats import id3v1
from mertag.library.tags.comment import located
from mertag.library.tags.container import MAX_TAG_BYTES, Bare, Fields, MalformedError, Piece, Range, Source
from mertag.library.tags.id3_tag import HEADER, tag_length
from mertag.library.tags.older_tags import as_comments, from_id3, genre_names
from mertag.library.tags.vorbis import VorbisComment, entry_of, parse

PADDING = 4096
"""Bytes of padding in metadata that have to grow."""

_STREAMINFO, _PADDING, _COMMENT = 0, 1, 4
_LARGEST = 2**24 - 1
_MOST_BLOCKS = 10_000


@dataclass(frozen=True, slots=True)
class _Block:
    kind: int
    body: Range


@dataclass(frozen=True, slots=True, kw_only=True)
class FlacFile:
    """A FLAC file."""

    prefix: Range  # an ID3v2 tag in front of the stream, mostly empty
    blocks: tuple[_Block, ...]
    comment: VorbisComment  # the content of the comment block
    audio: Range  # the frames, and whatever follows them
    name: str = "FLAC"
    bare: Bare | None = None

    @property
    def fields(self) -> Fields:
        """The fields of the Vorbis comment."""
        return self.comment.fields

    def foreign(self) -> Iterator[tuple[str, Piece]]:
        """Yield the comments of others, and all blocks but padding."""
        yield from self.comment.foreign()
        yield "ID3 tag in front", self.prefix
        for block in self.blocks:
            if block.kind not in (_PADDING, _COMMENT):
                label = f"metadata block of type {block.kind}"
                yield label, bytes((block.kind,))
                yield label, block.body

    def payload(self) -> Iterator[Piece]:
        """Yield the frames."""
        yield self.audio

    def rebuilt(self, fields: Fields) -> list[Piece]:
        """Return the file; if there is padding enough, the metadata stay as long as they are."""
        content = self.comment.rendered(fields) + self.comment.tail
        blocks: list[tuple[int, Piece]] = [
            (block.kind, content if block.kind == _COMMENT else block.body) for block in self.blocks
        ]
        if not any(kind == _COMMENT for kind, _ in blocks):
            blocks.insert(1, (_COMMENT, content))
        if len(content) > _LARGEST:
            raise MalformedError("its Vorbis comment is full: a FLAC block cannot be larger than 16 MiB")
        blocks = self._padded(blocks)
        pieces: list[Piece] = [self.prefix, b"fLaC"]
        for i, (kind, body) in enumerate(blocks):
            last = 0x80 if i == len(blocks) - 1 else 0
            pieces += [bytes((last | kind,)) + len(body).to_bytes(3, "big"), body]
        return [*pieces, self.audio]

    def _padded(self, blocks: list[tuple[int, Piece]]) -> list[tuple[int, Piece]]:
        """Return `blocks` with the largest padding block resized such that the audio stays where it is."""
        grown = sum(4 + len(body) for _, body in blocks) - sum(4 + len(block.body) for block in self.blocks)
        if not grown:
            return blocks
        paddings = [i for i, (kind, _) in enumerate(blocks) if kind == _PADDING]
        if paddings:
            widest = max(paddings, key=lambda i: len(blocks[i][1]))
            room = len(blocks[widest][1]) - grown
            blocks[widest] = (_PADDING, bytes(room if 0 <= room <= _LARGEST else PADDING))
        else:
            blocks.append((_PADDING, bytes(-grown - 4 if grown <= -4 else PADDING)))
        return blocks


def read(source: Source) -> FlacFile:
    """Read the metadata of a FLAC file; raise `MalformedError` if the blocks do not lead to the first frame."""
    start = tag_length(source.peek(0, HEADER))
    if source.peek(start, 4) != b"fLaC":
        raise MalformedError("it has several ID3 tags before the FLAC stream; remove them first")
    position, last = start + 4, False
    blocks: list[_Block] = []
    while not last:
        header = source.read(position, 4, "its FLAC metadata")
        last, kind, size = bool(header[0] & 0x80), header[0] & 0x7F, int.from_bytes(header[1:], "big")
        body = Range(position + 4, position + 4 + size)
        if body.stop > source.size or len(blocks) == _MOST_BLOCKS:
            raise MalformedError(f"its FLAC metadata are damaged: block {len(blocks)} reaches past the end")
        blocks.append(_Block(kind, body))
        position = body.stop
    if blocks[0].kind != _STREAMINFO or len(blocks[0].body) != 34:
        raise MalformedError("its FLAC metadata are damaged: they do not begin with the stream's properties")
    sync = source.peek(position, 2)
    if len(sync) < 2 or sync[0] != 0xFF or sync[1] & 0xFE != 0xF8:
        raise MalformedError("its FLAC metadata are damaged: no audio frame follows them where it should")
    comments = [block for block in blocks if block.kind == _COMMENT]
    if len(comments) > 1:
        raise MalformedError(f"it has {len(comments)} Vorbis comments; FLAC allows one")
    comment = VorbisComment()
    for block in comments:
        comment = parse(source.read(block.body.start, len(block.body), "its Vorbis comment"))
    file = FlacFile(prefix=Range(0, start), blocks=tuple(blocks), comment=comment, audio=Range(position, source.size))
    texts = genre_names(from_id3(source.peek(0, min(start, MAX_TAG_BYTES)), id3v1(source)))
    older = located(tuple(map(entry_of, as_comments(texts))))  # what ID3 tags say, which a comment hides
    without = replace(file, comment=replace(comment, entries=older))
    if not comment.entries or not older:
        return file if comment.entries else without
    untagged = replace(file, comment=replace(comment, entries=()))
    return replace(file, bare=Bare(without, untagged.rebuilt({})))
