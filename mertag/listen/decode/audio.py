"""Decoding: a file as mono float32 at the front end's sample rate.

Convention: the chunks, joined, are what ``librosa.load(path, sr=22050, mono=True)`` returns (same length, samples
within 1e-5): float32 samples, the mean of the channels, then soxr HQ. Training decodes its clips with this module, too.
Exceptions: of channels that cancel each other the stronger one is heard (`mertag.listen.decode.mono`); a few samples
that are NaN or infinite are heard as 0; Opus is decoded by ffmpeg, not by libopus (they differ by 50 dB less than the
music); and where librosa stops early (joined MP3 files, damage), mertag reads on: see
`mertag.listen.decode.damage`.

soundfile (libsndfile) decodes MP3 at 395 times real time and Ogg Vorbis at 191, PyAV (ffmpeg) at 235 and 163. PyAV
reads the rest, and Opus, where it is twice as fast. Where soundfile cannot open a file, or stops before its end
(damage, joined MP3 files, chained Ogg), PyAV takes over at the same sample, and judges how much is lost.

Memory does not grow with the length of the track, and no length in a header is relied on. Remarks that libmpg123 prints
about odd MP3 files are kept away by `mertag.listen.decode.pool`, whose processes have no error stream.
"""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import soxr

from mertag.errors import AmplitudeError, DecodeError, UnsupportedFormatError
from mertag.formats import ByteSource, Format, id3v2_end, id3v2_length, sniff
from mertag.listen.decode.by_soundfile import CannotOpenError, SoundFileReader
from mertag.listen.decode.damage import described, is_tolerable
from mertag.listen.decode.returning import Returning
from mertag.listen.decode.structure import frame_damage, missing_share
from mertag.listen.windows import Float32Array, FrontEnd

_Blocks: TypeAlias = Generator[tuple[int, Float32Array], None, str]
_DEFAULT_FRONT_END = FrontEnd()
_BY_SOUNDFILE = frozenset(
    {Format.WAV, Format.RIFX, Format.RF64, Format.BW64, Format.W64, Format.AIFF, Format.CAF, Format.AU, Format.FLAC}
    | {Format.OGG_VORBIS, Format.MP3}
)
MOST_NAN = 1e-3
"""The share of samples that may be NaN or infinite: they are heard as 0. More is damage."""

_NOT_DECODED = frozenset(
    {Format.OPTIMFROG, Format.ADIF, Format.MIDI, Format.PNG, Format.JPEG, Format.GIF, Format.PDF, Format.ZIP}
    | {Format.RAR, Format.SEVEN_ZIP, Format.GZIP, Format.PROGRAM, Format.DATABASE, Format.TEXT}
)
"""What neither soundfile nor PyAV decodes. PyAV is given everything else."""


def decode(
    path: Path | str, *, front_end: FrontEnd = _DEFAULT_FRONT_END, chunk_s: float = 30.0
) -> Generator[Float32Array, None, str]:
    """Decode a file, chunk by chunk.

    Parameters
    ----------
    path : Path or str
        The file. Its content decides how it is read, not its name.
    front_end : FrontEnd
        Its `sample_rate` is the rate of the result.
    chunk_s : float
        Duration of each chunk but the last, in seconds.

    Yields
    ------
    float32 array, shape (n,)
        Mono, C-contiguous, never empty. A file without a single sample yields nothing.

    Returns
    -------
    str
        What of the sound is missing or could not be decoded, in words (`Returning` keeps it); empty: nothing.

    Raises
    ------
    DecodeError
        If the file cannot be read, is damaged beyond what is tolerated, or holds more than a little NaN or infinity.
        Damage may show only after chunks were given.
    UnsupportedFormatError
        If the file is no audio at all, or of a format that mertag does not decode.
    ValueError
        If `chunk_s` is shorter than a sample.
    """
    path = Path(path)
    chunk_samples = round(chunk_s * front_end.sample_rate)
    if chunk_samples < 1:
        raise ValueError(f"chunk_s must be at least one sample, not {chunk_s}")
    pending: list[Float32Array] = []
    n_pending = 0
    resampled = Returning(_resampled(path, front_end.sample_rate))
    for samples in resampled:
        pending.append(samples)
        n_pending += len(samples)
        if n_pending >= chunk_samples:
            joined = np.concatenate(pending)
            whole = n_pending - n_pending % chunk_samples
            for start in range(0, whole, chunk_samples):
                yield joined[start : start + chunk_samples]
            pending = [joined[whole:].copy()]  # a view would keep all of `joined` alive
            n_pending -= whole
    if n_pending:
        yield np.concatenate(pending)
    return resampled.value


