"""The figures of a target, and of what follows from it: the quadrant also says valence and arousal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from mertag.emotion import Target
from mertag_train.measure.metrics import Metrics, evaluate_predictions

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

AXIS_QUADRANTS = {Target.VALENCE: [0, 3], Target.AROUSAL: [0, 1]}
"""Which quadrants lie on the positive side of an axis."""


def measure(
    truth: Ints, probabilities: Mapping[str, Floats], target: Target, *, seed: int
) -> dict[Target, dict[str, Metrics]]:
    """Measure methods on the same songs.

    Parameters
    ----------
    truth : int64 array, shape (n_songs,)
        Classes.
    probabilities : mapping of str to float64 array, shape (n_songs, n_classes)
        By method.
    target : Target
        What is predicted.
    seed : int
        Of the draws that say what perfect calibration would show.

    Returns
    -------
    dict of Target to dict of str to Metrics
        Of the target; where that is the quadrant, also of the valence and the arousal that follow from it.
    """
    targets = (target, *AXIS_QUADRANTS) if target is Target.QUADRANT else (target,)
    found: dict[Target, dict[str, Metrics]] = {}
    for seen in targets:
        found[seen] = {}
        for method, p in probabilities.items():
            said, labels = view(p, truth, seen)
            found[seen][method] = evaluate_predictions(labels, said, target=seen, seed=seed)
    return found


def view(probabilities: Floats, labels: Ints, target: Target) -> tuple[Floats, Ints]:
    """Return probabilities (n_songs, n_classes) and classes (n_songs,) of a target.

    An axis is taken from those of quadrants, if there are four classes: P(V+) = Q1 + Q4, P(A+) = Q1 + Q2.
    """
    if target not in AXIS_QUADRANTS or probabilities.shape[1] == 2:
        return probabilities, labels
    positive = AXIS_QUADRANTS[target]
    side = probabilities[:, positive].sum(1)
    return np.stack([probabilities.sum(1) - side, side], axis=1), np.isin(labels, positive).astype(np.int64)
