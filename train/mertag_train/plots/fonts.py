"""Which fonts of this machine have the characters of a text, in whatever script it is."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

USUAL = "DejaVu Sans"
"""It comes with matplotlib, and has the scripts of Europe."""


def families(text: str) -> list[str]:
    """Return the names of fonts that together have the characters of a text, as far as there are such; the usual first.

    Of the others, the one that has most of what is missing comes first, and sans-serif before serif where both have it.
    """
    found = [USUAL]
    usual = font_manager.findfont(USUAL)
    missing = {ord(character) for character in text if not character.isspace()} - _characters(usual)
    fonts = _others() if missing else {}
    while missing and fonts:
        best = max(fonts, key=lambda name: (len(missing & fonts[name]), "Sans" in name, name))
        if not missing & fonts[best]:
            break
        found.append(best)
        missing -= fonts.pop(best)
    return found


def _others() -> dict[str, set[int]]:
    """Return the characters of every upright font of this machine, by its name."""
    entries: Iterable[font_manager.FontEntry] = font_manager.fontManager.ttflist
    plain = {entry.name: entry.fname for entry in entries if entry.style == "normal" and entry.name != USUAL}
    return {name: _characters(file) for name, file in plain.items()}


def _characters(file: str) -> set[int]:
    """Return the code points that a font has; none if it cannot be read."""
    try:
        return set(FT2Font(file).get_charmap())
    except (OSError, RuntimeError):  # gone since matplotlib listed it, or damaged
        return set()
