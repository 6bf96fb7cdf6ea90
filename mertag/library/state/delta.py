"""What turns a new file back into the old one, in a few hundred bytes, for two files that are nearly the same.

A delta is a list of steps, carried out from first to last; laid end to end, what they give is the old file:

- *copy*: so many bytes of the new file;
- *differ*: so many bytes of the new file, to each of which a difference is added (modulo 256). What a shift of the
  audio does to tables of offsets, and new numbers to Ogg pages, is mostly the same small difference again and again;
- *literal*: bytes that the new file does not have.

Both files are read side by side, block by block. A block that differs is cut into chunks at certain bytes, so that the
same content is cut alike wherever it stands; a chunk that stands nearby in the new file, too, is copied from there.
Memory grows with the delta, not with the files.

The format: a byte with the version, then three raw deflate streams, each after its length and the length it unpacks
to: the steps, the differences, the literals. All numbers are varints (7 bits a byte, low ones first; signed ones
zigzag). A step is ``length * 3 + kind``; *copy* and *differ* are followed by where they begin, relative to where the
last of them ended.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from mertag.library.tags.container import Piece, Range

VERSION = 1

MOST_BYTES = 64 * 2**20
"""Of changes that would be larger, no delta is made."""

_BLOCK = 2**18
_AROUND = 2**17  # how far to each side a chunk may have moved
_CHUNK = re.compile(rb"(?s).{32}[^A]*|.+")  # an "A" comes up in binary data, in text and in base64
_SHORT = 64  # of so few bytes, the difference is noted in any case
_COPY, _DIFFER, _LITERAL = range(3)


class DeltaError(Exception):
    """A delta that cannot be made, or that is damaged; the message is a reason."""


def make_delta(old: BinaryIO, new: BinaryIO) -> bytes:
    """Return what turns `new` into `old`; both are open for reading.

    Raises
    ------
    DeltaError
        If the files differ in more than `MOST_BYTES`.
    OSError
        If one cannot be read.
    """
    a, b, steps = _File(old), _File(new), _Steps()
    at = 0  # where the new file goes on like the old one
    for start in range(0, a.size, _BLOCK):
        block = a.read(start, _BLOCK)
        if block == b.read(at, len(block)):
            steps.copy(at, len(block))
            at += len(block)
        else:
            at = _match_chunks(steps, block, b, at)
    return steps.packed()


def old_pieces(delta: bytes, new: BinaryIO) -> list[Piece]:
    """Return the old file as new bytes and ranges of the new file, which laid end to end are the old one.

    Raises
    ------
    DeltaError
        If the delta is damaged, or belongs to another file.
    OSError
        If the new file cannot be read.
    """
    if delta[:1] != bytes((VERSION,)):
        raise DeltaError(f"it is of a kind that this mertag does not know ({delta[:1].hex() or 'empty'})")
    numbers, differences, literals = _streams(delta[1:])
    pieces: list[Piece] = []
    file, at = _File(new), 0
    while numbers.left:
        length, kind = divmod(numbers.number(), 3)
        if kind == _LITERAL:
            pieces.append(literals.take(length))
            continue
        moved = numbers.number()
        at += (moved >> 1) ^ -(moved & 1)
        if at < 0 or at + length > file.size:
            raise DeltaError("it is damaged, or of another file: a step leads outside of the file")
        if kind == _COPY:
            pieces.append(Range(at, at + length))
        else:
            base, difference = _array(file.read(at, length)), _array(differences.take(length))
            pieces.append((base + difference).tobytes())
        at += length
    if differences.left or literals.left:
        raise DeltaError("it is damaged: not all of it is used")
    return pieces


def read_pieces(pieces: list[Piece], new: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes that `pieces` are, at most `_BLOCK` of the file at a time."""
    file = _File(new)
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
            continue
        for start in range(piece.start, piece.stop, _BLOCK):
            yield file.read(start, min(_BLOCK, piece.stop - start))


def _match_chunks(steps: _Steps, block: bytes, new: _File, at: int) -> int:
    """Note the steps that give `block` of the old file, expected at `at` in the new one; return where that goes on."""
    base = max(0, at - _AROUND)
    near = new.read(base, at - base + len(block) + _AROUND)
    at -= base  # from here on, within `near`
    places: dict[bytes, int] = {}
    for found in _CHUNK.finditer(near):
        places.setdefault(found.group(), found.start())
    start = done = 0  # block[done:start] was not found
    for chunk in _CHUNK.findall(block):
        expected = at + start - done
        place = expected if near.startswith(chunk, expected) else places.get(chunk)
        if place is not None:
            steps.changed(block[done:start], near[at:place], base + at)
            steps.copy(base + place, len(chunk))
            done, at = start + len(chunk), place + len(chunk)
        start += len(chunk)
    steps.changed(block[done:], near[at : at + start - done], base + at)
    return base + at + start - done


