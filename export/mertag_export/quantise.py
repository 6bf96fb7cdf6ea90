"""int8 for the CPU: static, quantise-dequantise form, weights per channel, calibrated on real segments.

The convolutions, with what rectifies them, the pools between them, and the linear layers behind them are quantised: the
published VGG16 has nine tenths of its weights there. The front end, the first convolution (one input channel, little to
gain) and the last linear layer, which gives the logits, stay in floating point. Were the rectifiers left out of it,
what a convolution gives would be quantised twice: once with its negative values, which cost half the range, and once
without (measured: a tenth slower, and further from fp32).

Weights are kept to 7 bits (`reduce_range`). Processors without byte dot products (VNNI) add pairs of products in 16
bits, which overflow silently if both activations and both 8-bit weights are large; then the same bundle would decide
otherwise there. Measured on such a processor, by the mean difference of the segment probabilities from fp32:

======================================================  ======  ======
network and music                                       7 bits  8 bits
======================================================  ======  ======
VGG16 trained on 4Q, unseen clips                       0.007   0.003
small network, music unlike what it was calibrated on   0.012   0.031
======================================================  ======  ======

With 7 bits the kernels gave what exact arithmetic gives, and as many segments kept their class as with 8. onnxruntime
can avoid the overflow (``session.x64quantprecision``), but is a third slower then, and another program that uses the
bundle would have to know.

Ranges are the smallest and largest values seen. Percentile (99.99) and entropy calibration came no closer to fp32
(0.007 both), and keep every activation in memory.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from mertag_export.parity import Example

CONVOLUTION = "Conv"
PRODUCTS = ("Gemm", "MatMul")


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds examples one by one."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples: Iterator[Example] = iter(examples)

    def get_next(self) -> dict[str, Any] | None:
        example = next(self.examples, None)
        return None if example is None else {"waveform": example[0], "starts": example[1]}


def quantise(source: Path, out: Path, examples: Sequence[Example]) -> None:
    """Write the int8 form of the float32 segment graph `source`; real audio, `examples`, shows it its ranges."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # the quantiser advises on the root logger
    try:
        with tempfile.TemporaryDirectory() as folder:
            prepared = Path(folder) / "prepared.onnx"
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(out),
                _Reader(examples),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=[CONVOLUTION, *PRODUCTS, "Relu", "MaxPool"],
                nodes_to_exclude=kept_in_float(onnx.load(str(prepared))),
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                extra_options={"ActivationSymmetric": False, "CalibMovingAverage": False},
            )
    finally:
        root.setLevel(level)
    _drop_unused_domains(out)


def _drop_unused_domains(path: Path) -> None:
    """Take out the operator sets that onnxruntime's preparation declares, such as its own, and no node uses."""
    model = onnx.load(str(path))
    used = {node.domain for node in model.graph.node}
    kept = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    path.write_bytes(model.SerializeToString())


def kept_in_float(model: onnx.ModelProto) -> list[str]:
    """Return the nodes that stay in floating point, by name.

    These are the first convolution of each network, those that no other convolution comes before; the products of the
    front end, before any convolution; and the last product of each network.
    """
    makes = {output: node for node in model.graph.node for output in node.output}
    before = {node.output[0]: _before(node, makes) for node in model.graph.node}
    weighed = [node for node in model.graph.node if node.op_type in (CONVOLUTION, *PRODUCTS)]
    products = [node for node in weighed if node.op_type in PRODUCTS]

    def follows(node: onnx.NodeProto, others: Sequence[onnx.NodeProto]) -> bool:
        return any(other.output[0] in before[node.output[0]] for other in others)

    convolutions = [node for node in weighed if node.op_type == CONVOLUTION]
    first = [node for node in weighed if not follows(node, convolutions)]
    last = [node for node in products if not any(follows(other, [node]) for other in products)]
    return sorted({node.name for node in (*first, *last)})


def _before(node: onnx.NodeProto, makes: Mapping[str, onnx.NodeProto]) -> set[str]:
    """Return the first outputs of all nodes that a node depends on."""
    found: set[str] = set()
    left = list(node.input)
    while left:
        earlier = makes.get(left.pop())
        if earlier is not None and earlier.output[0] not in found:
            found.add(earlier.output[0])
            left += earlier.input
    return found
