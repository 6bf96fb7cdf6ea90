"""What a file is, told from its bytes and never from its name; and where the tags at its head and at its end lie.

Libraries are full of names that lie (an AAC file called ``song.mp3``). The suffix only says which files of a folder
are looked at.

Source: ISO/IEC 11172-3 and 13818-3 (MPEG frame header), 13818-7 (ADTS header); id3.org, ID3v2.4.0-structure, ID3v1 and
Lyrics3 v2.00; the APEv2 specification.
"""

from __future__ import annotations

import os
import re
from enum import StrEnum
from typing import BinaryIO

AUDIO_SUFFIXES: frozenset[str] = frozenset(
    {
        *(".mp3", ".mp2", ".mp1", ".flac", ".oggflac", ".ogg", ".oga", ".opus", ".spx"),
        *(".m4a", ".m4b", ".m4r", ".mp4", ".aac", ".wma", ".asf", ".ac3", ".eac3", ".dts", ".mka", ".weba"),
        *(".wav", ".wave", ".w64", ".rf64", ".aif", ".aiff", ".aifc", ".caf", ".au", ".snd"),
        *(".wv", ".ape", ".mpc", ".mp+", ".mpp", ".dsf", ".dff", ".tta", ".tak", ".ofr", ".ofs"),
    }
)
"""Suffixes of files that are looked at in folders, in lower case. Their content says what they really are."""

HEAD_BYTES = 512
"""So many bytes behind the ID3v2 tags tell the format."""

_ID3V1, _APE_FOOTER, _ID3_HEADER = 128, 32, 10
_MOST_ID3V2 = 16
_SEARCH_BYTES = 2**17
_SYNC = re.compile(rb"\xff(?=[\xe0-\xff][\x00-\xef])")  # the sync word, and bitrates that are not excluded
_SHORTEST_FREE_FRAME, _LONGEST_FREE_FRAME = 24, 2**12  # 4 KiB: 640 kbit/s at 22,050 Hz, the most that LAME writes
_KBPS = {  # by (MPEG 1, layer), for bitrate index 1..14
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_KBPS[(False, 3)] = _KBPS[(False, 2)]
_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


class Format(StrEnum):
    """What a file is, by a name that its owner understands; empty if its first bytes say nothing."""

    UNKNOWN = ""
    MP3 = "MP3"
    AAC = "AAC"
    ADIF = "AAC in ADIF"
    AC3 = "AC-3"
    AIFF = "AIFF"
    AMR = "AMR"
    APE = "Monkey's Audio"
    AU = "AU"
    CAF = "CAF"
    DSDIFF = "DSDIFF"
    DSF = "DSF"
    DTS = "DTS"
    FLAC = "FLAC"
    MATROSKA = "Matroska"
    MIDI = "MIDI"
    MP4 = "MP4"
    MUSEPACK = "Musepack"
    OGG = "Ogg"
    OGG_FLAC = "Ogg FLAC"
    OGG_OPUS = "Ogg Opus"
    OGG_SPEEX = "Ogg Speex"
    OGG_VORBIS = "Ogg Vorbis"
    OPTIMFROG = "OptimFROG"
    TAK = "TAK"
    TRUE_AUDIO = "True Audio"
    W64 = "W64"
    WAV = "WAV"
    BW64 = "BW64 (64-bit WAV)"
    RF64 = "RF64 (64-bit WAV)"
    RIFX = "RIFX (big-endian WAV)"
    WAVPACK = "WavPack"
    WMA = "WMA"
    DATABASE = "a database"
    GIF = "a GIF image"
    GZIP = "a gzip archive"
    JPEG = "a JPEG image"
    PDF = "a PDF document"
    PNG = "a PNG image"
    PROGRAM = "a program"
    RAR = "a RAR archive"
    SEVEN_ZIP = "a 7z archive"
    TEXT = "a text file"
    ZIP = "a ZIP archive"


_FORMS = {  # by the first four bytes and those behind the length
    (b"RIFF", b"WAVE"): Format.WAV,
    (b"RIFX", b"WAVE"): Format.RIFX,
    (b"RF64", b"WAVE"): Format.RF64,
    (b"BW64", b"WAVE"): Format.BW64,
    (b"FORM", b"AIFF"): Format.AIFF,
    (b"FORM", b"AIFC"): Format.AIFF,
}
_MP4_ATOMS = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"})
_SIGNATURES: tuple[tuple[bytes, Format], ...] = (
    (b"fLaC", Format.FLAC),
    (b"caff", Format.CAF),
    (b".snd", Format.AU),
    (b"riff\x2e\x91\xcf\x11", Format.W64),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Format.WMA),
    (b"MAC ", Format.APE),
    (b"wvpk", Format.WAVPACK),
    (b"MP+", Format.MUSEPACK),
    (b"MPCK", Format.MUSEPACK),
    (b"TTA1", Format.TRUE_AUDIO),
    (b"tBaK", Format.TAK),
    (b"DSD ", Format.DSF),
    (b"FRM8", Format.DSDIFF),
    (b"\x0b\x77", Format.AC3),
    (b"\x7f\xfe\x80\x01", Format.DTS),
    (b"#!AMR", Format.AMR),
    (b"\x1a\x45\xdf\xa3", Format.MATROSKA),
    (b"OFR ", Format.OPTIMFROG),
    (b"ADIF", Format.ADIF),
    (b"MThd", Format.MIDI),
    (b"\x89PNG", Format.PNG),
    (b"\xff\xd8\xff", Format.JPEG),
    (b"GIF8", Format.GIF),
    (b"%PDF", Format.PDF),
    (b"PK\x03\x04", Format.ZIP),
    (b"Rar!", Format.RAR),
    (b"7z\xbc\xaf", Format.SEVEN_ZIP),
    (b"\x1f\x8b\x08", Format.GZIP),
    (b"\x7fELF", Format.PROGRAM),
    (b"SQLite format 3", Format.DATABASE),
)
_OGG_CODECS = (
    (b"\x01vorbis", Format.OGG_VORBIS),
    (b"OpusHead", Format.OGG_OPUS),
    (b"\x7fFLAC", Format.OGG_FLAC),
    (b"Speex   ", Format.OGG_SPEEX),
)


