"""What a model is worth on songs that it has not seen.

Conventions
-----------
- Labels are class indices, probabilities one row a song, both in the order of `CLASS_NAMES`; the predicted
  class is the most probable one. A tie goes to the first class of the quadrant and to the positive side of
  an axis, as in `mertag.emotion.decide`.
- F1 is that of a class; macro-F1 is the mean over the classes that stand in the labels or the predictions;
  the positive class of valence is V+, of arousal A+, and the quadrant has none.
- Balanced accuracy is the mean recall over the classes that stand in the labels.
- MCC is Gorodkin's for any number of classes, 0 where it is not defined (only one class predicted, or there).
- Log-loss is natural, in nats a song; probabilities below 2.2e-16 count as that.
- The Brier score is the original sum over all classes, mean over the songs: 0 is perfect, 2 the worst; for
  two classes it is twice the one-sided score that is also in use.
- Calibration: whether a class that is given 80 % is right in 80 % of the songs. The confidence of a song is the
  probability of its predicted class; bins are of equal mass (as many songs in each), not of equal width, most of which
  would be almost empty; songs of the same confidence share a bin, so that the figure does not depend on the order of
  the songs. A finite sample never shows 0, even of a perfectly calibrated model, and shows the more the smaller it is:
  so the error stands beside what perfect calibration would show for the same confidences.
- The interval of the accuracy is Wilson's, 95 % (E. B. Wilson, "Probable inference", 1927).
- Two methods are compared by McNemar's test, in its exact (binomial) form (Q. McNemar, "Note on the sampling error of
  the difference between correlated proportions", 1947).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, log_loss, matthews_corrcoef, precision_recall_fscore_support

from mertag.emotion import CLASS_NAMES, Target
from mertag_train.arrays import Bools, Floats, Ints

SUM_TOLERANCE = 1e-3
"""By how much a song's probabilities may miss 1 (rounding in float16); they are then divided by their sum."""

N_BINS = 10
N_SIMULATIONS = 1_000
DRAWN_AT_ONCE = 100_000
"""How many random numbers a simulation holds at a time: so many stay in the processor's cache."""
THRESHOLDS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)

