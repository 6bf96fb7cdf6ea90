"""The results of a run on stdout: a line a song, grouped by folder, or an overview; tab-separated where piped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from mertag.cli import console
from mertag.emotion import QUADRANT_LABELS, SongEmotion

TABLE_COLUMNS = ("song", "quadrant", "label", "valence", "arousal", "confidence")

MOST_LINES = 200
"""Of more songs than these, a terminal gets an overview."""

_FIGURES = 32
"""Columns that mood, confidence, valence and arousal take."""


def show_results(results: Sequence[tuple[Path, SongEmotion]]) -> None:
    """Print the emotions of songs, in their order."""
    if not console.stream_is_terminal("stdout"):
        console.table(TABLE_COLUMNS, [_row(path, emotion) for path, emotion in results])
    elif len(results) > MOST_LINES:
        _overview([emotion for _, emotion in results])
    else:
        _by_folder(results, console.rich_console().width)


def _row(path: Path, e: SongEmotion) -> tuple[str, ...]:
    numbers = (f"{e.valence:.2f}", f"{e.arousal:.2f}", f"{e.confidence:.2f}")
    return (console.clean(path), e.quadrant.value, e.quadrant.label, *numbers)


def _by_folder(results: Sequence[tuple[Path, SongEmotion]], width: int) -> None:
    names = max(10, width - _FIGURES - 2)
    for folder, songs in groupby(results, key=lambda result: result[0].parent):
        console.out(elided(console.clean(folder), width))
        for path, e in songs:
            name = elided(console.clean(path.name), names, pad=True)
            figures = f"{e.quadrant.label:<8} {e.confidence:>5.0%}  V {e.valence:.2f}  A {e.arousal:.2f}"
            console.out(f"  {name} {figures}")


def _overview(emotions: Sequence[SongEmotion]) -> None:
    counts = Counter(emotion.quadrant.label for emotion in emotions)
    for label in sorted(QUADRANT_LABELS.values(), key=lambda label: -counts[label]):
        console.out(f"{label:<8} {counts[label]:>7}  {counts[label] / len(emotions):>5.1%}")
    console.say(f"an overview of {len(emotions)} songs; --csv FILE or --jsonl FILE has each of them")


def elided(text: str, width: int, *, pad: bool = False) -> str:
    """Return a text that takes at most `width` columns, without its middle if it is longer; with `pad`, exactly."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) > width:
        tail = (width - 1) // 2
        end = set_cell_size(text[::-1], tail)[::-1]
        text = f"{set_cell_size(text, width - 1 - tail).rstrip()}…{end.lstrip()}"
    return set_cell_size(text, width) if pad else text
