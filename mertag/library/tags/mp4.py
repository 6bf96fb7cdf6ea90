"""MP4, M4A and M4B: free-form ``----`` atoms in ``moov/udta/meta/ilst``.

All other atoms stay as they are. If free space beside the list takes the new atoms up, nothing else moves;
else ``moov`` grows, and where audio behind it moves, the tables of chunk offsets move with it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mertag.library.tags.comment import Comment, in_brackets, located
from mertag.library.tags.container import Entry, Fields, MalformedError, Piece, Range, Source, collect, splice
from mertag.library.tags.mp4_atoms import (
    Atom,
    TopAtom,
    chunk_offsets,
    chunk_tables,
    is_chunk_table,
    move_chunks,
    top_atoms,
    tree,
)
from mertag.library.tags.options import COMMENT, KEYS

PADDING = 1024
"""Bytes of free space beside a list that had to grow."""

_MEAN = "com.apple.iTunes"
_FREE = (b"free", b"skip")
_IMMOVABLE = {b"moof", b"meta", b"saio", b"cmov"}
"""Atoms, at the top of the file or inside ``moov``, with file offsets that are not rewritten."""
_COMMENT = b"\xa9cmt"
_UTF8 = (1).to_bytes(4, "big")
_HANDLER = bytes(8) + b"mdirappl" + bytes(9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mp4File:
    """An MP4 file."""

    top: tuple[TopAtom, ...]  # the atoms of the file
    moov: bytes  # the content of ``moov``
    audio: tuple[Range, ...]  # the content of every ``mdat``
    entries: tuple[Entry, ...]  # the atoms of the tag list
    name: str = "MP4"
    bare: None = None

    @property
    def fields(self) -> Fields:
        """The fields of the tag list."""
        return collect(self.entries)

    def foreign(self) -> Iterator[tuple[str, Piece]]:
        """Yield the tags of others, and all other atoms; chunk offsets relative to their audio."""
        for entry in self.entries:
            if entry.foreign:
                yield f"tag {entry.raw[4:8].decode('latin-1')!r}", entry.foreign
        for path, atom in tree(self.moov).leaves():
            label = "/".join(part.decode("latin-1") for part in path)
            if b"ilst" in path or atom.name in _FREE:
                continue
            if is_chunk_table(path):
                yield label, repr([self._relative(offset) for offset in chunk_offsets(atom)]).encode()
            elif path != (b"moov", b"udta", b"meta", b"hdlr"):
                yield label, atom.prefix
        for top in self.top:
            if top.name not in (b"moov", b"mdat", *_FREE):
                yield f"atom {top.name.decode('latin-1')!r}", top.whole

    def payload(self) -> Iterator[Piece]:
        """Yield the content of every ``mdat``."""
        for body in self.audio:
            yield len(body).to_bytes(8, "big")
            yield body

    def rebuilt(self, fields: Fields) -> list[Piece]:
        """Return the file with a new ``moov``."""
        for entry in self.entries:
            changes = entry.key is not None and fields.get(entry.key) != self.fields[entry.key]
            if changes and entry.raw[4:8] not in (b"----", _COMMENT):
                raise MalformedError(
                    f"its {entry.key} stands in a list of QuickTime's kind, in which mertag changes nothing; "
                    "re-wrap it first (such as: ffmpeg -i OLD -c copy NEW)"
                )
        moov = tree(self.moov)
        where = next(i for i, top in enumerate(self.top) if top.name == b"moov")
        old = self.top[where]
        meta, items = _tag_list(moov)
        items.children = [Atom(raw[4:8], raw[8:]) for raw in splice(self.entries, fields, _encode)]
        _pad(meta, items, len(old.whole) - len(bytes(moov)))
        grown = len(bytes(moov)) - len(old.whole)
        following = self.top[where + 1 :]
        tail: list[Piece] = []
        if grown and following and following[0].name in _FREE and len(following[0].whole) - grown >= 8:
            room = len(following[0].whole) - grown  # free space behind the header takes the difference up
            tail = [room.to_bytes(4, "big") + b"free" + bytes(room - 8)] if room < 2**32 else []
            if tail:
                grown, following = 0, following[1:]
        moves = [top for top in following if top.name not in _FREE]
        if grown and moves:
            self._move_chunks(moov, old.whole.stop, grown)
        result: list[Piece] = [Range(0, old.whole.start), bytes(moov), *tail]
        return result + [top.whole for top in following]

    def _move_chunks(self, moov: Atom, stop: int, grown: int) -> None:
        names = {top.name for top in self.top}
        for path, atom in moov.leaves():  # a `meta` of keys and values, as QuickTime writes, has no offsets
            if b"ilst" not in path and not (atom.name == b"meta" and b"iloc" not in atom.prefix):
                names.add(atom.name)
        if names & _IMMOVABLE:
            raise MalformedError(
                "a fragmented or encrypted MP4 file without free space for tags; "
                "re-wrap it first (such as: ffmpeg -i OLD -c copy NEW)"
            )

        def move(offset: int) -> int:
            return offset + grown if offset >= stop else offset

        for atom in chunk_tables(moov):
            if any(isinstance(self._relative(offset), int) for offset in chunk_offsets(atom)):
                raise MalformedError("its MP4 header is damaged: a chunk offset points outside the audio")
        move_chunks(moov, move)

    def _relative(self, offset: int) -> tuple[int, int] | int:
        """Return which ``mdat`` an offset points into, and how far; if none, the offset itself."""
        i = bisect_right(self.audio, offset, key=lambda body: body.start) - 1
        if i >= 0 and offset <= self.audio[i].stop:
            return i, offset - self.audio[i].start
        return offset


def read(source: Source) -> Mp4File:
    """Read the header of an MP4 file.

    Raises `MalformedError` if the atoms do not add up, or the tag list is not one of iTunes' kind.
    """
    top = top_atoms(source)
    headers = [atom for atom in top if atom.name == b"moov"]
    if len(headers) != 1:
        raise MalformedError(
            f"an MP4 file has one 'moov' atom, this one has {len(headers)}: it is truncated or damaged"
        )
    audio = tuple(atom.body for atom in top if atom.name == b"mdat")
    if not audio:
        raise MalformedError("this MP4 file has no audio ('mdat' atom): it is truncated or damaged")
    data = source.read(headers[0].body.start, len(headers[0].body), "its MP4 header")
    moov = tree(data)
    meta, items = _tag_list(moov)
    keys = _quicktime_keys(meta)
    entries = located([_entry(atom, keys) for atom in _children(items)])
    return Mp4File(top=tuple(top), moov=data, audio=audio, entries=entries)


def _tag_list(moov: Atom) -> tuple[Atom, Atom]:
    """Return ``meta`` and ``ilst``; new ones, in their places, if there are none."""
    udta = moov.child(b"udta")
    if udta is None:
        udta = Atom(b"udta", children=[])
        _children(moov).append(udta)
    meta = udta.child(b"meta")
    if meta is None:
        meta = Atom(b"meta", bytes(4), [Atom(b"hdlr", _HANDLER)])
        _children(udta).append(meta)
    handler = meta.child(b"hdlr")
    # FFmpeg can write a list of keys and values (mdta) here. Its readers, TagLib and mutagen see `----` atoms in it.
    if handler is not None and handler.prefix[8:12] not in (b"mdir", b"mdta"):
        raise MalformedError(
            "its MP4 tags are not of iTunes' kind ('meta' has another handler); "
            "re-wrap it first (such as: ffmpeg -i OLD -c copy NEW)"
        )
    items = meta.child(b"ilst")
    if items is None:
        items = Atom(b"ilst", children=[])
        _children(meta).append(items)
    return meta, items


def _pad(meta: Atom, items: Atom, difference: int) -> None:
    """Resize the free space behind the list by `difference` bytes; if it cannot, leave `PADDING` there."""
    if not difference:
        return
    children = _children(meta)
    after = next(i for i, atom in enumerate(children) if atom is items) + 1
    has_free = after < len(children) and children[after].name in _FREE
    room = difference + (len(children[after].prefix) if has_free else -8)
    if room < 0:
        room = PADDING
    free = Atom(b"free", bytes(room))
    children[after : after + has_free] = [free]


def _children(atom: Atom) -> list[Atom]:
    if atom.children is None:
        raise MalformedError(f"its MP4 header is damaged: {atom.name.decode('latin-1')!r} holds no atoms")
    return atom.children


def _quicktime_keys(meta: Atom) -> dict[bytes, str]:
    """Return by the name of its atom what each value in a list of QuickTime's kind is called."""
    names, keys = dict[bytes, str](), meta.child(b"keys")
    data, position = b"" if keys is None else keys.prefix, 8
    while position + 8 <= len(data) and (size := int.from_bytes(data[position : position + 4], "big")) >= 8:
        name = data[position + 8 : position + size].decode("utf-8", "replace")
        names[(len(names) + 1).to_bytes(4, "big")] = name.rpartition(".")[2].upper()
        position += size
    return names