SCALARS = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "positive_f1",
    "mcc",
    "log_loss",
    "brier",
    "calibration_error",
    "calibration_error_if_perfect",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The figures of one model for one target; the module says what each means.

    Attributes
    ----------
    n : int
        Songs.
    f1 : tuple of float or None
        Of each class; None for a class that stands neither in the labels nor in the predictions.
    positive_class : str or None
        The class whose F1 `positive_f1` is (0 if it was never predicted rightly); None for the quadrant.
    calibration_error_if_perfect : float
        What a perfectly calibrated model would show on average for so many songs.
    confusion : tuple of tuple of int
        Rows are the true classes, columns the predicted ones.
    """

    target: Target
    n: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    balanced_accuracy: float
    macro_f1: float
    f1: tuple[float | None, ...]
    positive_class: str | None
    positive_f1: float | None
    mcc: float
    log_loss: float
    brier: float
    calibration_error: float
    calibration_error_if_perfect: float
    confusion: tuple[tuple[int, ...], ...]

    def to_json(self) -> dict[str, object]:
        """Return the figures as plain lists, numbers and names, with the classes named."""
        names = CLASS_NAMES[self.target]
        return {
            "target": self.target.value,
            "classes": list(names),
            "n": self.n,
            **{name: getattr(self, name) for name in SCALARS},
            "positive_class": self.positive_class,
            "accuracy_interval": list(self.accuracy_interval),
            "f1": dict(zip(names, self.f1, strict=True)),
            "confusion": [list(row) for row in self.confusion],
        }


def predicted_classes(probabilities: npt.ArrayLike) -> Ints:
    """Return the predicted class (n_songs,) of each song, of probabilities (n_songs, n_classes)."""
    p = np.asarray(probabilities, dtype=np.float64)
    predicted = p[:, 1] >= p[:, 0] if p.shape[1] == 2 else p.argmax(1)
    return predicted.astype(np.int64)


def evaluate_predictions(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, *, target: Target, seed: int = 0
) -> Metrics:
    """Measure song probabilities (n_songs, n_classes), each row of which sums to 1, against true classes (n_songs,).

    The seed is that of the simulation behind `Metrics.calibration_error_if_perfect`. Raises ValueError if there is no
    song, the shapes do not fit, a label is no class, or a row is no distribution.
    """
    y, p = _checked(labels, probabilities, len(CLASS_NAMES[target]))
    n, k = p.shape
    predicted = predicted_classes(p)
    correct = predicted == y
    _, recall, of_class, support = precision_recall_fscore_support(y, predicted, labels=range(k), zero_division=np.nan)
    f1 = [None if np.isnan(f) else float(f) for f in of_class]
    positive = None if target is Target.QUADRANT else CLASS_NAMES[target][-1]
    confidence = p[np.arange(n), predicted]
    return Metrics(
        target=target,
        n=n,
        accuracy=float(correct.mean()),
        accuracy_interval=wilson_interval(int(correct.sum()), n),
        balanced_accuracy=float(recall[support > 0].mean()),
        macro_f1=fmean(f for f in f1 if f is not None),
        f1=tuple(f1),
        positive_class=positive,
        positive_f1=None if positive is None else f1[-1] or 0.0,
        mcc=float(matthews_corrcoef(y, predicted)) if len(np.union1d(y, predicted)) > 1 else 0.0,
        log_loss=float(log_loss(y, p, labels=range(k))),
        brier=float(((p - np.eye(k)[y]) ** 2).sum(1).mean()),
        calibration_error=calibration_error(confidence, correct),
        calibration_error_if_perfect=calibration_error_if_perfect(confidence, seed=seed),
        confusion=tuple(map(tuple, confusion_matrix(y, predicted, labels=range(k)).tolist())),
    )


def mean_and_sd(results: Sequence[Metrics]) -> Mapping[str, tuple[float, float | None]]:
    """Return mean and standard deviation of each figure over folds or seeds, by the names of `Metrics`.

    The deviation is the sample's (n - 1), None for a single result. A figure that the target does not have is left out.
    """
    if not results or len({result.target for result in results}) > 1:
        raise ValueError("expected results of one target")
    found: dict[str, tuple[float, float | None]] = {}
    for name in SCALARS:
        values = [value for value in (getattr(result, name) for result in results) if value is not None]
        if values:
            found[name] = (fmean(values), stdev(values) if len(values) > 1 else None)
    return found


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % score interval of a proportion, within 0..1.

    Songs of one artist are not independent, for which the interval makes no allowance.
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} of {n} is no proportion")
    interval = binomtest(successes, n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemar:
    """Two methods on the same songs.

    `only_first` and `only_second` are the songs that only one of them has right, `p_value` the probability of a
    difference at least this large if both were equally good (two-sided).
    """

    only_first: int
    only_second: int
    p_value: float


def mcnemar(labels: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike) -> McNemar:
    """Compare two methods by the songs on which one is right and the other wrong.

    The arrays (n_songs,) are the true classes, and those that each method predicts, of the same songs in the same
    order.
    """
    truth, one, two = (np.asarray(values) for values in (labels, first, second))
    if not truth.shape == one.shape == two.shape or truth.ndim != 1:
        raise ValueError(f"expected three arrays of one shape (n,), got {truth.shape}, {one.shape}, {two.shape}")
    only_first = int(np.sum((one == truth) & (two != truth)))
    only_second = int(np.sum((one != truth) & (two == truth)))
    n = only_first + only_second
    p_value = float(binomtest(only_first, n).pvalue) if n else 1.0
    return McNemar(only_first=only_first, only_second=only_second, p_value=p_value)


def equal_mass_bins(confidence: Floats, n_bins: int = N_BINS) -> Ints:
    """Return the bin of each song, from 0 and without gaps, of confidences (n_songs,).

    There are at most `n_bins`; fewer where songs are few or confidences equal.
    """
    ordered = np.sort(confidence)
    cuts = ordered[[len(ordered) * k // n_bins for k in range(1, n_bins)]]
    bins = np.searchsorted(np.unique(cuts), confidence, side="right")
    dense: Ints = np.unique(bins, return_inverse=True)[1].astype(np.int64)
    return dense


def calibration_error(confidence: Floats, correct: Bools, *, n_bins: int = N_BINS) -> float:
    """Return the expected calibration error: the mean over songs of their bin's |accuracy - confidence|.

    Both arrays are (n_songs,): the probability of the predicted class, and whether that class is the true one.
    """
    bins = equal_mass_bins(confidence, n_bins)
    gap = np.bincount(bins, weights=correct) - np.bincount(bins, weights=confidence)
    return float(np.abs(gap).sum() / len(confidence))


def calibration_error_if_perfect(
    confidence: Floats, *, n_bins: int = N_BINS, n_simulations: int = N_SIMULATIONS, seed: int = 0
) -> float:
    """Return the calibration error that a perfectly calibrated model would show on average.

    In each of `n_simulations`, a song is right with just its probability in `confidence` (n_songs,).
    """
    n = len(confidence)
    bins = equal_mass_bins(confidence, n_bins)
    expected = np.bincount(bins, weights=confidence)
    order = np.argsort(bins, kind="stable")
    starts = np.searchsorted(bins[order], np.arange(len(expected)))
    rng = np.random.default_rng(seed)
    total, at_once = 0.0, max(1, DRAWN_AT_ONCE // n)
    for done in range(0, n_simulations, at_once):
        drawn = rng.random((min(at_once, n_simulations - done), n))
        correct = np.take(drawn < confidence, order, axis=1)
        total += float(np.abs(np.add.reduceat(correct, starts, axis=1, dtype=np.int64) - expected).sum())
    return total / (n_simulations * n)


def calibration_interval(
    confidence: Floats, correct: Bools, *, n_bins: int = N_BINS, n_resamples: int = N_SIMULATIONS, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the calibration error, by the percentiles of resampled songs.

    A resample holds some songs twice, which raises its error: the interval lies rather high. The arrays are as for
    `calibration_error`.
    """
    rng = np.random.default_rng(seed)
    n = len(confidence)
    found = []
    for _ in range(n_resamples):
        drawn = rng.integers(0, n, n)
        found.append(calibration_error(confidence[drawn], correct[drawn], n_bins=n_bins))
    low, high = np.percentile(found, (2.5, 97.5))
    return float(low), float(high)


