"""What the network knows of a segment beyond the moods: what its last layers see, as an embedding behind them.

Four probabilities do not tell jazz from folk; what the last layers see does, to a degree. A bundle with an embedding
has graphs that give it behind the probabilities (`mertag.listen.manifest.Head.embedding`), and song classifiers that
get its means behind the features. The probabilities of segments stay what they were.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from mertag.emotion import Target
from mertag.listen.bundle import Bundle, write_bundle
from mertag.listen.manifest import MAX_EMBEDDING, Manifest
from mertag.listen.windows import FEATURES_PER_CLASS
from mertag_train.arrays import Floats

LINEAR = ("Gemm", "MatMul")
PASSED = ("DequantizeLinear", "Transpose", "Cast", "Identity")
"""What may stand between a weight as it is kept and the layer that it is for."""

Projections = Mapping[Target, Floats | None]
"""For each head, (n_inputs, n_embedding): what of the last layers' inputs is kept; None: all."""


def last_inputs(graph: GraphProto, output: str) -> list[tuple[str, int]]:
    """Return the inputs of the linear layers that are nearest to an output, and how wide they are, in a fixed order."""
    made_by = {name: node for node in graph.node for name in node.output}
    shapes = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    found: dict[str, int] = {}
    seen: set[str] = set()
    waiting = [output]
    while waiting:
        name = waiting.pop()
        node = made_by.get(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        weight = node.input[1] if node.op_type in LINEAR else ""
        while weight not in shapes and weight in made_by and made_by[weight].op_type in PASSED:
            weight = made_by[weight].input[0]
        if weight in shapes:
            n_in, n_out = shapes[weight]
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            found[node.input[0]] = n_out if transposed else n_in
        elif node.op_type != "Conv":
            waiting.extend(reversed(node.input))
    return list(found.items())


def with_embedding(old: ModelProto, output: str, projection: Floats | None) -> tuple[ModelProto, int]:
    """Return a segment graph that gives the embedding behind the probabilities `output`, and how wide that is."""
    model = ModelProto()
    model.CopyFrom(old)
    graph = model.graph
    inputs = last_inputs(graph, output)
    width = sum(n for _, n in inputs)
    if not inputs or width > MAX_EMBEDDING or (projection is not None and projection.shape[1] == 0):
        return model, 0
    prefix = f"embedding.{output}"
    for node in graph.node:
        node.output[:] = [f"{prefix}.before" if name == output else name for name in node.output]
        node.input[:] = [f"{prefix}.before" if name == output else name for name in node.input]
    for i, (name, _) in enumerate(inputs):
        graph.node.append(helper.make_node("Cast", [name], [f"{prefix}.{i}"], to=TensorProto.FLOAT))
    parts = [f"{prefix}.{i}" for i in range(len(inputs))]
    if projection is not None:
        width = projection.shape[1]
        graph.initializer.append(numpy_helper.from_array(projection.astype(np.float32), f"{prefix}.projection"))
        graph.node.append(helper.make_node("Concat", parts, [f"{prefix}.all"], axis=1))
        graph.node.append(helper.make_node("MatMul", [f"{prefix}.all", f"{prefix}.projection"], [f"{prefix}.kept"]))
        parts = [f"{prefix}.kept"]
    graph.node.append(helper.make_node("Concat", [f"{prefix}.before", *parts], [output], axis=1))
    given = next(value for value in graph.output if value.name == output)
    n_classes = given.type.tensor_type.shape.dim[1].dim_value
    given.type.tensor_type.shape.dim[1].dim_value = n_classes + width
    onnx.checker.check_model(model)
    return model, width


def with_longer_features(old: ModelProto, n_classes: int, embedding: int) -> ModelProto:
    """Return a song graph that takes the means of an embedding behind its features, and leaves them out of account."""
    model = ModelProto()
    model.CopyFrom(old)
    graph, n_features = model.graph, FEATURES_PER_CLASS * n_classes
    for node in graph.node:
        node.input[:] = ["features.judged" if name == "features" else name for name in node.input]
    constants = {"first": 0, "behind": n_features, "axis": 1}
    graph.initializer.extend(
        numpy_helper.from_array(np.array([value], np.int64), f"features.{name}") for name, value in constants.items()
    )
    inputs = ["features", *(f"features.{name}" for name in constants)]
    graph.node.insert(0, helper.make_node("Slice", inputs, ["features.judged"]))
    (given,) = (value for value in graph.input if value.name == "features")
    given.type.tensor_type.shape.dim[1].dim_value = n_features + embedding
    onnx.checker.check_model(model)
    return model


def write_with_embedding(old: Bundle, folder: Path, projections: Projections) -> Manifest:
    """Copy a bundle into an empty folder, some of its heads with embeddings; return its manifest, still to be written.

    Each head in `projections` gets an embedding if it has none, and if its last layers can be found.
    """
    for name in old.manifest.files:
        shutil.copyfile(old.path(name), folder / name)
    graphs = {precision: onnx.load_from_string(old.read(name)) for precision, name in old.manifest.segment.items()}
    heads = []
    for head in old.manifest.heads:
        if head.target in projections and head.embedding == 0:
            output, n_classes = f"probabilities_{head.target}", len(head.classes)
            made = {p: with_embedding(graph, output, projections[head.target]) for p, graph in graphs.items()}
            widths = {width for _, width in made.values()}
            if len(widths) == 1 and widths != {0}:
                (width,) = widths
                graphs = {precision: graph for precision, (graph, _) in made.items()}
                song = with_longer_features(onnx.load_from_string(old.read(head.song)), n_classes, width)
                (folder / head.song).write_bytes(song.SerializeToString())
                head = replace(head, embedding=width)
        heads.append(head)
    for precision, name in old.manifest.segment.items():
        (folder / name).write_bytes(graphs[precision].SerializeToString())
    return replace(old.manifest, heads=tuple(heads))


def bundle_with_embedding(old: Bundle, folder: Path) -> Bundle:
    """Return a bundle with all that the last layers of an old one see, written into an empty folder."""
    return write_bundle(folder, write_with_embedding(old, folder, {head.target: None for head in old.manifest.heads}))


def principal(means: Sequence[Floats], n: int) -> Floats:
    """Return a projection, (n_inputs, n): the directions in which songs differ most; `means` are (n_inputs,) a song.

    Each input counts by its spread, so that no layer rules for the size of its numbers.
    """
    x = np.stack(means).astype(np.float64)
    spread = x.std(0)
    scale = np.where(spread > 1e-6 * max(spread.max(), 1e-9), spread, np.inf)
    _, values, directions = np.linalg.svd((x - x.mean(0)) / scale, full_matrices=False)
    kept = min(n, int((values > 1e-6 * values[0]).sum()))
    found: Floats = directions[:kept].T / scale[:, None]
    return found
