"""A bundle of the owner's: the graphs of the old one, and behind its song classifier what the corrections teach."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper

from mertag.emotion import Target
from mertag.errors import ExportError
from mertag.listen.bundle import CARD_NAME, GOLDEN_NAME, Bundle, write_bundle
from mertag.listen.windows import FEATURES_PER_CLASS
from mertag_export.corrections.classifier import LEAST_PROBABILITY, Correction
from mertag_export.corrections.judge import Corrections, Verdict
from mertag_export.graphs import run_song_graph, session

SUFFIX = "-mine"
LARGEST_DIFFERENCE = 1e-4
"""By how much the new graph's probabilities may differ from what was computed here in double precision."""

_CARD = """
## Corrections

The song classifier was moved by {n_corrected} corrections of its owner's among {n} songs. By cross-validation over
artists, {mended} of the corrected songs come right and {spoilt} of the others come wrong; of corrections dealt out at
random, {p:.0%} gain as much. The network is that of {old}; the figures above are those of the old classifier.
"""


def write_corrected(old: Bundle, folder: Path, corrections: Corrections, verdict: Verdict) -> Bundle:
    """Write the owner's bundle into an empty folder; raise ExportError if a graph does not do what was computed."""
    for name in old.manifest.files:
        shutil.copyfile(old.path(name), folder / name)
    heads = {head.target: head for head in old.manifest.heads}
    for target, correction in corrections.items():
        path = folder / heads[target].song
        model = onnx.load_from_string(old.read(heads[target].song))
        path.write_bytes(corrected_graph(model, correction).SerializeToString())
        _prove(old, target, path, correction)
    if GOLDEN_NAME in old.manifest.files:
        golden = old.golden()
        for target, head in heads.items():
            if f"song.{target}" in golden:
                golden[f"song.{target}"] = run_song_graph(session(folder / head.song), golden[f"features.{target}"])
        np.savez_compressed(folder / GOLDEN_NAME, **golden)  # type: ignore[arg-type]
    if CARD_NAME in old.manifest.files:
        card = old.card() + _CARD.format(old=old.id, **asdict(verdict))
        (folder / CARD_NAME).write_text(card, encoding="utf-8")
    manifest = replace(
        old.manifest,
        name=old.manifest.name.removesuffix(SUFFIX)[: 100 - len(SUFFIX)] + SUFFIX,
        dataset=f"{old.manifest.dataset}; {verdict.n_corrected} corrections of its owner's",
        metrics={"corrections": {"of": old.id, **asdict(verdict)}},
    )
    return write_bundle(folder, manifest)


def corrected_graph(old: ModelProto, correction: Correction) -> ModelProto:
    """Return a song graph whose probabilities are ``softmax(log(old) + features @ weights + bias)``, float32."""
    model = ModelProto()
    model.CopyFrom(old)
    graph, prefix = model.graph, "corrections"
    while any(prefix in name for node in graph.node for name in (*node.output, node.name)):
        prefix += "_"  # a bundle that was corrected before
    before = f"{prefix}.old"
    for node in graph.node:
        node.output[:] = [before if name == "probabilities" else name for name in node.output]
    constants = {
        "least": np.array(LEAST_PROBABILITY, np.float32),
        "weights": correction.weights.astype(np.float32),
        "bias": correction.bias.astype(np.float32),
    }
    graph.initializer.extend(numpy_helper.from_array(value, f"{prefix}.{name}") for name, value in constants.items())
    steps = [
        ("Max", [before, f"{prefix}.least"], f"{prefix}.kept", {}),
        ("Log", [f"{prefix}.kept"], f"{prefix}.log", {}),
        ("Gemm", ["features", f"{prefix}.weights", f"{prefix}.bias"], f"{prefix}.moved", {}),
        ("Add", [f"{prefix}.log", f"{prefix}.moved"], f"{prefix}.logits", {}),
        ("Softmax", [f"{prefix}.logits"], "probabilities", {"axis": 1}),
    ]
    graph.node.extend(
        helper.make_node(kind, inputs, [output], name=f"{prefix}.{kind}", **options)
        for kind, inputs, output, options in steps
    )
    onnx.checker.check_model(model)
    return model


def _prove(old: Bundle, target: Target, path: Path, correction: Correction) -> None:
    """Compare the new graph, on features drawn at random, with the old graph and the correction in double precision."""
    head = next(head for head in old.manifest.heads if head.target == target)
    n_features = FEATURES_PER_CLASS * len(head.classes)
    features = np.random.default_rng(0).random((64, n_features)).astype(np.float32)
    before = run_song_graph(session(old.path(head.song)), features)
    wanted = correction.probabilities(features.astype(np.float64), before.astype(np.float64))
    difference = float(np.abs(run_song_graph(session(path), features) - wanted).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise ExportError(f"the new song classifier ({target}) differs by {difference:.1e} from what was learnt")
