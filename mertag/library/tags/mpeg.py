"""Finding MPEG audio and ADTS frames: how an MP3 or AAC file without a tag is told from anything else.

Source: ISO/IEC 11172-3 and 13818-3 (frame header), 13818-7 (ADTS header).
"""

from __future__ import annotations

import re

from mertag.library.tags.container import Source

_SEARCH_BYTES = 2**17
_SYNC = re.compile(rb"\xff(?=[\xe0-\xff][\x10-\xef])")  # the sync word, and bitrates that are not excluded
_KBPS = {  # by (MPEG 1, layer), for bitrate index 1..14
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_KBPS[(False, 3)] = _KBPS[(False, 2)]
_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def mpeg_frame_length(header: bytes) -> int:
    """Return the length in bytes of the MPEG audio frame that begins with `header`; 0 if it is none.

    Frames of free format have no length of their own, and count as none.
    """
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bitrate, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3 or header[3] & 3 == 2:
        return 0
    bits_per_s = 1000 * _KBPS[(version == 3, layer)][bitrate - 1]
    hz = _HZ[version][rate]
    if layer == 1:
        return (12 * bits_per_s // hz + padding) * 4
    return (72 if layer == 3 and version != 3 else 144) * bits_per_s // hz + padding


def adts_frame_length(header: bytes) -> int:
    """Return the length in bytes of the ADTS frame that begins with `header`; 0 if it is none."""
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 15 > 12:
        return 0
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return length if length >= 7 else 0


def has_mpeg_audio(source: Source, start: int) -> bool:
    """Return whether MPEG audio begins soon after `start`: two frames in a row, or one right there."""
    data = source.peek(start, _SEARCH_BYTES)
    for found in _SYNC.finditer(data):
        position = found.start()
        length = mpeg_frame_length(data[position : position + 4])
        if length:
            after = source.peek(start + position + length, 4)
            if mpeg_frame_length(after) and (after[1] ^ data[position + 1]) & 0xFE == 0:
                return True
            if position == 0 and not mpeg_frame_length(after) and (not after or after[:3] in (b"TAG", b"APE")):
                return True
    return False


def has_adts(source: Source, start: int) -> bool:
    """Return whether ADTS frames begin right at `start`: two in a row, or one that ends the file."""
    length = adts_frame_length(source.peek(start, 6))
    after = source.peek(start + length, 6)
    return bool(length) and (not after or adts_frame_length(after) > 0)
