"""Corrections drawn at random, and what is said of them."""

from __future__ import annotations

import numpy as np

from mertag_export.corrections.classifier import Correction
from mertag_export.corrections.judge import Verdict

VERDICT = Verdict(n=300, n_corrected=100, mended=80, spoilt=9, gain=71.0, chance=15.5, p=0.05, share=0.9, partly=False)


def drawn(rng: np.random.Generator, n_classes: int, n_features: int) -> Correction:
    """Return a correction in which every reflection is likely of some songs."""
    shape = (n_classes, n_classes)  # two classes have one axis, four have two
    return Correction(weights=rng.normal(0, 1, (*shape, n_features)), bias=rng.normal(0, 1, shape))
