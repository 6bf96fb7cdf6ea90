"""Figures without a window, saved whole or not at all; the reliability diagram. Loads matplotlib only when used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mertag.files import replaced_whole
from mertag_train.arrays import Floats, Ints
from mertag_train.measure.metrics import (
    calibration_error,
    calibration_error_if_perfect,
    equal_mass_bins,
    predicted_classes,
    wilson_interval,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SOURCE = "Source"
"""Key of the PNG text that says what a picture was made of."""


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty figure of a size in inches, whose layout makes room for its texts."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_png(figure: Figure, path: Path, *, dpi: int, made_of: str = "") -> None:
    """Write a picture; whoever looks sees the new one whole, or what was there.

    `made_of`, such as a hash of what it shows, is kept in the file (`shows`).
    """
    with replaced_whole(path) as file:
        figure.savefig(file, format="png", dpi=dpi, metadata={SOURCE: made_of} if made_of else None)


def shows(path: Path, made_of: str) -> bool:
    """Return whether there is a picture that was made of the same (`save_png`)."""
    from PIL import Image, UnidentifiedImageError  # matplotlib needs it, too

    try:
        with Image.open(path) as picture:
            return picture.info.get(SOURCE) == made_of
    except (OSError, UnidentifiedImageError):
        return False


def draw_reliability(axes: Axes, probabilities: Floats, labels: Ints, *, what: str = "") -> None:
    """Draw how often a method is right, by how sure it is: bins of equal mass with their Wilson intervals.

    Of the method are `probabilities` (n_songs, n_classes), of which `labels` (n_songs,) are the true classes; `what` is
    named in the title, before the calibration error.
    """
    predicted = predicted_classes(probabilities)
    confidence = probabilities[np.arange(len(predicted)), predicted]
    correct = predicted == labels
    bins = equal_mass_bins(confidence)
    size = np.bincount(bins)
    x = np.bincount(bins, weights=confidence) / size
    hits = np.bincount(bins, weights=correct)
    intervals = np.array([wilson_interval(round(h), int(n)) for h, n in zip(hits, size, strict=True)])
    y = hits / size
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfect")
    errors = np.abs(intervals.T - y)
    bins_said = "1 bin" if len(size) == 1 else f"{len(size)} bins of equal mass"
    axes.errorbar(x, y, yerr=errors, fmt="o-", capsize=3, label=f"{bins_said}, 95 % intervals")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("confidence (probability of the predicted class)")
    axes.set_ylabel("share that is right")
    error, perfect = calibration_error(confidence, correct), calibration_error_if_perfect(confidence)
    axes.set_title(f"{what}Calibration error {error:.3f} (if perfect: {perfect:.3f})")
    # Below the axes: points may lie anywhere in them, those of a method that is too modest in the upper left.
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, fontsize="small", frameon=False)
