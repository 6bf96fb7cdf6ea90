"""The messages that the page of troubles explains are those that mertag says."""

from __future__ import annotations

import ast
import re

from documented import ROOT, read

SOURCES = ("mertag", "train", "export")


def test_every_message_that_is_explained_is_said() -> None:
    explained = [m for line in re.findall(r"^- (\*\*.*)$", read("docs/trouble.md"), re.M) for m in messages_of(line)]
    assert len(explained) > 30
    said = said_anywhere()
    assert [message for message in explained if not any(message in text for text in said)] == []


def messages_of(line: str) -> list[str]:
    return re.findall(r"\*\*`([^`]+)`\*\*", line)


def said_anywhere() -> set[str]:
    """Return every text in the sources, with … for what is put into it."""
    found = set()
    for source in SOURCES:
        for path in (ROOT / source).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = (str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
                    found.add("".join(parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
    return found
