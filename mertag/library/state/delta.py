"""What turns a new file back into the old one, in a few hundred bytes, for two files that are nearly the same.

A delta is a list of steps, carried out from first to last; laid end to end, what they give is the old file:

- *copy*: so many bytes of the new file;
- *differ*: so many bytes of the new file, to each of which a difference is added (modulo 256). What a shift of the
  audio does to tables of offsets, and new numbers to Ogg pages, is mostly the same small difference again and again;
- *literal*: bytes that the new file does not have.

To find them, both files are walked side by side. Where they differ and are soon the same again, only the
difference is noted; where they stay different (something was put in or taken out), a short piece of what follows
in the old file is looked for around the same place in the new one. Memory does not grow with the files, only with the
delta; files that have little in common make a large one, and beyond `MOST_BYTES` none.

The format: a byte with the version, then three raw deflate streams, each after its length and the length it unpacks
to: the steps, the differences, the literals. All numbers are varints (7 bits a byte, low ones first; signed ones
zigzag). A step is ``length * 3 + kind``; *copy* and *differ* are followed by where they begin, relative to where the
last of them ended.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from mertag.library.tags.container import Piece, Range

VERSION = 1

MOST_BYTES = 64 * 2**20
"""Beyond this, a delta is not made."""

SAME = 32
"""So many equal bytes in a row count as found again."""

_CHUNK = 2**18
_NEAR = 64  # a difference that ends within so many bytes is one in place, and nothing is looked for elsewhere
_AHEAD, _AROUND = 2**16, 2**18  # how far in the old file, and how far to each side in the new one, is looked
_MOST_SEARCHES = 100  # a tag is rewritten in some places; files that never agree again must not take hours
_LEAST_VARIED = 8  # distinct bytes in a piece that is looked for: padding is found everywhere
_COPY, _DIFFER, _LITERAL = range(3)


class DeltaError(Exception):
    """A delta that cannot be made, or that is damaged; the message is a reason."""


def make_delta(old: BinaryIO, new: BinaryIO) -> bytes:
    """Return what turns `new` into `old`.

    Parameters
    ----------
    old, new : binary files
        Open for reading; seekable.

    Raises
    ------
    DeltaError
        If it would be larger than `MOST_BYTES`.
    OSError
        If one cannot be read.
    """
    a, b = _File(old), _File(new)
    head = _common_head(a, b)
    tail = _common_tail(a, b, min(a.size, b.size) - head)
    steps = _Steps()
    steps.copy(0, head)
    _walk(steps, a, b, head, a.size - tail)
    steps.copy(b.size - tail, tail)
    return steps.packed()


def old_pieces(delta: bytes, new: BinaryIO) -> list[Piece]:
    """Return the old file as new bytes and ranges of the new file, which laid end to end are the old one.

    Parameters
    ----------
    delta : bytes
        From `make_delta`.
    new : binary file
        The new file.

    Raises
    ------
    DeltaError
        If the delta is damaged, or belongs to another file.
    OSError
        If the new file cannot be read.
    """
    if delta[:1] != bytes((VERSION,)):
        raise DeltaError(f"it is of a kind that this mertag does not know ({delta[:1].hex() or 'empty'})")
    numbers, differences, literals = _unpacked(delta)
    pieces: list[Piece] = []
    file, steps, at = _File(new), _varints(numbers), 0
    for step in steps:
        length, kind = divmod(step, 3)
        if kind == _LITERAL:
            pieces.append(_take(literals, length))
            continue
        moved = next(steps, None)
        if moved is None:
            raise DeltaError("it is damaged: a step is cut off")
        at += (moved >> 1) ^ -(moved & 1)
        if at < 0 or at + length > file.size:
            raise DeltaError("it is damaged, or of another file: a step leads outside of the file")
        if kind == _COPY:
            pieces.append(Range(at, at + length))
        else:
            base, difference = _array(file.read(at, length)), _array(_take(differences, length))
            pieces.append((base + difference).tobytes())
        at += length
    if differences or literals:
        raise DeltaError("it is damaged: not all of it is used")
    return pieces


def read_pieces(pieces: list[Piece], new: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes that `pieces` are, at most `_CHUNK` of the file at a time."""
    file = _File(new)
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
            continue
        for start in range(piece.start, piece.stop, _CHUNK):
            yield file.read(start, min(_CHUNK, piece.stop - start))


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