class _Steps:
    """The three streams of a delta in the making."""

    def __init__(self) -> None:
        self._numbers, self._differences, self._literals = bytearray(), bytearray(), bytearray()
        self._at = 0  # where the last copy or difference ended in the new file
        self._pending = (0, 0)  # a copy that may go on: where, how long

    def copy(self, at: int, length: int) -> None:
        """Note bytes that both files have; `at` is where they stand in the new one."""
        if length and sum(self._pending) == at:
            self._pending = (self._pending[0], self._pending[1] + length)
        elif length:
            self._flush()
            self._pending = (at, length)

    def changed(self, old: bytes, new: bytes, at: int) -> None:
        """Note `old`, in whose place the new file has `new`, at `at`."""
        head = _common(old, new)
        tail = _common(old[head:][::-1], new[head:][::-1])
        self.copy(at, head)
        gone, instead = old[head : len(old) - tail], new[head : len(new) - tail]
        if gone:
            self._flush()
            difference = (_array(gone) - _array(instead)).tobytes() if len(gone) == len(instead) else b""
            if difference and (len(gone) <= _SHORT or len(zlib.compress(difference, 1)) < len(zlib.compress(gone, 1))):
                self._step(_DIFFER, len(gone), at + head)
                self._differences += difference
            else:
                self._step(_LITERAL, len(gone))
                self._literals += gone
        self.copy(at + len(new) - tail, tail)

    def packed(self) -> bytes:
        """Return the delta."""
        self._flush()
        delta = bytes((VERSION,))
        for stream in (self._numbers, self._differences, self._literals):
            data = zlib.compress(stream, 9, -zlib.MAX_WBITS) if stream else b""
            delta += _varint(len(data)) + _varint(len(stream)) + data
        return delta

    def _flush(self) -> None:
        at, length = self._pending
        if length:
            self._step(_COPY, length, at)
        self._pending = (self._at, 0)

    def _step(self, kind: int, length: int, at: int | None = None) -> None:
        self._numbers += _varint(length * 3 + kind)
        if at is not None:
            moved = at - self._at
            self._numbers += _varint(2 * moved if moved >= 0 else -2 * moved - 1)
            self._at = at + length
        if len(self._numbers) + len(self._differences) + len(self._literals) > MOST_BYTES:
            raise DeltaError(f"the old and the new file differ in more than {MOST_BYTES // 2**20} MiB")


def _common(a: bytes, b: bytes) -> int:
    """Return how many bytes `a` and `b` have in common at their beginning."""
    n = min(len(a), len(b))
    different = np.flatnonzero(_array(a)[:n] != _array(b)[:n])
    return int(different[0]) if len(different) else n


class _File:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, os.SEEK_END)

    def read(self, start: int, length: int) -> bytes:
        """Return what there is of `length` bytes from `start`, at most up to where the file ended at first."""
        length = max(0, min(length, self.size - start))
        self._file.seek(start)
        data = self._file.read(length)
        if len(data) != length:
            raise DeltaError("the file became shorter while it was read")
        return data


def _array(data: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


class _Reader:
    """Numbers and bytes, one after the other; `left` says how many bytes are left."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def number(self) -> int:
        number = 0
        for shift in range(0, 70, 7):
            (byte,) = self.take(1)
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
        raise DeltaError("it is damaged: a number is too large")

    def take(self, length: int) -> bytes:
        if length > self.left:
            raise DeltaError("it is damaged: it is cut off")
        self._at += length
        return self._data[self._at - length : self._at]


def _streams(delta: bytes) -> list[_Reader]:
    """Return the steps, the differences and the literals, unpacked."""
    streams, packed = [], _Reader(delta)
    for _ in range(3):
        packed_length, length = packed.number(), packed.number()
        try:
            unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
            data = unpacker.decompress(packed.take(packed_length), length + 1) if length else b""
        except zlib.error as error:
            raise DeltaError(f"it is damaged: {error}") from error
        if len(data) != length:
            raise DeltaError("it is damaged: a part of it has the wrong length")
        streams.append(_Reader(data))
    if packed.left:
        raise DeltaError("it is damaged: it has the wrong length")
    return streams
