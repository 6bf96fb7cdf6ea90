"""The frames of an ID3v2 tag: finding their bounds, reading the few that are ours, and making new ones.

Source: id3.org, ID3v2.2 (id3v2-00), ID3v2.3.0, ID3v2.4.0-structure and -frames. What the three versions
differ in:

=======  ==  =============  =========================================  ============
version  id  frame size     unsynchronisation                          mood
=======  ==  =============  =========================================  ============
2.2      3   24 bits        of the whole tag; sizes count what it was  ``TXX:MOOD``
2.3      4   32 bits        of the whole tag; sizes count what it was  ``TXXX:MOOD``
2.4      4   28 bits, 7-8   of single frames; sizes count what it is   ``TMOO``
=======  ==  =============  =========================================  ============

Old versions of iTunes wrote plain 32-bit sizes into 2.4; a tag is read that way when only that adds up.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

from mertag.formats import from_syncsafe
from mertag.library.tags import id3_comment
from mertag.library.tags.container import Entry, MalformedError
from mertag.library.tags.id3_bytes import syncsafe
from mertag.library.tags.options import COMMENT, KEYS, MOOD

# The last character may be NUL or a space: iTunes puts three-letter names into 2.3 tags.
_ID = {2: re.compile(rb"[A-Z0-9]{3}"), 3: re.compile(rb"[A-Z0-9]{3}[A-Z0-9\0 ]")}
_ID[4] = _ID[3]
_TEXT = re.compile(rb"[\x20-\x7e\0]*")
_CODECS = {0: "latin-1", 1: "utf-16", 2: "utf-16-be", 3: "utf-8"}
_MAX_TEXT_BYTES = 2**16
MAX_UNPACKED_BYTES = 2**26
"""To more than this no compressed frame may unpack: a few megabytes can hold gigabytes."""
_MANY_STRINGS = 20_000
_BINARY = (b"APIC", b"PIC", b"GEO", b"PRIV", b"UFI", b"MCD")


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a frame lies: ``start <= i < stop`` in the body, its header included."""

    start: int
    stop: int


def walk(body: bytes, start: int, version: int, *, plain_sizes: bool, text_behind: bool = False) -> list[Frame]:
    """Return the frames of `body` from `start`; after the last one there are only zeros, or text if that is allowed.

    Raises `MalformedError` if there is something that is not a frame, or a frame is longer than the tag.
    """
    id_length, header = (3, 6) if version == 2 else (4, 10)
    position = start
    frames: list[Frame] = []
    while position < len(body) and body[position] != 0:
        name = body[position : position + id_length]
        if len(body) - position < header or not _ID[version].fullmatch(name):
            if text_behind and frames and _TEXT.fullmatch(body, position):
                break  # such as that of MP3ext; readers stop here, too
            raise MalformedError(f"its ID3 tag is damaged: what follows frame {len(frames)} is no frame")
        field = body[position + id_length : position + 2 * id_length]
        size = int.from_bytes(field, "big") if version < 4 or plain_sizes else from_syncsafe(field)
        stop = position + header + size
        if size < 0 or stop > len(body):
            raise MalformedError(f"its ID3 tag is damaged: frame {name.decode('latin-1')} is longer than the tag")
        frames.append(Frame(position, stop))
        position = stop
    if body[position:].strip(b"\0") and not (text_behind and _TEXT.fullmatch(body, position)):
        raise MalformedError("its ID3 tag is damaged: there are bytes after the padding")
    return frames


def entry(frame: bytes, raw: bytes, version: int, *, plain_sizes: bool = False) -> Entry:
    """Return one frame as an `Entry`; `frame` is it decoded, `raw` as it stands in the file."""

    def framed(header: bytes, content: bytes) -> bytes:
        made = frame_of(header[: 3 if version == 2 else 4], content, version, plain_sizes=plain_sizes)
        return made if version == 2 else made[:8] + header[8:] + content

    names = {2: b"TXX"}.get(version, b"TXXX")
    if frame[:4] == b"TMOO" and version > 2:
        texts = strings_of(content_of(frame, version))
        return Entry(MOOD, texts, raw) if texts is not None else Entry(None, (), raw)
    if frame.startswith(names):
        texts = strings_of(content_of(frame, version))
        if texts and texts[0].upper() in KEYS:
            return Entry(texts[0].upper(), texts[1:], raw)
    if frame.startswith({2: b"COM"}.get(version, b"COMM")):
        return Entry(None, (), raw, id3_comment.read(frame, version, framed))
    return Entry(None, (), raw)


