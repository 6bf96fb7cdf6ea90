"""What a file holds, told from its first bytes: never from its name.

Libraries are full of names that lie (an AAC file called ``song.mp3``), so the suffix plays no part here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import BinaryIO

HEAD_BYTES = 512


class Reader(Enum):
    """Who decodes it."""

    SOUNDFILE = auto()
    PYAV = auto()
    NONE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a file holds.

    Attributes
    ----------
    name : str
        A name its owner understands, such as ``"MP3"``; empty if the first bytes say nothing.
    reader : Reader
        Who decodes it first. With `Reader.NONE`, nobody can.
    """

    name: str
    reader: Reader


MP3 = Content(name="MP3", reader=Reader.SOUNDFILE)
OGG_VORBIS = Content(name="Ogg Vorbis", reader=Reader.SOUNDFILE)
WAV = Content(name="WAV", reader=Reader.SOUNDFILE)
AIFF = Content(name="AIFF", reader=Reader.SOUNDFILE)
UNKNOWN = Content(name="", reader=Reader.PYAV)

# (offset, bytes) -> content. The first match wins.
_SIGNATURES: tuple[tuple[int, bytes, str, Reader], ...] = (
    (0, b"fLaC", "FLAC", Reader.SOUNDFILE),
    (0, b"caff", "CAF", Reader.SOUNDFILE),
    (0, b".snd", "AU", Reader.SOUNDFILE),
    (0, b"riff\x2e\x91\xcf\x11", "W64", Reader.SOUNDFILE),
    (4, b"ftyp", "MP4", Reader.PYAV),
    (4, b"moov", "MP4", Reader.PYAV),
    (4, b"mdat", "MP4", Reader.PYAV),
    (4, b"wide", "MP4", Reader.PYAV),
    (4, b"free", "MP4", Reader.PYAV),
    (4, b"skip", "MP4", Reader.PYAV),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMA", Reader.PYAV),
    (0, b"MAC ", "Monkey's Audio", Reader.PYAV),
    (0, b"wvpk", "WavPack", Reader.PYAV),
    (0, b"MP+", "Musepack", Reader.PYAV),
    (0, b"MPCK", "Musepack", Reader.PYAV),
    (0, b"TTA1", "TTA", Reader.PYAV),
    (0, b"tBaK", "TAK", Reader.PYAV),
    (0, b"DSD ", "DSF", Reader.PYAV),
    (0, b"FRM8", "DSDIFF", Reader.PYAV),
    (0, b"\x0b\x77", "AC-3", Reader.PYAV),
    (0, b"\x7f\xfe\x80\x01", "DTS", Reader.PYAV),
    (0, b"#!AMR", "AMR", Reader.PYAV),
    (0, b"\x1a\x45\xdf\xa3", "Matroska", Reader.PYAV),
    (0, b"OFR ", "OptimFROG", Reader.NONE),
    (0, b"ADIF", "AAC in ADIF", Reader.NONE),
    (0, b"MThd", "MIDI", Reader.NONE),
    (0, b"\x89PNG", "a PNG image", Reader.NONE),
    (0, b"\xff\xd8\xff", "a JPEG image", Reader.NONE),
    (0, b"GIF8", "a GIF image", Reader.NONE),
    (0, b"%PDF", "a PDF document", Reader.NONE),
    (0, b"PK\x03\x04", "a ZIP archive", Reader.NONE),
    (0, b"Rar!", "a RAR archive", Reader.NONE),
    (0, b"7z\xbc\xaf", "a 7z archive", Reader.NONE),
    (0, b"\x1f\x8b\x08", "a gzip archive", Reader.NONE),
    (0, b"\x7fELF", "a program", Reader.NONE),
    (0, b"SQLite format 3", "a database", Reader.NONE),
)
_OGG_CODECS: tuple[tuple[bytes, Content], ...] = (
    (b"\x01vorbis", OGG_VORBIS),
    (b"OpusHead", Content(name="Ogg Opus", reader=Reader.PYAV)),
    (b"\x7fFLAC", Content(name="Ogg FLAC", reader=Reader.PYAV)),
    (b"Speex   ", Content(name="Ogg Speex", reader=Reader.PYAV)),
)


def sniff(file: BinaryIO) -> Content:
    """Return what `file` holds; it is left at its beginning.

    Parameters
    ----------
    file : binary file, seekable

    Returns
    -------
    Content
        `UNKNOWN` if the first bytes say nothing: an MP3 with junk before its first frame, for one.
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    position = 0
    for _ in range(8):  # some files carry several ID3 tags, one behind the other
        if head[:3] != b"ID3" or len(head) < 10:
            break
        position += 10 + _syncsafe(head[6:10]) + (10 if head[5] & 0x10 else 0)
        file.seek(position)
        head = file.read(HEAD_BYTES)
    file.seek(0)
    return _content(head, tagged=position > 0)


def _content(head: bytes, *, tagged: bool) -> Content:
    if head[8:12] == b"WAVE" and head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return WAV
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return AIFF
    if head[:4] == b"OggS":
        for magic, content in _OGG_CODECS:
            if magic in head:
                return content
        return Content(name="Ogg", reader=Reader.PYAV)
    for offset, magic, name, reader in _SIGNATURES:
        if head[offset : offset + len(magic)] == magic:
            return Content(name=name, reader=reader)
    if _is_text(head):  # before MPEG: the mark of UTF-16 text looks like a frame header
        return Content(name="a text file", reader=Reader.NONE)
    if len(head) >= 4 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        if head[1] & 0xF6 == 0xF0:
            return Content(name="AAC", reader=Reader.PYAV)
        if _is_mpeg_header(head):
            return MP3
    return MP3 if tagged and head.lstrip(b"\0")[:1] == b"\xff" else UNKNOWN


def _is_mpeg_header(head: bytes) -> bool:
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer != 0 and bitrate != 15 and rate != 3


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


def _syncsafe(four: bytes) -> int:
    return four[0] << 21 | four[1] << 14 | four[2] << 7 | four[3]
