"""Opening the model on a GPU: tried first, and nothing taken for granted. GPUs are sessions on the CPU in disguise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tiny_bundle as tiny

from mertag.emotion import Target
from mertag.errors import DeviceError
from mertag.listen import gpu, sessions
from mertag.listen.bound import BoundSession
from mertag.listen.bundle import Bundle
from mertag.listen.device import open_models
from mertag.listen.manifest import Precision

Run = Callable[..., list[np.ndarray]]


@pytest.fixture
def disguised(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return what `gpu_session` is asked for; it gives a session on the CPU, and memory is bound there."""
    asked: list[dict[str, Any]] = []

    def gpu_session(model: bytes, which: str, *, where: Path, probe: bytes, graphs: bool) -> Any:
        asked.append({"which": which, "graphs": graphs})
        return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(gpu, "gpu_session", gpu_session)
    monkeypatch.setattr(gpu, "BoundSession", lambda session, device, *, graphs: BoundSession(session, "cpu"))
    return asked


def worse_by(monkeypatch: pytest.MonkeyPatch, kind: type, error: float, *, on: str = "run") -> None:
    """Let a kind of session answer wrongly."""
    right: Run = getattr(kind, on)
    monkeypatch.setattr(kind, on, lambda *args: [found + np.float32(error) for found in right(*args)])


def test_memory_is_bound_if_that_gives_the_same(tiny_bundle: Bundle, disguised: list[dict[str, Any]]) -> None:
    opened = gpu.open_gpu(tiny_bundle, "cuda", asked=None)
    assert isinstance(opened.session, BoundSession)
    assert (opened.precision, opened.remark) == (Precision.FP16, "")
    assert disguised == [{"which": "cuda", "graphs": False}]
    model = open_models(tiny_bundle, device="cuda").segment
    waveform, starts = tiny.example()
    expected = tiny.segment_probabilities(waveform, starts, Target.QUADRANT)
    np.testing.assert_allclose(model(waveform, starts)[Target.QUADRANT], expected, atol=1e-5)
    assert model.reason == "fp16: made for GPUs"


@pytest.mark.usefixtures("disguised")
def test_memory_that_is_bound_wrongly_is_not_bound(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    worse_by(monkeypatch, BoundSession, 0.01)
    opened = gpu.open_gpu(tiny_bundle, "cuda", asked=None)
    assert isinstance(opened.session, onnxruntime.InferenceSession)
    assert opened.remark == "memory not bound (it gives other results)"
    reason = open_models(tiny_bundle, device="cuda").segment.reason
    assert reason == "fp16: made for GPUs; memory not bound (it gives other results)"


@pytest.mark.usefixtures("disguised")
def test_memory_that_cannot_be_bound_is_not_bound(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("no allocator")

    monkeypatch.setattr(BoundSession, "run", fails)
    assert gpu.open_gpu(tiny_bundle, "cuda", asked=None).remark == "memory not bound (no allocator)"


@pytest.mark.usefixtures("disguised")
def test_a_gpu_that_says_not_a_number_is_not_taken_for_one_that_works(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    worse_by(monkeypatch, BoundSession, float("nan"))
    assert "other results" in gpu.open_gpu(tiny_bundle, "cuda", asked=None).remark


def test_graphs_are_recorded_if_asked_for(
    tiny_bundle: Bundle, disguised: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERTAG_CUDA_GRAPHS", "1")
    assert gpu.open_gpu(tiny_bundle, "cuda", asked=None).remark == "CUDA graphs"
    assert disguised == [{"which": "cuda", "graphs": True}]
    worse_by(monkeypatch, BoundSession, 0.01)
    with pytest.raises(DeviceError, match="unset MERTAG_CUDA_GRAPHS"):
        gpu.open_gpu(tiny_bundle, "cuda", asked=None)
    assert gpu.open_gpu(tiny_bundle, "tensorrt", asked=None).remark.startswith("memory not bound")  # no graphs there


def test_tensorrt_must_give_what_the_cpu_gives(
    tiny_bundle: Bundle, disguised: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_models(tiny_bundle, device="tensorrt").segment.device == "cuda"
    assert disguised[0]["which"] == "tensorrt"

    class Rough:
        """TensorRT with a mel spectrogram in half precision."""

        def __init__(self, session: Any) -> None:
            self._session = session

        def __getattr__(self, name: str) -> Any:
            return getattr(self._session, name)

        def run(self, *args: Any) -> list[np.ndarray]:
            return [found + np.float32(0.03) for found in self._session.run(*args)]

    exact = gpu.gpu_session
    monkeypatch.setattr(gpu, "gpu_session", lambda *args, **options: Rough(exact(*args, **options)))
    with pytest.raises(DeviceError, match="--device tensorrt: TensorRT does not give what the CPU gives"):
        open_models(tiny_bundle, device="tensorrt")


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a GPU")
def test_tensorrt_without_a_gpu_fails_and_leaves_nothing(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_: tmp_path)
    with pytest.raises(DeviceError, match="--device tensorrt: "):
        open_models(tiny_bundle, device="tensorrt")
    assert capfd.readouterr() == ("", "")


def test_an_onnxruntime_without_tensorrt_says_so(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [sessions.CUDA, sessions.CPU])
    with pytest.raises(DeviceError, match="built without TensorRT"):
        open_models(tiny_bundle, device="tensorrt")