def decode_all(path: Path | str, *, front_end: FrontEnd = _DEFAULT_FRONT_END) -> Float32Array:
    """Decode a whole file into one array, shape (n_samples,); parameters and errors as for `decode`."""
    chunks = list(decode(path, front_end=front_end))
    return np.concatenate(chunks) if chunks else np.zeros(0, np.float32)


def _resampled(path: Path, rate_hz: int) -> Generator[Float32Array, None, str]:
    resampler: _Resampler | None = None
    decoded_s = first_s = 0.0
    n_bad = n_samples = 0
    blocks = Returning(_mono_blocks(path))
    for block_rate_hz, mono in blocks:
        block = mono
        known = np.isfinite(mono)
        if not known.all():
            if not n_bad:
                first_s = decoded_s + int(np.argmin(known)) / block_rate_hz
            n_bad += int(np.count_nonzero(~known))
            block = np.where(known, mono, np.float32(0))
        n_samples += len(block)
        decoded_s += len(block) / block_rate_hz
        if resampler is None or resampler.from_hz != block_rate_hz:
            if resampler is not None:  # the rate changes in mid-file: the two parts follow each other
                yield resampler.finish()
            resampler = _Resampler(block_rate_hz, rate_hz)
        yield resampler.push(block)
    no_numbers = ""
    if n_bad:
        samples = f"{n_bad} samples are" if n_bad > 1 else "1 sample is"
        no_numbers = f"damaged after {first_s:.1f} s: {samples} NaN or infinite"
    if n_bad > MOST_NAN * n_samples:
        raise AmplitudeError(path, no_numbers)
    if resampler is not None:
        yield resampler.finish()
    return blocks.value or no_numbers


class _Resampler:
    """soxr HQ as a stream, with librosa's length: ``ceil(n * to_hz / from_hz)``."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self.from_hz = from_hz
        self._ratio = float(to_hz) / from_hz  # librosa's arithmetic, to the bit
        self._stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")
        self._n_in = self._n_out = 0

    def push(self, samples: Float32Array) -> Float32Array:
        if self._ratio == 1.0:
            return samples
        self._n_in += len(samples)
        out: Float32Array = self._stream.resample_chunk(samples)
        self._n_out += len(out)
        return out

    def finish(self) -> Float32Array:
        if self._ratio == 1.0:
            return np.zeros(0, np.float32)
        tail = self._stream.resample_chunk(np.zeros(0, np.float32), last=True)
        n_left = int(np.ceil(self._n_in * self._ratio)) - self._n_out
        # soxr may give a sample less: librosa adds a zero.
        return np.pad(tail, (0, max(0, n_left - len(tail))))[: max(0, n_left)]


def _mono_blocks(path: Path) -> _Blocks:
    """Yield ``(rate_hz, mono block)`` of a file, shape (n,); the rate may change in mid-file. Return its damage."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for its writer
            raise DecodeError(path, "is not a regular file")
        if status.st_size == 0:
            raise DecodeError(path, "the file is empty")
        with path.open("rb") as file:
            source = ByteSource(file)
            form = sniff(source)
            if form in _NOT_DECODED:
                raise UnsupportedFormatError(path, f"{form}: not a format that mertag decodes")
            decoded_s, missing = 0.0, missing_share(source, form)
            blocks = Returning(_decoded(path, file, source, form))
            try:
                for rate_hz, block in blocks:
                    decoded_s += len(block) / rate_hz
                    yield rate_hz, block
            except DecodeError:  # ffmpeg believes a WMA to be shorter that ends early
                if is_tolerable(decoded_s / (1 - missing) - decoded_s, decoded_s / (1 - missing)):
                    raise
            whole_s = decoded_s / (1 - missing)
            incomplete = described(lost_s=whole_s - decoded_s, whole_s=whole_s) if missing else ""
            if not is_tolerable(whole_s - decoded_s, whole_s):
                raise DecodeError(path, incomplete)
            return incomplete or frame_damage(source, form, decoded_s) or blocks.value
    except OSError as error:
        raise _unreadable(path, error) from error


