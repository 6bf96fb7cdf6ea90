"""What a network says of a song's segments (paper, figure 2), and under it which of their labels it doubts.

Times are seconds; a segment stands at its centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mertag.emotion import QUADRANTS, Target
from mertag_train.arrays import Bools, Floats, Floats32, Ints
from mertag_train.plots.fonts import families
from mertag_train.plots.pictures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRUSTED, DOUBTED, WRONG = "#0072B2", "#E69F00", "#A50026"
WIDTH_IN, HEIGHT_IN = 9.0, 5.6


@dataclass(frozen=True, slots=True, kw_only=True)
class SongSegments:
    """The segments of one song that were told apart in an epoch, in order; arrays are (n_segments,).

    Attributes
    ----------
    start_s, segment_s : float64 array, float
        Where each begins, and how long all are.
    probabilities : float32 array, shape (n_segments, n_classes)
        What the network says of each, classes as in `names`.
    clean_probability, labelled : float64 array, bool array
        Omega, and whether the label is trusted.
    label : int
        The song's class, which each inherits.
    truth : int64 array or None
        Their real classes, -1 where not known.
    threshold : float
        Tau.
    """

    start_s: Floats
    segment_s: float
    probabilities: Floats32
    clean_probability: Floats
    labelled: Bools
    names: tuple[str, ...]
    label: int
    truth: Ints | None
    threshold: float


def draw_partition(song: SongSegments, *, title: str) -> Figure:
    """Return the picture: the probability of each class, and beneath it the clean probability of each segment.

    Segments whose real class is known to be another one are marked. The title is taken literally.
    """
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams["font.family"] = families(title)
        figure = new_figure(WIDTH_IN, HEIGHT_IN)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        centre_s = song.start_s + song.segment_s / 2
        _classes(above, song, centre_s)
        _clean(below, song, centre_s)
        below.set_xlim(float(song.start_s[0]), float(song.start_s[-1]) + song.segment_s)
        below.set_xlabel(f"time (seconds), centre of each {song.segment_s:g}-s segment")
        figure.suptitle(title, parse_math=False)
    return figure


def _classes(axes: Axes, song: SongSegments, centre_s: Floats) -> None:
    for (colour, dashes, marker, words), name, values in zip(
        _styles(song.names), song.names, song.probabilities.T, strict=True
    ):
        mine = name == song.names[song.label]
        look: dict[str, Any] = {"color": colour, "linestyle": dashes, "marker": marker, "markersize": 4}
        label = f"{words} (the song's label)" if mine else words
        axes.plot(centre_s, values, linewidth=2.6 if mine else 1.5, gid=name, label=label, **look)
    _wrong(axes, song)
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel("probability")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.01, 0.5))


def _styles(names: Sequence[str]) -> list[tuple[str, Any, str, str]]:
    """Return colour, dashes, marker and words of each class."""
    from mertag_train.plots.song import AXIS_STYLES, QUADRANT_STYLES

    if tuple(names) == tuple(quadrant.value for quadrant in QUADRANTS):
        return [(s.colour, s.dashes, s.marker, s.label) for s in (QUADRANT_STYLES[q] for q in QUADRANTS)]
    pair = (AXIS_STYLES[Target.VALENCE], AXIS_STYLES[Target.AROUSAL])
    return [(pair[i % 2].colour, pair[i % 2].dashes, pair[i % 2].marker, name) for i, name in enumerate(names)]


def _clean(axes: Axes, song: SongSegments, centre_s: Floats) -> None:
    axes.vlines(centre_s, 0, song.clean_probability, color="0.75", linewidth=1)
    for mine, colour, marker, words in (
        (song.labelled, TRUSTED, "o", "trusted (X)"),
        (~song.labelled, DOUBTED, "s", "not trusted (U)"),
    ):
        if mine.any():
            axes.plot(centre_s[mine], song.clean_probability[mine], marker, color=colour, markersize=6, label=words)
    axes.axhline(song.threshold, color="0.4", linestyle="--", linewidth=1, label="tau")
    _wrong(axes, song, label="real class is another")
    axes.set_ylim(-0.04, 1.04)
    axes.set_ylabel("clean probability")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.01, 0.5))


def _wrong(axes: Axes, song: SongSegments, *, label: str | None = None) -> None:
    """Shade the segments whose label is known to be wrong."""
    if song.truth is None:
        return
    for i in np.flatnonzero((song.truth >= 0) & (song.truth != song.label)).tolist():
        start_s = float(song.start_s[i])
        axes.axvspan(start_s, start_s + song.segment_s, color=WRONG, alpha=0.08, linewidth=0, gid="wrong", label=label)
        label = None
