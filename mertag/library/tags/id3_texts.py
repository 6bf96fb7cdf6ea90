"""What the text frames of an ID3v2 tag say, by the names of Vorbis comments.

Source: id3.org, ID3v2.2 (id3v2-00), ID3v2.3.0, ID3v2.4.0-frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from mertag.library.tags.container import MalformedError
from mertag.library.tags.id3_frames import content_of, strings_of
from mertag.library.tags.id3_genres import spelled_out
from mertag.library.tags.id3_tag import HEADER, parse

FRAMES: Mapping[str, str] = {
    "TITLE": "TIT2",
    "SUBTITLE": "TIT3",
    "ARTIST": "TPE1",
    "ALBUM": "TALB",
    "ALBUMARTIST": "TPE2",
    "DATE": "TDRC",
    "GENRE": "TCON",
    "TRACKNUMBER": "TRCK",
    "DISCNUMBER": "TPOS",
    "COMPOSER": "TCOM",
    "CONDUCTOR": "TPE3",
    "REMIXER": "TPE4",
    "LYRICIST": "TEXT",
    "BPM": "TBPM",
    "ISRC": "TSRC",
    "COPYRIGHT": "TCOP",
    "LABEL": "TPUB",
    "ENCODEDBY": "TENC",
    "ENCODING": "TSSE",
    "MEDIA": "TMED",
    "GROUPING": "TIT1",
    "COMPILATION": "TCMP",
    "MOOD": "TMOO",
}
"""The frame of ID3v2.4 for each name."""

_NAMES = {frame: name for name, frame in FRAMES.items()} | {"COMM": "COMMENT", "USLT": "LYRICS"}
_OF_2_2 = {
    "TT1": "TIT1",
    "TT2": "TIT2",
    "TT3": "TIT3",
    "TP1": "TPE1",
    "TP2": "TPE2",
    "TP3": "TPE3",
    "TP4": "TPE4",
    "TAL": "TALB",
    "TYE": "TYER",
    "TDA": "TDAT",
    "TIM": "TIME",
    "TCO": "TCON",
    "TRK": "TRCK",
    "TPA": "TPOS",
    "TCM": "TCOM",
    "TXT": "TEXT",
    "TBP": "TBPM",
    "TRC": "TSRC",
    "TCR": "TCOP",
    "TPB": "TPUB",
    "TEN": "TENC",
    "TSS": "TSSE",
    "TMT": "TMED",
    "TCP": "TCMP",
    "TXX": "TXXX",
    "COM": "COMM",
    "ULT": "USLT",
}
_ONE = ("COMM", "USLT")
_DATED = ("TYER", "TDAT", "TIME")


def texts_of(tag: bytes, most: int) -> dict[str, tuple[str, ...]]:
    """Return what a tag says; of several comments or lyrics the first that says something, of other texts all.

    A frame of more than `most` bytes is left out, and all of them if reading them would cost too much. Raises
    `MalformedError` if the tag is damaged.
    """
    if len(tag) < HEADER:
        raise MalformedError("its ID3 tag is damaged: it is cut off")
    parsed = parse(tag)
    found: dict[str, tuple[str, ...]] = {}
    dated: dict[str, str] = {}
    if parsed.costly:
        return {}
    frames = (e.raw.replace(b"\xff\x00", b"\xff") if parsed.unsynchronised else e.raw for e in parsed.entries)
    for frame, name, values in _frames(frames, parsed.version, most):
        if frame in _DATED:
            dated.setdefault(frame, values[0])
        elif name not in found:
            found[name] = spelled_out(values) if frame == "TCON" else values
        elif frame not in _ONE:
            found[name] = tuple(dict.fromkeys((*found[name], *values)))
    if dated.get("TYER", "").isdecimal() and "DATE" not in found:
        found["DATE"] = (_date(dated),)
    return found


def _frames(frames: Iterable[bytes], version: int, most: int) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield frame, name and values of each frame that says something."""
    for raw in frames:
        given = raw[: 3 if version == 2 else 4].decode("latin-1")
        frame = _OF_2_2.get(given, "") if version == 2 else given
        if frame not in (*_NAMES, *_DATED, "TXXX") or len(raw) > most:
            continue
        content = content_of(raw, version, most)
        if frame in _ONE:
            content = content[:1] + content[4:]  # without the language
        strings = strings_of(content, most) or ()
        name = _NAMES.get(frame, frame)
        if frame == "TXXX" or frame in _ONE:
            name = strings[0] if frame == "TXXX" and strings else name
            strings = strings[1:]
        values = tuple(value for value in strings if value)
        if name and values:
            yield frame, name, values


def _date(dated: Mapping[str, str]) -> str:
    """Return year, day and time of ID3v2.3 as one date of 2.4, as far as they are there."""
    date = dated["TYER"]
    day, time = (re.fullmatch(r"(\d\d)(\d\d)", dated.get(frame, "")) for frame in _DATED[1:])
    if day:
        date += f"-{day[2]}-{day[1]}"
        if time:
            date += f"T{time[1]}:{time[2]}"
    return date
