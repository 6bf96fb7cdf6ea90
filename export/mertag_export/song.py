"""The song classifier, a scikit-learn pipeline, as an ONNX graph: features in, probabilities out."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
from onnx import ModelProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.pipeline import Pipeline

from mertag.listen.windows import FEATURES_PER_CLASS

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
