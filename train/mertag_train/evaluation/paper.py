"""The paper's tables as data: its own figures, printed beside ours and never used in their place.

Source: Y. Sun, X. Zhang, M. Zhou, W. Li, "Semi-Supervised Self-Learning Enhanced Music Emotion Recognition",
tables 1 to 3. Figures in percent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

DATASETS: Mapping[str, str] = MappingProxyType({"pmemo": "PMEmo", "4q": "4Q", "eim": "EiM"})
"""The paper's names of the data sets, by ours, in its order."""

DURATIONS_S = (1, 2, 3, 4, 5)

TABLE_1: Mapping[str, tuple[int, tuple[int, ...]]] = MappingProxyType(
    {
        "pmemo": (767, (22_945, 22_184, 21_411, 20_640, 19_869)),
        "4q": (900, (26_957, 26_046, 25_135, 24_231, 23_330)),
        "eim": (1_000, (29_982, 28_981, 27_976, 26_973, 25_971)),
    }
)
"""Songs, and segments of 1 to 5 seconds."""

TABLE_2: Mapping[str, tuple[tuple[float, float, float, float], ...]] = MappingProxyType(
    {
        "pmemo": (
            (77.43, 81.32, 85.42, 86.61),
            (78.71, 82.20, 84.20, 85.26),
            (83.19, 82.31, 84.49, 86.01),
            (82.11, 81.71, 81.20, 82.20),
            (82.69, 81.32, 84.42, 82.61),
        ),
        "4q": (
            (69.11, 67.32, 87.20, 86.67),
            (71.32, 72.45, 86.60, 86.70),
            (75.20, 77.37, 86.56, 86.14),
            (74.32, 76.55, 85.30, 86.65),
            (74.59, 77.05, 85.67, 86.51),
        ),
    }
)
"""Valence accuracy and F1, arousal accuracy and F1, for segments of 1 to 5 seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of table 3; None where the paper has no figure.

    Attributes
    ----------
    dataset : str
        By our name.
    method : str
        As the paper prints it.
    valence, arousal, quadrant : (accuracy, F1)
    notes : tuple of str
        Keys of `NOTES`.
    """

    dataset: str
    method: str
    valence: tuple[float | None, float | None] = (None, None)
    arousal: tuple[float | None, float | None] = (None, None)
    quadrant: tuple[float | None, float | None] = (None, None)
    notes: tuple[str, ...] = ()


TABLE_3: tuple[Row, ...] = (
    Row(dataset="pmemo", method="SVM [23]", valence=(70.43, 75.32), arousal=(71.49, 76.36), notes=("skin",)),
    Row(dataset="pmemo", method="2-Stage [8]", valence=(79.01, 83.20), arousal=(83.20, 83.20), notes=("same",)),
    Row(dataset="pmemo", method="Proposed*", valence=(79.01, 82.01), arousal=(81.20, 82.20), notes=("threshold",)),
    Row(
        dataset="pmemo", method="Proposed", valence=(83.19, 82.31), arousal=(85.42, 86.61), notes=("best", "threshold")
    ),
    Row(dataset="4q", method="2-Stage [8]", valence=(67.11, 67.11), arousal=(86.56, 86.56), notes=("same",)),
    Row(dataset="4q", method="Audio Embedding [24]", quadrant=(72.00, None), notes=("one_figure",)),
    Row(dataset="4q", method="SVM [17]", quadrant=(None, 76.41), notes=("f1",)),
    Row(dataset="4q", method="Proposed*", valence=(76.32, 76.45), arousal=(86.70, 86.50), quadrant=(74.39, 75.30)),
    Row(
        dataset="4q",
        method="Proposed",
        valence=(77.20, 78.37),
        arousal=(87.20, 86.67),
        quadrant=(76.49, 77.60),
        notes=("not_in_table_2",),
    ),
    Row(dataset="eim", method="Audio Embedding [24]", quadrant=(72.00, None), notes=("one_figure",)),
    Row(dataset="eim", method="Proposed*", quadrant=(72.90, 73.32), notes=("threshold",)),
    Row(dataset="eim", method="Proposed", quadrant=(75.81, 75.34), notes=("threshold",)),
)

NOTES: Mapping[str, str] = MappingProxyType(
    {
        "skin": "Not like with like: this SVM classifies skin conductance of listeners, not audio (Yin et al., 2019).",
        "same": "Accuracy and F1 are printed as the same number (for PMEmo, three of the four figures); the method is "
        "He and Ferguson's (2022).",
        "threshold": "The paper does not say at which rating its classes part (PMEmo: at 0.5 of the scale, three songs "
        "in four are positive on each axis).",
        "best": "The best of five segment durations for each axis, chosen on the figures themselves (3 s for valence, "
        "1 s for arousal, see table 2).",
        "one_figure": "The paper gives one figure, taken here for the accuracy (Koh and Dubnov, 2021).",
        "f1": "An F1, from its authors' own experiments (Panda et al., 2018), among accuracies.",
        "not_in_table_2": "The valence figures stand in no row of table 2, whose best is 75.20 (F1 77.37) at 3 s.",
    }
)
"""Why a row is not to be compared with another without a second thought."""
