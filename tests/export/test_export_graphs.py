"""What is in the exported graphs: contract, versions, what is quantised."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import Made
from onnx import TensorProto, helper, numpy_helper

from mertag.emotion import Target
from mertag.listen.windows import FrontEnd, Segmentation
from mertag_export.graphs import Clip, run_segment_graph, session
from mertag_export.quantise import kept_in_float

pytestmark = pytest.mark.command

TARGETS = (Target.QUADRANT,)
OLDEST_ONNXRUNTIME = {"ir": 10, "": 21, "ai.onnx.ml": 5}
"""What onnxruntime 1.21, the oldest that mertag takes, reads."""


def graphs(made: Made) -> list[Path]:
    return sorted(made.bundle.folder.glob("*.onnx"))


def test_the_graphs_ask_for_nothing_newer_than_the_oldest_onnxruntime(made: Made) -> None:
    for path in graphs(made):
        model = onnx.load(path)
        assert model.ir_version <= OLDEST_ONNXRUNTIME["ir"]
        used = {node.domain for node in model.graph.node}
        assert used <= {"", "ai.onnx.ml"}
        declared = {opset.domain: opset.version for opset in model.opset_import}
        assert all(declared[domain] <= OLDEST_ONNXRUNTIME[domain] for domain in used)
        if path.name.startswith("segment"):
            assert set(declared) == {""}


def test_no_float64_product_has_a_transposed_operand(made: Made) -> None:
    """What onnxruntime up to 1.23 fuses into a float64 product that it has no kernel for."""
    for path in graphs(made):
        graph = onnx.load(path).graph
        transposed = {node.output[0] for node in graph.node if node.op_type == "Transpose"}
        assert not [n.name for n in graph.node if n.op_type == "MatMul" and transposed & set(n.input)]


def test_the_graphs_name_their_lengths_and_no_place_on_this_machine(made: Made) -> None:
    for path in graphs(made):
        model = onnx.load(path)
        lengths = {v.name: v.type.tensor_type.shape.dim[0].dim_param for v in (*model.graph.input, *model.graph.output)}
        if path.name.startswith("segment"):
            wanted = {"waveform": "n_samples", "starts": "n_segments", "probabilities_quadrant": "n_segments"}
            assert lengths == wanted
        data = path.read_bytes()
        assert b'.py"' not in data
        assert str(made.run.parents[1]).encode() not in data


def test_the_lengths_of_waveform_and_starts_are_free(made: Made) -> None:
    front_end, segmentation = FrontEnd(), Segmentation(duration_s=1.0)
    rng = np.random.default_rng(0)
    for name in made.bundle.manifest.segment.values():
        opened = session(made.bundle.path(name))
        for n_samples in (22_016, 22_050, 100_001):
            waveform = rng.normal(0, 0.1, n_samples).astype(np.float32)
            starts = segmentation.start_frames(max(n_samples, 22_050), front_end)
            found = run_segment_graph(opened, Clip(id="", waveform=waveform, starts=starts), TARGETS)
            (p,) = found.values()
            assert p.shape == (len(starts), 4)
            np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)


def test_songs_laid_end_to_end_give_what_each_gives_alone(made: Made) -> None:
    hop = FrontEnd().hop_length
    rng = np.random.default_rng(1)
    songs = [rng.normal(0, s, 30_000).astype(np.float32) for s in (0.02, 0.3)]
    starts = np.array([0, 7], dtype=np.int64)
    padded = [np.pad(song, (0, -len(song) % hop)) for song in songs]
    shifted = np.concatenate([starts, starts + len(padded[0]) // hop])
    opened = session(made.bundle.path("segment.fp32.onnx"))
    (together,) = run_segment_graph(
        opened, Clip(id="", waveform=np.concatenate(padded), starts=shifted), TARGETS
    ).values()
    for i, song in enumerate(songs):
        (alone,) = run_segment_graph(opened, Clip(id="", waveform=song, starts=starts), TARGETS).values()
        np.testing.assert_allclose(together[2 * i : 2 * i + 2], alone, atol=1e-6)


def test_int8_quantises_what_has_weights_but_the_first_convolution_and_the_logits(made: Made) -> None:
    graph = onnx.load(made.bundle.path("segment.int8.onnx")).graph
    made_by = {output: node for node in graph.node for output in node.output}
    arrays = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    quantised, floating = [], []
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm"):
            sources = [made_by.get(name) for name in node.input[:2]]
            (quantised if sources[1] is not None else floating).append(node)
            if sources[1] is not None:
                assert [source.op_type for source in sources if source] == ["DequantizeLinear"] * 2
                weights = arrays[sources[1].input[0]]
                assert weights.dtype == np.int8
                assert np.abs(weights.astype(int)).max() <= 64  # 7 bits: two products never overflow 16 bits
                assert arrays[sources[1].input[1]].shape == (len(weights),)  # a scale for each channel
    # Each convolution is quantised once, as its rectifier leaves it.
    rectified = Counter(made_by[n.input[0]].op_type for n in graph.node if n.op_type == "Relu")
    assert rectified == {"Conv": 1}
    assert Counter(n.op_type for n in quantised) == {"Conv": 3, "Gemm": 1}
    assert Counter(n.op_type for n in floating) == {"Conv": 1, "Gemm": 1}
    assert not [
        n for n in graph.node if n.op_type == "MatMul" and made_by.get(n.input[0], n).op_type == "DequantizeLinear"
    ]


def test_fp16_keeps_the_front_end_and_the_normalisation_in_full_precision(made: Made) -> None:
    graph = onnx.load(made.bundle.path("segment.fp16.onnx")).graph
    half = {i.name for i in graph.initializer if i.data_type == TensorProto.FLOAT16}
    for node in graph.node:
        weights = [name for name in node.input[1:2] if node.op_type in ("Conv", "Gemm")]
        assert set(weights) <= half
        if node.op_type in ("Log", "MatMul", "Softmax"):
            assert not set(node.input) & half
    arrays = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    assert {arrays[f"networks.quadrant.{name}"].dtype for name in ("mean", "std")} == {np.dtype(np.float32)}


@pytest.mark.parametrize("heads", [1, 2])
def test_the_first_convolution_and_the_logits_of_each_network_stay_in_float(heads: int) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["mel"], name="mel")]
    for h in range(heads):
        nodes += [
            helper.make_node("Conv", ["mel", "w"], [f"a{h}"], name=f"first {h}"),
            helper.make_node("Gather", ["columns", f"a{h}"], [f"b{h}"]),  # the data is not always the first input
            helper.make_node("Conv", [f"b{h}", "w"], [f"c{h}"], name=f"inner {h}"),
            helper.make_node("Gemm", [f"c{h}", "w"], [f"d{h}"], name=f"linear {h}"),
            helper.make_node("Gemm", [f"d{h}", "w"], [f"e{h}"], name=f"last {h}"),
            helper.make_node("Softmax", [f"e{h}"], [f"p{h}"]),
        ]
    outputs = [helper.make_tensor_value_info(f"p{h}", TensorProto.FLOAT, None) for h in range(heads)]
    model = helper.make_model(helper.make_graph(nodes, "two heads", [], outputs))
    assert kept_in_float(model) == sorted(
        ["mel", *(f"{which} {h}" for which in ("first", "last") for h in range(heads))]
    )
