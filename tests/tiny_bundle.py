"""A small but real bundle: graphs of a few operations that keep the ONNX contract, and the same in numpy.

The "front end" of the segment graph is four loudnesses a frame: the mean magnitude of each quarter of its
1,024 samples. Segments are gathered by their starts, weighted frame by frame (so that a frame out of place
shows), and squashed by a softmax. `segment_probabilities` and `song_probabilities` do the same in float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mertag.emotion import CLASS_NAMES, Target
from mertag.listen.bundle import Bundle, write_bundle
from mertag.listen.manifest import Head, Manifest, Precision
from mertag.listen.windows import FrontEnd, Segmentation

FRONT_END = FrontEnd()
SEGMENTATION = Segmentation(duration_s=0.5, hop_s=0.2)
QUARTERS = 4


def build(
    folder: Path,
    *,
    targets: Sequence[Target] = (Target.QUADRANT,),
    precisions: Sequence[Precision] = (Precision.INT8, Precision.FP16),
    segmentation: Segmentation = SEGMENTATION,
    **changes: object,
) -> Bundle:
    """Build a bundle; `changes` are fields of the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    for precision in precisions:
        onnx.save(segment_graph(targets, segmentation), folder / f"segment.{precision}.onnx")
    for target in targets:
        onnx.save(song_graph(target), folder / f"song.{target}.onnx")
    (folder / "MODEL_CARD.md").write_text("# A tiny model\n\nFor tests.\n", encoding="utf-8")
    waveform, starts = example(segmentation)
    golden = {f"probabilities_{t}": segment_probabilities(waveform, starts, t, segmentation) for t in targets}
    np.savez(folder / "golden.npz", waveform=waveform, starts=starts, **golden)
    manifest = manifest_of(targets, precisions, segmentation)
    for field, value in changes.items():
        manifest[field] = value
    return write_bundle(folder, Manifest(**manifest))  # type: ignore[arg-type]


def manifest_of(
    targets: Sequence[Target], precisions: Sequence[Precision], segmentation: Segmentation
) -> dict[str, object]:
    return {
        "name": "tiny",
        "version": "1",
        "licence": "CC0-1.0",
        "dataset": "none",
        "front_end": FRONT_END,
        "segmentation": segmentation,
        "heads": tuple(Head(target=t, classes=CLASS_NAMES[t], song=f"song.{t}.onnx") for t in targets),
        "segment": {p: f"segment.{p}.onnx" for p in precisions},
    }


def example(segmentation: Segmentation = SEGMENTATION) -> tuple[np.ndarray, np.ndarray]:
    """Return a waveform of a few segments, a multiple of hop_length long, and its starts."""
    n_samples = segmentation.segment_samples(FRONT_END) + 5 * segmentation.hop_samples(FRONT_END)
    starts = segmentation.start_frames(n_samples, FRONT_END)
    return music(n_samples + -n_samples % FRONT_END.hop_length), starts


def music(n_samples: int, seed: int = 0) -> np.ndarray:
    """Return noise whose loudness wanders, so that every segment is different."""
    rng = np.random.default_rng(seed)
    loudness = np.exp(np.interp(np.arange(n_samples) / 2_000, np.arange(10_000), rng.normal(-2, 1, 10_000)))
    return (rng.standard_normal(n_samples) * loudness * 0.1).astype(np.float32)


def weights(target: Target, segmentation: Segmentation = SEGMENTATION) -> np.ndarray:
    """Return the segment weights, shape (frames * 4, n_classes)."""
    frames = segmentation.segment_frames(FRONT_END)
    rng = np.random.default_rng(100 + list(Target).index(target))
    return (30 * rng.standard_normal((frames * QUARTERS, len(CLASS_NAMES[target])))).astype(np.float32)


def song_weights(target: Target) -> np.ndarray:
    """Return the song weights, shape (7 * n_classes, n_classes)."""
    k = len(CLASS_NAMES[target])
    return np.random.default_rng(200 + list(Target).index(target)).standard_normal((7 * k, k)).astype(np.float32)


