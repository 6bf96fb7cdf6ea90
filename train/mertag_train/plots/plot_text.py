"""What is written around the picture of a song: its name, the decision, what was analysed and with which model."""

from __future__ import annotations

import unicodedata
import warnings
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mertag.emotion import SongEmotion
from mertag.files import printable
from mertag.outcomes import SegmentTimeline
from mertag_train.plots.plot_style import FAINT, INK, LEFT, ROOM, WIDTH_PX

MINUTES_FROM_S = 120.0
"""From this duration on, the axis is in minutes and seconds, and a running mean is drawn over the lines."""
MEAN_S = 15.0
MEANS_A_SONG = 60
"""A mean is over `MEAN_S`, and in songs of more than a quarter of an hour over a sixtieth of them."""


def write_texts(figure: Figure, timeline: SegmentTimeline, title: str) -> None:
    """Write the song's name and the decision above the axes, and below them what was analysed, with which model."""
    fonts: dict[str, Any] = {"parse_math": False, "color": INK}  # a `$` in a name is a `$`
    head = figure.text(LEFT, 0.955, printable(title), fontsize=17, fontweight="bold", va="center", **fonts)
    _shorten(head, ROOM * WIDTH_PX)
    figure.text(LEFT, 0.895, decision(timeline.emotion), fontsize=13.5, va="center", **fonts)
    n = timeline.emotion.n_segments
    parts = [f"{n} segments of {timeline.segment_s:g} s" if n > 1 else f"1 segment of {timeline.segment_s:g} s"]
    if n > 1:
        parts[0] += f" every {float(np.median(np.diff(timeline.times_s))):.3g} s"
    if timeline.emotion.n_windows > 1:
        parts.append(f"decision: mean of {timeline.emotion.n_windows} windows")
    if is_long(timeline) and n > 1:
        parts.append(f"thin lines: segments, thick: mean over {mean_s(timeline):g} s")
    parts.append(f"model {printable(timeline.emotion.model)}")
    foot = figure.text(LEFT, 0.03, " \u00b7 ".join(parts), fontsize=10, va="center", **(fonts | {"color": FAINT}))
    _shorten(foot, ROOM * WIDTH_PX)


def decision(emotion: SongEmotion) -> str:
    """Return the decision about a song in one line."""
    return (
        f"{emotion.quadrant.value} {emotion.quadrant.label}, confidence {emotion.confidence:.2f}   "
        f"(valence {emotion.valence:.2f}, arousal {emotion.arousal:.2f})"
    )


def _shorten(text: Any, room_px: float) -> None:
    """Take characters out of the middle of a text until it fits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glyphs; see `render`
        whole: str = text.get_text()
        if _width_px(text) <= room_px:
            return
        low, high = 0, len(whole)  # how many characters fit
        while low < high:
            middle = (low + high + 1) // 2
            text.set_text(_without_middle(whole, middle))
            low, high = (middle, high) if _width_px(text) <= room_px else (low, middle - 1)
        text.set_text(_without_middle(whole, low))


def _width_px(text: Any) -> float:
    return float(text.get_window_extent(text.figure.canvas.get_renderer()).width)


def _without_middle(text: str, n: int) -> str:
    tail = n // 3
    end = text[len(text) - tail :].lstrip() if tail else ""
    while end and unicodedata.combining(end[0]):  # an accent without its letter
        end = end[1:]
    return f"{text[: n - tail].rstrip()}\u2026{end}"


def is_long(timeline: SegmentTimeline) -> bool:
    """Return whether the song is read in minutes and through means."""
    return timeline.emotion.duration_s >= MINUTES_FROM_S


def mean_s(timeline: SegmentTimeline) -> float:
    """Return over how many seconds the means of a long song are taken."""
    return MEAN_S * max(1, round(timeline.emotion.duration_s / MEANS_A_SONG / MEAN_S))
