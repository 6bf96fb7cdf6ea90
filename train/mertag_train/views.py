"""The figures of a target, and of what follows from it: the quadrant also says valence and arousal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from mertag.emotion import Target

from .metrics import Metrics, evaluate_predictions

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
    views = {target: (truth, dict(probabilities))}
    if target is Target.QUADRANT:
        for axis, positive in AXIS_QUADRANTS.items():
            sides = {}
            for method, p in probabilities.items():
                side = p[:, positive].sum(1)
                sides[method] = np.stack([p.sum(1) - side, side], axis=1)
            views[axis] = (np.isin(truth, positive).astype(np.int64), sides)
    return {
        view: {method: evaluate_predictions(y, p, target=view, seed=seed) for method, p in found.items()}
        for view, (y, found) in views.items()
    }
