"""A bundle of the owner's: the networks of the old one, and behind its song classifier what the corrections teach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from mertag.errors import ExportError
from mertag.listen.bundle import CARD_NAME, GOLDEN_NAME, Bundle, write_bundle
from mertag.listen.manifest import Head, Manifest
from mertag.listen.sessions import Session
from mertag.listen.windows import judged
from mertag_export.corrections.classifier import POSITIVE_FROM, SIDES, Correction, reflections
from mertag_export.corrections.embedding import Projections, write_with_embedding
from mertag_export.corrections.judge import Corrections, Verdict
from mertag_export.graphs import TOLERANCE, run_song_graph, session

SUFFIX = "-mine"
LARGEST_DIFFERENCE = 1e-4
"""By how much the new graph's probabilities may differ from what was computed here in double precision."""

_CARD = """
## Corrections

The song classifier was moved by {n_corrected} corrections of its owner's among {n} songs. By cross-validation over
artists, {mended} of the corrected songs come right and {spoilt} of the others come wrong; of corrections dealt out at
random, {p:.0%} gain as much. The network is that of {old}; the figures above are those of the old classifier. Where
the manifest names an embedding, the classifier also judges what the network's last layers see.
"""


def write_corrected(
    old: Bundle,
    folder: Path,
    corrections: Corrections,
    verdict: Verdict,
    projections: Projections = MappingProxyType({}),
) -> Bundle:
    """Write the owner's bundle into an empty folder; raise ExportError if a graph does not do what was computed.

    The `projections` are those of the embeddings that the corrections go by; see `write_with_embedding`.
    """
    manifest = write_with_embedding(old, folder, projections)
    heads = {head.target: head for head in manifest.heads}
    for target, correction in corrections.items():
        path = folder / heads[target].song
        before = session(path)
        path.write_bytes(corrected_graph(onnx.load(path), correction).SerializeToString())
        _prove(before, heads[target], path, correction)
    if GOLDEN_NAME in old.manifest.files:
        np.savez_compressed(folder / GOLDEN_NAME, **_golden(old.golden(), folder, manifest))
    if CARD_NAME in old.manifest.files:
        card = old.card() + _CARD.format(old=old.id, **asdict(verdict))
        (folder / CARD_NAME).write_text(card, encoding="utf-8")
    manifest = replace(
        manifest,
        name=old.manifest.name.removesuffix(SUFFIX)[: 100 - len(SUFFIX)] + SUFFIX,
        dataset=f"{old.manifest.dataset}; {verdict.n_corrected} corrections of its owner's",
        metrics={"corrections": {"of": old.id, **asdict(verdict)}},
    )
    return write_bundle(folder, manifest)


def corrected_graph(old: ModelProto, correction: Correction) -> ModelProto:
    """Return a song graph whose probabilities are `Correction.probabilities` of the old ones, float32."""
    model = ModelProto()
    model.CopyFrom(old)
    graph, prefix = model.graph, "corrections"
    while any(prefix in name for node in graph.node for name in (*node.output, node.name)):
        prefix += "_"  # a bundle that was corrected before
    for node in graph.node:
        node.output[:] = [f"{prefix}.old" if name == "probabilities" else name for name in node.output]
    n_classes, n_kinds, n_features = correction.weights.shape
    sides, opposite = SIDES[n_classes], np.eye(n_classes)[:, reflections(n_classes)]
    constants = {
        "sides": sides.astype(np.float32),
        "classes": sides.T.astype(np.float32),
        "from": np.array(POSITIVE_FROM, np.float32),
        "positive": np.array(1, np.float32),
        "negative": np.array(-1, np.float32),
        "all_axes": np.array(sides.shape[1] - 0.5, np.float32),
        "weights": correction.weights.reshape(-1, n_features).T.astype(np.float32),
        "bias": correction.bias.ravel().astype(np.float32),
        "reflections": opposite.reshape(n_classes, -1).astype(np.float32),
        "by_class": np.array([-1, n_classes, n_kinds]),
        "by_kind": np.array([-1, n_kinds, n_classes]),
        "one": np.array([1]),
    }
    graph.initializer.extend(numpy_helper.from_array(value, f"{prefix}.{name}") for name, value in constants.items())
    steps: list[tuple[str, str, str, dict[str, Any]]] = [
        ("MatMul", "old sides", "differences", {}),
        ("GreaterOrEqual", "differences from", "over", {}),
        ("Where", "over positive negative", "signs", {}),
        ("MatMul", "signs classes", "agreeing", {}),
        ("GreaterOrEqual", "agreeing all_axes", "is_decided", {}),
        ("Cast", "is_decided", "decided", {"to": TensorProto.FLOAT}),
        ("Unsqueeze", "decided one", "decided_row", {}),
        ("Gemm", "features weights bias", "logits_flat", {}),
        ("Reshape", "logits_flat by_class", "logits", {}),
        ("Softmax", "logits", "likely_of_all", {"axis": -1}),
        ("MatMul", "decided_row likely_of_all", "likely", {}),
        ("MatMul", "old reflections", "reflected_flat", {}),
        ("Reshape", "reflected_flat by_kind", "reflected", {}),
        ("MatMul", "likely reflected", "new_row", {}),
        ("Squeeze", "new_row one", "probabilities", {}),
    ]
    outside = ("features", "probabilities")
    for kind, inputs, output, options in steps:
        names = [name if name in outside else f"{prefix}.{name}" for name in (*inputs.split(), output)]
        graph.node.append(helper.make_node(kind, names[:-1], names[-1:], name=f"{prefix}.{output}", **options))
    onnx.checker.check_model(model)
    return model


def _golden(golden: dict[str, npt.NDArray[Any]], folder: Path, manifest: Manifest) -> Mapping[str, Any]:
    """Return golden outputs as the new graphs give them; raise ExportError if probabilities of segments are others."""
    fed = {"waveform": (golden["waveform"] / 32768).astype(np.float32), "starts": golden["starts"]}
    for precision, name in reversed(list(manifest.segment.items())):  # the features are those of the first
        opened = session(folder / name)
        for head in manifest.heads:
            key, n_classes = f"{precision}.{head.target}", len(head.classes)
            if key not in golden or head.embedding == 0:
                continue
            (outputs,) = opened.run([f"probabilities_{head.target}"], fed)
            difference = float(np.abs(outputs[:, :n_classes] - golden[key]).max())
            if not difference <= TOLERANCE[precision]:
                raise ExportError(
                    f"{name}: probabilities of {head.target} differ by {difference:.1e} from the old ones"
                )
            golden[f"features.{head.target}"] = judged(outputs, n_classes)[None].astype(np.float32)
    for head in manifest.heads:
        if f"song.{head.target}" in golden:
            golden[f"song.{head.target}"] = run_song_graph(
                session(folder / head.song), golden[f"features.{head.target}"]
            )
    return golden


def _prove(before: Session, head: Head, path: Path, correction: Correction) -> None:
    """Compare the new graph, on features drawn at random, with the one before, corrected in double precision."""
    features = np.random.default_rng(0).random((64, head.n_features)).astype(np.float32)
    wanted = correction.probabilities(features.astype(np.float64), run_song_graph(before, features).astype(np.float64))
    difference = float(np.abs(run_song_graph(session(path), features) - wanted).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise ExportError(f"the new song classifier ({head.target}) differs by {difference:.1e} from what was learnt")
