"""The bundled model: whole, loadable by every onnxruntime that mertag takes, and computing what it once computed."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from mertag.listen.bundle import Bundle, default_bundle_path, load_bundle
from mertag.listen.manifest import Precision
from mertag_export.graphs import TOLERANCE, check_golden

pytestmark = [
    pytest.mark.command,
    pytest.mark.skipif(not default_bundle_path().is_dir(), reason="this checkout holds no bundled model"),
]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(default_bundle_path())


def test_every_graph_gives_its_golden_output(bundle: Bundle) -> None:
    differences = check_golden(bundle)
    assert set(differences) == {"int8.quadrant", "fp16.quadrant", "song.quadrant"}


def test_the_golden_sound_is_judged_the_same_in_every_precision(bundle: Bundle) -> None:
    # Half as far again as on music: the sound is none, and int8 was calibrated on music.
    golden = bundle.golden()
    assert np.abs(golden["int8.quadrant"] - golden["fp16.quadrant"]).mean() < 1.5 * TOLERANCE[Precision.INT8]


def test_its_manifest_is_written_as_it_was(bundle: Bundle) -> None:
    assert bundle.manifest.to_json() == (bundle.folder / "manifest.json").read_text(encoding="utf-8")


def test_its_terms_are_those_of_the_package(bundle: Bundle) -> None:
    assert bundle.read("LICENSE-WEIGHTS") == (bundle.folder.parent / "LICENSE-WEIGHTS").read_bytes()
    assert bundle.manifest.licence.startswith("LicenseRef-mertag-weights-research-only")


def test_its_card_tells_data_figures_and_terms(bundle: Bundle) -> None:
    card = bundle.card()
    for heading in ("## Data", "## Recipe", "## Figures", "## Export", "## Intended use and limits", "## Licence"):
        assert heading in card
    accuracy = bundle.manifest.metrics["quadrant"]["song_classifier"]["accuracy"]  # type: ignore[index]
    assert f"| {accuracy:.3f} |" in card


def test_nothing_in_it_names_a_place_on_the_machine_that_made_it(bundle: Bundle) -> None:
    for name in bundle.manifest.files:
        data = bundle.read(name)
        for sign in (b"/home/", b"/tmp/", b"site-packages", b"Traceback", b'.py"'):
            assert sign not in data, name


def test_its_graphs_ask_for_nothing_newer_than_the_oldest_onnxruntime(bundle: Bundle) -> None:
    for path in bundle.folder.glob("*.onnx"):
        model = onnx.load(path)
        transposed = {node.output[0] for node in model.graph.node if node.op_type == "Transpose"}
        assert model.ir_version <= 10
        assert {o.domain: o.version for o in model.opset_import}[""] <= 21
        assert not [n.name for n in model.graph.node if n.op_type == "MatMul" and transposed & set(n.input)]


def test_int8_does_not_overflow_on_processors_without_byte_dot_products(bundle: Bundle) -> None:
    """Where the processor has them, both ways are the same, and this shows nothing."""
    rng = np.random.default_rng(0)
    rate = bundle.manifest.front_end.sample_rate
    starts = np.array([0, 40], dtype=np.int64)
    loud = np.clip(rng.standard_normal(5 * rate), -1, 1).astype(np.float32)
    square = np.sign(np.sin(2 * np.pi * 110 * np.arange(5 * rate) / rate)).astype(np.float32)
    found = []
    for exact in ("0", "1"):
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.x64quantprecision", exact)
        path = bundle.path(bundle.manifest.segment[Precision.INT8])
        opened = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        found.append([opened.run(None, {"waveform": w, "starts": starts})[0] for w in (loud, square)])
    np.testing.assert_allclose(found[0], found[1], atol=TOLERANCE[Precision.INT8])
