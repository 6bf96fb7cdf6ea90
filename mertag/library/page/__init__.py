"""The page of a library: one HTML file that needs nothing else, and asks for nothing.

Scripts and styles stand in it, and its Content-Security-Policy allows these alone (by their hashes) and, of files, the
songs that it plays from their places. All text of tags and file names is data, which the scripts show as text. The
charts are drawn by uPlot (`assets/uPlot.iife.min.js`, version 1.6.32, MIT, `assets/LICENSE-uPlot`).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from mertag.library.overview.songs import Remembered
from mertag.library.page.data import page_data
from mertag.library.records import to_json

MARK = "<!-- made by mertag overview -->"
_START = f"<!DOCTYPE html>\n{MARK}\n"
_SCRIPTS = ("data.js", "filters.js", "map.js", "map_input.js", "player.js", "lists.js", "main.js")


def page(found: Remembered, paths: Sequence[Path] = ()) -> str:
    """Return the page of what is remembered of the folders `paths`, pure ASCII but for the library's licence."""
    style = _asset("uPlot.min.css") + _asset("page.css")
    uplot = f"/* {_asset('LICENSE-uPlot').strip()} */\n{_asset('uPlot.iife.min.js')}"
    own = "(() => {\n'use strict';\n" + "\n".join(_asset(name) for name in _SCRIPTS) + "\n})();\n"
    policy = (
        f"default-src 'none'; script-src {_hash(uplot)} {_hash(own)}; style-src {_hash(style)}; "
        "media-src file: blob: data:; base-uri 'none'; form-action 'none'"
    )
    data = to_json(page_data(found, paths)).replace("<", "\\u003c")  # so that no text ends the script
    parts = {"policy": policy, "style": style, "data": data, "uplot": uplot, "scripts": own}
    head, *pieces = _asset("page.html").split("{{")
    filled = [head]
    for piece in pieces:
        name, _, rest = piece.partition("}}")
        filled += [parts[name], rest]
    return _START + "".join(filled)


def is_page(head: bytes) -> bool:
    """Return whether a file that begins so is a page that was made here."""
    return head.startswith(_START.encode())


def _asset(name: str) -> str:
    return (resources.files(__package__) / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return what the Content-Security-Policy calls an element with this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
