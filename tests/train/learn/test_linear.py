"""Linear machines on mean probabilities: what they look at, and that their two maps are one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mertag.listen.windows import song_features
from mertag_train.arrays import Floats, Ints
from mertag_train.learn.linear import LEAST, LogMeans, fit_linear


def songs(n: int, n_classes: int, seed: int = 0) -> tuple[Floats, Ints]:
    """Return the features of songs whose segments lean towards their class, less than they should."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % n_classes
    rows = []
    for k in label:
        lean = np.full(n_classes, 2.0)
        lean[k] += rng.uniform(0, 3)
        rows.append(song_features(rng.dirichlet(lean, size=28)))
    return np.array(rows), label


def folds(label: Ints) -> list[tuple[Ints, Ints]]:
    return list(StratifiedKFold(5, shuffle=True, random_state=0).split(label, label))


def test_the_features_are_the_logarithms_of_the_means() -> None:
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    found = LogMeans().fit_transform(song_features(probabilities)[None])
    np.testing.assert_allclose(found, [[np.log(0.6), np.log(0.4)]])


def test_a_probability_of_zero_has_a_logarithm() -> None:
    np.testing.assert_allclose(LogMeans().fit_transform(song_features([[1.0, 0.0]])[None]), [[0.0, np.log(LEAST)]])


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_two_maps_together_are_the_one_that_is_kept(n_classes: int) -> None:
    features, label = songs(120, n_classes)
    found = fit_linear(features, label, folds(label), c=0.1)
    inputs = make_pipeline(LogMeans(), StandardScaler()).fit_transform(features)
    machines = OneVsRestClassifier(SVC(kernel="linear", C=0.1))
    held_out = cross_val_predict(machines, inputs, label, cv=folds(label), method="decision_function")
    calibration = make_pipeline(StandardScaler(), LogisticRegression()).fit(held_out.reshape(len(label), -1), label)
    scores = machines.fit(inputs, label).decision_function(inputs).reshape(len(label), -1)
    np.testing.assert_allclose(found.predict_proba(features), calibration.predict_proba(scores), atol=1e-9)


def test_means_that_say_less_than_they_know_become_surer_and_no_less_right() -> None:
    features, label = songs(400, 4)
    unseen, truth = songs(400, 4, seed=1)
    said = fit_linear(features, label, folds(label), c=0.1).predict_proba(unseen)
    raw = unseen[:, 20:24] / unseen[:, 20:24].sum(1, keepdims=True)
    rows = np.arange(len(truth))
    assert -np.log(said[rows, truth]).mean() < -np.log(raw[rows, truth]).mean() - 0.1
    assert (said.argmax(1) == truth).mean() >= (raw.argmax(1) == truth).mean() - 0.02
