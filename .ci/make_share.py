"""Make what the wheel installs in share/ beside the packages: the man page, and completions for three shells.

Usage: python .ci/make_share.py [FOLDER]. FOLDER is share/ of the checkout unless another is given. All of it comes from
the commands themselves, so that it says what ``--help`` says.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from typer.completion import get_completion_script

from mertag import __version__
from mertag.cli import console
from mertag.cli.app import COMMANDS, app, load_command

PLACES = {
    "bash": "bash-completion/completions/mertag",
    "zsh": "zsh/site-functions/_mertag",
    "fish": "fish/vendor_completions.d/mertag.fish",
}
"""Where each shell looks for completions, below share/."""

_ESCAPES = str.maketrans({"\\": r"\e", "-": r"\-", "'": r"\(aq", "^": r"\(ha", "~": r"\(ti"})
_CODE_TABLE = re.compile(r"^(\d+) +(.+)$", re.MULTILINE)


def roff(text: str) -> str:
    """Return a paragraph as troff has it: one line, nothing of it a request, what stands in backquotes bold."""
    line = re.sub(r"``?([^`]+)``?", r"\\fB\1\\fR", " ".join(text.split()).translate(_ESCAPES))
    return f"\\&{line}" if line.startswith(".") else line


class Manual:
    """Collects the lines of a man page. `section` and `write_dl` are what a command's `format_options` calls."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def section(self, title: str) -> Iterator[None]:
        """Begin a group of options."""
        self.lines += [".PP", rf"\fI{roff(title)}\fR"]
        yield

    def write_dl(self, rows: list[tuple[str, str]]) -> None:
        """Add options, each with its text."""
        for name, text in rows:
            self.lines += [".TP", rf"\fB{roff(name)}\fR", roff(text)]

    def paragraphs(self, text: str) -> None:
        """Add a text whose paragraphs are parted by empty lines."""
        for paragraph in inspect.cleandoc(text).split("\n\n"):
            self.lines += [".PP", roff(paragraph)]


def manual() -> str:
    """Return the man page of ``mertag``, all commands on it."""
    top: Any = typer.main.get_command(app)
    page = Manual()
    page.lines += [
        r".\" Made by .ci/make_share.py from the commands (just share); edit their help instead.",
        f'.TH MERTAG 1 "" "mertag {__version__}" "User Commands"',
        ".SH NAME",
        rf"mertag \- {roff(top.help[0].lower() + top.help[1:].rstrip('.'))}",
        ".SH SYNOPSIS",
        r"\fBmertag\fR [\fB\-h\fR] [\fB\-\-version\fR] \fICOMMAND\fR [\fIOPTIONS\fR] [\fIARGUMENTS\fR]",
        ".SH COMMANDS",
    ]
    for name in COMMANDS:
        _add_command(page, name)
    page.lines += [".SH SETTINGS"]
    page.paragraphs(top.epilog.partition(" Exit codes:")[0])
    page.lines += [".SH EXIT STATUS"]
    page.write_dl(_CODE_TABLE.findall(inspect.getdoc(console) or ""))
    page.lines += [".SH COMPLETION"]
    page.paragraphs("`mertag --install-completion` installs completion for the shell that it is called from.")
    return "\n".join(page.lines) + "\n"


def _add_command(page: Manual, name: str) -> None:
    command: Any = load_command(name)
    context = command.make_context(f"mertag {name}", [], resilient_parsing=True)
    page.lines += [
        f".SS mertag {name}",
        rf"\fBmertag {name}\fR {roff(' '.join(command.collect_usage_pieces(context)))}",
    ]
    page.paragraphs(command.help)
    if COMMANDS[name].extra is not None:
        page.paragraphs(f"It needs the extra `{COMMANDS[name].extra}`.")
    command.format_options(context, page)
    page.paragraphs(re.sub("^(Example: )(.*)$", r"\1`\2`", command.epilog))


def completion(shell: str) -> str:
    """Return the completion script of a shell, as a file that the shell loads when it first needs it."""
    script = get_completion_script(prog_name="mertag", complete_var="_MERTAG_COMPLETE", shell=shell)
    if shell == "zsh":  # in a file of its own, what completes is the file: it must also answer the call that loads it
        register = "compdef _mertag_completion mertag"
        loaded = '[[ $zsh_eval_context[-1] == loadautofunc ]] && _mertag_completion "$@"'
        script = script.replace(register, f"{register}\n{loaded}")
    return script.strip() + "\n"


def main(folder: Path) -> None:
    """Write all of it below a folder."""
    texts = {"man/man1/mertag.1": manual()} | {place: completion(shell) for shell, place in PLACES.items()}
    for place, text in texts.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1] / "share")