def coverage(
    confidence: Floats, correct: Bools, thresholds: Sequence[float] = THRESHOLDS
) -> list[dict[str, float | None]]:
    """Return what is left, and how much of it is right, when only confident predictions count.

    For each threshold of the confidence ``at_least``, the ``share`` of the songs that count, and their ``accuracy``;
    None where none counts. The arrays are as for `calibration_error`.
    """
    found: list[dict[str, float | None]] = []
    for threshold in thresholds:
        kept = confidence >= threshold
        accuracy = float(correct[kept].mean()) if kept.any() else None
        found.append({"at_least": threshold, "share": float(kept.mean()), "accuracy": accuracy})
    return found


AXIS_QUADRANTS = {Target.VALENCE: [0, 3], Target.AROUSAL: [0, 1]}
"""Which quadrants lie on the positive side of an axis."""


def measure(
    truth: Ints, probabilities: Mapping[str, Floats], target: Target, *, seed: int
) -> dict[Target, dict[str, Metrics]]:
    """Measure the probabilities (n_songs, n_classes) of methods on the same songs, of classes `truth` (n_songs,).

    Returns the figures by target and method: of the target; where that is the quadrant, also of the valence and the
    arousal that follow from it.
    """
    found: dict[Target, dict[str, Metrics]] = {}
    for axis in (target, *AXIS_QUADRANTS) if target is Target.QUADRANT else (target,):
        found[axis] = {}
        for method, of_target in probabilities.items():
            p, labels = by_axis(of_target, truth, axis)
            found[axis][method] = evaluate_predictions(labels, p, target=axis, seed=seed)
    return found


def by_axis(probabilities: Floats, labels: Ints, target: Target) -> tuple[Floats, Ints]:
    """Return probabilities (n_songs, n_classes) and classes (n_songs,) of a target.

    An axis is taken from those of quadrants, if there are four classes: P(V+) = Q1 + Q4, P(A+) = Q1 + Q2.
    """
    if target not in AXIS_QUADRANTS or probabilities.shape[1] == 2:
        return probabilities, labels
    positive = AXIS_QUADRANTS[target]
    side = probabilities[:, positive].sum(1)
    return np.stack([probabilities.sum(1) - side, side], axis=1), np.isin(labels, positive).astype(np.int64)


def _checked(labels: npt.ArrayLike, probabilities: npt.ArrayLike, n_classes: int) -> tuple[Ints, Floats]:
    y, p = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    if y.ndim != 1 or not len(y) or p.shape != (len(y), n_classes):
        raise ValueError(f"expected labels (n,) and probabilities (n, {n_classes}), n > 0; got {y.shape}, {p.shape}")
    if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= n_classes:
        raise ValueError(f"labels must be class indices from 0 to {n_classes - 1}")
    total = p.sum(1, keepdims=True)
    if not (np.isfinite(p).all() and p.min() >= 0 and np.abs(total - 1).max() <= SUM_TOLERANCE):
        raise ValueError("every row of probabilities must be finite, at least 0, and sum to 1")
    return y.astype(np.int64), p / total