def _common_head(a: _File, b: _File) -> int:
    limit, done = min(a.size, b.size), 0
    while done < limit:
        n = min(_CHUNK, limit - done)
        one, other = a.read(done, n), b.read(done, n)
        if one != other:
            return done + int(np.argmax(_array(one) != _array(other)))
        done += n
    return done


def _common_tail(a: _File, b: _File, limit: int) -> int:
    done = 0
    while done < limit:
        n = min(_CHUNK, limit - done)
        one, other = a.read(a.size - done - n, n), b.read(b.size - done - n, n)
        if one != other:
            return done + int(np.argmax(_array(one)[::-1] != _array(other)[::-1]))
        done += n
    return done


def _walk(steps: _Steps, old: _File, new: _File, start: int, end: int) -> None:
    """Note the steps that give ``old[start:end]``; both files are alike before `start`."""
    position = at = start
    searches = 0
    while position < end:
        a = old.read(position, min(_CHUNK, end - position))
        b = new.read(at, len(a))
        done, found = 0, None
        for first, last in _differing(a, b):
            steps.copy(at + done, first - done)
            done = last
            if last - first > _NEAR and searches < _MOST_SEARCHES:
                searches += 1
                found = _found_again(old, new, position + first, at + first, min(end, position + len(a)))
                if found is not None and found[0] < position + last:
                    missed = found[0] - position - first
                    steps.changed(a[first : first + missed], new.read(at + first, found[1] - at - first), at + first)
                    break
            found = None
            steps.changed(a[first:last], b[first:last], at + first)
        else:
            steps.copy(at + done, len(a) - done)
        position, at = found or (position + len(a), at + len(a))


def _differing(a: bytes, b: bytes) -> Iterator[tuple[int, int]]:
    """Yield where `a` and `b` (which may be shorter) differ: spans with at least `SAME` equal bytes between."""
    n = len(b)
    different = np.flatnonzero(_array(a)[:n] != _array(b))
    if n < len(a):
        different = np.concatenate([different, np.arange(n, len(a))])
    if not len(different):
        return
    breaks = np.flatnonzero(np.diff(different) > SAME)
    firsts = different[np.concatenate([[0], breaks + 1])]
    lasts = different[np.concatenate([breaks, [len(different) - 1]])] + 1
    yield from zip(firsts.tolist(), lasts.tolist(), strict=True)


def _found_again(old: _File, new: _File, position: int, at: int, end: int) -> tuple[int, int] | None:
    """Return where what follows `position` in the old file, before `end`, begins again in the new one near `at`."""
    ahead = old.read(position, min(_AHEAD, end - position))
    start = max(0, at - _AROUND)
    around = new.read(start, at - start + _AROUND)
    for i in _places(len(ahead)):
        piece = ahead[i : i + SAME]
        if len(piece) < SAME or len(set(piece)) < _LEAST_VARIED:
            continue
        j = around.find(piece, at - start)
        if j < 0:
            j = around.find(piece)
        if j < 0:
            continue
        while i and j and ahead[i - 1] == around[j - 1]:
            i, j = i - 1, j - 1
        return position + i, start + j
    return None


