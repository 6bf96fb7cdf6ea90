"""Ignore files: what their owner keeps other programs from.

- ``.nomedia`` (Android): its folder, whatever stands in it.
- ``.ndignore`` (Navidrome): patterns in the syntax of ``.gitignore``, for the files and folders in and below its
  folder; of several patterns that match, the last one decides. Without a pattern in it (comments are none), its folder.

Source: gitignore(5); navidrome.org, "Selective scanning".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from mertag.files import read_regular

WHOLE_FOLDER, PATTERNS = ".nomedia", ".ndignore"
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One pattern: the names on the way, ``**`` for any number of folders; `keeps` if it takes another one back."""

    names: tuple[str, ...]
    keeps: bool
    folders_only: bool

    def matches(self, at: str, *, is_folder: bool) -> bool:
        """Return whether it means a path, which is relative to the pattern's folder."""
        if self.folders_only and not is_folder:
            return False
        positions = _with_any_depth({0}, self.names)
        for part in unicodedata.normalize("NFC", at).split("/"):
            following = {i for i in positions if i < len(self.names) and self.names[i] == "**"}
            following |= {i + 1 for i in positions if i < len(self.names) and fnmatchcase(part, self.names[i])}
            positions = _with_any_depth(following, self.names)
        return len(self.names) in positions


def read_rules(path: Path) -> tuple[Rule, ...]:
    """Return the patterns of a ``.ndignore`` file, in their order; raise OSError or ValueError if it cannot be read."""
    text = read_regular(path, _MAX_BYTES).decode("utf-8-sig", "surrogateescape")
    return tuple(rule for line in text.splitlines() if (rule := _rule(line)) is not None)


def verdict(rules: Iterable[Rule], at: str, *, is_folder: bool) -> bool | None:
    """Return whether a path is ignored; None if no pattern says anything of it."""
    found = None
    for rule in rules:
        if rule.matches(at, is_folder=is_folder):
            found = not rule.keeps
    return found


def _rule(line: str) -> Rule | None:
    text = unicodedata.normalize("NFC", line.strip())
    if text.endswith("\\"):
        text += " "  # an escaped space at the end
    if not text.strip("/") or text.startswith("#"):
        return None
    keeps = text.startswith("!")
    text = text.removeprefix("!")
    folders_only = text.endswith("/")
    names = text.strip("/").split("/")
    if "/" not in text.rstrip("/"):
        names.insert(0, "**")  # at any depth
    if names[-1] == "**" and len(names) > 1:
        names.append("*")  # all that is in the folder, not the folder
    return Rule(names=tuple(map(_plain, names)), keeps=keeps, folders_only=folders_only)


def _plain(name: str) -> str:
    """Return a name's pattern as `fnmatch` has it: no backslashes, and ``[!...]`` for ``[^...]``."""
    return re.sub(r"\\(.)", lambda m: f"[{m[1]}]" if m[1] in "*?[" else m[1], name.replace("[^", "[!"))


def _with_any_depth(positions: set[int], names: tuple[str, ...]) -> set[int]:
    """Return the positions in a pattern, and those behind each ``**``, which may stand for no folder at all."""
    reached = set(positions)
    for i in range(len(names)):
        if i in reached and names[i] == "**":
            reached.add(i + 1)
    return reached
