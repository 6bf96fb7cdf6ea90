"""Golden outputs: a bundle that computes something else is found."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from conftest import Made

from mertag.errors import ParityError
from mertag.listen.bundle import GOLDEN_NAME, load_bundle, write_bundle
from mertag.listen.manifest import Precision
from mertag.listen.windows import FrontEnd
from mertag_export.graphs import TOLERANCE, check_golden, golden_waveform

pytestmark = pytest.mark.command


def test_every_graph_gives_its_golden_output(made: Made) -> None:
    differences = check_golden(made.bundle)
    assert set(differences) == {"int8.quadrant", "fp16.quadrant", "fp32.quadrant", "song.quadrant"}
    assert max(differences.values()) < 1e-6  # the machine that wrote them


def test_the_golden_sound_is_the_same_everywhere(made: Made) -> None:
    stored = made.bundle.golden()["waveform"]
    made_again = golden_waveform(FrontEnd())
    assert stored.dtype == np.int16
    assert np.abs(made_again * 32768 - stored).max() <= 1  # one step, where sines are rounded otherwise
    assert np.abs(stored).max() > 8_000


def test_the_golden_outputs_tell_the_segments_apart(made: Made) -> None:
    golden = made.bundle.golden()
    assert golden["fp32.quadrant"].shape == (6, 4)
    assert np.ptp(golden["fp32.quadrant"], axis=0).max() > 10 * TOLERANCE[Precision.FP32]


@pytest.mark.parametrize("name", ["int8.quadrant", "fp16.quadrant", "song.quadrant"])
def test_an_output_that_is_not_the_golden_one_is_found(made: Made, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(made.bundle.folder, folder)
    arrays = dict(np.load(io.BytesIO(made.bundle.read(GOLDEN_NAME))))
    arrays[name] = arrays[name][:, ::-1]
    np.savez_compressed(folder / GOLDEN_NAME, **arrays)
    with pytest.raises(ParityError, match=name):
        check_golden(write_bundle(folder, replace(made.bundle.manifest, files={})))
    check_golden(load_bundle(made.bundle.folder))


def test_int8_kernels_keep_the_tolerance_to_the_graph_in_floating_point(made: Made) -> None:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # no integer kernels then
    options.log_severity_level = 3
    path = made.bundle.path(made.bundle.manifest.segment[Precision.INT8])
    golden = made.bundle.golden()
    inputs = {"waveform": golden["waveform"] / np.float32(32768), "starts": golden["starts"]}
    found = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, inputs)[0]
    assert np.abs(found - golden["int8.quadrant"]).max() <= TOLERANCE[Precision.INT8]
