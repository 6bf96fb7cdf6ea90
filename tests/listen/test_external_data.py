"""Weights outside a graph's file: found wherever they hide, and refused."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from damaged_bundles import load_manifest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mertag.errors import BundleError
from mertag.listen.bundle import write_bundle
from mertag.listen.external_data import has_external_data


def test_a_graph_with_external_data_is_refused(bundle_folder: Path) -> None:
    write_external(bundle_folder / "segment.int8.onnx", "secret.bin")
    manifest = load_manifest(bundle_folder)
    with pytest.raises(BundleError, match="outside the file"):
        write_bundle(bundle_folder, manifest)


def test_a_graph_that_is_no_protocol_buffer_is_refused(bundle_folder: Path) -> None:
    (bundle_folder / "song.quadrant.onnx").write_bytes(b"\xff" * 40)
    with pytest.raises(BundleError, match="not an ONNX file"):
        write_bundle(bundle_folder, load_manifest(bundle_folder))


def external_tensor(location: str = "secret.bin") -> onnx.TensorProto:
    tensor = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def write_external(path: Path, location: str) -> None:
    model = onnx.load(path)
    model.graph.initializer.append(external_tensor(location))
    path.write_bytes(model.SerializeToString())


def model_with(place: str) -> onnx.ModelProto:
    """Hide an external tensor in each place where a model can hold one."""
    tensor = external_tensor()
    constant = helper.make_node("Constant", [], ["w"])
    constant.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(tensor)
    graph = helper.make_graph([], "g", [], [])
    model = helper.make_model(graph)
    if place == "initializer":
        model.graph.initializer.append(tensor)
    elif place == "sparse":
        model.graph.sparse_initializer.add().values.CopyFrom(tensor)
    elif place == "attribute":
        model.graph.node.append(constant)
    elif place == "tensors":
        model.graph.node.add(op_type="X").attribute.add(name="many").tensors.append(tensor)
    elif place == "subgraph":
        inner = model.graph.node.add(op_type="If").attribute.add(name="then_branch").g
        inner.node.append(constant)
    elif place == "function":
        model.functions.add(name="f").node.append(constant)
    elif place == "training":
        model.training_info.add().algorithm.initializer.append(tensor)
    elif place == "entries only":
        tensor.ClearField("data_location")
        model.graph.initializer.append(tensor)
    elif place == "location only":
        tensor.ClearField("external_data")
        model.graph.initializer.append(tensor)
    return model


@pytest.mark.parametrize(
    "place",
    [
        "initializer",
        "sparse",
        "attribute",
        "tensors",
        "subgraph",
        "function",
        "training",
        "entries only",
        "location only",
    ],
)
def test_external_data_is_found_wherever_it_hides(place: str) -> None:
    assert has_external_data(model_with(place).SerializeToString())


def test_weights_that_look_like_external_data_are_not_taken_for_it() -> None:
    disguised = np.frombuffer(external_tensor().SerializeToString().ljust(64, b"\0"), np.float32)
    model = model_with("nowhere")
    model.graph.initializer.append(numpy_helper.from_array(disguised.copy(), "w"))
    assert not has_external_data(model.SerializeToString())


@given(st.binary(max_size=200))
def test_no_bytes_do_worse_than_a_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        has_external_data(data)
