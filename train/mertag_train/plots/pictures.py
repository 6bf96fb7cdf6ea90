"""A figure without a window, and a picture that is there whole or not at all. Loads matplotlib when it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mertag.files import replaced_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty figure of a size in inches, whose layout makes room for its texts."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_png(figure: Figure, path: Path, *, dpi: int) -> None:
    """Write a picture; whoever looks sees the new one whole, or what was there."""
    with replaced_whole(path) as file:
        figure.savefig(file, format="png", dpi=dpi)
