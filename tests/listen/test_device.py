"""onnxruntime sessions on the CPU: what they compute, their threads and precision, and the device that is chosen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_bundle as tiny

from mertag.emotion import Target
from mertag.errors import ConfigError, DeviceError
from mertag.listen.bundle import Bundle, Precision
from mertag.listen.device import open_models
from mertag.listen.segment_model import SegmentModel


def test_the_segment_model_computes_what_numpy_does(tiny_bundle: Bundle) -> None:
    model = open_models(tiny_bundle, device="cpu").segment
    waveform, starts = tiny.example()
    found = model(waveform, starts)
    expected = tiny.segment_probabilities(waveform, starts, Target.QUADRANT)
    assert set(found) == {Target.QUADRANT}
    assert found[Target.QUADRANT].dtype == np.float32
    np.testing.assert_allclose(found[Target.QUADRANT], expected, atol=1e-5)
    assert expected.std(axis=0).min() > 0.01  # the segments differ, so that a mix-up would show


def test_a_bundle_with_two_heads_gives_both(tmp_path: Path) -> None:
    bundle = tiny.build(tmp_path, targets=(Target.VALENCE, Target.AROUSAL))
    models = open_models(bundle, device="cpu", threads=1)
    waveform, starts = tiny.example()
    found = models.segment(waveform, starts)
    for target in (Target.VALENCE, Target.AROUSAL):
        expected = tiny.segment_probabilities(waveform, starts, target)
        np.testing.assert_allclose(found[target], expected, atol=1e-5)


def test_the_song_model_computes_what_numpy_does(tiny_bundle: Bundle) -> None:
    features = np.random.default_rng(1).random((3, 28))
    found = open_models(tiny_bundle, device="cpu").song(Target.QUADRANT, features)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, tiny.song_probabilities(features, Target.QUADRANT), atol=1e-6)


def test_the_cpu_says_what_it_is_and_why(tiny_bundle: Bundle) -> None:
    model = open_models(tiny_bundle, device="cpu", threads=1).segment
    assert (model.device, model.provider) == ("cpu", "CPUExecutionProvider")
    assert model.precision in (Precision.INT8, Precision.FP16)
    assert "faster on this CPU" in model.reason
    assert model.reason.endswith("; 1 thread")


@pytest.mark.parametrize(
    ("threads", "asked", "at_once", "words"),
    [
        (1, None, 1, "; 1 thread"),
        (3, None, 3, "; 3 calls at once, 1 thread each"),
        (8, None, 8, "; 8 calls at once, 1 thread each"),
        (12, None, 6, "; 6 calls at once, 2 threads each"),
        (15, None, 7, "; 7 calls at once, 2 threads each"),
        (64, None, 8, "; 8 calls at once, 8 threads each"),
        (4, 1, 1, "; 4 threads"),
        (4, 3, 2, "; 2 calls at once, 2 threads each"),
        (2, 5, 2, "; 2 calls at once, 1 thread each"),
    ],
)
def test_threads_are_shared_out_to_calls(
    tiny_bundle: Bundle, threads: int, asked: int | None, at_once: int, words: str
) -> None:
    model = open_models(tiny_bundle, device="cpu", threads=threads, at_once=asked, precision="int8").segment
    assert model.at_once == at_once
    assert model.reason.endswith(words)


def test_no_segments_give_empty_probabilities(tiny_bundle: Bundle) -> None:
    model = open_models(tiny_bundle, device="cpu").segment
    found = model(np.zeros(512, np.float32), np.empty(0, np.int64))
    assert found[Target.QUADRANT].shape == (0, 4)


def test_a_long_call_is_split_and_gives_the_same(tiny_bundle: Bundle) -> None:
    model = open_models(tiny_bundle, device="cpu").segment
    waveform, starts = tiny.example()
    whole = model(waveform, starts)[Target.QUADRANT]
    model.segments_per_call = 2
    np.testing.assert_allclose(model(waveform, starts)[Target.QUADRANT], whole, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"device": "tpu"}, "auto, cuda or cpu"),
        ({"threads": 0}, "1 or more"),
        ({"at_once": 0}, "1 or more"),
        ({"precision": "fp32"}, "int8, fp16"),
    ],
)
def test_settings_that_cannot_be_are_refused(tiny_bundle: Bundle, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        open_models(tiny_bundle, **{"device": "cpu", **settings})


def test_the_precision_can_be_asked_for(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_models(tiny_bundle, device="cpu", precision="fp16").segment.precision is Precision.FP16
    monkeypatch.setenv("MERTAG_PRECISION", "int8")
    model = open_models(tiny_bundle, device="cpu").segment
    assert model.precision is Precision.INT8
    assert "asked for" in model.reason


# ---- the device that is really in use


needs_no_gpu = pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a GPU")


@needs_no_gpu
def test_cuda_without_a_gpu_fails_and_auto_says_why(tiny_bundle: Bundle) -> None:
    with pytest.raises(DeviceError, match="--device cuda"):
        open_models(tiny_bundle, device="cuda")
    model = open_models(tiny_bundle, device="auto").segment
    assert model.device == "cpu"
    assert model.reason.startswith("no GPU: no NVIDIA driver is installed; ")
    assert "CUDA" not in model.reason


@needs_no_gpu
def test_looking_for_a_gpu_prints_nothing(tiny_bundle: Bundle) -> None:
    code = (
        "import sys; from mertag.listen.bundle import load_bundle; from mertag.listen.device import open_models; "
        "open_models(load_bundle(sys.argv[1]))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_bundle.folder)],
        capture_output=True,
        text=True,
        cwd=root,
        check=True,
    )
    assert done.stdout == ""
    assert done.stderr == ""


def test_segment_model_is_what_open_models_returns(tiny_bundle: Bundle) -> None:
    assert isinstance(open_models(tiny_bundle, device="cpu").segment, SegmentModel)