def _decoded(path: Path, file: BinaryIO, source: ByteSource, form: Format) -> _Blocks:
    """Yield the blocks of an open file by the decoder for its format; return what damage that decoder found."""
    reader: SoundFileReader | None = None
    start, by_soundfile = 0, form in _BY_SOUNDFILE
    if form:
        start = id3v2_end(source)  # Monkey's Audio is not found behind a tag by ffmpeg
        try:
            id3v2_length(source.peek(0, 10))
        except ValueError:  # a plain size, as RealJukebox wrote it: libmpg123 and ffmpeg end such a tag too early
            by_soundfile = False
    if by_soundfile:
        with contextlib.suppress(CannotOpenError):  # then PyAV may open it
            reader = SoundFileReader(file, form, start)
    if reader is None:
        return (yield from _by_pyav(path, form, start))
    for block in reader.blocks():
        yield reader.rate_hz, block
    if reader.disk_error is not None:
        raise _unreadable(path, reader.disk_error) from reader.disk_error
    if reader.really:  # PyAV finds out which, in a WAV at least
        return (yield from _by_pyav(path, form, start))
    if reader.stopped is None:
        return reader.damage
    damage = yield from _by_pyav(path, form, start, after=reader)
    if damage or not reader.failed:
        return damage
    return f"damaged after {reader.n_frames / reader.rate_hz:.1f} s: {reader.stopped}"


def _by_pyav(path: Path, form: Format, start: int, *, after: SoundFileReader | None = None) -> _Blocks:
    """Decode a file by PyAV, from the byte `start` on; if soundfile has stopped in it, from the same sample on."""
    # Here, not above: importing it takes 50 ms, and most libraries never need it.
    from mertag.listen.decode.by_pyav import DamagedError, NothingDecodedError, pyav_blocks

    skip = after.n_frames if after else 0
    more = False
    try:
        blocks = Returning(pyav_blocks(path, start))
        for rate_hz, block in blocks:
            if skip < len(block):
                more = True
                yield rate_hz, block[skip:]
            skip = max(0, skip - len(block))
        # Of an Ogg that soundfile left before its end, no more comes where a chained stream changes rate or channels.
        if not more and (not form if after is None else after.must_go_on):
            raise NothingDecodedError("no sound")
        return blocks.value
    except NothingDecodedError as error:
        if after and after.n_frames:
            reason = f"damaged after {after.n_frames / after.rate_hz:.1f} s: {after.stopped}"
        elif form:
            reason = f"{form} that cannot be decoded: {error}"
        else:
            with path.open("rb") as file:
                zeros = not any(file.read(1 << 16))
            what = "it holds only zeros" if zeros else "its first bytes are of no known format"
            reason = f"no audio was found in it: {what}"
        raise DecodeError(path, reason) from error
    except DamagedError as error:
        raise DecodeError(path, str(error)) from error


def _unreadable(path: Path, error: OSError) -> DecodeError:
    return DecodeError(path, f"cannot be read: {error.strerror or error}")
