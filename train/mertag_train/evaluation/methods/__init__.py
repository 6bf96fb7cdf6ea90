"""Methods that recognise the emotion of songs, behind one interface (`mertag_train.evaluation.methods.base.Method`).

A new one is a class in a file of its own, with the method in the file's `METHODS`, and a line in the registry here; the
import is made when the method is used, so that a method that needs librosa does not stand in the way of one that does
not.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from mertag.errors import ConfigError
from mertag_train.evaluation.methods.base import Context, Fold, Method, NeedsModel, Predictions

__all__ = ["METHODS", "Context", "Fold", "Method", "NeedsModel", "Predictions", "method"]

METHODS: Mapping[str, str] = {
    "majority": "svm",
    "features-svm": "svm",
    "embedding-svm": "svm",
    "two-stage": "two_stage",
    "inherited-vote": "trained",
    "inherited-run": "trained",
    "inherited-mean": "trained",
    "inherited-svm": "trained",
    "soft-labels": "trained",
    "elr": "trained",
    "proposed-star": "trained",
    "proposed": "trained",
    "ours": "trained",
}
"""The methods by name, in the order of the tables: the module that has it."""


def method(name: str) -> Method:
    """Return the method of a name; raise ConfigError if there is none."""
    if name not in METHODS:
        raise ConfigError(f"unknown method {name!r}; choose from {', '.join(METHODS)}.")
    module = importlib.import_module(f"{__name__}.{METHODS[name]}")
    methods: tuple[Method, ...] = module.METHODS
    return next(each for each in methods if each.name == name)
