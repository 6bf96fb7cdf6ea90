"""How good is it, really, and how sure are we: methods, data sets and folds in; figures and the paper's tables out.

`protocol` fixes the songs and the folds, `runner` runs methods on them and keeps every finished fold (`results`),
`summary` makes figures of what is there, `tables` puts them beside the paper's, `report` makes a `sheet` of them, and
`output` writes and draws.

For other people's code there are `evaluate` (`library`), which takes any object with ``fit`` and ``predict_proba``
through all of this, and vectors of songs (`vectors`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mertag_train.evaluation.library import evaluate
    from mertag_train.evaluation.vectors import Vectors, embeddings_of, features_of, read_parquet, write_parquet

__all__ = ["Vectors", "embeddings_of", "evaluate", "features_of", "read_parquet", "write_parquet"]

_HOMES = {name: "library" if name == "evaluate" else "vectors" for name in __all__}


def __getattr__(name: str) -> object:
    """Load a public name from its module, and keep it: the list of methods is had without scikit-learn."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