def segment_probabilities(
    waveform: np.ndarray, starts: np.ndarray, target: Target, segmentation: Segmentation = SEGMENTATION
) -> np.ndarray:
    """Return what the segment graph computes, in float64, shape (n_segments, n_classes)."""
    hop, frames = FRONT_END.hop_length, segmentation.segment_frames(FRONT_END)
    rows = []
    for start in starts:
        features = []
        for frame in range(int(start), int(start) + frames):
            samples = waveform[frame * hop : frame * hop + FRONT_END.n_fft].astype(np.float64)
            features.append(np.abs(samples.reshape(QUARTERS, -1)).mean(axis=1))
        rows.append(np.concatenate(features) @ weights(target, segmentation).astype(np.float64))
    return softmax(np.array(rows).reshape(len(starts), len(CLASS_NAMES[target])))


def song_probabilities(features: np.ndarray, target: Target) -> np.ndarray:
    """Return what the song graph computes, in float64."""
    return softmax(np.asarray(features, dtype=np.float64) @ song_weights(target).astype(np.float64))


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def segment_graph(
    targets: Sequence[Target] = (Target.QUADRANT,), segmentation: Segmentation = SEGMENTATION
) -> onnx.ModelProto:
    hop, frames = FRONT_END.hop_length, segmentation.segment_frames(FRONT_END)
    half = QUARTERS // 2  # quarters of a frame that lie in one hop
    constants: Mapping[str, np.ndarray] = {
        "by_hop": np.array([-1, half, hop // half], np.int64),
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "last": np.array([-1], np.int64),
        "end": np.array([2**31], np.int64),
        "axis0": np.array([0], np.int64),
        "axis1": np.array([1], np.int64),
        "axis2": np.array([2], np.int64),
        "offsets": np.arange(frames, dtype=np.int64)[None, :],
        "flat": np.array([-1, frames * QUARTERS], np.int64),
        **{f"w_{t}": weights(t, segmentation) for t in targets},
    }
    node = helper.make_node
    nodes = [
        node("Reshape", ["waveform", "by_hop"], ["hops"]),  # (n_hops, 2, hop / 2)
        node("Abs", ["hops"], ["magnitudes"]),
        node("ReduceMean", ["magnitudes", "axis2"], ["loudness"], keepdims=0),  # (n_hops, 2)
        node("Slice", ["loudness", "first", "last", "axis0"], ["early"]),
        node("Slice", ["loudness", "second", "end", "axis0"], ["late"]),
        node("Concat", ["early", "late"], ["frames"], axis=1),  # (n_hops - 1, 4)
        node("Unsqueeze", ["starts", "axis1"], ["column"]),
        node("Add", ["column", "offsets"], ["indices"]),  # (n_segments, frames)
        node("Gather", ["frames", "indices"], ["gathered"], axis=0),  # (n_segments, frames, 4)
        node("Reshape", ["gathered", "flat"], ["rows"]),
    ]
    outputs = []
    for t in targets:
        nodes += [
            node("MatMul", ["rows", f"w_{t}"], [f"logits_{t}"]),
            node("Softmax", [f"logits_{t}"], [f"probabilities_{t}"], axis=1),
        ]
        shape = ["n_segments", len(CLASS_NAMES[t])]
        outputs.append(helper.make_tensor_value_info(f"probabilities_{t}", TensorProto.FLOAT, shape))
    inputs = [
        helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["n_samples"]),
        helper.make_tensor_value_info("starts", TensorProto.INT64, ["n_segments"]),
    ]
    return _model(nodes, "segment", inputs, outputs, constants)


def song_graph(target: Target) -> onnx.ModelProto:
    k = len(CLASS_NAMES[target])
    nodes = [
        helper.make_node("MatMul", ["features", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n_windows", 7 * k])]
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n_windows", k])]
    return _model(nodes, "song", inputs, outputs, {"w": song_weights(target)})


def _model(
    nodes: list[onnx.NodeProto],
    name: str,
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: Mapping[str, np.ndarray],
) -> onnx.ModelProto:
    initializers = [numpy_helper.from_array(value, key) for key, value in constants.items()]
    graph = helper.make_graph(nodes, name, inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model
