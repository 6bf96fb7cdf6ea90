"""Tables of figures on the terminal, the same for ``mertag train`` and ``mertag evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mertag.cli import console

if TYPE_CHECKING:
    from mertag_train.commands.progress import EvaluationProgress
    from mertag_train.evaluation.sheet import Sheet


def print_sheets(sheets: Sequence[Sheet], *, quiet: bool) -> None:
    """Print tables; on a terminal, wide ones in panels that fit."""
    from mertag_train.evaluation.sheet import panels

    room = console.rich_console().width - 1 if console.stream_is_terminal("stdout") else None
    for sheet in sheets:
        if sheet.title:
            console.say(console.clean(sheet.title))
        # Between two columns there are a line and two spaces.
        for panel in [sheet] if room is None else panels(sheet, room, between=3, fold_heads=True):
            console.table(panel.columns, panel.rows, right=panel.columns[panel.text_columns :])
        for i, note in enumerate(sheet.notes, start=1):
            console.say(console.clean(f"[{i}] {note}"))
        if not quiet:
            for remark in sheet.remarks:
                console.say(console.clean(remark))


def say_what_is_left_out(
    out: Path, progress: EvaluationProgress, *, group: str, wrong: str, segments_s: Sequence[float] | None
) -> None:
    """Say which results a table leaves out: folds of another kind, and segments of other durations (None: has all)."""
    from mertag_train.evaluation.output import other_durations, other_groupings

    if segments_s and (durations := other_durations(out, segments_s, group=group, wrong=wrong)):
        here, there = (",".join(f"{s:g}" for s in some) for some in (segments_s, durations))
        progress.note(f"this table shows segments of {here} s; {out} also holds others: --segment {there} shows them")
    others = other_groupings(out, group=group)
    if others:
        other = "recording" if group == "artist" else "artist"
        progress.note(
            f"this table shows folds by {group}; {out} also holds {', '.join(others)}: --group {other} shows them"
        )
