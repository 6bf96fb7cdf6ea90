"""How sure a figure is: Wilson's interval for a proportion, McNemar's test between two methods.

Sources: E. B. Wilson, "Probable inference", 1927; Q. McNemar, "Note on the sampling error of the difference
between correlated proportions", 1947, in its exact (binomial) form.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt


def wilson_interval(successes: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion.

    Parameters
    ----------
    successes, n : int
        How many of how many.
    confidence : float
        Two-sided, between 0 and 1.

    Returns
    -------
    (low, high) : tuple of float
        Within 0..1. Songs of one artist are not independent, for which the interval makes no allowance.
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} of {n} is no proportion")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    # At the ends the interval is exact, and rounding must not move it.
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == n else centre + half)


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemar:
    """Two methods on the same songs.

    Attributes
    ----------
    only_first, only_second : int
        Songs that only the first, or only the second method has right.
    p_value : float
        Probability of a difference at least this large if both were equally good (two-sided).
    """

    only_first: int
    only_second: int
    p_value: float


def mcnemar(labels: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike) -> McNemar:
    """Compare two methods by the songs on which one is right and the other wrong.

    Parameters
    ----------
    labels, first, second : int arrays, shape (n_songs,)
        True classes, and those that each method predicts, of the same songs in the same order.
    """
    truth, one, two = (np.asarray(values) for values in (labels, first, second))
    if not truth.shape == one.shape == two.shape or truth.ndim != 1:
        raise ValueError(f"expected three arrays of one shape (n,), got {truth.shape}, {one.shape}, {two.shape}")
    only_first = int(np.sum((one == truth) & (two != truth)))
    only_second = int(np.sum((one != truth) & (two == truth)))
    n = only_first + only_second
    term = tail = 1  # the binomial coefficients n over k, in integers: they overflow a float from n = 1030
    for k in range(min(only_first, only_second)):
        term = term * (n - k) // (k + 1)
        tail += term
    p_value = min(Fraction(1), Fraction(2 * tail, 2**n))
    return McNemar(only_first=only_first, only_second=only_second, p_value=float(p_value))
