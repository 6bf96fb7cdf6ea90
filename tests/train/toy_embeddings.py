"""ONNX models of a few operations whose embeddings are easy to say by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RATE = 8_000


def save(path: Path, graph: onnx.GraphProto, **properties: object) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {name: str(value) for name, value in properties.items()})
    onnx.save(model, path)
    return path


def info(name: str, shape: tuple[Any, ...], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def statistics_model(path: Path, shape: tuple[Any, ...], *, outer: int | None = None, **properties: object) -> Path:
    """Write a model whose embedding of a window is its mean and its mean square: easy to say by hand."""
    last = numpy_helper.from_array(np.array([-1], dtype=np.int64), "last")
    flat = numpy_helper.from_array(np.array([-1, 2] if len(shape) > 1 else [2], dtype=np.int64), "flat")
    nodes = [
        helper.make_node("ReduceMean", ["audio"], ["mean"], axes=[-1], keepdims=1),
        helper.make_node("Mul", ["audio", "audio"], ["square"]),
        helper.make_node("ReduceMean", ["square"], ["power"], axes=[-1], keepdims=1),
        helper.make_node("Concat", ["mean", "power"], ["both"], axis=-1),
        helper.make_node("Reshape", ["both", "flat"], ["embeddings"]),
    ]
    given = ("n", 2) if len(shape) > 1 else (2,)
    graph = helper.make_graph(nodes, "statistics", [info("audio", shape)], [info("embeddings", given)], [last, flat])
    return save(path, graph, **properties)


def bands_model(path: Path, *, window: int = 512) -> Path:
    """Write a model whose embedding of a window is the logarithm of its energy in 6 bands, without any training."""
    k = np.geomspace(2, window // 2 - 1, 6).round()
    angle = 2 * np.pi * np.arange(window)[:, None] * k[None, :] / window
    weights = numpy_helper.from_array(np.concatenate([np.cos(angle), np.sin(angle)], 1).astype(np.float32), "basis")
    small = numpy_helper.from_array(np.array(1e-3, dtype=np.float32), "small")
    nodes = [
        helper.make_node("MatMul", ["audio", "basis"], ["spectrum"]),
        helper.make_node("Abs", ["spectrum"], ["magnitude"]),
        helper.make_node("Add", ["magnitude", "small"], ["positive"]),
        helper.make_node("Log", ["positive"], ["embeddings"]),
    ]
    shapes = [info("audio", ("batch", window))], [info("embeddings", ("batch", 12))]
    return save(path, helper.make_graph(nodes, "bands", *shapes, [weights, small]), sample_rate=RATE)