def costly(frame: bytes, version: int) -> bool:
    """Return whether a frame could cost another reader time or memory out of all proportion.

    mutagen unpacks compressed frames whole, and takes quadratic time for text of very many strings.
    """
    if (version == 3 and frame[9] & 0x80) or (version == 4 and frame[9] & 8):
        return True
    return not frame.startswith(_BINARY) and frame.count(0) > _MANY_STRINGS


def encode(key: str, values: tuple[str, ...], version: int, *, plain_sizes: bool = False) -> bytes:
    """Return a field as one frame, its values apart by a NUL.

    The text is Latin-1 where it can be, which every reader takes, else UTF-8 in 2.4 and UTF-16 before.
    """
    if key == COMMENT:
        content = id3_comment.content_with(values[0], version)
        return frame_of(b"COM" if version == 2 else b"COMM", content, version, plain_sizes=plain_sizes)
    if key == MOOD and version == 4:
        name, text = b"TMOO", "\0".join(values)
    else:
        name, text = b"TXX" if version == 2 else b"TXXX", "\0".join((key, *values))
    try:
        content = b"\x00" + text.encode("latin-1")
    except UnicodeEncodeError:
        if version == 4:
            content = b"\x03" + text.encode("utf-8")
        else:
            head, _, rest = text.partition("\0")  # each string has a byte order mark of its own
            content = b"\x01" + (head + "\0").encode("utf-16") + rest.encode("utf-16")
    return frame_of(name, content, version, plain_sizes=plain_sizes)


def text_content(text: str, *, language: str = "") -> bytes:
    """Return the content of a 2.4 text frame: Latin-1 where it can be, else UTF-8."""
    try:
        return b"\x00" + language.encode() + text.encode("latin-1")
    except UnicodeEncodeError:
        return b"\x03" + language.encode() + text.encode("utf-8")


def frame_of(name: bytes, content: bytes, version: int, *, plain_sizes: bool = False) -> bytes:
    """Return a frame without flags."""
    if version == 2:
        return name + len(content).to_bytes(3, "big") + content
    size = syncsafe(len(content)) if version == 4 and not plain_sizes else len(content).to_bytes(4, "big")
    return name + size + b"\0\0" + content


def content_of(frame: bytes, version: int, most: int = _MAX_TEXT_BYTES) -> bytes:
    """Return the text of a frame, decompressed (to at most so many bytes) and so on; empty if that cannot be."""
    if version == 2:
        return frame[6:]
    flags, content = frame[9], frame[10:]
    if version == 3:
        compressed, encrypted, grouped, unsynchronised = flags & 0x80, flags & 0x40, flags & 0x20, 0
        length_bytes = 4 if compressed else 0
    else:
        compressed, encrypted, grouped, unsynchronised = flags & 8, flags & 4, flags & 0x40, flags & 2
        length_bytes = 4 if flags & 1 else 0
    if encrypted:
        return b""
    if unsynchronised:
        content = content.replace(b"\xff\x00", b"\xff")
    content = content[length_bytes + (1 if grouped else 0) :]
    if compressed:
        try:
            content = zlib.decompressobj().decompress(content, most)
        except zlib.error:
            return b""
    return content


def refuse_bomb(frame: bytes, version: int) -> None:
    """Refuse a compressed frame that would fill the memory of who unpacks it, as some readers do.

    Raises `MalformedError` if it unpacks to more than `MAX_UNPACKED_BYTES`.
    """
    if version == 2 or not frame[9] & (0x80 if version == 3 else 8):
        return
    for content in {frame[10:], frame[10:].replace(b"\xff\x00", b"\xff")}:
        for start in range(6):  # readers differ in what stands before: the length, the group, or neither
            if _unpacked_length(content[start:]) > MAX_UNPACKED_BYTES:
                name = frame[:4].decode("latin-1")
                raise MalformedError(f"its ID3 tag holds a compressed frame, {name}, that unpacks to over 64 MiB")


def _unpacked_length(packed: bytes) -> int:
    """Return to how many bytes zlib's data unpack; counting ends soon after the most that is allowed."""
    unpacker, length = zlib.decompressobj(), 0
    try:
        while packed and length <= MAX_UNPACKED_BYTES:
            length += len(unpacker.decompress(packed, 2**20))
            packed = unpacker.unconsumed_tail
    except zlib.error:  # not zlib's from here, or damaged further on: no reader gets more out of it
        return length
    return length


def strings_of(content: bytes, most: int = _MAX_TEXT_BYTES) -> tuple[str, ...] | None:
    """Return the strings of a text frame, or None if they cannot be read, or are longer than so many bytes."""
    if not content or content[0] not in _CODECS or len(content) > most:
        return None
    text = content[1:].decode(_CODECS[content[0]], "replace")
    texts = [part.lstrip("\ufeff") for part in text.split("\0")]
    while texts and not texts[-1]:
        texts.pop()
    return tuple(texts)
