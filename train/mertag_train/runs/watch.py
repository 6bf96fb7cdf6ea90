"""What a run writes while it trains: its epochs as JSON lines, pictures, and scalars for TensorBoard.

::

    runs/.../
      losses.<target>.<epoch>.png    histogram of the segments' losses, with the two Gaussians of each mixture
      epochs.<target>.jsonl          one line an epoch
      song.<target>.<epoch>.png      one song's segments, with the clean probability beneath (`song_picture`)
      curves.<target>.png            loss, held-out accuracy, clean share and, where labels can be checked, its quality
      tensorboard/<target>/          the same figures, where TensorBoard is installed

The curves are drawn from the JSON lines; matplotlib is loaded when the first picture is drawn.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mertag.emotion import CLASS_NAMES, Target
from mertag.files import write_whole
from mertag_train.learn.partition import Partition
from mertag_train.learn.trainer import EpochReport, Progress
from mertag_train.plots.pictures import new_figure, save_png
from mertag_train.runs.work import Watcher

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch.utils.tensorboard import SummaryWriter


TENSORBOARD = "tensorboard"
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
        },
    ),
    ("squared deviation", {"loss_teacher": "distance from the teacher's outputs"}),
    ("share of songs", {"validation_accuracy": "held-out accuracy"}),
    (
        "share",
        {
            "clean_share": "segments taken as clean",
            "right_share": "segments whose label is right",
            "clean_precision": "of the clean ones, right",
            "partition_auroc": "area under the ROC curve",
            "partition_auroc_in_clip": "the same within clips",
        },
    ),
)
"""Panels of the learning curves: what is on the axis, and the figures in it."""


class FolderWatcher(Watcher):
    """Writes into a folder, in any process that it is told in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._target: Target | None = None

    def elsewhere(self) -> Watcher:  # noqa: D102
        return self

    def on_target(self, target: Target) -> None:  # noqa: D102
        self._target = target


class EpochLog(FolderWatcher):
    """Keeps the epochs of the first network as JSON lines: ``epochs.<target>.jsonl``."""

    def on_epoch(self, report: EpochReport) -> None:
        """Add an epoch, in the place of one that is trained again."""
        path = self._folder / ("epochs.jsonl" if self._target is None else epochs_name(self._target))
        before = [epoch for epoch in read_epochs(path) if epoch["epoch"] < report.epoch]
        write_whole(path, "".join(json.dumps(epoch) + "\n" for epoch in (*before, report.to_json())))


def epochs_name(target: Target) -> str:
    """Return the name of the file with a line of JSON for each epoch of a target's first network."""
    return f"epochs.{target}.jsonl"


def read_epochs(path: Path) -> list[dict[str, Any]]:
    """Return the epochs on record, as `EpochReport.to_json` gives them; none where there is no record."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


class DurationLog(Watcher):
    """Adds a line of JSON for each epoch of a network: how long it took. Several processes may add to one file."""

    def __init__(self, path: Path, network: str) -> None:
        self._path, self._network = path, network

    def on_epoch(self, report: EpochReport) -> None:
        """Add a line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"network": self._network, "duration_s": report.duration_s}) + "\n")


class StepsOnly(Watcher):
    """Tells another of the steps alone: of a network whose epochs nobody records."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def on_step(self, step: Progress) -> None:  # noqa: D102
        self._watcher.on_step(step)


class RunFigures(FolderWatcher):
    """Draws the losses and the learning curves of a run; `EpochLog` is told of an epoch before."""

    def on_epoch(self, report: EpochReport) -> None:
        """Draw an epoch's losses, where they were told apart, and the curves up to it."""
        assert self._target is not None  # a run says its target before its epochs
        if report.partition is not None:
            name = f"losses.{self._target}.{report.epoch:03d}.png"
            title = f"{self._target}, epoch {report.epoch} of {report.epochs}"
            save_png(draw_losses(report.partition, title=title), self._folder / name, dpi=DPI)
        epochs = read_epochs(self._folder / epochs_name(self._target))
        title = f"{self._folder.name}: {self._target}"
        figure = draw_curves(epochs, title=title, n_classes=len(CLASS_NAMES[self._target]))
        save_png(figure, self._folder / f"curves.{self._target}.png", dpi=DPI)


class Scalars(FolderWatcher):
    """Writes ``<run>/tensorboard/<target>``, which ``tensorboard --logdir RUN`` shows.

    TensorBoard is no dependency: without it nothing is written, and nothing is missing. Nothing is made before the
    first epoch, and only before that may it be told in another process.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / TENSORBOARD)
        self._installed = importlib.util.find_spec(TENSORBOARD) is not None
        self._writer: SummaryWriter | None = None

    def on_target(self, target: Target) -> None:  # noqa: D102
        self.close()
        super().on_target(target)

    def on_epoch(self, report: EpochReport) -> None:
        """Write an epoch's figures; the step is the epoch. One that is trained again after a break replaces the old."""
        if not self._installed:
            return
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(self._folder / str(self._target), purge_step=report.epoch)
        figures = {**report.figures, "loss": report.loss, "learning_rate": report.learning_rate}
        if report.validation_accuracy is not None:
            figures["validation_accuracy"] = report.validation_accuracy
        for name, value in figures.items():
            self._writer.add_scalar(name, value, report.epoch)
        self._writer.flush()

    def close(self) -> None:  # noqa: D102
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def draw_losses(partition: Partition, *, title: str) -> Figure:
    """Return the histogram of an epoch's losses in nats, with the two Gaussians where the losses differ."""
    losses, labelled, mixture = partition.losses, partition.labelled, partition.mixture
    figure = new_figure(5.2, 4.0)
    share = labelled.mean() if len(labelled) else 0.0
    figure.suptitle(f"{title}: {len(losses)} segments, {share:.0%} taken as clean")
    axes = figure.subplots()
    axes.set_xlabel("cross-entropy with the inherited label (nats)")
    axes.set_ylabel("segments")
    edges = np.histogram_bin_edges(losses, bins=BINS)
    axes.hist(
        [losses[labelled], losses[~labelled]],
        bins=list(edges),
        stacked=True,
        color=[CLEAN, NOISY],
        alpha=0.45,
        label=["clean (X)", "not trusted (U)"],
    )
    if mixture is not None:
        x = np.linspace(mixture.low, mixture.high, 400)
        per_nat = len(losses) * (edges[1] - edges[0]) / (mixture.high - mixture.low)  # densities are those of 0..1
        for which, (colour, name) in enumerate(((CLEAN, "Gaussian of the clean"), (NOISY, "Gaussian of the others"))):
            density = mixture.density(which, mixture.scale(x))
            axes.plot(x, per_nat * density, color=colour, linestyle=DASHES[colour], linewidth=2, label=name)
    axes.legend(fontsize="small")
    return figure


def draw_curves(epochs: Sequence[Mapping[str, Any]], *, title: str, n_classes: int) -> Figure:
    """Return the learning curves: a panel a kind of figure, of those that are on record.

    Beside the accuracy stands that of guessing among `n_classes`. The epochs are as
    `mertag_train.learn.trainer.EpochReport.to_json` gives them.
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
        if "validation_accuracy" in curves:
            axes.axhline(1 / n_classes, color="0.4", linestyle="--", linewidth=1, label="chance")
        axes.set_ylabel(unit)
        if unit.startswith("share"):
            axes.set_ylim(0, 1)
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.01, 0.5))  # beside: it covers nothing
        axes.grid(alpha=0.3)
    figure.axes[-1].set_xlabel("epoch")
    figure.axes[-1].locator_params(axis="x", integer=True)
    return figure
