"""What can be heard: a file, a URL, bytes, a file object, or samples with their rate.

Whatever it is, a decoder process reads it as a file, within its limits: a file where it lies, a URL in a copy that the
process fetches, all else in a copy that is made here, one for each decoder that is free, and removed after use.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from mertag.errors import ConfigError, DecodeError, FileError, MertagError, MissingExtraError, reason_of
from mertag.files import is_url, local_path

Samples: TypeAlias = tuple[npt.NDArray[Any], float]
"""Samples and their rate in Hz, shape (n_samples,) or (n_samples, n_channels), as ``soundfile.read`` returns them:
floating point, full scale 1.0, or integers of 16 or 32 bits."""

Audio: TypeAlias = "Path | str | bytes | IO[bytes] | Samples | Source"
"""What `mertag.Tagger` listens to; a str with ``://`` in it is a URL."""

MOST_CHANNELS = 1024
_INTEGERS = {"int16": "PCM_16", "int32": "PCM_32"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One piece of audio, wherever it is.

    Parameters
    ----------
    audio : path, str, bytes, binary file object, or (samples, rate)
        A file object is read from where it stands to its end; it is not closed. See `Samples`.
    name : Path or str, optional
        What outcomes and errors call it; if not given, the path, the URL, the name of the file object, or what it is.

    Raises
    ------
    ConfigError
        If it is nothing of these, or samples of a shape, type or rate that cannot be.
    MissingExtraError
        If it is a URL, and fsspec is not installed.
    """

    audio: Path | str | bytes | IO[bytes] | Samples
    name: Path | str = ""
    place: Path | str | None = field(init=False)
    """The file (a Path) or the URL (a str) that a decoder reads; None: it has to be put into a file first."""

    def __post_init__(self) -> None:
        place, name = _place_and_name(self.audio)
        object.__setattr__(self, "place", place)
        if not self.name:
            object.__setattr__(self, "name", name)

    def write_to(self, file: IO[bytes]) -> None:
        """Put audio that is neither a file nor a URL into a file."""
        if isinstance(self.audio, bytes):
            file.write(self.audio)
        elif isinstance(self.audio, tuple):
            import soundfile

            samples, rate = np.asarray(self.audio[0]), int(self.audio[1])
            subtype = _INTEGERS.get(samples.dtype.name, "FLOAT")  # W64: no limit at 4 GB
            soundfile.write(file, samples, rate, format="W64", subtype=subtype)
        elif not isinstance(self.audio, Path | str):
            shutil.copyfileobj(self.audio, file, 1 << 20)


def as_source(audio: Audio) -> Source:
    """Return what was given as a `Source`; errors as there."""
    return audio if isinstance(audio, Source) else Source(audio=audio)


def _place_and_name(audio: object) -> tuple[Path | str | None, Path | str]:
    if isinstance(audio, str) and is_url(audio):
        path = local_path(audio)
        if path is not None:
            return path, path
        if importlib.util.find_spec("fsspec") is None:
            raise MissingExtraError("tag", "url", "fsspec")
        return audio, audio
    if isinstance(audio, Path | str):
        return Path(audio), Path(audio)
    if isinstance(audio, bytes | bytearray | memoryview):
        return None, f"{len(audio)} bytes of audio"
    if isinstance(audio, tuple) and len(audio) == 2:
        _check_samples(np.asarray(audio[0]), audio[1])
        return None, f"an array of {len(audio[0])} samples"
    if hasattr(audio, "read"):
        name = getattr(audio, "name", None)
        return None, name if isinstance(name, str) and name else "a file object"
    raise ConfigError(
        f"{type(audio).__name__} is nothing to listen to; give a path, a URL, bytes, a binary file object, "
        "or a pair of samples and their rate in Hz"
    )


def _check_samples(samples: npt.NDArray[Any], rate: object) -> None:
    if samples.dtype.kind != "f" and samples.dtype.name not in _INTEGERS:
        raise ConfigError(f"samples are float, int16 or int32, not {samples.dtype}")
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and not 0 < samples.shape[1] <= MOST_CHANNELS):
        raise ConfigError(
            f"samples have the shape (n_samples,) or (n_samples, n_channels), not {samples.shape}; librosa's "
            "(n_channels, n_samples) has to be transposed"
        )
    if not isinstance(rate, int | float | np.number) or not 1 <= rate < 2**31 or rate != int(rate):
        raise ConfigError(f"the sample rate is a whole number in Hz, not {rate!r}")


class Spool:
    """Gives every source a place that a decoder can read; a context manager, whose end removes the copies.

    Attributes
    ----------
    names : dict of int to Path or str
        What each source is called, from when it is taken to `done`.
    failures : list of (int, FileError)
        Sources that could not be copied.
    """

    def __init__(self) -> None:
        self.names: dict[int, Path | str] = {}
        self.failures: list[tuple[int, FileError]] = []
        self._copies: dict[int, Path] = {}
        self._stack = contextlib.ExitStack()
        self._folder: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def places(self, sources: Iterable[Audio]) -> Iterator[tuple[int, Path | str]]:
        """Yield position and place of each source, when it is asked for."""
        for index, audio in enumerate(sources):
            source = as_source(audio)
            self.names[index] = source.name
            try:
                place = source.place or self._copy(index, source)
            except Exception as error:  # noqa: BLE001  reading someone's file object may raise anything
                reason = error.reason if isinstance(error, FileError) else f"cannot be read: {reason_of(error)}"
                self.failures.append((index, DecodeError(source.name, reason)))
            else:
                yield index, place

    def done(self, index: int) -> None:
        """Remove the copy of a source, if there is one."""
        self.names.pop(index, None)
        copy = self._copies.pop(index, None)
        if copy is not None:
            copy.unlink(missing_ok=True)

    def renamed(self, index: int, error: FileError) -> FileError:
        """Return an error about a copy as one about its source."""
        return type(error)(self.names[index], error.reason) if index in self._copies else error

    def _copy(self, index: int, source: Source) -> Path:
        if self._folder is None:
            try:
                self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="mertag-")))
            except OSError as error:
                raise MertagError(f"no temporary folder can be made for audio that is no file: {error}") from error
        copy = self._folder / str(index)
        self._copies[index] = copy
        with copy.open("wb") as file:
            source.write_to(file)
        return copy