class ByteSource:
    """A file open for reading, with reads that never reach past its end.

    Parameters
    ----------
    file : binary file
        Seekable. Its size is taken once.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, os.SEEK_END)

    def peek(self, start: int, length: int) -> bytes:
        """Return up to `length` bytes from `start`; fewer at the end of the file."""
        self._file.seek(start)
        return self._file.read(max(0, min(length, self.size - start)))


def sniff(source: ByteSource) -> Format:
    """Return what a file is; `Format.UNKNOWN` for an MP3 with junk before its first frame, for one."""
    try:
        start = id3v2_end(source)
    except ValueError:  # a damaged tag: who decodes the file may know better
        return Format.UNKNOWN
    return format_of(source.peek(start, HEAD_BYTES), tagged=start > 0)


def format_of(head: bytes, *, tagged: bool = False) -> Format:
    """Return what begins with `head`: `HEAD_BYTES` bytes, or fewer, behind ID3v2 tags (there are some if `tagged`)."""
    if form := _FORMS.get((head[:4], head[8:12])):
        return form
    if head[:4] == b"OggS":
        return next((codec for magic, codec in _OGG_CODECS if magic in head), Format.OGG)
    if head[4:8] in _MP4_ATOMS:
        return Format.MP4
    for magic, found in _SIGNATURES:
        if head.startswith(magic):
            return found
    if _is_text(head):  # before MPEG: the mark of UTF-16 text looks like a frame header
        return Format.TEXT
    if head[:1] == b"\xff" and len(head) >= 4 and head[1] & 0xF6 == 0xF0:
        return Format.AAC
    if _is_mpeg_header(head) or (tagged and head.lstrip(b"\0")[:1] == b"\xff"):
        return Format.MP3
    return Format.UNKNOWN


def _is_text(head: bytes) -> bool:
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    # The cut may go through a character: up to 3 bytes of it may stand at the end.
    for cut in range(4) if len(head) == HEAD_BYTES else range(1):
        try:
            text = head[: len(head) - cut].decode(encoding)
        except UnicodeDecodeError:
            continue
        return bool(text.strip()) and all(c.isprintable() or c in "\t\r\n\f" for c in text)
    return False


def id3v2_end(source: ByteSource) -> int:
    """Return where the ID3v2 tags at the head of a file end; 0 if there are none.

    Raises
    ------
    ValueError
        If one is damaged or truncated, or there are too many: a reason for the file's owner.
    """
    start = 0
    for _ in range(_MOST_ID3V2):
        try:
            length = id3v2_length_at(source, start)
        except ValueError:
            if start == 0 and source.peek(3, 1) <= b"\x04":
                raise
            return start  # the letters "ID3", but no tag
        if not length:
            return start
        start += length
        if start > source.size:
            raise ValueError("the file ends inside its ID3 tag: it is truncated or damaged")
    raise ValueError(f"it has more than {_MOST_ID3V2} ID3 tags in a row")


def id3v2_start(source: ByteSource) -> int:
    """Return where the ID3v2 tag stands that players find: at the head, or behind junk there, before any MPEG frame.

    It is 0 if there is none. TagLib looks for it that way.
    """
    start = source.peek(0, _SEARCH_BYTES).find(b"ID3")
    if start <= 0 or not b"\x02" <= source.peek(start + 3, 1) <= b"\x04" or first_mpeg_frame(source, 0, start) >= 0:
        return 0
    try:
        length = id3v2_length(source.peek(start, _ID3_HEADER))
    except ValueError:
        return 0
    return start if 0 < length <= source.size - start else 0


def id3v2_length(head: bytes) -> int:
    """Return the length of the ID3v2 tag that begins with the 10 bytes `head`; 0 if it is none.

    Raises
    ------
    ValueError
        If it says it is one, but its length makes no sense: a reason for the file's owner.
    """
    if len(head) < _ID3_HEADER or head[:3] != b"ID3" or head[3] == 0xFF or head[4] == 0xFF:
        return 0
    size = from_syncsafe(head[6:10])
    if size < 0:
        raise ValueError("its ID3 tag is damaged: the length is not a valid number")
    return _ID3_HEADER + size + (_ID3_HEADER if head[3] == 4 and head[5] & 0x10 else 0)  # a footer repeats the header


def id3v2_length_at(source: ByteSource, start: int) -> int:
    """Return the length of the ID3v2 tag at `start`, 0 if there is none; raise `ValueError` as `id3v2_length`.

    RealJukebox and others wrote plain sizes: they are believed where MPEG audio follows.
    """
    head = source.peek(start, _ID3_HEADER)
    try:
        return id3v2_length(head)
    except ValueError:
        length = _ID3_HEADER + int.from_bytes(head[6:10], "big")
        if head[3] < 4 and first_mpeg_frame(source, start + length, 4) == start + length:
            return length
        raise


def from_syncsafe(data: bytes) -> int:
    """Return the number that `data` holds at seven bits a byte; -1 if a byte has its top bit set."""
    if any(byte & 0x80 for byte in data):
        return -1
    value = 0
    for byte in data:
        value = value << 7 | byte
    return value


def id3v1(source: ByteSource) -> bytes:
    """Return the ID3v1 tag at the end of the file, 128 bytes, or nothing."""
    tail = source.peek(source.size - _ID3V1, _ID3V1) if source.size >= _ID3V1 else b""
    return tail if tail[:3] == b"TAG" else b""


def audio_end(source: ByteSource, start: int) -> int:
    """Return where the audio that begins at `start` ends: ID3v1, Lyrics3v2, APEv2 and ID3v2.4 tags behind it begin."""
    end = source.size
    while True:
        length = _tail_length(source, end)
        if not 0 < length <= end - start:
            return end
        end -= length


def _tail_length(source: ByteSource, end: int) -> int:
    """Return the length of the tag that ends at `end`; 0 if there is none."""
    if end >= _ID3V1 and source.peek(end - _ID3V1, 3) == b"TAG":
        return _ID3V1
    foot = source.peek(end - _APE_FOOTER, _APE_FOOTER) if end >= _APE_FOOTER else b""
    if foot[:8] == b"APETAGEX":
        return int.from_bytes(foot[12:16], "little") + (_APE_FOOTER if foot[23] & 0x80 else 0)
    if foot[-9:] == b"LYRICS200" and foot[-15:-9].isdigit():
        return int(foot[-15:-9]) + 15
    if foot[-10:-7] == b"3DI":
        return max(0, from_syncsafe(foot[-4:])) + 20
    return 0


def _is_mpeg_header(header: bytes) -> bool:
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return False
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    return version != 1 and layer != 0 and header[2] >> 4 != 15 and header[2] >> 2 & 3 != 3


def mpeg_frame_length(header: bytes) -> int:
    """Return the length in bytes of the MPEG audio frame that begins with `header`; 0 if it is none.

    Frames of free format have no length of their own, and count as none.
    """
    if not _is_mpeg_header(header) or header[2] >> 4 == 0 or header[3] & 3 == 2:
        return 0
    version, layer, padding = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3), header[2] >> 1 & 1
    bits_per_s = 1000 * _KBPS[(version == 3, layer)][(header[2] >> 4) - 1]
    hz = _HZ[version][header[2] >> 2 & 3]
    if layer == 1:
        return (12 * bits_per_s // hz + padding) * 4
    return (72 if layer == 3 and version != 3 else 144) * bits_per_s // hz + padding


def adts_frame_length(header: bytes) -> int:
    """Return the length in bytes of the ADTS frame that begins with `header`; 0 if it is none."""
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 15 > 12:
        return 0
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return length if length >= 7 else 0


def first_mpeg_frame(source: ByteSource, start: int, within: int = _SEARCH_BYTES) -> int:
    """Return where MPEG audio begins, soon after `start`: two frames in a row, or one right there; -1 if nowhere."""
    data = source.peek(start, within)
    for found in _SYNC.finditer(data):
        position = found.start()
        header = source.peek(start + position, 4)
        length = mpeg_frame_length(header) or _free_frame_length(source, start + position)
        if length:
            after = source.peek(start + position + length, 4)
            if _is_mpeg_header(after) and (after[1] ^ header[1]) & 0xFE == 0:
                return start + position
            if position == 0 and not _is_mpeg_header(after) and (not after or after[:3] in (b"TAG", b"APE")):
                return start
    return -1


def _free_frame_length(source: ByteSource, start: int) -> int:
    """Return the length of a frame of free format: what separates it from the next two alike; 0 if it is none."""
    data = source.peek(start, 3 * _LONGEST_FREE_FRAME)
    if not _is_mpeg_header(data[:4]) or data[2] >> 4:
        return 0
    alike = re.compile(re.escape(data[:2]) + b"[" + re.escape(bytes((data[2] & 0xFD, data[2] | 2))) + b"]", re.DOTALL)
    places = [found.start() for found in alike.finditer(data)]
    for first in places:
        if _SHORTEST_FREE_FRAME <= first <= _LONGEST_FREE_FRAME and any(abs(p - 2 * first) <= 4 for p in places):
            return first
    return 0


def has_adts(source: ByteSource, start: int) -> bool:
    """Return whether ADTS frames begin right at `start`: two in a row, or one that ends the file."""
    length = adts_frame_length(source.peek(start, 6))
    after = source.peek(start + length, 6)
    return bool(length) and (not after or adts_frame_length(after) > 0)
