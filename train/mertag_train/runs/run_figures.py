"""Pictures of a training, in the run's folder: the losses of each epoch told apart, and the learning curves.

::

    runs/.../
      losses.<target>.<epoch>.png    histogram of the segments' losses, with the two Gaussians of each mixture
      curves.<target>.png            loss, held-out accuracy, clean share and, where labels can be checked, its quality

They are drawn from what the run keeps on record (`mertag_train.runs.run`); matplotlib is loaded when the first one is
drawn.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mertag.emotion import Target
from mertag_train.learn.partition import ALL, Mixture, Partition
from mertag_train.learn.trainer import EpochReport
from mertag_train.plots.pictures import new_figure, save_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

DPI, BINS = 120, 60
CLEAN, NOISY, OTHERS = "#0072B2", "#E69F00", "#767676"
DASHES = {CLEAN: "-", NOISY: "--", OTHERS: ":"}

CURVES: Sequence[tuple[str, Mapping[str, str]]] = (
    (
        "nats",
        {
            "loss": "training loss",
            "loss_mix": "mixed cross-entropy (eq. 8)",
            "loss_kl": "divergence of two dropout passes (eq. 9)",
            "loss_prior": "divergence from the class shares",
        },
    ),
    ("share of songs", {"validation_accuracy": "held-out accuracy"}),
    (
        "share",
        {
            "clean_share": "segments taken as clean",
            "right_share": "segments whose label is right",
            "clean_precision": "of the clean ones, right",
            "partition_auroc": "area under the ROC curve",
        },
    ),
)
"""Panels of the learning curves: what is on the axis, and the figures in it."""


class RunFigures:
    """Draws while a run goes on: told the target, then each epoch.

    Parameters
    ----------
    folder : Path
        The run; ``epochs.<target>.jsonl`` lies there before an epoch is reported.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._target: Target | None = None

    def on_target(self, target: Target) -> None:
        """Take note of which target's epochs come."""
        self._target = target

    def on_epoch(self, report: EpochReport) -> None:
        """Draw an epoch's losses, where they were told apart, and the curves up to it."""
        assert self._target is not None  # a run says its target before its epochs
        if report.partition is not None:
            name = f"losses.{self._target}.{report.epoch:03d}.png"
            title = f"{self._target}, epoch {report.epoch} of {report.epochs}"
            save_png(draw_losses(report.partition, title=title), self._folder / name, dpi=DPI)
        lines = (self._folder / f"epochs.{self._target}.jsonl").read_text(encoding="utf-8").splitlines()
        figure = draw_curves([json.loads(line) for line in lines], title=f"{self._folder.name}: {self._target}")
        save_png(figure, self._folder / f"curves.{self._target}.png", dpi=DPI)


def draw_losses(partition: Partition, *, title: str) -> Figure:
    """Return the histogram of an epoch's losses, a panel a mixture, with its two Gaussians.

    Parameters
    ----------
    partition : Partition
        Its losses in nats; a class without a mixture (losses that do not differ) has no panel.
    title : str
        What it is of.
    """
    panels: Mapping[str, Mixture | None] = partition.mixtures or {ALL: None}
    figure = new_figure(1.0 + 4.2 * len(panels), 4.0)
    share = partition.labelled.mean() if len(partition.labelled) else 0.0
    figure.suptitle(f"{title}: {len(partition.losses)} segments, {share:.0%} taken as clean")
    for axes, (name, mixture) in zip(np.ravel(np.array(figure.subplots(1, len(panels)))), panels.items(), strict=True):
        mine = (
            np.ones(len(partition.losses), dtype=bool)
            if name == ALL
            else partition.labels == partition.names.index(name)
        )
        _histogram(axes, partition, mine, mixture)
        axes.set_title("all classes" if name == ALL else name)
        axes.set_xlabel("cross-entropy with the inherited label (nats)")
    figure.axes[0].set_ylabel("segments")
    figure.axes[0].legend(fontsize="small")
    return figure


def _histogram(axes: Axes, partition: Partition, mine: npt.NDArray[np.bool_], mixture: Mixture | None) -> None:
    losses, labelled = partition.losses[mine], partition.labelled[mine]
    edges = np.histogram_bin_edges(losses, bins=BINS)
    axes.hist(
        [losses[labelled], losses[~labelled]],
        bins=list(edges),
        stacked=True,
        color=[CLEAN, NOISY],
        alpha=0.45,
        label=["clean (X)", "not trusted (U)"],
    )
    if mixture is None:
        return
    x = np.linspace(mixture.low, mixture.high, 400)
    per_nat = len(losses) * (edges[1] - edges[0]) / (mixture.high - mixture.low)  # densities are those of 0..1
    for which, (colour, name) in enumerate(((CLEAN, "Gaussian of the clean"), (NOISY, "Gaussian of the others"))):
        density = mixture.density(which, mixture.scale(x))
        axes.plot(x, per_nat * density, color=colour, linestyle=DASHES[colour], linewidth=2, label=name)


def draw_curves(epochs: Sequence[Mapping[str, Any]], *, title: str) -> Figure:
    """Return the learning curves: a panel a kind of figure, of those that are on record.

    Parameters
    ----------
    epochs : sequence of mapping
        As `mertag_train.learn.trainer.EpochReport.to_json` gives them.
    title : str
        What it is of.
    """
    rows = [{**epoch.get("figures", {}), **epoch} for epoch in epochs]
    panels = [
        (unit, {name: label for name, label in curves.items() if any(row.get(name) is not None for row in rows)})
        for unit, curves in CURVES
    ]
    panels = [(unit, curves) for unit, curves in panels if curves]
    figure = new_figure(8.0, 0.6 + 2.4 * len(panels))
    figure.suptitle(title)
    for axes, (unit, curves) in zip(
        np.ravel(np.array(figure.subplots(len(panels), 1, sharex=True))), panels, strict=True
    ):
        for number, (name, label) in enumerate(curves.items()):
            points = [(row["epoch"], row[name]) for row in rows if row.get(name) is not None]
            axes.plot(*zip(*points, strict=True), f"C{number}", marker="os^D"[number % 4], markersize=4, label=label)
        axes.set_ylabel(unit)
        if unit != "nats":
            axes.set_ylim(0, 1)
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
    figure.axes[-1].set_xlabel("epoch")
    figure.axes[-1].locator_params(axis="x", integer=True)
    return figure
