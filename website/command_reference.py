"""The page of all commands, made from the commands themselves: what `mertag COMMAND --help` says, as Markdown."""

from __future__ import annotations

import html
import re
from typing import Any

from typer.core import TyperGroup
from typer.main import get_command

from mertag.cli.app import COMMANDS, app, load_command
from mertag.cli.help import EXAMPLES, PlainCommand

WIDTH = 10_000
"""Columns of the help that is taken apart: no line of it is folded."""


def page() -> str:
    """Return the page: all commands, each with its options by group."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    rows = "\n".join(f"| [`{name}`](#{name}) | {_text(entry.help)} |" for name, entry in COMMANDS.items())
    table = f"| command | does |\n|---|---|\n{rows}"
    parts = ["# Commands", "What `--help` says, as it stands in this version.", table, _text(group.epilog or "")]
    return "\n\n".join([*parts, *(_section(name) for name in COMMANDS)]) + "\n"


def _section(name: str) -> str:
    """Return a command's part; raise `MissingExtraError` if a package is missing that it needs."""
    command = load_command(name)
    assert isinstance(command, PlainCommand)
    context = command.make_context(name, [], resilient_parsing=True, terminal_width=WIDTH, max_content_width=WIDTH)
    usage = f"```text\nmertag {name} {' '.join(command.collect_usage_pieces(context))}\n```"
    entry = COMMANDS[name]
    extra = [f"Needs the extra `{entry.extra}`."] if entry.extra else []
    about = [_text(paragraph) for paragraph in re.split(r"\n\s*\n", command.help or "")]
    taken = _Lists()
    command.format_options(context, taken)
    tables = [
        f"**{title}**\n\n| | |\n|---|---|\n" + "\n".join(_row(*row) for row in rows) for title, rows in taken.lists
    ]
    return "\n\n".join([f"## {name}", usage, *about, *extra, f"```sh\n{EXAMPLES[name]}\n```", *tables])


class _Lists:
    """Takes what a formatter of help is given: titles, and lists of names and texts."""

    def __init__(self) -> None:
        self.lists: list[tuple[str, list[tuple[str, str]]]] = []
        self._title = ""

    def section(self, title: str) -> _Lists:
        self._title = title
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *error: Any) -> None: ...

    def write_dl(self, records: list[tuple[str, str]]) -> None:
        self.lists.append((self._title, records))


def _row(name: str, text: str) -> str:
    return f"| `{name}` | {_text(text)} |"


def _text(text: str) -> str:
    """Return words of the help as Markdown: nothing in them but `code` is a sign."""
    parts = re.split(r"(`[^`]+`)", " ".join(text.split()))
    return "".join(part if part[:1] == "`" else _escaped(part) for part in parts)


def _escaped(text: str) -> str:
    return re.sub(r"([\\*_\[\]|#])", r"\\\1", html.escape(text, quote=False))
