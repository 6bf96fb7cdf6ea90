"""A file's sound as mono blocks at its own sample rate: who decodes what, and who takes over from whom.

soundfile reads what libsndfile knows (the samples are those of ``librosa.load``, hence those of training),
PyAV the rest, and Opus, where it is twice as fast. Where soundfile cannot open a file, or stops before its
end (damage, joined MP3 files, chained Ogg), PyAV takes over at the same sample, and judges how much is lost.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from mertag.errors import DecodeError, UnsupportedFormatError
from mertag.formats import ByteSource, Format, sniff
from mertag.listen.decode.by_soundfile import CannotOpenError, SoundFileReader
from mertag.listen.decode.damage import is_tolerable

Float32Array = npt.NDArray[np.float32]

_BY_SOUNDFILE = frozenset(
    {Format.WAV, Format.RIFX, Format.RF64, Format.BW64, Format.W64, Format.AIFF, Format.CAF, Format.AU, Format.FLAC}
    | {Format.OGG_VORBIS, Format.MP3}
)
_NOT_DECODED = frozenset(
    {Format.OPTIMFROG, Format.ADIF, Format.MIDI, Format.PNG, Format.JPEG, Format.GIF, Format.PDF, Format.ZIP}
    | {Format.RAR, Format.SEVEN_ZIP, Format.GZIP, Format.PROGRAM, Format.DATABASE, Format.TEXT}
)
"""What neither soundfile nor PyAV decodes. PyAV is given everything else."""


def mono_blocks(path: Path) -> Iterator[tuple[int, Float32Array]]:
    """Yield ``(rate_hz, mono block)`` of a file; the rate may change in mid-file.

    Parameters
    ----------
    path : Path
        The file.

    Yields
    ------
    int, float32 array of shape (n,)
        The mean of the channels.

    Raises
    ------
    DecodeError
        If the file cannot be read, is damaged, or holds no sound.
    UnsupportedFormatError
        If it is no audio at all, or of a format that nobody here decodes.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for its writer
            raise DecodeError(path, "is not a regular file")
        if status.st_size == 0:
            raise DecodeError(path, "the file is empty")
        with path.open("rb") as file:
            form = sniff(ByteSource(file))
            if form in _NOT_DECODED:
                raise UnsupportedFormatError(path, f"{form}: not a format that mertag decodes")
            reader = _opened(file, form)
            if reader is None:
                yield from _by_pyav(path, form)
                return
            for block in reader.blocks():
                yield reader.rate_hz, block
    except OSError as error:
        raise _unreadable(path, error) from error
    if reader.disk_error is not None:
        raise _unreadable(path, reader.disk_error) from reader.disk_error
    if reader.stopped is not None:
        yield from _take_over(path, form, reader)
        return
    seconds = reader.n_frames / reader.rate_hz
    whole_s = seconds + reader.missing_s
    if not is_tolerable(reader.missing_s, whole_s):
        raise DecodeError(path, f"the file is incomplete: it holds {seconds:.1f} s of {whole_s:.1f} s of sound")


def _opened(file: BinaryIO, form: Format) -> SoundFileReader | None:
    """Open a file by soundfile; None if that does not read it."""
    if form not in _BY_SOUNDFILE:
        return None
    try:
        return SoundFileReader(file, form)
    except CannotOpenError:
        return None


def _by_pyav(path: Path, form: Format) -> Iterator[tuple[int, Float32Array]]:
    # Here, not above: importing it takes 50 ms, and most libraries never need it.
    from mertag.listen.decode.by_pyav import DamagedError, NothingDecodedError, pyav_blocks

    n_blocks = 0
    try:
        for rate_and_block in pyav_blocks(path):
            n_blocks += 1
            yield rate_and_block
        if n_blocks == 0 and not form:
            raise NothingDecodedError("no sound")
    except NothingDecodedError as error:
        if not form:
            raise DecodeError(path, f"no audio was found in it: {_what(path)}") from error
        raise DecodeError(path, f"{form} that cannot be decoded: {error}") from error
    except DamagedError as error:
        raise DecodeError(path, str(error)) from error


def _take_over(path: Path, form: Format, reader: SoundFileReader) -> Iterator[tuple[int, Float32Array]]:
    from mertag.listen.decode.by_pyav import DamagedError, NothingDecodedError, pyav_blocks

    skip = reader.n_frames
    more = False
    try:
        for rate_hz, block in pyav_blocks(path):
            if skip < len(block):
                more = True
                yield rate_hz, block[skip:]
            skip = max(0, skip - len(block))
        if form is Format.OGG_VORBIS and not more:  # a chained stream whose rate or channels change
            raise NothingDecodedError
    except NothingDecodedError as error:
        if reader.n_frames == 0:
            raise DecodeError(path, f"{form} that cannot be decoded: {error}") from error
        seconds = reader.n_frames / reader.rate_hz
        raise DecodeError(path, f"damaged after {seconds:.1f} s: {reader.stopped}") from error
    except DamagedError as error:
        raise DecodeError(path, str(error)) from error


def _what(path: Path) -> str:
    with path.open("rb") as file:
        return "its first bytes are of no known format" if any(file.read(1 << 16)) else "it holds only zeros"


def _unreadable(path: Path, error: OSError) -> DecodeError:
    return DecodeError(path, f"cannot be read: {error.strerror or error}")
