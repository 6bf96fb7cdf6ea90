"""Song classifiers compared on what cross-fitted networks say of the songs of the bundled model's training.

    python benchmarks/song_classifiers.py benchmarks/results/song_features.npz

The file holds the song features of a run of `mertag train`: of each song those of its whole clip, and of stretches of
6 s and 15 s; each row's class, song and artist. A classifier is fitted on all rows of four fifths of the artists and
judged on the whole clips of the others, for two ways of dealing them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mertag_train.learn.linear import LogMeans, fit_linear

Folds = list[tuple[np.ndarray, np.ndarray]]
Fit = Callable[[np.ndarray, np.ndarray, Folds], Pipeline]


def each_calibrated(gamma: str | float) -> Fit:
    """One RBF machine a class, each with a sigmoid of its own; the probabilities are made to add up to 1."""

    def fit(x: np.ndarray, y: np.ndarray, folds: Folds) -> Pipeline:
        machine = CalibratedClassifierCV(SVC(gamma=gamma), method="sigmoid", ensemble=False, cv=folds)
        return make_pipeline(StandardScaler(), OneVsRestClassifier(machine)).fit(x, y)

    return fit


def calibrated_together(gamma: float, *before: LogMeans) -> Fit:
    """One RBF machine a class; logistic regression on the scores of all."""

    def fit(x: np.ndarray, y: np.ndarray, folds: Folds) -> Pipeline:
        together = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2_000))
        machines = [("svm", OneVsRestClassifier(SVC(gamma=gamma)))]
        stacked = StackingClassifier(machines, together, cv=folds, stack_method="decision_function")
        return make_pipeline(*before, StandardScaler(), stacked).fit(x, y)

    return fit


def logistic(c: float, *before: LogMeans) -> Fit:
    """Return multinomial logistic regression."""
    return lambda x, y, folds: make_pipeline(*before, StandardScaler(), LogisticRegression(C=c, max_iter=2_000)).fit(
        x, y
    )


CLASSIFIERS: dict[str, Fit] = {
    "seven statistics, RBF SVMs, each calibrated": each_calibrated("scale"),
    "the same, gamma 0.003": each_calibrated(0.003),
    "the same, calibrated together": calibrated_together(0.003),
    "seven statistics, logistic regression (C = 0.1)": logistic(0.1),
    "logarithms of the means, RBF SVMs, calibrated together": calibrated_together(0.003, LogMeans()),
    "logarithms of the means, linear SVMs, calibrated together": lambda x, y, folds: fit_linear(x, y, folds, c=0.1),
    "logarithms of the means, logistic regression (C = 1)": logistic(1.0, LogMeans()),
}


def main() -> None:
    """Print a row a classifier."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path)
    with np.load(parser.parse_args().features) as held:
        x, y, song, artist, whole = (held[name] for name in ("features", "label", "song", "artist", "whole"))
    x = x.astype(np.float64)
    print("| song classifier | accuracy | log-loss | valence | arousal |\n|---|---:|---:|---:|---:|")
    print(row("mean probability", x[whole][:, 20:24], y[whole]))
    for name, fit in CLASSIFIERS.items():
        said, truth = [], []
        for seed in range(2):
            dealt = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(x[whole], y[whole], artist[whole])
            for fitted, judged in dealt:
                rows = np.flatnonzero(np.isin(song, song[whole][fitted]))
                inner = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(x[rows], y[rows], artist[rows])
                said.append(fit(x[rows], y[rows], list(inner)).predict_proba(x[whole][judged]))
                truth.append(y[whole][judged])
        print(row(name, np.concatenate(said), np.concatenate(truth)), flush=True)


def row(name: str, p: np.ndarray, y: np.ndarray) -> str:
    """Return a row of the table for probabilities (n, 4) and classes (n,)."""
    share = p / p.sum(1, keepdims=True)
    right = (share.argmax(1) == y).mean()
    valence = ((share[:, 0] + share[:, 3] > 0.5) == np.isin(y, [0, 3])).mean()
    arousal = ((share[:, 0] + share[:, 1] > 0.5) == np.isin(y, [0, 1])).mean()
    loss = -np.log(np.maximum(share[np.arange(len(y)), y], 1e-6)).mean()
    return f"| {name} | {right:.3f} | {loss:.3f} | {valence:.3f} | {arousal:.3f} |"


if __name__ == "__main__":
    main()
