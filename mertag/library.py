"""Finding audio files: which, and in which order.

- A folder is searched with its subfolders, entries sorted by name; symbolic links are followed, and a folder
  or file that can be reached twice (two arguments, a link, a loop of links) comes once.
- In a folder, files with a suffix in `AUDIO_SUFFIXES` count. Left out are hidden files and folders (a dot at
  the beginning: macOS's ``._*`` companions, the temporary files of a tag writer), and subfolders that hold a
  ``.nomedia`` or ``.ndignore`` file.
- A file that is given by name counts whatever its suffix, hidden or not.
- Patterns are shell patterns, upper and lower case alike. One without ``/`` is compared with the name of the
  file and of each folder below the given one (``*.flac``, ``Podcasts``); one with ``/`` with the path below
  the given folder (``Live/*``, where ``*`` also stands for ``/``).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from mertag.errors import ConfigError, FileError

AUDIO_SUFFIXES: frozenset[str] = frozenset(
    {
        *(".mp3", ".mp2", ".mp1", ".flac", ".oggflac", ".ogg", ".oga", ".opus", ".spx"),
        *(".m4a", ".m4b", ".m4r", ".mp4", ".aac", ".wma", ".asf", ".ac3", ".eac3", ".dts", ".mka", ".weba"),
        *(".wav", ".wave", ".w64", ".rf64", ".aif", ".aiff", ".aifc", ".caf", ".au", ".snd"),
        *(".wv", ".ape", ".mpc", ".mp+", ".mpp", ".dsf", ".dff", ".tta", ".tak", ".ofr", ".ofs"),
    }
)
"""Suffixes of files that are looked at in folders, in lower case. Their content says what they really are."""

IGNORE_MARKERS = (".nomedia", ".ndignore")

OnError = Callable[[Path, str], None]


def find_audio(
    paths: Iterable[Path | str],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    on_error: OnError | None = None,
) -> Iterator[Path]:
    """Find audio files.

    Parameters
    ----------
    paths : iterable of paths
        Files and folders.
    include : sequence of patterns
        If given, a file in a folder must match one of them (and have a known suffix).
    exclude : sequence of patterns
        Files that match one are left out, those given by name too; folders that match one are not searched.
    on_error : callable, optional
        Called with the path and the reason for each folder or link that cannot be read. Without it, the first
        one raises.

    Returns
    -------
    iterator of Path
        As given, or below a folder as given; found while it is consumed.

    Raises
    ------
    ConfigError
        At once, if a path does not exist or is neither a file nor a folder.
    FileError
        On the way, if something cannot be read and there is no `on_error`.
    """
    roots = [Path(path) for path in paths]
    for root in roots:
        _check(root)
    return _Search(include, exclude, on_error or _raise).run(roots)


def _check(root: Path) -> None:
    try:
        mode = root.stat().st_mode
    except FileNotFoundError:
        raise ConfigError(f"{root}: no such file or folder") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ConfigError(f"{root}: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ConfigError(f"{root}: neither a file nor a folder")


def _raise(path: Path, reason: str) -> None:
    raise FileError(path, reason)


class _Search:
    def __init__(self, include: Sequence[str], exclude: Sequence[str], on_error: OnError) -> None:
        self._include = [pattern.casefold() for pattern in include]
        self._exclude = [pattern.casefold() for pattern in exclude]
        self._on_error = on_error
        self._seen: set[str] = set()  # real paths of files and folders

    def run(self, roots: Iterable[Path]) -> Iterator[Path]:
        for root in roots:
            if root.is_dir():
                yield from self._folder(root, "", os.path.realpath(root))
            elif not _matches(self._exclude, root.name) and self._is_new(os.path.realpath(root)):
                yield root

    def _folder(self, folder: Path, below: str, real: str) -> Iterator[Path]:
        """Yield a folder's files; `below` is its path below the root, `real` its path without links."""
        if not self._is_new(real):
            return
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self._on_error(folder, f"the folder cannot be read: {error.strerror or error}")
            return
        if below and any(entry.name in IGNORE_MARKERS for entry in found):
            return
        for entry in found:
            if entry.name.startswith("."):
                continue
            path, at = folder / entry.name, f"{below}{entry.name}"
            if _matches(self._exclude, at):
                continue
            try:
                is_link, is_folder, is_file = entry.is_symlink(), entry.is_dir(), entry.is_file()
            except OSError as error:  # links that point to each other, a share that is gone
                self._on_error(path, f"cannot be read: {error.strerror or error}")
                continue
            real_path = os.path.realpath(path) if is_link else f"{real}{os.sep}{entry.name}"
            if is_folder:
                yield from self._folder(path, f"{at}/", real_path)
            elif path.suffix.lower() in AUDIO_SUFFIXES and self._included(at):
                if not is_file:
                    self._on_error(path, "a link to nothing" if is_link else "not a regular file")
                elif self._is_new(real_path):
                    yield path

    def _included(self, at: str) -> bool:
        return not self._include or _matches(self._include, at)

    def _is_new(self, real: str) -> bool:
        if real in self._seen:
            return False
        self._seen.add(real)
        return True


def _matches(patterns: Iterable[str], at: str) -> bool:
    """Return whether a path (relative, with ``/``) or one of its parts matches a pattern."""
    folded = at.casefold()
    parts = folded.split("/")
    return any(
        fnmatchcase(folded, pattern) if "/" in pattern else any(fnmatchcase(part, pattern) for part in parts)
        for pattern in patterns
    )
