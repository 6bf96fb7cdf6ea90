"""Finding audio files: which, and in which order.

- A folder is searched with its subfolders, entries sorted by name; symbolic links are followed, and a folder
  or file that can be reached twice (two arguments, a link, a loop of links) comes once.
- In a folder, files with a suffix in `AUDIO_SUFFIXES` count. Left out are hidden files and folders (see `is_hidden`)
  and what ignore files below the given folder say (see `mertag.library.ignore_files`).
- What is given by name counts whatever its suffix, hidden or not, and whatever ignore file lies in it.
- Patterns are shell patterns, upper and lower case alike. One without ``/`` is compared with the name of the
  file and of each folder below the given one (``*.flac``, ``Podcasts``); one with ``/`` with the path below
  the given folder (``Live/*``, where ``*`` also stands for ``/``).
- A `Shard` is a part of what is found, chosen by the path below the given folder alone: machines that see the same
  library at different places agree on who takes which song.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

from mertag.errors import ConfigError, FileError, reason_of
from mertag.files import path_text
from mertag.formats import AUDIO_SUFFIXES
from mertag.library.ignore_files import PATTERNS, WHOLE_FOLDER, Rule, read_rules, verdict

OnError = Callable[[Path, str], None]
OnIgnored = Callable[[Path], None]
_log = logging.getLogger(__name__)

_HIDDEN = re.compile(r"\.[^.\s\d]")


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
        text = os.fsencode(at).decode("utf-8", "surrogateescape")  # the same in every locale
        name = unicodedata.normalize("NFC", text).encode("utf-8", "surrogateescape")
        digest = hashlib.blake2b(name, digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.of == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def find_audio(
    paths: Iterable[Path | str],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    shard: Shard | None = None,
    within: Collection[Path] | None = None,
    on_error: OnError | None = None,
    on_ignored: OnIgnored | None = None,
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
    within : collection of Path, optional
        Only these files, and what is in these folders, real paths; no folder is looked into for others.
    on_error : callable, optional
        Called with the path and the reason for each folder or link that cannot be read. Without it, the first
        one raises.
    on_ignored : callable, optional
        Called with each folder and audio file that is left out because of an ignore file; what is in such a folder is
        not looked at. Log lines of level info name them, too, and the ignore file.

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
    part = None if within is None else _Within(within)
    return _Search(include, exclude, shard, part, on_error or _raise, on_ignored or (lambda path: None)).run(roots)


def is_hidden(name: str) -> bool:
    """Return whether a name hides its file or folder: it begins with one dot and a letter or sign.

    So ``.git``, ``.DS_Store``, ``.Trash-1000``, macOS's companions ``._song.mp3`` and files in the making are hidden,
    and ``...And Justice for All``, ``..Hits``, ``.38 Special`` and ``.5 The Gray Chapter`` are not.
    """
    return _HIDDEN.match(name) is not None


def ignored_note(n: int) -> str:
    """Return what a person should know of `n` files and folders that were left out because of ignore files."""
    what = "1 file or folder is" if n == 1 else f"{n} files and folders are"
    return f"{what} left out, as ignore files say (.ndignore, .nomedia); `mertag tag --verbose` names each"


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


_Rules: TypeAlias = tuple[tuple[Path, str, tuple[Rule, ...]], ...]
"""The ignore files on the way, outermost first: each one's path, its folder below the root, what it says."""


@dataclass(frozen=True, slots=True)
class _Folder:
    path: Path
    below: str  # its path below the root, with "/" at the end; "" for the root
    real: str  # its path without links
    rules: _Rules = ()


