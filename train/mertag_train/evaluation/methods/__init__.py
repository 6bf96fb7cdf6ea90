"""Methods that recognise the emotion of songs, behind one interface (`mertag_train.evaluation.methods.base.Method`).

A new one is a file of its own and a line in `METHODS`; the import is made when the method is used, so that a method
that needs librosa does not stand in the way of one that does not.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from mertag.errors import ConfigError
from mertag_train.evaluation.methods.base import Context, Fold, Method, NeedsModel, Predictions

__all__ = ["METHODS", "Context", "Fold", "Method", "NeedsModel", "Predictions", "method"]

METHODS: Mapping[str, str] = MappingProxyType(
    {
        "majority": "mertag_train.evaluation.methods.majority:Majority",
        "features-svm": "mertag_train.evaluation.methods.features_svm:FeaturesSvm",
        "embedding-svm": "mertag_train.evaluation.methods.embedding_svm:EmbeddingSvm",
        "embedding-two-stage": "mertag_train.evaluation.methods.embedding_two_stage:EmbeddingTwoStage",
        "two-stage": "mertag_train.evaluation.methods.two_stage:TwoStage",
        "inherited-vote": "mertag_train.evaluation.methods.inherited:InheritedVote",
        "inherited-run": "mertag_train.evaluation.methods.inherited:InheritedRun",
        "inherited-mean": "mertag_train.evaluation.methods.inherited:InheritedMean",
        "inherited-svm": "mertag_train.evaluation.methods.inherited:InheritedSvm",
        "soft-labels": "mertag_train.evaluation.methods.self_learning:SoftLabels",
        "elr": "mertag_train.evaluation.methods.self_learning:Elr",
        "proposed-star": "mertag_train.evaluation.methods.self_learning:ProposedStar",
        "proposed": "mertag_train.evaluation.methods.self_learning:Proposed",
        "robust": "mertag_train.evaluation.methods.self_learning:Robust",
    }
)
"""The methods by name, in the order of the tables: ``"module:class"``; the class is called without arguments."""


def method(name: str) -> Method:
    """Return the method of a name.

    Raises
    ------
    ConfigError
        If there is none.
    """
    if name not in METHODS:
        raise ConfigError(f"unknown method {name!r}; choose from {', '.join(METHODS)}.")
    module, _, kind = METHODS[name].partition(":")
    return cast(Method, getattr(importlib.import_module(module), kind)())
