"""Linear support vector machines on a song's mean probabilities, with calibrated probabilities of several classes.

A song's mean probability knows its class well and is not sure enough of it (a network that learns from mixed segments
and softened labels says less than it knows); what more the seven statistics say is too little to be told from chance in
a few hundred songs. In logarithms, what makes it surer is a linear map, which also keeps to its course where a song is
unlike all that were learnt from; a radial basis falls back there.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mertag.listen.windows import FEATURES_PER_CLASS, MEAN
from mertag_train.arrays import AnyFloats, Floats, Ints

LEAST = 1e-4
"""A mean probability below it counts as this one."""


class LogMeans(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Song features (n, 7 * n_classes) to the logarithms of the mean probabilities (f6), (n, n_classes)."""

    def fit(self, features: AnyFloats, label: Any = None) -> Self:
        """Note how many features there are."""
        self.n_features_in_ = features.shape[1]
        return self

    def transform(self, features: AnyFloats) -> AnyFloats:
        """Return the logarithms."""
        n_classes = self.n_features_in_ // FEATURES_PER_CLASS
        means = features[:, MEAN * n_classes : (MEAN + 1) * n_classes]
        logs: AnyFloats = np.log(np.maximum(means, LEAST))
        return logs


def fit_linear(features: AnyFloats, label: Ints, folds: list[tuple[Ints, Ints]], *, c: float) -> Pipeline:
    """Fit linear machines, one a class against the rest, and the probabilities that their scores mean.

    What the scores mean is learnt from those that machines give which were fitted without the song (Platt, 1999), by
    multinomial logistic regression, as the scores of all classes are looked at together. Both maps are linear: together
    they are one, and that is what the pipeline ends with, as the coefficients of a `LogisticRegression`.

    Parameters
    ----------
    features : array, shape (n_rows, 7 * n_classes)
        Of `mertag.listen.windows.song_features`.
    label : int64 array, shape (n_rows,)
        Classes.
    folds : list of pairs of int64 arrays
        Rows that are fitted on, and rows that are scored.
    c : float
        Penalty of the machines' errors.
    """
    into = make_pipeline(LogMeans(), StandardScaler())
    inputs = into.fit_transform(features)
    machines = OneVsRestClassifier(SVC(kernel="linear", C=c))
    held_out = cross_val_predict(machines, inputs, label, cv=folds, method="decision_function").reshape(len(label), -1)
    scores = StandardScaler().fit(held_out)
    calibration = LogisticRegression().fit(scores.transform(held_out), label)
    machines.fit(inputs, label)
    weights: Floats = np.concatenate([one.coef_ for one in machines.estimators_])
    bias: Floats = np.concatenate([one.intercept_ for one in machines.estimators_])
    together = LogisticRegression()
    together.classes_, together.n_features_in_ = calibration.classes_, inputs.shape[1]
    slope: Floats = calibration.coef_ / scores.scale_
    together.coef_ = slope @ weights
    together.intercept_ = slope @ (bias - scores.mean_) + calibration.intercept_
    return Pipeline([*into.steps, ("svm", together)])