def _entry(atom: Atom, keys: Mapping[bytes, str]) -> Entry:
    raw = bytes(atom)
    if atom.name == _COMMENT or keys.get(atom.name) == COMMENT:
        return Entry(None, (), raw, _comment(atom))
    if atom.name != b"----" and keys.get(atom.name) not in KEYS:
        return Entry(None, (), raw)
    try:
        parts = _children(tree(atom.prefix, b"----"))
    except MalformedError:
        return Entry(None, (), raw)  # not one of ours, whatever it is
    if atom.name != b"----":
        return Entry(keys[atom.name], tuple(part.prefix[8:].decode("utf-8", "replace") for part in parts), raw)
    texts = {part.name: part.prefix[4:].decode("utf-8", "replace") for part in parts if part.name != b"data"}
    name = texts.get(b"name", "").upper()
    if texts.get(b"mean", "").lower() != _MEAN.lower() or name not in KEYS:
        return Entry(None, (), raw)
    values = tuple(part.prefix[8:].decode("utf-8", "replace") for part in parts if part.name == b"data")
    return Entry(name, values, raw)


def _comment(atom: Atom) -> Comment:
    """Return the comment in an atom; it can be changed if it is iTunes', and UTF-8."""
    try:
        parts = tree(bytes(atom)[8:], atom.name)
        data, *more = _children(parts)
    except (MalformedError, ValueError):  # damaged, or empty
        return Comment(text=b"", codec=None, around=bytes)
    head, behind = data.prefix[:8], b"".join(map(bytes, more)) + parts.suffix
    codec = "utf-8" if atom.name == _COMMENT and data.name == b"data" and head[:4] == _UTF8 else None

    def around(text: bytes) -> bytes:
        return bytes(Atom(_COMMENT, bytes(Atom(b"data", head + text)) + behind))

    return Comment(text=data.prefix[8:], codec=codec, around=around)


def _encode(key: str, values: tuple[str, ...]) -> list[bytes]:
    if key == COMMENT:
        return [bytes(Atom(_COMMENT, bytes(Atom(b"data", _UTF8 + bytes(4) + in_brackets(values[0]).encode()))))]
    parts = [Atom(b"mean", bytes(4) + _MEAN.encode()), Atom(b"name", bytes(4) + key.encode())]
    parts += [Atom(b"data", _UTF8 + bytes(4) + value.encode()) for value in values]
    return [bytes(Atom(b"----", children=parts))]
