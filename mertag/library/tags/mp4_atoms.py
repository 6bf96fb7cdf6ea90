"""The atoms of an MP4 file, as a tree of bytes, and the chunk offsets among them.

Source: ISO/IEC 14496-12 (boxes), 14496-14, and Apple's "QuickTime File Format" (udta, meta, ilst).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from mertag.library.tags.container import MalformedError, Range, Source

_PARENTS = {
    b"trak": b"moov",
    b"mdia": b"trak",
    b"minf": b"mdia",
    b"stbl": b"minf",
    b"udta": b"moov",
    b"meta": b"udta",
    b"ilst": b"meta",
}
"""Atoms whose children matter here, in the places where they matter; all others are leaves."""

_WEIGHTY = {b"moov", b"mdat", b"moof", b"mfra", b"meta", b"uuid", b"udta", b"free", b"skip", b"wide", b"sidx", b"idat"}
_MOST_ATOMS = 100_000
_DEEPEST = 12


@dataclass(slots=True)
class Atom:
    """One atom inside ``moov``."""

    name: bytes  # four characters
    prefix: bytes = b""  # for a container, the bytes before its children (``meta`` has four); for a leaf, its content
    children: list[Atom] | None = None  # None for a leaf
    suffix: bytes = b""  # bytes after the children that are no atom (``udta`` may end with four zeros)

    def __bytes__(self) -> bytes:
        content = b"".join((self.prefix, *map(bytes, self.children or ()), self.suffix))
        if len(content) + 8 >= 2**32:
            raise MalformedError("its MP4 header would become larger than 4 GiB")
        return (len(content) + 8).to_bytes(4, "big") + self.name + content

    def child(self, name: bytes) -> Atom | None:
        """Return the only child of that name; raise `MalformedError` if there are several."""
        found = [atom for atom in self.children or () if atom.name == name]
        if len(found) > 1:
            raise MalformedError(f"its MP4 header is damaged: there are {len(found)} {name.decode('latin-1')!r} atoms")
        return found[0] if found else None

    def leaves(self, path: tuple[bytes, ...] = ()) -> Iterator[tuple[tuple[bytes, ...], Atom]]:
        """Yield every leaf below, with the names that lead to it."""
        here = (*path, self.name)
        if self.children is None:
            yield here, self
        for atom in self.children or ():
            yield from atom.leaves(here)


@dataclass(frozen=True, slots=True)
class TopAtom:
    """An atom at the top of the file."""

    name: bytes
    whole: Range
    body: Range


@dataclass(slots=True)
class _Budget:
    left: int = field(default=_MOST_ATOMS)


def top_atoms(source: Source) -> list[TopAtom]:
    """Return the atoms of the file; raise `MalformedError` if one reaches past the end."""
    found: list[TopAtom] = []
    position = 0
    while position < source.size:
        if len(found) == _MOST_ATOMS:
            raise MalformedError(f"it has more than {_MOST_ATOMS} atoms: it is damaged")
        header = source.peek(position, 16)
        size, start = int.from_bytes(header[:4], "big"), position + 8
        if size == 1:
            size, start = int.from_bytes(header[8:16], "big"), position + 16
        elif size == 0:
            size = source.size - position
        stop = position + size
        if not _may_be_atom(header, stop - source.size) and {b"moov", b"mdat"} <= {atom.name for atom in found}:
            found.append(TopAtom(b"", Range(position, source.size), Range(position, source.size)))
            break
        if len(header) < 8 or stop < start or stop > source.size:
            raise MalformedError(
                f"the MP4 atom at byte {position} reaches past the end: the file is truncated or damaged"
            )
        found.append(TopAtom(header[4:8], Range(position, stop), Range(start, stop)))
        position = stop
    return found


def _may_be_atom(header: bytes, beyond: int) -> bool:
    """Return whether what begins with `header` may be an atom; stray bytes or an ID3v1 tag at the end are none.

    What has the name of an atom that matters is one, and cut off if it reaches `beyond` the file.
    """
    return header[4:8] in _WEIGHTY or (len(header) >= 8 and beyond <= 0 and header[:4] != b"\0\0\0\0")


def tree(data: bytes, name: bytes = b"moov") -> Atom:
    """Return the atoms inside a container whose content is `data`.

    Raises `MalformedError` if an atom reaches past its container, or there are too many.
    """
    return _tree(name, data, 0, _Budget())


def _tree(name: bytes, data: bytes, depth: int, budget: _Budget) -> Atom:
    start = 4 if name == b"meta" and data[4:8] != b"hdlr" else 0
    atom = Atom(name, data[:start], [])
    position = start
    while len(data) - position >= 8:
        size, child = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        budget.left -= 1
        if size < 8 or size > len(data) - position or budget.left < 0 or depth > _DEEPEST:
            if not data[position:].strip(b"\0"):
                break
            raise MalformedError(
                f"its MP4 header is damaged: an atom inside {name.decode('latin-1')!r} has no valid size"
            )
        content = data[position + 8 : position + size]
        if _PARENTS.get(child) == name:
            atom.children.append(_tree(child, content, depth + 1, budget))  # type: ignore[union-attr]
        else:
            atom.children.append(Atom(child, content))  # type: ignore[union-attr]
        position += size
    atom.suffix = data[position:]
    return atom


def is_chunk_table(path: tuple[bytes, ...]) -> bool:
    """Return whether the leaf that these names lead to holds chunk offsets, by its name and its place."""
    return path[-2:] in ((b"stbl", b"stco"), (b"stbl", b"co64"))


def chunk_tables(moov: Atom) -> Iterator[Atom]:
    """Yield the atoms that hold chunk offsets. A tag may have such a name, too."""
    for path, atom in moov.leaves():
        if is_chunk_table(path):
            yield atom


def chunk_offsets(atom: Atom) -> list[int]:
    """Return the file offsets in an ``stco`` or ``co64`` atom; raise `MalformedError` if it is shorter than it says."""
    width = 8 if atom.name == b"co64" else 4
    count = int.from_bytes(atom.prefix[4:8], "big")
    if len(atom.prefix) != 8 + count * width:
        raise MalformedError("its MP4 header is damaged: a table of chunk offsets has the wrong length")
    data = atom.prefix
    return [int.from_bytes(data[i : i + width], "big") for i in range(8, len(data), width)]


def move_chunks(moov: Atom, move: Callable[[int], int]) -> None:
    """Replace every chunk offset by what `move` makes of it.

    Raises `MalformedError` if a 32-bit table cannot hold the new offset.
    """
    for atom in chunk_tables(moov):
        width = 8 if atom.name == b"co64" else 4
        try:
            table = b"".join(move(offset).to_bytes(width, "big") for offset in chunk_offsets(atom))
        except OverflowError:
            raise MalformedError("its MP4 audio would move past 4 GiB, beyond its table of offsets") from None
        atom.prefix = atom.prefix[:8] + table
