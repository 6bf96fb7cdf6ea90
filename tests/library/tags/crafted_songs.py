"""Songs made byte by byte, of the kinds for which no encoder is at hand: right headers, noise for audio.

Readers of tags and of headers take them for what they are; most do not play.
Sources: SV7 and SV8 of the Musepack stream; Monkey's Audio 3.99; the Speex manual, "Ogg file format"; Sony,
"DSF File Format Specification 1.01"; id3.org, ID3v1 and ID3v2.2; Hydrogenaudio, "APEv2 specification".
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from mertag.library.tags.ogg import lacing_of, render_page

TITLE, ARTIST = "Café del Mar", "Ünknown"


def noise(n: int = 20_000) -> bytes:
    """Return bytes below 0x40, in which no magic number can hide."""
    return np.random.default_rng(5).integers(0, 0x40, n, np.uint8).tobytes()


def ape_tag(**items: str) -> bytes:
    """Return an APEv2 tag with header and footer."""
    body = b"".join(
        struct.pack("<II", len(value.encode()), 0) + key.encode() + b"\0" + value.encode()
        for key, value in items.items()
    )

    def frame(flags: int) -> bytes:
        return b"APETAGEX" + struct.pack("<IIIIQ", 2000, len(body) + 32, len(items), 1 << 31 | flags, 0)

    return frame(1 << 29) + body + frame(0)


def id3v1(title: str = "Cafe del Mar", artist: str = "Somebody") -> bytes:
    """Return an ID3v1.1 tag: no album, track 7, genre Jazz. ASCII, because ffprobe hands its bytes on as they are."""
    texts = [text.encode("latin-1").ljust(30, b"\0") for text in (title, artist, "")]
    return b"TAG" + b"".join(texts) + b"1999" + b"Hi".ljust(28, b"\0") + b"\0\x07\x08"


def id3v22() -> bytes:
    """Return an ID3v2.2 tag with a title, an artist and a picture."""

    def frame(name: bytes, content: bytes) -> bytes:
        return name + len(content).to_bytes(3, "big") + content

    body = frame(b"TT2", b"\0" + TITLE.encode("latin-1")) + frame(b"TP1", b"\0" + ARTIST.encode("latin-1"))
    body += frame(b"PIC", b"\0PNG\3\0" + bytes(range(1, 200)))
    size = len(body) + 50
    return b"ID3\x02\0\0" + bytes((0, 0, size >> 7, size & 0x7F)) + body + bytes(50)


def dsf() -> bytes:
    """Return a stereo DSF file without a tag: a block of silence in each channel, four times."""
    fmt = b"fmt " + struct.pack("<QIIIIIIQII", 52, 1, 0, 2, 2, 2_822_400, 1, 4 * 4096 * 8, 4096, 0)
    data = b"data" + struct.pack("<Q", 12 + 8 * 4096) + b"\x69" * (8 * 4096)
    return b"DSD " + struct.pack("<QQQ", 28, 28 + len(fmt) + len(data), 0) + fmt + data


def monkeys_audio() -> bytes:
    """Return a Monkey's Audio 3.99 file of two frames."""
    audio = noise()
    descriptor = struct.pack("<4sHHIIIIIII", b"MAC ", 3990, 0, 52, 24, 8, 0, len(audio), 0, 0) + bytes(16)
    header = struct.pack("<HHIIIHHI", 2000, 0, 73_728, 20_000, 2, 16, 2, 44_100)
    seek_table = struct.pack("<II", 84, 84 + len(audio) // 2)
    return descriptor + header + seek_table + audio + ape_tag(Title=TITLE, Artist=ARTIST)


def musepack_7() -> bytes:
    """Return a Musepack SV7 file of 100 frames."""
    header = b"MP+\x07" + struct.pack("<II", 100, 0x1000_0000) + bytes(16)
    return header + noise() + ape_tag(Title=TITLE, Artist=ARTIST)


def musepack_8() -> bytes:
    """Return a Musepack SV8 file of 96,000 samples: stream header, gain, two audio packets, end."""

    def packet(key: bytes, content: bytes) -> bytes:
        for n in range(1, 5):
            size = 2 + n + len(content)
            if size < 1 << 7 * n:
                digits = [size >> 7 * i & 0x7F for i in reversed(range(n))]
                return key + bytes([d | 0x80 for d in digits[:-1]] + digits[-1:]) + content
        raise AssertionError(len(content))

    header = packet(b"SH", b"cksm\x08\x85\xee\0\0\x1b\x1b")
    gain = packet(b"RG", b"\x01" + bytes(8))
    audio = packet(b"AP", noise(9000)) + packet(b"AP", noise(9000))
    return b"MPCK" + header + gain + audio + packet(b"SE", b"") + ape_tag(Title=TITLE, Artist=ARTIST)


def speex() -> bytes:
    """Return an Ogg Speex file of 50 packets a page, narrow band."""
    header = struct.pack("<8s20s13i", b"Speex   ", b"1.2.0", 1, 80, 8000, 0, 4, 1, 8000, 160, 0, 1, 0, 0, 0)
    comments = [f"TITLE={TITLE}".encode(), f"ARTIST={ARTIST}".encode()]
    block = b"".join(struct.pack("<I", len(c)) + c for c in (b"someone", b"", *comments))
    block = block[: 4 + 7] + struct.pack("<I", 2) + block[4 + 7 + 4 :]  # the empty string's place holds the count
    pages = []
    for number, packets in enumerate([[header], [block], *[[noise(20)] * 50] * 20]):
        pages.append(
            render_page(
                flags=2 if number == 0 else 4 if number == 21 else 0,
                granule=max(0, number - 1) * 50 * 160,
                serial=99,
                number=number,
                lacing=bytes(value for packet in packets for value in lacing_of(len(packet))),
                body=b"".join(packets),
            )
        )
    return b"".join(pages)


FROM_MP3: dict[str, Callable[[bytes], bytes]] = {  # a bare MP3, with tags of one kind or another
    "v22.mp3": lambda audio: id3v22() + audio,
    "v1.mp3": lambda audio: audio + id3v1(),
    "ape.mp3": lambda audio: audio + ape_tag(Title=TITLE, Artist=ARTIST, Replaygain_Track_Gain="-6.10 dB"),
    "ape and v1.mp3": lambda audio: audio + ape_tag(Title=TITLE, Artist=ARTIST) + id3v1(TITLE[:3], ""),
}
WHOLE: dict[str, Callable[[], bytes]] = {
    "a.dsf": dsf,
    "a.ape": monkeys_audio,
    "sv7.mpc": musepack_7,
    "sv8.mpc": musepack_8,
    "a.spx": speex,
}
UNPLAYABLE = ("a.ape", "sv7.mpc", "sv8.mpc")  # their audio is noise, which not every FFmpeg takes for music
