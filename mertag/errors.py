"""Every error that mertag raises on purpose.

::

    MertagError
    +-- ConfigError              a setting or an option that cannot be
    +-- MissingExtraError        a command whose optional dependencies are not installed
    +-- FileError                one file, with its path and a reason a person understands
    |   +-- DecodeError              the audio is damaged or is not audio
    |   +-- TooShortError            less audio than one segment
    |   +-- SilentError              nothing but digital silence: no emotion to hear
    |   +-- UnsupportedFormatError   a format that mertag does not read, or cannot tag
    |   +-- TagWriteError            the tags could not be written; the file is what it was
    +-- BundleError              a model bundle that is damaged, unknown or unsafe
    +-- DeviceError              the device that was asked for does not run the model
    +-- StateError               the file in which mertag remembers does not work
    +-- DatasetError             a data set that is missing or not as its format says
    +-- TrainingError            training cannot go on (stalled, or a checkpoint that does not fit)
    +-- ExportError              a run that cannot be exported
        +-- ParityError              the exported model does not do what the trained one does

Each message says what was wrong, where, and what to do next. Which exit code an error becomes is decided in
one place, `mertag.cli.console`.
"""

from __future__ import annotations

from pathlib import Path


class MertagError(Exception):
    """Base of all errors that mertag raises on purpose."""


class ConfigError(MertagError):
    """A setting or an option that cannot be."""


class MissingExtraError(MertagError):
    """A command whose optional dependencies are not installed.

    Parameters
    ----------
    command : str
        The command that was called, such as ``"train"``.
    extra : str
        The extra that provides what it needs, such as ``"train"``.
    module : str
        The module that could not be imported.
    """

    def __init__(self, command: str, extra: str, module: str) -> None:
        from mertag.extras import install_command

        super().__init__(
            f"`mertag {command}` needs packages that are not installed (missing: {module}). "
            f"Install them with: {install_command(extra)}"
        )
        self.command, self.extra, self.module = command, extra, module


class FileError(MertagError):
    """One file that could not be handled.

    Parameters
    ----------
    path : Path or str
        The file; of audio that is no file, its URL or name.
    reason : str
        Why, in words that its owner understands; no path, no full stop.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path, self.reason = Path(path), reason  # a URL loses a slash in a Path; its text is in `args`
        super().__init__(str(path), reason)  # both in `args`, so that it survives a trip between processes

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.reason}"


class DecodeError(FileError):
    """The audio is damaged, or there is none."""


class AmplitudeError(DecodeError):
    """Samples that are no numbers."""


class TooShortError(FileError):
    """Less audio than one segment."""


class SilentError(FileError):
    """Nothing but digital silence: there is no emotion to hear."""


class UnsupportedFormatError(FileError):
    """A format that mertag does not read, or in which it does not write tags."""


class TagWriteError(FileError):
    """The tags could not be written. The file on disk is what it was before."""


class BundleError(MertagError):
    """A model bundle that is missing, damaged, of an unknown schema, or unsafe."""


class DeviceError(MertagError):
    """The device that was asked for does not run the model."""


class StateError(MertagError):
    """The file in which mertag remembers what it did cannot be used."""


class DatasetError(MertagError):
    """A data set that is missing, or not as its format says."""


class TrainingError(MertagError):
    """Training cannot go on."""


class ExportError(MertagError):
    """A run that cannot be exported."""


class ParityError(ExportError):
    """The exported model does not do what the trained one does."""


def reason_of(error: Exception) -> str:
    """Return why, for the owner of the file; an error that no one foresaw names its type."""
    if isinstance(error, FileError):
        return error.reason
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, MemoryError):
        return "memory ran out, or more is not allowed (ulimit -v)"
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return "no more threads may be started (ulimit -u), or there is no memory for them (ulimit -v)"
    return f"unexpected {type(error).__name__}: {error}"