class _Within:
    """Files and folders, by their real paths, and the folders on the way to them."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = set(map(str, paths))
        self._way = {str(parent) for path in paths for parent in path.parents}

    def holds(self, real: str) -> bool:
        """Return whether a file or folder is one of them, or in one."""
        return any(str(path) in self._paths for path in (real, *Path(real).parents))

    def leads_on(self, real: str) -> bool:
        """Return whether a folder has to be looked into."""
        return real in self._way or self.holds(real)


class _Search:
    def __init__(
        self,
        include: Sequence[str],
        exclude: Sequence[str],
        shard: Shard | None,
        within: _Within | None,
        on_error: OnError,
        on_ignored: OnIgnored,
    ) -> None:
        self._include = [pattern.casefold() for pattern in include]
        self._exclude = [pattern.casefold() for pattern in exclude]
        self._shard, self._within = shard, within
        self._on_error, self._on_ignored = on_error, on_ignored
        self._seen: set[str] = set()  # real paths of files and folders

    def run(self, roots: Iterable[Path]) -> Iterator[Path]:
        for root in roots:
            if root.is_dir():
                yield from self._below(_Folder(root, "", os.path.realpath(root)))
            elif not matches(self._exclude, root.name) and self._is_song(os.path.realpath(root), root.name):
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
        if self._within is not None and not self._within.leads_on(folder.real):
            return
        if not self._is_new(folder.real):
            return
        try:
            with os.scandir(folder.path) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            self._on_error(folder.path, f"the folder cannot be read: {error.strerror or error}")
            return
        rules = self._rules(folder, {entry.name for entry in entries})
        if rules is None:
            return
        for entry in entries:
            if is_hidden(entry.name):
                continue
            path, at = folder.path / entry.name, f"{folder.below}{entry.name}"
            if matches(self._exclude, at):
                continue
            try:
                is_link, is_folder, is_file = entry.is_symlink(), entry.is_dir(), entry.is_file()
            except OSError as error:  # links that point to each other, a share that is gone
                if self._is_mine(at):
                    self._on_error(path, f"cannot be read: {error.strerror or error}")
                continue
            real = os.path.realpath(path) if is_link else f"{folder.real}{os.sep}{entry.name}"
            if (is_folder or path.suffix.lower() in AUDIO_SUFFIXES) and self._is_ignored(rules, path, at, is_folder):
                continue
            if is_folder:
                yield _Folder(path, f"{at}/", real, rules)
            elif path.suffix.lower() not in AUDIO_SUFFIXES or not self._is_asked_for(real, at):
                continue
            elif is_file:
                if self._is_song(real, at):
                    yield path
            elif self._is_mine(at):
                self._on_error(path, "a link to nothing" if is_link else "not a regular file")

    def _rules(self, folder: _Folder, names: set[str]) -> _Rules | None:
        """Return the ignore files that hold in a folder, its own last; None if it is ignored whole."""
        if folder.below and WHOLE_FOLDER in names:
            self._ignore(folder.path, folder.path / WHOLE_FOLDER)
            return None
        if PATTERNS not in names:
            return folder.rules
        path = folder.path / PATTERNS
        try:
            rules = read_rules(path)
        except (OSError, ValueError) as error:
            reason = f"the ignore file cannot be read, so its folder is left out: {reason_of(error)}"
            self._on_error(path, reason)
            return None
        if folder.below and not rules:
            self._ignore(folder.path, path)
            return None
        return (*folder.rules, (path, folder.below, rules))

    def _ignore(self, path: Path, by: Path) -> None:
        _log.info("left out: %s: %s says so", path_text(path), path_text(by))
        self._on_ignored(path)

    def _is_ignored(self, files: _Rules, path: Path, at: str, is_folder: bool) -> bool:
        for file, below, rules in reversed(files):
            ignored = verdict(rules, at.removeprefix(below), is_folder=is_folder)
            if ignored:
                self._ignore(path, file)
            if ignored is not None:
                return ignored
        return False

    def _is_asked_for(self, real: str, at: str) -> bool:
        included = not self._include or matches(self._include, at)
        return included and (self._within is None or self._within.holds(real))

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


def matches(patterns: Iterable[str], at: str) -> bool:
    """Return whether a path (relative, with ``/``) or one of its parts matches a pattern."""
    folded = at.casefold()
    parts = folded.split("/")
    return any(
        fnmatchcase(folded, pattern) if "/" in pattern else any(fnmatchcase(part, pattern) for part in parts)
        for pattern in patterns
    )
