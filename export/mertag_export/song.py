"""The song classifier, a scikit-learn pipeline, as an ONNX graph: features in, probabilities out."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, helper
from skl2onnx import to_onnx, update_registered_converter
from skl2onnx.algebra.onnx_ops import OnnxLog, OnnxMax, OnnxSlice
from skl2onnx.common.data_types import FloatTensorType
from sklearn.pipeline import Pipeline

from mertag.listen.windows import FEATURES_PER_CLASS, MEAN
from mertag_train.learn.linear import LEAST, LogMeans

OPSET = {"": 18, "ai.onnx.ml": 3}


def export_song(classifier: Pipeline, path: Path, *, n_classes: int) -> None:
    """Write what `mertag_train.learn.song.fit` makes as ``features`` -> ``probabilities``, both float32.

    The shapes are (n_windows, 7 * n_classes) and (n_windows, n_classes).
    """
    last = classifier[-1]
    with warnings.catch_warnings():
        # The converter reads `probA_`, empty here, which scikit-learn will take away in 1.11 (we ask for less).
        warnings.simplefilter("ignore", FutureWarning)
        model: ModelProto = to_onnx(
            classifier,
            initial_types=[("features", FloatTensorType([None, FEATURES_PER_CLASS * n_classes]))],
            options={id(last): {"zipmap": False}},
            target_opset=OPSET,
        )
    # The predicted label is the larger probability: the contract has that one output alone.
    kept = [output for output in model.graph.output if output.name == "probabilities"]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    # skl2onnx leaves the number of columns open.
    kept_type = helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, ["n_windows", n_classes])
    model.graph.output[0].CopyFrom(kept_type)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _log_means_shape(operator: Any) -> None:
    n_classes = operator.raw_operator.n_features_in_ // FEATURES_PER_CLASS
    operator.outputs[0].type = FloatTensorType([None, n_classes])


def _log_means(scope: Any, operator: Any, container: Any) -> None:
    """Add what `LogMeans.transform` does to a graph."""
    n_classes = operator.raw_operator.n_features_in_ // FEATURES_PER_CLASS
    first, last = (np.array([place * n_classes], dtype=np.int64) for place in (MEAN, MEAN + 1))
    opset = container.target_opset
    means = OnnxSlice(operator.inputs[0], first, last, np.array([1], dtype=np.int64), op_version=opset)
    floor = np.array([LEAST], dtype=np.float32)
    logs = OnnxLog(OnnxMax(means, floor, op_version=opset), op_version=opset, output_names=operator.outputs[:1])
    logs.add_to(scope, container)


update_registered_converter(LogMeans, "MertagLogMeans", _log_means_shape, _log_means)
