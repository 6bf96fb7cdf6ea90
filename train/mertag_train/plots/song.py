"""The emotion of a song over time, as a figure (paper, figure 2): one line for each emotion, and what the song is.

Drawing only: a `SegmentTimeline` in, a matplotlib `Figure` out, without pyplot, so without a window or a global
state. Times are seconds; a segment stands at its centre. The colours keep apart with every kind of colour blindness
(CIE76 distance at least 20 under Machado's 2009 simulations), the dashes and markers in grey.
"""

from __future__ import annotations

import contextlib
import io
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MultipleLocator

from mertag._version import __version__
from mertag.emotion import CLASS_NAMES, QUADRANTS, Quadrant, SongEmotion, Target
from mertag.files import printable
from mertag.listen.silence import heard
from mertag.listen.windows import WindowRule, windows
from mertag.outcomes import SegmentTimeline
from mertag_train.arrays import AnyFloats, Floats, Ints
from mertag_train.plots.fonts import families

ImageFormat = Literal["png", "svg"]

CREATOR = f"mertag {__version__}"
"""Stands in each picture: so mertag knows its own."""

MOST_MARKERS = 60
MOST_TICKS = 13
TICKS_S = (5, 10, 15, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200)
MINUTES_FROM_S = 120.0
"""From this duration on, the axis is in minutes and seconds, and a running mean is drawn over the lines."""
MEAN_S = 15.0
MEANS_A_SONG = 60
"""A mean is over `MEAN_S`, and in songs of more than a quarter of an hour over a sixtieth of them."""

WIDTH_PX, HEIGHT_PX, DPI = 1_200, 675, 100
LEFT, ROOM = 0.065, 0.915
"""Where texts and axes begin, and how wide they are, as shares of the width."""

INK, FAINT = "#222222", "#767676"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineStyle:
    """One line: its words in the legend, colour, dashes and marker."""

    label: str
    colour: str
    dashes: Any
    marker: str


QUADRANT_STYLES: Mapping[Quadrant, LineStyle] = MappingProxyType(
    {
        Quadrant.Q1: LineStyle(label="Q1 Happy (V+ A+)", colour="#E69F00", dashes="-", marker="o"),
        Quadrant.Q2: LineStyle(label="Q2 Angry (V\u2212 A+)", colour="#A50026", dashes=(0, (5, 1.5)), marker="s"),
        Quadrant.Q3: LineStyle(
            label="Q3 Sad (V\u2212 A\u2212)", colour="#0072B2", dashes=(0, (6, 1.5, 1.2, 1.5)), marker="v"
        ),
        Quadrant.Q4: LineStyle(label="Q4 Relaxed (V+ A\u2212)", colour="#44AA99", dashes=(0, (1.2, 1.2)), marker="D"),
    }
)
AXIS_STYLES: Mapping[Target, LineStyle] = MappingProxyType(
    {
        Target.VALENCE: LineStyle(label="valence: P(V+), pleasant", colour="#0072B2", dashes="-", marker="o"),
        Target.AROUSAL: LineStyle(label="arousal: P(A+), lively", colour="#E69F00", dashes=(0, (5, 1.5)), marker="s"),
    }
)


