"""Bytes as ID3v2 writes them: unsynchronised, so that none looks like MPEG audio, and numbers with 7 bits a byte."""

from __future__ import annotations

import re
from bisect import bisect_right


class Unsynchronised:
    """The body of a tag whose every ``FF 00`` stands for ``FF``, and where each byte of it came from.

    Parameters
    ----------
    raw : bytes
        The body as it stands in the file.
    """

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.decoded = raw.replace(b"\xff\x00", b"\xff")
        zeros = (found.start() + 1 for found in re.finditer(rb"\xff\x00", raw))
        self._dropped = [zero - k for k, zero in enumerate(zeros)]

    def raw_index(self, decoded_index: int) -> int:
        """Return where in `raw` the byte `decoded_index` of `decoded` stands."""
        return decoded_index + bisect_right(self._dropped, decoded_index)


def unsynchronise(data: bytes) -> bytes:
    """Return `data` with a zero after each ``FF`` that a decoder could take for a frame sync."""
    stuffed = re.sub(rb"\xff(?=[\x00\xe0-\xff])", b"\xff\x00", data)
    return stuffed + b"\x00" if stuffed.endswith(b"\xff") else stuffed


def syncsafe(value: int) -> bytes:
    """Return `value` as four bytes of seven bits."""
    return bytes(value >> shift & 0x7F for shift in (21, 14, 7, 0))
