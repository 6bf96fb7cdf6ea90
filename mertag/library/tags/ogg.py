"""Ogg: Vorbis, Opus, Speex and FLAC in pages.

The comment packet is the second of its logical stream. The pages that hold it (and, in Vorbis, the setup
packet, which shares a page with it) are laid out anew on as many pages as there were, if they fit; then no
other page changes. Otherwise pages are added, and the later pages of the same stream get new numbers and
checksums. Pages of other streams, interleaved or chained, stay as they are and where they are.

Audio has to begin on a page of its own. Some encoders did not care, and put its first packets on the page on which the
headers end; a write moves these to a page of their own.

Source: RFC 3533 (Ogg), the Vorbis I specification, RFC 7845 (Opus), the Speex manual, the Ogg mapping for
FLAC.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from mertag.library.tags.container import Fields, MalformedError, NoTagFormatError, Piece, Range, Source
from mertag.library.tags.vorbis import VorbisComment, parse

MOST_SEGMENTS = 255
_HEADER = 27
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_CONTINUED, _END = 1, 4
_NO_PACKET_ENDS = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Page:
    """One page."""

    start: int  # where it begins
    header: bytes  # everything before the body
    body: Range  # the segments

    @property
    def flags(self) -> int:
        """1: continues a packet; 2: begins the stream; 4: ends it."""
        return self.header[5]

    @property
    def serial(self) -> int:
        """Which logical stream it belongs to."""
        return int.from_bytes(self.header[14:18], "little")

    @property
    def number(self) -> int:
        """Its number in its stream."""
        return int.from_bytes(self.header[18:22], "little")

    @property
    def lacing(self) -> bytes:
        """The length of each segment; one of 255 is followed by more of its packet."""
        return self.header[_HEADER:]

    @property
    def stop(self) -> int:
        """Where the next page begins."""
        return self.body.stop

    def intact(self, source: Source) -> bool:
        """Return whether the checksum is right."""
        body = source.peek(self.body.start, len(self.body))
        return self.header[22:26] == _checksum(self.header[:22] + bytes(4) + self.header[26:] + body)

    def with_number(self, source: Source, number: int) -> bytes:
        """Return the header with another number."""
        header = self.header[:18] + number.to_bytes(4, "little") + bytes(4) + self.header[26:]
        body = source.peek(self.body.start, len(self.body))
        return header[:22] + _checksum(header + body) + header[26:]


def pages(source: Source, start: int) -> Iterator[Page]:
    """Yield the pages from `start`, until the file ends or something that is no whole page follows."""
    while True:
        fixed = source.peek(start, _HEADER)
        if len(fixed) < _HEADER or fixed[:5] != b"OggS\0":
            return
        lacing = source.peek(start + _HEADER, fixed[26])
        body = Range(start + _HEADER + fixed[26], start + _HEADER + fixed[26] + sum(lacing))
        if body.stop > source.size or len(lacing) != fixed[26]:
            return
        yield Page(start, fixed + lacing, body)
        start = body.stop


def lacing_of(length: int) -> list[int]:
    """Return the segments of a packet of `length` bytes."""
    return [255] * (length // 255) + [length % 255]


def render_page(*, flags: int, granule: int, serial: int, number: int, lacing: bytes, body: bytes) -> bytes:
    """Return a page with its checksum."""
    header = b"OggS\0" + bytes((flags,)) + granule.to_bytes(8, "little") + serial.to_bytes(4, "little")
    header += number.to_bytes(4, "little") + bytes(4) + bytes((len(lacing),)) + lacing
    page = header + body
    return page[:22] + _checksum(page) + page[26:]


def _checksum(page: bytes) -> bytes:
    """Return the checksum of a page whose own checksum is zero.

    Ogg's CRC has zlib's polynomial, with neither mirrored bits nor inverted ends; mirroring the bits of every
    byte turns one into the other.
    """
    crc = ~zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) & 0xFFFFFFFF
    return crc.to_bytes(4, "big").translate(_MIRRORED)


@dataclass(frozen=True, slots=True)
class _Codec:
    name: str
    magic: bytes  # how the comment packet begins
    headers: int  # header packets from the comment packet on, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class OggFile:
    """An Ogg file."""

    source: Source  # the file: its pages are walked again when they are compared or renumbered
    codec: _Codec
    before: tuple[Page, ...]  # the pages that hold the comment packet and the header packets that share pages with it
    comment: VorbisComment
    magic: bytes  # what stands in the comment packet before the comment
    others: tuple[bytes, ...]  # the other header packets of these pages
    audio: bytes = b""  # the segments of audio that follow the headers on the last of these pages: mostly none
    bare: None = None

    @property
    def name(self) -> str:
        """Such as ``"Ogg Opus"``."""
        return f"Ogg {self.codec.name}"

    @property
    def fields(self) -> Fields:
        """The fields of the comment."""
        return self.comment.fields

    def foreign(self) -> Iterator[tuple[str, Piece]]:
        """Yield the comments of others, and the other header packets."""
        yield from self.comment.foreign()
        yield "comment header", self.magic[:1] if self.codec.name == "FLAC" else self.magic
        for packet in self.others:
            yield "header packet", packet

    def payload(self) -> Iterator[Piece]:
        """Yield all pages but the headers', without the numbers and checksums of those of this stream."""
        ours = {page.start for page in self.before}
        end, ended = 0, False
        for page in pages(self.source, 0):
            end = page.stop
            if page.start in ours:
                if not self.audio or page.start != self.before[-1].start:
                    continue
                page = self._audio_page()
            header = page.header
            if page.serial == self.before[0].serial and not ended and page.start >= self.before[0].start:
                header = header[:18] + header[26:]
                ended = bool(page.flags & _END)
            yield header
            yield page.body
        yield Range(end, self.source.size)

    def rebuilt(self, fields: Fields) -> list[Piece]:
        """Return the new comment pages in the places of the old ones, and all other pages."""
        content = self.comment.rendered(fields)
        magic = self.magic
        if self.codec.name == "FLAC":
            size = len(content) + len(self.comment.tail)
            if size >= 2**24:
                raise MalformedError("its Vorbis comment is full: a FLAC block cannot be larger than 16 MiB")
            magic = magic[:1] + size.to_bytes(3, "big")
        new = self._new_pages((magic + content + self.comment.tail, *self.others))
        result, position = list[Piece](), 0
        for old, page in zip(self.before, new, strict=False):
            result += [Range(position, old.start), page]
            position = old.stop
        result += new[len(self.before) :]
        added = len(new) - len(self.before)
        if self.audio:
            added += 1
            own = self._audio_page()
            result += [own.with_number(self.source, (own.number + added) % 2**32), own.body]
            if own.flags & _END:
                added = 0  # what follows is another stream
        return result + (self._renumbered(position, added) if added else [Range(position, self.source.size)])

    def _audio_page(self) -> Page:
        """Return what a page of its own is for the audio that shares one with headers; its number is the old one's."""
        last = self.before[-1]
        ends = any(value < 255 for value in self.audio)
        granule = last.header[6:14] if ends else _NO_PACKET_ENDS.to_bytes(8, "little")
        header = last.header[:5] + bytes((last.flags & _END,)) + granule + last.header[14:26]
        header += bytes((len(self.audio),)) + self.audio
        return Page(last.start, header, Range(last.stop - sum(self.audio), last.stop))

    def _new_pages(self, packets: tuple[bytes, ...]) -> list[bytes]:
        lacing = [value for packet in packets for value in lacing_of(len(packet))]
        data = b"".join(packets)
        count = max(len(self.before), -(-len(lacing) // MOST_SEGMENTS))
        if len(lacing) < count:  # fewer segments than there were pages: the rest of the pages stay empty
            cuts = [min(i, len(lacing)) for i in range(count + 1)]
        else:
            cuts = [len(lacing) * i // count for i in range(count + 1)]
        first = self.before[0]
        result, offset, continued = [], 0, False
        for i in range(count):
            segments = lacing[cuts[i] : cuts[i + 1]]
            length = sum(segments)
            ends = any(value < 255 for value in segments)
            result.append(
                render_page(
                    flags=_CONTINUED if continued else 0,
                    granule=0 if ends else _NO_PACKET_ENDS,
                    serial=first.serial,
                    number=(first.number + i) % 2**32,
                    lacing=bytes(segments),
                    body=data[offset : offset + length],
                )
            )
            offset += length
            continued = bool(segments and segments[-1] == 255) or (continued and not segments)
        return result

    def _renumbered(self, start: int, added: int) -> list[Piece]:
        """Return the pages from `start`, those of this stream with numbers higher by `added`."""
        result, end = list[Piece](), start
        for page in pages(self.source, start):
            if page.serial == self.before[0].serial:
                if not page.intact(self.source):
                    raise MalformedError(f"the Ogg page at byte {page.start} is damaged (checksum)")
                result += [page.with_number(self.source, (page.number + added) % 2**32), page.body]
            else:
                result.append(Range(page.start, page.stop))
            end = page.stop
            if page.serial == self.before[0].serial and page.flags & _END:
                break
        else:
            if end != self.source.size:
                raise MalformedError(f"there is no Ogg page at byte {end}: the file is damaged")
        return [*result, Range(end, self.source.size)]


def read(source: Source) -> OggFile:
    """Read the headers of the first audio stream of an Ogg file.

    Raises `NoTagFormatError` if it holds none that mertag tags, `MalformedError` if the headers are damaged.
    """
    codec, serial = _first_audio_stream(source)
    before: list[Page] = []
    packets: list[bytearray] = []
    open_packet, length, audio = False, 0, b""
    for page in pages(source, 0):
        if page.serial != serial or page.flags & 2:
            continue
        if bool(page.flags & _CONTINUED) != open_packet or not page.intact(source):
            raise MalformedError(f"the Ogg page at byte {page.start} is damaged (checksum or order)")
        before.append(page)
        length += len(page.body)
        body, offset = source.read(page.body.start, len(page.body), "an Ogg page"), 0
        for i, value in enumerate(page.lacing):
            if not open_packet and len(packets) == codec.headers:
                audio = page.lacing[i:]
                break
            if not open_packet:
                packets.append(bytearray())
            packets[-1] += body[offset : offset + value]
            offset += value
            open_packet = value == 255
        if page.flags & _END and not audio:
            raise MalformedError("its Ogg stream ends before the audio begins")
        if (packets and not open_packet) or length > 2**26:
            break
    if not packets or open_packet:
        raise MalformedError("its Ogg headers are cut off")
    magic_length = 4 if codec.name == "FLAC" else len(codec.magic)
    magic = bytes(packets[0][:magic_length])
    if magic[: len(codec.magic)] != codec.magic and (codec.name != "FLAC" or magic[0] & 0x7F != 4):
        raise MalformedError(f"its second Ogg packet is not a comment, as {codec.name} demands")
    comment = parse(bytes(packets[0][magic_length:]))
    if codec.name == "FLAC" and int.from_bytes(magic[1:], "big") != len(packets[0]) - 4:
        raise MalformedError("its FLAC metadata are damaged: the comment's length differs from its packet's")
    return OggFile(
        source=source,
        codec=codec,
        before=tuple(before),
        comment=comment,
        magic=magic,
        others=tuple(bytes(packet) for packet in packets[1:]),
        audio=audio,
    )


def _first_audio_stream(source: Source) -> tuple[_Codec, int]:
    """Return the first audio stream among the pages that begin streams."""
    for page in pages(source, 0):
        if not page.flags & 2:
            break
        head = source.peek(page.body.start, 80)
        if head.startswith(b"\x01vorbis"):
            return _Codec("Vorbis", b"\x03vorbis", 2), page.serial
        if head.startswith(b"OpusHead"):
            return _Codec("Opus", b"OpusTags", 1), page.serial
        if head.startswith(b"Speex   "):
            extra = int.from_bytes(head[68:72], "little")
            return _Codec("Speex", b"", 1 + min(extra, 16)), page.serial
        if head.startswith(b"\x7fFLAC"):
            headers = int.from_bytes(head[7:9], "big")
            return _Codec("FLAC", b"\x04", headers or 1), page.serial
        if head.startswith(b"\x80theora"):
            raise NoTagFormatError("an Ogg video file; mertag writes tags in Ogg Vorbis, Opus, Speex and FLAC")
    raise NoTagFormatError("an Ogg file without Vorbis, Opus, Speex or FLAC audio; mertag writes no tags in others")
