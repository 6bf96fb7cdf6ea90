"""What other kinds of tags in a file say, to be repeated in a new one.

Players that find a tag of a container's main kind mostly do not look at the others any more (ffmpeg, TagLib,
and what is built on them). A new tag that held only a mood would hide title and artist in a file whose tags
are all of another kind: ID3v1 or APEv2 in an MP3, LIST INFO in a WAV, ID3 around a FLAC stream. So a new tag
repeats them; the old ones stay as they are.

In between, names are those of Vorbis comments. Pictures and other binary content are not repeated.
Source of the names: TagLib's property maps; MusicBrainz Picard, "Appendix B: Tag Mapping".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from mertag.library.tags.container import Entry, MalformedError
from mertag.library.tags.id3_frames import frame_of, text_content
from mertag.library.tags.id3_genres import spelled_out
from mertag.library.tags.id3_texts import FRAMES, texts_of
from mertag.library.tags.options import OWN

Texts = Mapping[str, tuple[str, ...]]
"""Values by name, such as ``{"TITLE": ("Song",)}``."""

MOST_BYTES = 2**22
"""The longest value that is repeated, and the most in all."""

_APE = {"YEAR": "DATE", "TRACK": "TRACKNUMBER", "DISC": "DISCNUMBER", "ALBUM ARTIST": "ALBUMARTIST"}
_APE_KEYS = {name: key.title() for key, name in _APE.items()}
_NO_APE_KEYS = {"ID3", "TAG", "OGGS", "MP+"}  # the specification forbids these
_INFO = {
    b"INAM": "TITLE",
    b"IART": "ARTIST",
    b"IPRD": "ALBUM",
    b"ICRD": "DATE",
    b"IGNR": "GENRE",
    b"ICMT": "COMMENT",
    b"IPRT": "TRACKNUMBER",
    b"ITRK": "TRACKNUMBER",
    b"PRT1": "DISCNUMBER",
    b"IMUS": "COMPOSER",
    b"IWRI": "LYRICIST",
    b"IBPM": "BPM",
    b"ISRC": "ISRC",
    b"ICOP": "COPYRIGHT",
    b"IPUB": "LABEL",
    b"ITCH": "ENCODEDBY",
    b"ISFT": "ENCODING",
    b"IMED": "MEDIA",
    b"IEDT": "REMIXER",
    b"IENG": "ARRANGER",
    b"ISTR": "PERFORMER",
    b"ILNG": "LANGUAGE",
}
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\d\d(:\d\d){0,2})?)?)?")


def from_id3v1(tag: bytes) -> Texts:
    """Return what an ID3v1 tag (128 bytes, or none) says, as Latin-1: what readers of ID3v1 take it for."""
    if not tag:
        return {}

    def text(start: int, stop: int) -> str:
        return tag[start:stop].split(b"\0")[0].strip(b" ").decode("latin-1")

    has_track = tag[125] == 0 and tag[126] != 0
    year = text(93, 97)
    found = {
        "TITLE": text(3, 33),
        "ARTIST": text(33, 63),
        "ALBUM": text(63, 93),
        "DATE": year if len(year) == 4 and year.isdigit() else "",
        "COMMENT": text(97, 125 if has_track else 127),
        "TRACKNUMBER": str(tag[126]) if has_track else "",
        "GENRE": str(tag[127]) if tag[127] != 0xFF else "",
    }
    return {name: (value,) for name, value in found.items() if value}


def from_ape(items: Iterable[Entry]) -> Texts:
    """Return what the text items of an APE tag say."""
    found: dict[str, tuple[str, ...]] = {}
    for item in items:
        key, _, value = item.raw[8:].partition(b"\0")
        if item.raw[4] & 6 == 0 and value:  # text, neither binary nor a link
            name = key.decode("latin-1")
            found[_APE.get(name.upper(), name)] = tuple(_text(part) for part in value.split(b"\0") if part)
    return found


def from_info(chunk: bytes) -> Texts:
    """Return what the content of a LIST chunk says; nothing if it is not of the kind INFO."""
    found: dict[str, tuple[str, ...]] = {}
    position = 4
    while chunk[:4] == b"INFO" and position + 8 <= len(chunk):
        size = int.from_bytes(chunk[position + 4 : position + 8], "little")
        text = _text(chunk[position + 8 : position + 8 + size].split(b"\0")[0])
        name = _INFO.get(chunk[position : position + 4])
        if name and text:
            found.setdefault(name, (text,))
        position += 8 + size + size % 2
    return found


def from_id3(tag: bytes, id3v1: bytes) -> Texts:
    """Return what an ID3v2 tag and an ID3v1 tag say; either may be empty. A damaged one says nothing."""
    newer: Texts = {}
    if tag:
        try:
            newer = texts_of(tag, MOST_BYTES)
        except MalformedError:
            return {}
    return {**from_id3v1(id3v1), **newer}


def as_id3_frames(*sources: Texts) -> tuple[bytes, ...]:
    """Return frames of ID3v2.4; of a name that several sources have, the first one counts."""
    frames = []
    for name, values in _merged(sources):
        text = "\0".join(values)
        standard = FRAMES.get(name.upper())
        if name.upper() == "COMMENT":
            frames.append(frame_of(b"COMM", text_content("\0" + "\n".join(values), language="eng"), 4))
        elif name.upper() in ("LYRICS", "UNSYNCEDLYRICS"):
            frames.append(frame_of(b"USLT", text_content("\0" + "\n".join(values), language="eng"), 4))
        elif standard is None or (standard == "TDRC" and not all(map(_DATE.fullmatch, values))):
            frames.append(frame_of(b"TXXX", text_content(name + "\0" + text), 4))
        else:
            frames.append(frame_of(standard.encode(), text_content(text), 4))
    return tuple(frames)


def as_comments(*sources: Texts) -> list[bytes]:
    """Return Vorbis comments, ``NAME=value``."""
    found = []
    for name, values in _merged(sources):
        if name.isascii() and name.isprintable() and "=" not in name:
            found += [f"{name.upper()}={value}".encode() for value in values]
    return found


def as_ape_items(texts: Texts) -> list[bytes]:
    """Return items of APEv2, under the names that its specification and MusicBrainz Picard give them."""
    found = []
    for name, values in _merged([texts]):
        key = _APE_KEYS.get(name.upper(), name.title() if name.upper() in FRAMES else name)
        if key.isascii() and key.isprintable() and 2 <= len(key) <= 255 and key.upper() not in _NO_APE_KEYS:
            value = "\0".join(values).encode()
            found.append(len(value).to_bytes(4, "little") + bytes(4) + key.encode() + b"\0" + value)
    return found


def longer(cut: Texts, whole: Texts) -> Texts:
    """Return what both say; `cut` counts more, except where a value of it is only the head of one in `whole`."""
    said = {name.upper(): "".join(values) for name, values in whole.items()}
    left = {name: v for name, v in cut.items() if not said.get(name.upper(), "").startswith("".join(v))}
    others = {name: v for name, v in whole.items() if name.upper() not in {key.upper() for key in left}}
    return {**others, **left}


def contradict(older: Texts, newer: Texts) -> bool:
    """Return whether two tags say different things under one name, one of which is not just the head of the other."""
    said = {name.upper(): "".join(values) for name, values in newer.items()}
    return any(
        name in said and not said[name].startswith("".join(values)) for name, values in genre_names(older).items()
    )


def genre_names(texts: Texts) -> Texts:
    """Return the same, with the numbers of ID3v1 genres spelled out."""
    genres = spelled_out(texts.get("GENRE", ()))
    return {**texts, "GENRE": genres} if genres else texts


def _merged(sources: Sequence[Texts]) -> Iterable[tuple[str, tuple[str, ...]]]:
    seen, left = set(OWN), MOST_BYTES
    for source in sources:
        for name, values in source.items():
            size = len(name.encode("utf-8", "replace")) + sum(len(v.encode("utf-8", "replace")) for v in values)
            if name.upper() in seen or not name or size > left:
                continue
            seen.add(name.upper())
            left -= size
            yield name, tuple(value.encode("utf-8", "replace").decode() for value in values)


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
