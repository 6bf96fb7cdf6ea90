"""Decoding: a file as mono float32 at the front end's sample rate.

Convention: the chunks, joined, are what ``librosa.load(path, sr=22050, mono=True)`` returns (same length,
samples within 1e-5): soundfile's float32 samples, the mean of the channels, then soxr HQ. Training reads its
clips with librosa, so tagging hears what training heard. Two exceptions: Opus is decoded by ffmpeg rather
than by libopus (they differ by some 50 dB less than the music), and where librosa stops early (joined MP3
files, damage), mertag reads on. What is tolerated in a damaged file stands in `mertag.listen.decode.damage`.

Memory does not grow with the length of the track, and no length in a header is relied on.

libmpg123, inside libsndfile, writes remarks about odd MP3 files to the standard error stream of the process,
and libsndfile gives no way to stop it. `mertag.listen.decode.pool` keeps them away: its worker processes have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from mertag.errors import DecodeError
from mertag.listen.decode.readers import mono_blocks
from mertag.listen.windows import FrontEnd

Float32Array = npt.NDArray[np.float32]

_DEFAULT_FRONT_END = FrontEnd()


def decode(
    path: Path | str, *, front_end: FrontEnd = _DEFAULT_FRONT_END, chunk_s: float = 30.0
) -> Iterator[Float32Array]:
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

    Raises
    ------
    DecodeError
        If the file cannot be read, is damaged beyond what is tolerated, or holds NaN or infinity.
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
    for samples in _resampled(path, front_end.sample_rate):
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


def decode_all(path: Path | str, *, front_end: FrontEnd = _DEFAULT_FRONT_END) -> Float32Array:
    """Decode a whole file into one array, shape (n_samples,); parameters and errors as for `decode`."""
    chunks = list(decode(path, front_end=front_end))
    return np.concatenate(chunks) if chunks else np.zeros(0, np.float32)


def _resampled(path: Path, rate_hz: int) -> Iterator[Float32Array]:
    resampler: _Resampler | None = None
    decoded_s = 0.0
    for block_rate_hz, block in mono_blocks(path):
        if not np.isfinite(block).all():
            raise DecodeError(path, f"damaged after {decoded_s:.1f} s: samples that are NaN or infinite")
        decoded_s += len(block) / block_rate_hz
        if resampler is None or resampler.from_hz != block_rate_hz:
            if resampler is not None:  # the rate changes in mid-file: the two parts follow each other
                yield resampler.finish()
            resampler = _Resampler(block_rate_hz, rate_hz)
        yield resampler.push(block)
    if resampler is not None:
        yield resampler.finish()


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
