"""What the documentation shows: its pages, and what stands in their fences."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
FENCE = re.compile(r"^(?P<mark>```+)(?P<language>\w*)\n(?P<text>.*?)^(?P=mark)$", re.MULTILINE | re.DOTALL)
BETWEEN = {"|", "||", "&&", ";"}
"""What stands between two commands of a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """A fenced block: where it is, what it is written in, what it says."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def fences(*languages: str) -> list[Fence]:
    """Return the blocks of all pages; of some languages, if they are named."""
    return [fence for page in PAGES for fence in _of(page) if not languages or fence.language in languages]


def _of(page: str) -> Iterator[Fence]:
    text = read(page)
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Fence(page=page, line=line, language=found["language"], text=found["text"])


def lines_of(fence: Fence) -> list[str]:
    """Return the command lines of a block, without what is said beside them."""
    found = []
    for line in fence.text.splitlines():
        # A sign is a remark after two spaces: `#` may stand in a URL or a name.
        command = re.split(r"\s{2,}#|^#", line)[0].strip()
        if command:
            found.append(command)
    return found


def commands_of(line: str) -> list[list[str]]:
    """Return the commands of a line, as words: what a shell would start, without redirections and variables."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    commands: list[list[str]] = [[]]
    words = iter(lexer)
    for word in words:
        if word in BETWEEN:
            commands.append([])
        elif word in (">", ">>"):
            next(words)
        elif not (not commands[-1] and re.match(r"[A-Z_]+=", word)):
            commands[-1].append(word)
    return [words for words in commands if words]
