"""What every container family offers: its fields, what is foreign, the audio, and the new file.

A family module reads a file into a `Container`. To write, it never edits: it answers with `Piece` s, new
bytes and ranges of the old file, that laid end to end are the new file. What is foreign is thereby carried
over as bytes, not parsed and printed again, and the result can be compared with the original without knowing the
format: by the digests of the audio and of what is foreign. What counts as the audio, by container:

================  ===================================================================================
MP3, AAC, TTA     frames between the ID3v2 tag and the tags behind them
FLAC              everything after the metadata
Ogg               all pages behind the headers, a shared one from the audio on; of the stream's own, no
                  numbers and checksums
MP4               the content of every ``mdat``; the chunk offsets, relative to it, count as foreign
WAV, AIFF         the content of ``data`` or ``SSND``, and the format (``fmt`` or ``COMM``)
DSF               the format and the data chunk
APEv2             everything before the tag
ASF               everything after the header
================  ===================================================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mertag.formats import ByteSource
from mertag.library.tags.options import COMMENT

if TYPE_CHECKING:
    from mertag.library.tags.comment import Comment

Fields = Mapping[str, tuple[str, ...]]
"""Values by field name, such as ``{"MOOD": ("Happy",)}``. A name that is absent has no values."""

MAX_TAG_BYTES = 128 * 2**20
"""The largest tag that is read into memory. Larger ones are refused: no cover art is that large."""

_INLINE_BYTES = 64


class MalformedError(Exception):
    """The file is not what its container's specification allows; the message is a reason for its owner."""


class NoTagFormatError(Exception):
    """A kind of file in which mertag writes no tags; the message is a reason for its owner."""


@dataclass(frozen=True, slots=True)
class Range:
    """The bytes ``start <= i < stop`` of the original file."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


Piece = bytes | Range


@dataclass(frozen=True, slots=True)
class Entry:
    """One frame, comment, atom, descriptor or item of a tag."""

    key: str | None  # the name of the field that it holds; None for everything that is not ours to touch
    values: tuple[str, ...]  # its values; empty for foreign entries, which are not decoded
    raw: bytes  # the entry as it stands in the file
    comment: Comment | None = None  # how it is edited, if it is the comment into which a mood can be put
    rest: bytes = b""  # of a comment with a mood: the entry without that; empty if it says nothing else

    @property
    def foreign(self) -> bytes:
        """What of it must stay; empty if nothing."""
        return self.raw if self.key is None else self.rest


class Source(ByteSource):
    """A file open for reading, whose reads may also insist on what they read."""

    def read(self, start: int, length: int, what: str) -> bytes:
        """Return exactly `length` bytes from `start`.

        Raises `MalformedError` if the file ends before, or `length` is beyond `MAX_TAG_BYTES`.
        """
        if length > MAX_TAG_BYTES:
            raise MalformedError(f"{what} is {length} bytes long, more than mertag handles ({MAX_TAG_BYTES})")
        data = self.peek(start, length) if start >= 0 and length >= 0 else b""
        if len(data) != length or length < 0:
            raise MalformedError(f"the file ends inside {what}: it is truncated or damaged")
        return data

    def chunks(self, part: Range, size: int = 2**20) -> Iterator[bytes]:
        """Yield the bytes of `part`, at most `size` at a time."""
        position = part.start
        while position < part.stop:
            yield self.read(position, min(size, part.stop - position), "the file")
            position += min(size, part.stop - position)


@dataclass(frozen=True, slots=True)
class Bare:
    """A file without the tag that mertag writes in: what it then says, by its older tags, and its bytes."""

    container: Container
    pieces: Sequence[Piece]


class Container(Protocol):
    """A file of one family, read but not changed."""

    @property
    def bare(self) -> Bare | None:
        """The file without its tag; None if it has none, or none of its readers looks for another then."""

    @property
    def name(self) -> str:
        """The name that is shown, such as ``"MP3 (ID3v2.3)"``."""

    @property
    def fields(self) -> Fields:
        """The fields we concern ourselves with, as they stand in the file."""

    def foreign(self) -> Iterator[tuple[str, Piece]]:
        """Yield what must stay, each part with a name for error messages."""

    def payload(self) -> Iterator[Piece]:
        """Yield the audio, in parts whose concatenation does not depend on where in the file they lie."""

    def rebuilt(self, fields: Fields) -> list[Piece]:
        """Return the new file, in which the fields are `fields` and all else is as it was.

        Raises `MalformedError` if the new file cannot be expressed in this container.
        """


def without_tag(container: Container) -> Bare | None:
    """Return the file without its tag if nothing of others is in the tag but what older tags say all the same."""
    bare = container.bare
    return bare if bare is not None and list(bare.container.foreign()) == list(container.foreign()) else None


def collect(entries: Iterable[Entry]) -> dict[str, tuple[str, ...]]:
    """Return the fields of `entries`: the values of entries with the same key joined, each value once."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        if entry.key is not None:
            found[entry.key] = tuple(dict.fromkeys((*found.get(entry.key, ()), *entry.values)))
    return {key: values for key, values in found.items() if values}


def splice(
    entries: Sequence[Entry],
    fields: Fields,
    encode: Callable[[str, tuple[str, ...]], list[bytes]],
    finish: Callable[[bytes], bytes] = bytes,
) -> list[bytes]:
    """Return the raw entries of a tag in which the fields are `fields`.

    Entries that are foreign, or whose field does not change, stay as they are and where they are; what is new
    comes last. A field that is absent is taken out. `encode` turns a name and values into raw entries of the container.
    A mood in a comment is put into the comment that is there; `finish` is what becomes of the entry then.
    """
    old = collect(entries)
    same = {key for key in (*old, *fields) if old.get(key) == (fields.get(key) or None)}
    kept: list[bytes] = []
    for entry in entries:
        if entry.comment is not None and COMMENT not in same and (entry.key or fields.get(COMMENT)):
            edited = entry.comment.with_mood(fields[COMMENT][0] if fields.get(COMMENT) else None)
            kept += [finish(edited)] if edited else []
            same.add(COMMENT)
        elif entry.key is None or entry.key in same:
            kept.append(entry.raw)
    for key, values in fields.items():
        if key not in same and values:
            kept += encode(key, values)
    return kept


def total(pieces: Iterable[Piece]) -> int:
    """Return how many bytes `pieces` are."""
    return sum(len(piece) for piece in pieces)


def payload_digest(source: Source, container: Container) -> str:
    """Return the BLAKE2b digest of the audio, in hexadecimal."""
    digest = hashlib.blake2b(digest_size=32)
    for piece in container.payload():
        _update(digest, source, piece)
    return digest.hexdigest()


def foreign_digests(source: Source, container: Container) -> list[tuple[str, bytes]]:
    """Return what must stay, part by part: its name, and its bytes or, if they are many, their digest."""
    found: list[tuple[str, bytes]] = []
    for name, piece in container.foreign():
        if len(piece) == 0:
            continue
        if isinstance(piece, bytes) and len(piece) <= _INLINE_BYTES:
            found.append((name, piece))
            continue
        digest = hashlib.blake2b(digest_size=32)
        _update(digest, source, piece)
        found.append((name, len(piece).to_bytes(8, "big") + digest.digest()))
    return found


def _update(digest: hashlib.blake2b, source: Source, piece: Piece) -> None:
    if isinstance(piece, bytes):
        digest.update(piece)
    else:
        for chunk in source.chunks(piece):
            digest.update(chunk)
