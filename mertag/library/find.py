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
- A `Shard` is a part of what is found, chosen by the path below the given folder alone: machines that see the same
  library at different places agree on who takes which song.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from mertag.errors import ConfigError, FileError
from mertag.formats import AUDIO_SUFFIXES

IGNORE_MARKERS = (".nomedia", ".ndignore")

OnError = Callable[[Path, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One of several equal parts of a library.

    Attributes
    ----------
    number, of : int
        Which part, from 1, and of how many.

    Raises
    ------
    ConfigError
        If there is no such part.

    Notes
    -----
    The part of a song is ``BLAKE2b(path) mod of``, where the path is that below the given folder, its parts joined
    by ``/``, in Unicode's composed form (macOS gives the decomposed one). Of a song that is given by name, it is
    the name alone: where it lies may differ from machine to machine.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise ConfigError(f"shard {self.number}/{self.of} cannot be; it must be 1/{self.of} to {self.of}/{self.of}")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that ``"2/4"`` means: the second of four.

        Raises
        ------
        ConfigError
            If it is no such text.
        """
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text, re.ASCII)
        if match is None or int(match[2]) == 0:
            raise ConfigError(f"shard {text!r} cannot be; it must be like 2/4, the second of four parts")
        return cls(number=int(match[1]), of=int(match[2]))

    def holds(self, at: str) -> bool:
        """Return whether a song belongs to this part; `at` is its path below the given folder."""
        digest = hashlib.blake2b(os.fsencode(unicodedata.normalize("NFC", at)), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.of == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def find_audio(
    paths: Iterable[Path | str],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    shard: Shard | None = None,
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
    shard : Shard, optional
        Only the songs of this part. A folder that cannot be read is reported in every part.
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
        if trouble := trouble_with(root):
            raise ConfigError(f"{root}: {trouble}")
    return _Search(include, exclude, shard, on_error or _raise).run(roots)


def trouble_with(path: Path) -> str:
    """Return why a path that was given cannot be searched or tagged; empty if it can."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "no such file or folder"
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        return getattr(error, "strerror", None) or str(error)
    return "" if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else "neither a file nor a folder"


def _raise(path: Path, reason: str) -> None:
    raise FileError(path, reason)


@dataclass(frozen=True, slots=True)
class _Folder:
    path: Path
    below: str  # its path below the root, with "/" at the end; "" for the root
    real: str  # its path without links


class _Search:
    def __init__(self, include: Sequence[str], exclude: Sequence[str], shard: Shard | None, on_error: OnError) -> None:
        self._include = [pattern.casefold() for pattern in include]
        self._exclude = [pattern.casefold() for pattern in exclude]
        self._shard = shard
        self._on_error = on_error
        self._seen: set[str] = set()  # real paths of files and folders

    def run(self, roots: Iterable[Path]) -> Iterator[Path]:
        for root in roots:
            if root.is_dir():
                yield from self._below(_Folder(root, "", os.path.realpath(root)))
            elif not _matches(self._exclude, root.name) and self._is_song(os.path.realpath(root), root.name):
                yield root

    def _below(self, root: _Folder) -> Iterator[Path]:
        """Yield the files of a folder and of those in it; without recursion, since folders can be nested deeply."""
        levels = [self._entries(root)]
        while levels:
            entry = next(levels[-1], None)
            if entry is None:
                levels.pop()
            elif isinstance(entry, _Folder):
                levels.append(self._entries(entry))
            else:
                yield entry

    def _entries(self, folder: _Folder) -> Iterator[_Folder | Path]:
        """Yield what counts in one folder, by name: its files and its folders."""
        if not self._is_new(folder.real):
            return
        try:
            with os.scandir(folder.path) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            self._on_error(folder.path, f"the folder cannot be read: {error.strerror or error}")
            return
        if folder.below and any(entry.name in IGNORE_MARKERS for entry in entries):
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path, at = folder.path / entry.name, f"{folder.below}{entry.name}"
            if _matches(self._exclude, at):
                continue
            try:
                is_link, is_folder, is_file = entry.is_symlink(), entry.is_dir(), entry.is_file()
            except OSError as error:  # links that point to each other, a share that is gone
                if self._is_mine(at):
                    self._on_error(path, f"cannot be read: {error.strerror or error}")
                continue
            real = os.path.realpath(path) if is_link else f"{folder.real}{os.sep}{entry.name}"
            if is_folder:
                yield _Folder(path, f"{at}/", real)
            elif path.suffix.lower() not in AUDIO_SUFFIXES or (self._include and not _matches(self._include, at)):
                continue
            elif is_file:
                if self._is_song(real, at):
                    yield path
            elif self._is_mine(at):
                self._on_error(path, "a link to nothing" if is_link else "not a regular file")

    def _is_song(self, real: str, at: str) -> bool:
        """Return whether a file is new, and in our part: seen first, so that a file with two names is in one part."""
        return self._is_new(real) and self._is_mine(at)

    def _is_mine(self, at: str) -> bool:
        return self._shard is None or self._shard.holds(at)

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