def _places(length: int) -> Iterator[int]:
    """Yield where pieces are taken from, ever further apart: what is found is followed back to its beginning."""
    i = 0
    while i < length:
        yield i
        i += max(SAME, i // 8)


class _Steps:
    """The steps of a delta, packed as they come."""

    def __init__(self) -> None:
        self._streams = [_Stream() for _ in range(3)]
        self._numbers, self._differences, self._literals = self._streams
        self._at = 0  # where the last copy or difference ended in the new file
        self._open: tuple[int, int] | None = None  # a copy that may go on: where, how long

    def copy(self, at: int, length: int) -> None:
        if not length:
            return
        if self._open is not None and sum(self._open) == at:
            self._open = (self._open[0], self._open[1] + length)
            return
        self._close()
        self._open = (at, length)

    def changed(self, old: bytes, new: bytes, at: int) -> None:
        """Note `old`, in whose place the new file has `new`, at `at`."""
        if not old:
            return
        self._close()
        if len(old) == len(new):
            difference = (_array(old) - _array(new)).tobytes()
            if len(old) <= 2 * SAME or len(zlib.compress(difference, 1)) < len(zlib.compress(old, 1)):
                self._step(_DIFFER, len(old), at)
                self._differences.add(difference)
                return
        self._step(_LITERAL, len(old))
        self._literals.add(old)

    def packed(self) -> bytes:
        self._close()
        delta = bytes((VERSION,)) + b"".join(stream.packed() for stream in self._streams)
        _refuse_if_large(len(delta))
        return delta

    def _close(self) -> None:
        if self._open is not None:
            at, length = self._open
            self._open = None
            self._step(_COPY, length, at)
        _refuse_if_large(sum(len(stream) for stream in self._streams))

    def _step(self, kind: int, length: int, at: int | None = None) -> None:
        step = _varint(length * 3 + kind)
        if at is not None:
            moved = at - self._at
            step += _varint(2 * moved if moved >= 0 else -2 * moved - 1)
            self._at = at + length
        self._numbers.add(step)


def _refuse_if_large(size: int) -> None:
    if size > MOST_BYTES:
        raise DeltaError(f"the old and the new file differ in more than {MOST_BYTES // 2**20} MiB")


class _Stream:
    """Bytes, compressed as they come."""

    def __init__(self) -> None:
        self._packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._parts: list[bytes] = []
        self._packed = self._plain = 0

    def __len__(self) -> int:
        return self._packed

    def add(self, data: bytes) -> None:
        self._plain += len(data)
        self._keep(self._packer.compress(data))

    def packed(self) -> bytes:
        self._keep(self._packer.flush())
        if not self._plain:
            return bytes(2)
        return _varint(self._packed) + _varint(self._plain) + b"".join(self._parts)

    def _keep(self, part: bytes) -> None:
        if part:
            self._parts.append(part)
            self._packed += len(part)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _varints(data: bytes | bytearray) -> Iterator[int]:
    number = shift = 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number = shift = 0
        elif shift > 63:
            raise DeltaError("it is damaged: a number is too large")
    if shift:
        raise DeltaError("it is damaged: a number is cut off")


def _take(data: bytearray, length: int) -> bytes:
    if length > len(data):
        raise DeltaError("it is damaged: a step has no bytes")
    taken = bytes(data[:length])
    del data[:length]  # a bytearray only moves its beginning
    return taken


def _unpacked(delta: bytes) -> tuple[bytearray, bytearray, bytearray]:
    streams, position = [], 1
    for _ in range(3):
        packed, position = _number_at(delta, position)
        plain, position = _number_at(delta, position)
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = unpacker.decompress(delta[position : position + packed], plain + 1) if plain else b""
        except zlib.error as error:
            raise DeltaError(f"it is damaged: {error}") from error
        if len(data) != plain:
            raise DeltaError("it is damaged: a part of it has the wrong length")
        streams.append(bytearray(data))
        position += packed
    if position != len(delta):
        raise DeltaError("it is damaged: it has the wrong length")
    return streams[0], streams[1], streams[2]


def _number_at(data: bytes, position: int) -> tuple[int, int]:
    """Return the number that begins at `position`, and where it ends."""
    stop = position
    while stop < len(data) and data[stop] & 0x80:
        stop += 1
    number = next(_varints(data[position : stop + 1]), None)
    if number is None:
        raise DeltaError("it is damaged: it is cut off")
    return number, stop + 1
