"""The reliability diagram: how often a method is right, by how sure it is. Loads matplotlib when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mertag_train.measure.calibration import calibration_error, calibration_error_if_perfect, equal_mass_bins
from mertag_train.measure.metrics import predicted_classes, wilson_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_reliability(
    axes: Axes, probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], *, what: str = ""
) -> None:
    """Draw bins of equal mass with their Wilson intervals, and the calibration error as the title.

    Parameters
    ----------
    axes : Axes
        Where.
    probabilities : float64 array, shape (n_songs, n_classes)
        What was said.
    labels : int64 array, shape (n_songs,)
        The true classes.
    what : str
        Named before the error.
    """
    said = predicted_classes(probabilities)
    confidence = probabilities[np.arange(len(said)), said]
    correct = said == labels
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
    axes.legend(loc="upper left", fontsize="small")
