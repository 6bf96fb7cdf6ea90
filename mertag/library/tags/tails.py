"""Where the audio ends and the tags behind it begin: ID3v1, Lyrics3v2, APEv2, appended ID3v2.4.

In an MP3, these stay as they are; here they are only measured.
"""

from __future__ import annotations

from mertag.library.tags.container import Source
from mertag.library.tags.id3_frames import from_syncsafe

ID3V1 = 128
APE_FOOTER = 32


def id3v1(source: Source) -> bytes:
    """Return the ID3v1 tag at the end of the file, 128 bytes, or nothing."""
    tail = source.peek(source.size - ID3V1, ID3V1) if source.size >= ID3V1 else b""
    return tail if tail[:3] == b"TAG" else b""


def audio_end(source: Source, start: int) -> int:
    """Return where the audio that begins at `start` ends."""
    end = source.size
    while True:
        length = _tail_length(source, end)
        if not 0 < length <= end - start:
            return end
        end -= length


def _tail_length(source: Source, end: int) -> int:
    """Return the length of the tag that ends at `end`; 0 if there is none."""
    if end >= ID3V1 and source.peek(end - ID3V1, 3) == b"TAG":
        return ID3V1
    foot = source.peek(end - APE_FOOTER, APE_FOOTER) if end >= APE_FOOTER else b""
    if foot[:8] == b"APETAGEX":
        return int.from_bytes(foot[12:16], "little") + (APE_FOOTER if foot[23] & 0x80 else 0)
    if foot[-9:] == b"LYRICS200" and foot[-15:-9].isdigit():
        return int(foot[-15:-9]) + 15
    if foot[-10:-7] == b"3DI":
        return max(0, from_syncsafe(foot[-4:])) + 20
    return 0
