"""The pages of an Ogg file: bounds, numbers and checksums.

Source: RFC 3533, section 6.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from mertag.library.tags.container import Range, Source

MOST_SEGMENTS = 255
_HEADER = 27
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Attributes
    ----------
    start : int
        Where it begins.
    header : bytes
        Everything before the body.
    body : Range
        The segments.
    """

    start: int
    header: bytes
    body: Range

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
