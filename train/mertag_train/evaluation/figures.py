"""A picture of each system: its confusion matrix, and how far its confidence can be trusted."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mertag.emotion import CLASS_NAMES, QUADRANT_LABELS, Quadrant
from mertag_train.evaluation.protocol import Protocol
from mertag_train.evaluation.report import heading
from mertag_train.evaluation.summary import Summary
from mertag_train.plots.pictures import draw_reliability, new_figure, save_png

DPI = 150


def draw(summary: Summary, protocol: Protocol, folder: Path) -> Path:
    """Draw the confusion matrix and the reliability diagram of one system; return the PNG's path.

    Parameters
    ----------
    summary : Summary
        The pooled songs of its first seed are drawn.
    protocol : Protocol
        Named in the title.
    folder : Path
        Where the picture goes.
    """
    system = summary.system
    figure = new_figure(9.0, 4.4)
    confusion, reliability = figure.subplots(1, 2)
    _confusion(confusion, summary)
    draw_reliability(reliability, summary.probabilities, summary.labels)
    duration = f", {system.duration} segments" if system.duration else ""
    part = "" if summary.complete else f" ({len(summary.folds)} of {summary.n_folds} folds)"
    figure.suptitle(f"{system.method}{duration}: {system.view}; {heading(protocol)}{part}")
    folder.mkdir(parents=True, exist_ok=True)
    words = [str(system.target), "" if system.learnt is system.target else f"from-{system.learnt}", system.method]
    path = folder / ".".join([w for w in [*words, system.duration.replace(" ", "")] if w])
    path = path.with_name(path.name + ".png")
    save_png(figure, path, dpi=DPI)
    return path


def _confusion(axes: object, summary: Summary) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    counts = np.array(summary.first.confusion)
    names = CLASS_NAMES[summary.system.target]
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            text = f"{count}\n{100 * share[i, j]:.0f} %"
            axes.text(j, i, text, ha="center", va="center", color="white" if share[i, j] > 0.5 else "black")
    labels = [_class_label(name) for name in names]
    axes.set_xticks(range(len(names)), labels)
    axes.set_yticks(range(len(names)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"Accuracy {summary.first.accuracy:.3f}, {summary.first.n} songs")


def _class_label(name: str) -> str:
    """Return a class as a reader knows it: a quadrant with its mood, a sign with a minus."""
    if name in Quadrant.__members__:
        return f"{name}\n{QUADRANT_LABELS[Quadrant(name)]}"
    return name.replace("-", "\N{MINUS SIGN}")
