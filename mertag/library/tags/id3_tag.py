"""An ID3v2 tag as bytes: read, and put together again around the raw frames of others.

The version stays what it is, and so do the foreign frames, byte for byte: compressed, encrypted or grouped
ones are carried over unread. Padding is used when the new frames fit, so that the audio need not move.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from mertag.formats import from_syncsafe, id3v2_length
from mertag.library.tags.comment import located
from mertag.library.tags.container import Entry, Fields, MalformedError, collect, splice
from mertag.library.tags.id3_bytes import Unsynchronised, syncsafe, unsynchronise
from mertag.library.tags.id3_frames import Frame, costly, encode, entry, refuse_bomb, walk

HEADER = 10
PADDING = 1024
"""Bytes of padding in a tag that has to grow: room for what the next tagger adds."""

BEHIND = "tag behind the audio"
"""How ID3v1, APE and other tags at the end of a file are called."""

_UNSYNCHRONISED, _EXTENDED, _FOOTER = 0x80, 0x40, 0x10
_KNOWN_FLAGS = {2: 0x80, 3: 0xE0, 4: 0xF0}
_LARGEST = 2**28 - 1


def tag_length(head: bytes) -> int:
    """Return the length of the tag that begins with the 10 bytes `head`; 0 if it is none. Raises `MalformedError`."""
    try:
        return id3v2_length(head)
    except ValueError as error:
        raise MalformedError(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Id3Tag:
    """An ID3v2 tag."""

    version: int = 4  # 2, 3 or 4: the second number of ID3v2.x
    revision: int = 0  # this and the flags: as in the header
    flags: int = 0
    extended: bytes = b""  # the extended header, not unsynchronised; empty if there is none
    entries: tuple[Entry, ...] = ()  # the frames, as they stand in the file
    frames: tuple[bytes, ...] = ()  # the foreign frames, not unsynchronised: what must be equal after a write
    tail: bytes = b""  # text that some program put into the padding, not to be taken for frames
    plain_sizes: bool = False  # whether it is a 2.4 tag with the plain frame sizes of old iTunes
    length: int = 0  # bytes on disk, header and footer included; 0 for a tag that is not on disk yet

    @property
    def name(self) -> str:
        """Such as ``"ID3v2.3"``."""
        return f"ID3v2.{self.version}"

    @property
    def fields(self) -> Fields:
        """The fields that are ours to touch."""
        return collect(self.entries)

    @property
    def unsynchronised(self) -> bool:
        """Whether the tag is that as a whole; in 2.4, single frames are."""
        return self.version < 4 and bool(self.flags & _UNSYNCHRONISED)

    @property
    def costly(self) -> bool:
        """Whether another reader had better not be asked about it; see `mertag.library.tags.id3_frames.costly`."""
        return any(costly(frame, self.version) for frame in self.frames)

    def foreign(self) -> list[tuple[str, bytes]]:
        """Return what must stay, each part with a name."""
        parts = [("ID3 header", bytes((self.version, self.revision, self.flags)))]
        parts.append(("ID3 extended header", _extended(self.extended, self.version, 0, b"")))
        parts.append(("text in the ID3 padding", self.tail))
        return parts + [(f"ID3 frame {frame[:4].decode('latin-1')}", frame) for frame in self.frames]

    def rendered(self, fields: Fields) -> bytes:
        """Return the tag with `fields`, as long as it is now if that fits, else with `PADDING` to spare.

        Raises `MalformedError` if it becomes longer than an ID3 tag can be.
        """

        def finish(frame: bytes) -> bytes:
            return unsynchronise(frame) if self.unsynchronised else frame

        def new_frame(key: str, values: tuple[str, ...]) -> list[bytes]:
            return [finish(encode(key, values, self.version, plain_sizes=self.plain_sizes))]

        frames = b"".join(splice(self.entries, fields, new_frame, finish)) + self.tail
        footer = HEADER if self.flags & _FOOTER and self.version == 4 else 0
        size = len(self.extended) + len(frames)
        if self.unsynchronised:
            size = len(unsynchronise(self.extended)) + len(frames)
        available = self.length - HEADER - footer
        padding = 0 if footer else available - size
        if padding < 0:
            padding = PADDING
        plain = frames.replace(b"\xff\0", b"\xff") if self.unsynchronised else frames
        extended = _extended(self.extended, self.version, padding, plain)
        if self.unsynchronised:
            extended = unsynchronise(extended)
        body = extended + frames + bytes(padding)
        if len(body) > _LARGEST:
            raise MalformedError("its ID3 tag is full: the new frames do not fit into 256 MiB")
        head = bytes((self.version, self.revision, self.flags)) + syncsafe(len(body))
        return b"ID3" + head + body + (b"3DI" + head if footer else b"")


def parse(data: bytes) -> Id3Tag:
    """Return the tag that is `data`, whole.

    Raises `MalformedError` if it is damaged, or cannot be rewritten without changing what is foreign.
    """
    version, revision, flags = data[3], data[4], data[5]
    if version not in _KNOWN_FLAGS:
        raise MalformedError(f"it has an ID3v2.{version} tag; mertag writes ID3v2.2, 2.3 and 2.4")
    if flags & ~_KNOWN_FLAGS[version]:
        raise MalformedError("its ID3 tag is compressed, or has flags that ID3 does not define")
    footer = HEADER if version == 4 and flags & _FOOTER else 0
    if footer and data[-HEADER:] != b"3DI" + data[3:HEADER]:
        raise MalformedError("its ID3 tag is damaged: the footer differs from the header")
    raw = data[HEADER : len(data) - footer]
    body = Unsynchronised(raw if version < 4 and flags & _UNSYNCHRONISED else b"")
    decoded = body.decoded or raw
    start = _extended_length(decoded, version) if flags & _EXTENDED and version > 2 else 0
    found, plain_sizes = _frames(decoded, start, version)
    stop = found[-1].stop if found else start
    listed = []
    for frame in found:
        span = slice(frame.start, frame.stop)
        refuse_bomb(decoded[span], version)
        if body.raw:
            span = slice(body.raw_index(frame.start), body.raw_index(frame.stop))
        listed.append(entry(decoded[frame.start : frame.stop], raw[span], version, plain_sizes=plain_sizes))
    entries = located(listed)
    return Id3Tag(
        version=version,
        revision=revision,
        flags=flags,
        extended=decoded[:start],
        entries=entries,
        frames=tuple(
            decoded[frame.start : frame.stop] if e.key is None else e.rest
            for frame, e in zip(found, entries, strict=True)
            if e.foreign
        ),
        plain_sizes=plain_sizes,
        tail=(raw[body.raw_index(stop) :] if body.raw else raw[stop:]).rstrip(b"\0"),
        length=len(data),
    )


class TaggedById3:
    """What the containers of an ID3v2 tag share: a name, such as ``"MP3 (ID3v2.3)"``, and the fields of the tag."""

    __slots__ = ()
    kind: str
    tag: Id3Tag

    @property
    def name(self) -> str:
        """The name that is shown."""
        return f"{self.kind} ({self.tag.name})"

    @property
    def fields(self) -> Fields:
        """The fields of the ID3v2 tag."""
        return self.tag.fields

    @property
    def misplaced(self) -> bool:
        """Whether the tag stands where only some readers see it."""
        return False


def fresh(frames: Sequence[bytes] = ()) -> Id3Tag:
    """Return a new 2.4 tag that is not on disk yet, with frames that repeat what other tags of the file say."""
    entries = located([entry(frame, frame, 4) for frame in frames])
    return Id3Tag(entries=entries, frames=tuple(e.foreign for e in entries if e.foreign))


def _extended_length(body: bytes, version: int) -> int:
    """Return how long the extended header is."""
    if len(body) < 10:
        raise MalformedError("its ID3 tag is damaged: the extended header is cut off")
    if body[:4].isalnum() and body[:4].isupper():
        return 0  # some taggers set the flag and write no extended header: this is the first frame
    if version == 3:
        length, checksum = 4 + int.from_bytes(body[:4], "big"), body[4] & 0x80
        valid = length in (10, 14)
    else:
        length, checksum = from_syncsafe(body[:4]), body[5] & 0x20
        valid = 6 <= length <= len(body)
    if not valid or length > len(body):
        raise MalformedError("its ID3 tag is damaged: the extended header has no valid length")
    if checksum and version == 4 and body[_checksum_at(body) - 1 :][:1] != b"\x05":
        raise MalformedError("its ID3 tag is damaged: the checksum in the extended header has no valid length")
    return length


def _checksum_at(extended: bytes) -> int:
    """Return where the checksum of ID3v2.4 stands: after the data of the flag before, each after its length."""
    return 7 + (1 + extended[6] if extended[5] & 0x40 else 0)


def _extended(old: bytes, version: int, padding: int, frames: bytes) -> bytes:
    """Return the extended header for other frames and padding: 2.3 notes the padding, and both can have a checksum.

    The checksum is that of the frames before they are unsynchronised; in 2.4, of the padding as well.
    """
    if version == 3 and old:
        return old[:6] + padding.to_bytes(4, "big") + (zlib.crc32(frames).to_bytes(4, "big") if old[10:] else b"")
    if version == 4 and old and old[5] & 0x20:
        at, crc = _checksum_at(old), zlib.crc32(frames + bytes(padding))
        return old[:at] + bytes(crc >> shift & 0x7F for shift in (28, 21, 14, 7, 0)) + old[at + 5 :]
    return old


def _frames(body: bytes, start: int, version: int) -> tuple[list[Frame], bool]:
    """Return the frames, and whether a 2.4 tag's frame sizes are plain numbers."""
    try:
        return walk(body, start, version, plain_sizes=False), False
    except MalformedError:  # it tells what is wrong with a tag that is wrong any way
        if version == 4:
            with contextlib.suppress(MalformedError):
                return walk(body, start, version, plain_sizes=True), True
        with contextlib.suppress(MalformedError):
            return walk(body, start, version, plain_sizes=False, text_behind=True), False
        raise
