"""ASF, which WMA is: descriptors in the Extended Content Description object of the header.

All other objects stay as they are; a padding object takes up the difference if it can. Offsets in ASF count
packets, so that a longer header moves nothing that is pointed to; only the file's own size is noted in the
header.

Source: Microsoft, "Advanced Systems Format (ASF) Specification", revision 01.20.03, sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from mertag.library.tags import asf_description
from mertag.library.tags.container import Entry, Fields, MalformedError, Piece, Range, Source, collect, splice
from mertag.library.tags.options import COMMENT, MOOD, OWN

PADDING = 1024
"""Bytes of padding in a header that has to grow."""

HEADER = UUID("75B22630-668E-11CF-A6D9-00AA0062CE6C").bytes_le
_DATA = UUID("75B22636-668E-11CF-A6D9-00AA0062CE6C").bytes_le
_PROPERTIES = UUID("8CABDCA1-A947-11CF-8EE4-00C00C205365").bytes_le
_EXTENDED = UUID("D2D0A440-E307-11D2-97F0-00A0C95EA850").bytes_le
_PADDING = UUID("1806D474-CADF-4509-A4BA-9AABCB96AAE8").bytes_le
_EXTENSION = UUID("5FBF03B5-A92E-11CF-8EE3-00C00C205365").bytes_le
_LIBRARY = UUID("44231C94-9498-49D1-A141-1D134E457054").bytes_le
_SIGNATURE = UUID("2211B3FC-BD23-11D2-B4B7-00A0C955FC6E").bytes_le

_OBJECT = 24  # GUID and 64-bit size
_HEAD = 30
_FILE_SIZE = slice(40, 48)  # in the properties object
_TEXT = 0

_NAMES = {MOOD: "WM/Mood", **{key: key.replace("MERTAG_", "MERTAG/") for key in OWN}}
_KEYS = {**{key: key for key in _NAMES}, **{name.upper(): key for key, name in _NAMES.items()}}


@dataclass(frozen=True, slots=True, kw_only=True)
class AsfFile:
    """An ASF file."""

    objects: tuple[bytes, ...]  # of the header
    entries: tuple[Entry, ...]  # the descriptors of the Extended Content Description object
    reserved: bytes  # two bytes of the header
    data: Range  # from the data object to the end of the file
    name: str = "ASF"
    bare: None = None

    @property
    def fields(self) -> Fields:
        """The fields of the descriptors."""
        return collect(self.entries)

    def foreign(self) -> Iterator[tuple[str, Piece]]:
        """Yield the descriptors of others, and all other header objects."""
        for entry in self.entries:
            if entry.key is None:
                yield "descriptor", entry.raw
        for item in self.objects:
            if item[:16] == _PROPERTIES:
                yield "file properties", item[: _FILE_SIZE.start] + item[_FILE_SIZE.stop :]
            elif item[:16] == asf_description.GUID:
                yield "content description", asf_description.without_mood(item)
            elif item[:16] not in (_EXTENDED, _PADDING):
                yield f"header object {UUID(bytes_le=item[:16])}", _without_library_moods(item)

    def payload(self) -> Iterator[Piece]:
        """Yield the data object and the indexes behind it."""
        yield self.data

    def rebuilt(self, fields: Fields) -> list[Piece]:
        """Return the new header and the data."""
        entries = [raw for raw in splice(self.entries, fields, _encode) if raw]  # those of the library stand elsewhere
        if len(entries) >= 2**16:
            raise MalformedError("its tag is full: ASF allows 65,535 descriptors")
        extended = _object(_EXTENDED, len(entries).to_bytes(2, "little") + b"".join(entries))
        objects = [extended if item[:16] == _EXTENDED else item for item in self.objects]
        if extended not in objects:
            objects.append(extended)
        if fields.get(MOOD) != self.fields.get(MOOD):  # all that there are now stand in the description
            objects = [_without_library_moods(item) for item in objects]
        if fields.get(COMMENT) != self.fields.get(COMMENT):
            objects = asf_description.with_mood(objects, fields[COMMENT][0] if fields.get(COMMENT) else None)
        objects = self._padded(objects)
        length = _HEAD + sum(map(len, objects))
        size = length + len(self.data)
        for i, item in enumerate(objects):  # where nothing moved, a size that was wrong stays as its writer left it
            if item[:16] == _PROPERTIES and size != self.data.stop:
                objects[i] = item[: _FILE_SIZE.start] + size.to_bytes(8, "little") + item[_FILE_SIZE.stop :]
        head = HEADER + length.to_bytes(8, "little") + len(objects).to_bytes(4, "little") + self.reserved
        return [head + b"".join(objects), self.data]

    def _padded(self, objects: list[bytes]) -> list[bytes]:
        grown = sum(map(len, objects)) - sum(map(len, self.objects))
        paddings = [i for i, item in enumerate(objects) if item[:16] == _PADDING]
        if not grown:
            return objects
        if paddings:
            widest = max(paddings, key=lambda i: len(objects[i]))
            room = len(objects[widest]) - _OBJECT - grown
            objects[widest] = _object(_PADDING, bytes(room if room >= 0 else PADDING))
        else:
            objects.append(_object(_PADDING, bytes(-grown - _OBJECT if -grown >= _OBJECT else PADDING)))
        return objects


def read(source: Source) -> AsfFile:
    """Read the header of an ASF file; raise `MalformedError` if the objects do not add up, or the header is signed."""
    head = source.read(0, _HEAD, "its ASF header")
    length, count = int.from_bytes(head[16:24], "little"), int.from_bytes(head[24:28], "little")
    if length < _HEAD:
        raise MalformedError("its ASF header is damaged: it has no valid size")
    body = source.read(_HEAD, length - _HEAD, "its ASF header")
    objects: list[bytes] = []
    position = 0
    while position < len(body):
        size = int.from_bytes(body[position + 16 : position + _OBJECT], "little")
        if size < _OBJECT or position + size > len(body):
            raise MalformedError("its ASF header is damaged: an object has no valid size")
        objects.append(body[position : position + size])
        position += size
    kinds = [item[:16] for item in objects]
    # FFmpeg does not count its chapters, and reads all that there is; a write puts the number right.
    if not 0 < count <= len(objects) or kinds.count(_EXTENDED) > 1 or kinds.count(_PROPERTIES) != 1:
        raise MalformedError("its ASF header is damaged: it does not hold the objects that it promises")
    if len(objects[kinds.index(_PROPERTIES)]) < _FILE_SIZE.stop:
        raise MalformedError("its ASF header is damaged: the file properties are cut off")
    if _SIGNATURE in kinds:
        raise MalformedError("its ASF header has a digital signature, which a change of tags would break")
    if source.peek(length, 16) != _DATA:
        raise MalformedError("its ASF header is damaged: no audio follows it")
    entries = [entry for item in objects if item[:16] == _EXTENDED for entry in _entries(item[_OBJECT:])]
    # TagLib puts the first of several values into the description and the others into the library.
    entries += [Entry(MOOD, (mood,), b"") for item in objects for mood in _library_moods(item)]
    mood = asf_description.mood_in(objects)
    entries += [] if mood is None else [Entry(COMMENT, (mood,), b"")]
    return AsfFile(
        objects=tuple(objects), entries=tuple(entries), reserved=head[28:30], data=Range(length, source.size)
    )


def _entries(data: bytes) -> Iterator[Entry]:
    count, position = int.from_bytes(data[:2], "little"), 2
    for _ in range(count):
        name_stop = position + 2 + int.from_bytes(data[position : position + 2], "little")
        kind = int.from_bytes(data[name_stop : name_stop + 2], "little")
        start = name_stop + 4
        stop = start + int.from_bytes(data[name_stop + 2 : start], "little")
        if start > len(data) or stop > len(data):
            raise MalformedError("its ASF header is damaged: a descriptor is longer than its object")
        name = _text(data[position + 2 : name_stop])
        raw = data[position:stop]
        key = _KEYS.get(name.upper())
        if key is None:
            yield Entry(None, (), raw)
        else:
            yield Entry(key, (_text(data[start:stop]) if kind == _TEXT else repr(data[start:stop]),), raw)
        position = stop


def _library_records(item: bytes) -> Iterator[tuple[int, range]]:
    """Yield where the moods in the Metadata Library of a Header Extension object stand: the library, the record."""
    position, stop = (_OBJECT + 22, len(item)) if item[:16] == _EXTENSION else (0, 0)
    while position + _OBJECT <= stop:
        size = int.from_bytes(item[position + 16 : position + _OBJECT], "little")
        record = position + _OBJECT + 2
        if size < _OBJECT:
            return
        for _ in range(int.from_bytes(item[record - 2 : record], "little") if item[position:][:16] == _LIBRARY else 0):
            _, _, name_size, kind = (int.from_bytes(item[record + i : record + i + 2], "little") for i in (0, 2, 4, 6))
            value = record + 12 + name_size
            value_stop = value + int.from_bytes(item[record + 8 : record + 12], "little")
            if value_stop > position + size:
                return
            if kind == _TEXT and _text(item[record + 12 : value]).upper() == "WM/MOOD":
                yield position, range(record, value_stop)
            record = value_stop
        position += size


def _library_moods(item: bytes) -> Iterator[str]:
    """Yield the moods in the Metadata Library of a Header Extension object: they are someone else's."""
    for _, record in _library_records(item):
        name_size = int.from_bytes(item[record.start + 4 : record.start + 6], "little")
        yield _text(item[record.start + 12 + name_size : record.stop])


