"""Inputs and outputs of a bundle's graphs: what does not fit is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
import tiny_bundle as tiny
from onnx import TensorProto, helper

from mertag.emotion import Target
from mertag.errors import BundleError
from mertag.listen.bundle import Bundle, write_bundle
from mertag.listen.device import open_models


def rewrite(bundle: Bundle, folder: Path, name: str, model: onnx.ModelProto) -> Bundle:
    for path in bundle.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / name).write_bytes(model.SerializeToString())
    return write_bundle(folder, bundle.manifest)


def identity(name: str, kind: int, shape: list[Any], output: str, out_shape: list[Any]) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Identity", [name], [output])],
        "g",
        [helper.make_tensor_value_info(name, kind, shape)],
        [helper.make_tensor_value_info(output, kind, out_shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (identity("wave", TensorProto.FLOAT, ["n", 28], "probabilities", ["n", 4]), "its inputs are wave"),
        (identity("features", TensorProto.FLOAT, ["n", 28], "label", ["n", 28]), "no output 'probabilities'"),
        (
            identity("features", TensorProto.DOUBLE, ["n", 28], "probabilities", ["n", 28]),
            r"tensor\(double\)",
        ),
        (identity("features", TensorProto.FLOAT, ["n", 14], "probabilities", ["n", 14]), "'features'"),
        (identity("features", TensorProto.FLOAT, ["n", 28], "probabilities", ["n", 28]), "'probabilities'"),
        (identity("features", TensorProto.FLOAT, ["n", "m", 1], "probabilities", ["n", "m", 1]), "of shape"),
    ],
)
def test_a_song_graph_that_has_other_inputs_or_outputs_is_refused(
    tiny_bundle: Bundle, tmp_path: Path, model: onnx.ModelProto, words: str
) -> None:
    bundle = rewrite(tiny_bundle, tmp_path, "song.quadrant.onnx", model)
    with pytest.raises(BundleError, match=words):
        open_models(bundle, device="cpu")


def test_a_segment_graph_of_another_head_is_refused(tiny_bundle: Bundle, tmp_path: Path) -> None:
    model = tiny.segment_graph((Target.VALENCE, Target.AROUSAL))
    bundle = rewrite(tiny_bundle, tmp_path, "segment.int8.onnx", model)
    with pytest.raises(BundleError, match=r"segment\.int8\.onnx: it has no output 'probabilities_quadrant'"):
        open_models(bundle, device="cpu", precision="int8")


def test_a_graph_that_onnxruntime_cannot_load_names_its_file(tiny_bundle: Bundle, tmp_path: Path) -> None:
    model = tiny.segment_graph()
    model.graph.node[0].op_type = "NoSuchOperator"
    bundle = rewrite(tiny_bundle, tmp_path, "segment.int8.onnx", model)
    with pytest.raises(BundleError, match=r"segment\.int8\.onnx: onnxruntime .* cannot load it"):
        open_models(bundle, device="cpu", precision="int8")