def draw(timeline: SegmentTimeline, *, title: str, spans_s: Sequence[tuple[float, float]] = ()) -> Figure:
    """Draw the emotion of a song over time; the title is taken literally, and long ones lose their middle.

    The windows that the song's decision is the mean of begin and end at `spans_s`, in seconds (`window_spans`); one
    alone is not drawn. The figure is 1,200 pixels wide. Its first axes hold a line for each class, whose data are the
    segments' centres and probabilities, and whose `gid` is the class name.
    """
    with defaults(title):
        figure = Figure(figsize=(WIDTH_PX / DPI, HEIGHT_PX / DPI), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        lanes = len(spans_s) > 1
        axes = figure.add_axes((LEFT, 0.205 if lanes else 0.135, ROOM, 0.57 if lanes else 0.64))
        _lines(axes, timeline)
        _axes(axes, timeline)
        if lanes:
            _lanes(figure.add_axes((LEFT, 0.15, ROOM, 0.04), sharex=axes), spans_s)
        bottom = figure.axes[-1]
        _time_axis(bottom, timeline)
        write_texts(figure, timeline, title)
    return figure


def render(figure: Figure, kind: ImageFormat) -> bytes:
    """Return a figure as the bytes of a PNG or an SVG file.

    The text of an SVG stays text: it can be searched, and the viewer's own fonts write it. Characters that no font
    of this machine has become boxes in a PNG.
    """
    data = io.BytesIO()
    with defaults(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*missing from")  # a glyph
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")  # a script
        metadata = {"Software": CREATOR} if kind == "png" else {"Creator": CREATOR, "Date": None}
        figure.savefig(data, format=kind, dpi=DPI, metadata=metadata)
    return data.getvalue()


def window_spans(timeline: SegmentTimeline, rule: WindowRule, *, sample_rate: int) -> list[tuple[float, float]]:
    """Return start and end, in seconds, of the windows that a song was judged in."""
    times = np.concatenate([timeline.times_s, timeline.silent_times_s])
    order = np.argsort(times)
    times, sounding = times[order], order < len(timeline.times_s)
    starts = np.rint(times * sample_rate).astype(np.int64)
    found = windows(
        starts,
        segment_samples=round(timeline.segment_s * sample_rate),
        n_samples=round(timeline.emotion.duration_s * sample_rate),
        sample_rate=sample_rate,
        rule=rule,
    )
    return [(float(times[of[0]]), float(times[of[-1]]) + timeline.segment_s) for of in heard(found, sounding)]


def stretches(timeline: SegmentTimeline) -> Ints:
    """Return the places of the segments before which a silence was left out."""
    steps_s = np.diff(timeline.times_s)
    return np.flatnonzero(steps_s > 1.5 * np.median(steps_s)) + 1 if len(steps_s) else np.zeros(0, np.int64)


def running_mean(values: AnyFloats, width: int) -> Floats:
    """Return the mean over `width` neighbours (made odd), fewer at the ends, where it stays centred."""
    half = width // 2
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    i = np.arange(len(values))
    reach = np.minimum(half, np.minimum(i, len(values) - 1 - i))
    means: Floats = (sums[i + reach + 1] - sums[i - reach]) / (2 * reach + 1)
    return means


def _lines(axes: Axes, timeline: SegmentTimeline) -> None:
    gaps = stretches(timeline)
    centres_s = np.insert(timeline.times_s + timeline.segment_s / 2, gaps, np.nan)  # no line across a silence
    few = len(centres_s) <= MOST_MARKERS
    smooth = is_long(timeline) and len(centres_s) > 1
    handles = []
    for name, style, values, decided in _series(timeline):
        width, size = (3.0, 7.0) if decided else (1.9, 5.0)
        look: dict[str, Any] = {"color": style.colour, "linestyle": style.dashes, "linewidth": width}
        marks: dict[str, Any] = {"marker": style.marker if few else "", "markersize": size}
        thin = {"linestyle": "-", "linewidth": 0.7, "alpha": 0.4} if smooth else {}
        axes.plot(
            centres_s,
            np.insert(values, gaps, np.nan),
            gid=name,
            clip_on=False,
            zorder=3 if decided else 2,
            **marks,
            **(look | thin),
        )
        if smooth:
            hop_s = float(np.median(np.diff(timeline.times_s)))
            width_of_mean = max(1, round(mean_s(timeline) / hop_s))
            mean = np.concatenate([running_mean(part, width_of_mean) for part in np.split(values, gaps)])
            axes.plot(centres_s, np.insert(mean, gaps, np.nan), gid=f"{name}.mean", **look)
        handles.append(Line2D([], [], **look, **marks, label=style.label))
    legend = axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(-0.006, 1.005),
        ncols=len(handles),
        frameon=False,
        fontsize=12,
        handlelength=3.2,
        columnspacing=2.2,
        borderaxespad=0.2,
    )
    for text, (_, _, _, decided) in zip(legend.get_texts(), _series(timeline), strict=True):
        text.set_fontweight("bold" if decided else "normal")


def _series(timeline: SegmentTimeline) -> Iterator[tuple[str, LineStyle, AnyFloats, bool]]:
    """Yield name, style, probabilities, and whether it is what the song was judged to be, of each line."""
    if Target.QUADRANT in timeline.probabilities:
        of_class = timeline.probabilities[Target.QUADRANT]
        for index, quadrant in enumerate(QUADRANTS):
            chosen = quadrant is timeline.emotion.quadrant
            yield quadrant.value, QUADRANT_STYLES[quadrant], of_class[:, index], chosen
        return
    for target, style in AXIS_STYLES.items():
        yield CLASS_NAMES[target][1], style, timeline.probabilities[target][:, 1], False


def _axes(axes: Axes, timeline: SegmentTimeline) -> None:
    quadrants = Target.QUADRANT in timeline.probabilities
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_locator(MultipleLocator(0.2))
    axes.set_ylabel("probability" if quadrants else "probability of the positive side", fontsize=12, color=INK)
    axes.grid(color="#E4E4E4", linewidth=0.8)
    axes.set_axisbelow(True)
    if not quadrants:
        axes.axhline(0.5, color=FAINT, linewidth=1.0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=11, colors=INK)
    axes.set_xlim(0, max(timeline.emotion.duration_s, float(timeline.times_s[-1]) + timeline.segment_s))


def window_rows(spans_s: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Return windows in as few rows as need be for none to overlap: two, and a third if the last one is early."""
    rows: list[list[tuple[float, float]]] = []
    for start, end in spans_s:
        free = next((row for row in rows if row[-1][1] <= start), None)
        if free is None:
            rows.append([(start, end)])
        else:
            free.append((start, end))
    return rows


def _lanes(lane: Axes, spans_s: Sequence[tuple[float, float]]) -> None:
    """Draw the windows, which overlap, as bars in rows."""
    rows = window_rows(spans_s)
    for above, row in enumerate(reversed(rows)):
        bars = [(start, end - start) for start, end in row]
        lane.broken_barh(bars, (above, 0.7), facecolor="#C4C9D0", edgecolor="white", linewidth=1.0)
    lane.set_ylim(-0.15, len(rows))
    lane.set_yticks([])
    lane.set_ylabel("windows", fontsize=9, color=FAINT, rotation=0, ha="right", va="center", labelpad=6)
    for spine in lane.spines.values():
        spine.set_visible(False)


def _time_axis(axes: Axes, timeline: SegmentTimeline) -> None:
    for other in axes.figure.axes:
        other.tick_params(axis="x", labelbottom=other is axes, length=3.5 if other is axes else 0)
    duration_s = axes.get_xlim()[1]
    step_s = next((s for s in TICKS_S if duration_s / s < MOST_TICKS), TICKS_S[-1])
    if duration_s / TICKS_S[0] >= 2:
        axes.xaxis.set_major_locator(MultipleLocator(step_s))
    unit = "seconds"
    if is_long(timeline):
        axes.xaxis.set_major_formatter(FuncFormatter(lambda s, _: f"{int(s) // 60}:{int(s) % 60:02d}"))
        unit = "minutes:seconds"
    axes.tick_params(axis="x", labelsize=11, colors=INK)
    axes.set_xlabel(f"time ({unit}), centre of each {timeline.segment_s:g}-s segment", fontsize=12, color=INK)


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
    if timeline.emotion.silent_s:
        parts.append(f"silence left out: {timeline.emotion.silent_s:.3g} s")
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


@contextlib.contextmanager
def defaults(text: str = "") -> Iterator[None]:
    """Set aside what a user's matplotlibrc says (TeX, other sizes): the picture is the same everywhere.

    The fonts are those that have the characters of `text`.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({"font.family": families(text), "svg.fonttype": "none", "svg.hashsalt": "mertag"})
        yield