def _without_library_moods(item: bytes) -> bytes:
    """Return a header object without the moods in its Metadata Library, its sizes and counts made right."""
    for library, record in reversed(list(_library_records(item))):
        changed = bytearray(item)
        sizes = ((16, 8), (42, 4), (library + 16, 8))  # of the object, of what it holds, of the library
        for at, n, less in (*((*size, len(record)) for size in sizes), (library + _OBJECT, 2, 1)):
            changed[at : at + n] = (int.from_bytes(item[at : at + n], "little") - less).to_bytes(n, "little")
        del changed[record.start : record.stop]
        item = bytes(changed)
    return item


def _encode(key: str, values: tuple[str, ...]) -> list[bytes]:
    if key == COMMENT:
        return []  # it stands in the description
    name = _NAMES[key]
    found = []
    for value in values:
        texts = [(text + "\0").encode("utf-16-le") for text in (name, value)]
        if len(texts[1]) >= 2**16:
            raise MalformedError("a value is too long for an ASF descriptor")
        found.append(
            len(texts[0]).to_bytes(2, "little")
            + texts[0]
            + _TEXT.to_bytes(2, "little")
            + len(texts[1]).to_bytes(2, "little")
            + texts[1]
        )
    return found


def _text(data: bytes) -> str:
    return data.decode("utf-16-le", "replace").rstrip("\0")


def _object(name: bytes, content: bytes) -> bytes:
    return name + (_OBJECT + len(content)).to_bytes(8, "little") + content
