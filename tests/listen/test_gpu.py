"""A GPU that runs out of memory, fails or lies: sessions on the CPU in disguise."""

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
from mertag.listen import device, sessions
from mertag.listen.bundle import Bundle, Precision
from mertag.listen.device import open_models
from mertag.listen.segment_model import pad_to_shape
from mertag.listen.sessions import BoundSession

Run = Callable[..., list[np.ndarray]]


class FakeSession:
    """A real session on the CPU that claims another provider, and fails when told to."""

    def __init__(self, session: sessions.Session, provider: str, fail: Callable[[int], Exception | None]) -> None:
        self.session, self.provider, self.fail = session, provider, fail
        self.calls: list[int] = []
        self.shapes: list[tuple[int, int]] = []

    def run(self, names: list[str], feed: dict[str, Any]) -> list[Any]:
        n = len(feed["starts"])
        self.shapes.append((len(feed["waveform"]), n))
        self.calls.append(n)
        error = self.fail(n)
        if error is not None:
            raise error
        return self.session.run(names, feed)

    def get_inputs(self) -> list[Any]:
        return self.session.get_inputs()

    def get_outputs(self) -> list[Any]:
        return self.session.get_outputs()

    def get_providers(self) -> list[str]:
        return [self.provider, "CPUExecutionProvider"]


def fake_gpu(monkeypatch: pytest.MonkeyPatch, fail: Callable[[int], Exception | None]) -> list[FakeSession]:
    made: list[FakeSession] = []

    def cuda_session(model: bytes, *, where: Path, probe: bytes) -> FakeSession:
        made.append(FakeSession(sessions.cpu_session(model, threads=1, where=where), sessions.CUDA, fail))
        return made[-1]

    monkeypatch.setattr(device, "cuda_session", cuda_session)
    return made


def out_of_memory(n: int) -> Exception:
    # The words of onnxruntime's BFC arena.
    return RuntimeError(
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. "
        f"bfc_arena.cc:376 Failed to allocate memory for requested buffer of size {n}"
    )


def long_example(n_segments: int) -> tuple[np.ndarray, np.ndarray]:
    hop = tiny.SEGMENTATION.hop_samples(tiny.FRONT_END)
    n_samples = tiny.SEGMENTATION.segment_samples(tiny.FRONT_END) + (n_segments - 1) * hop
    starts = tiny.SEGMENTATION.start_frames(n_samples, tiny.FRONT_END)
    return tiny.music(n_samples + -n_samples % 512), starts


def test_a_gpu_runs_fp16_in_shapes_from_a_short_list(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    made = fake_gpu(monkeypatch, lambda n: None)
    model = open_models(tiny_bundle).segment
    assert (model.device, model.precision, model.provider) == ("cuda", Precision.FP16, sessions.CUDA)
    for n in (1, 5, 16, 17, 40):
        waveform, starts = long_example(n)
        expected = tiny.segment_probabilities(waveform, starts, Target.QUADRANT)
        np.testing.assert_allclose(model(waveform, starts)[Target.QUADRANT], expected, atol=1e-5)
    assert {samples % (689 * 512) for samples, _ in made[0].shapes} == {0}
    assert {n for _, n in made[0].shapes} == {16, 32, 48}


def test_a_gpu_that_loads_but_does_not_run_is_no_gpu(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_gpu(monkeypatch, lambda n: RuntimeError("no kernel image is available\nmore"))
    with pytest.raises(DeviceError, match="does not run it \\(no kernel image is available\\)"):
        open_models(tiny_bundle, device="cuda")
    assert open_models(tiny_bundle, device="auto").segment.device == "cpu"


def test_when_gpu_memory_runs_out_the_block_halves_for_good(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    made = fake_gpu(monkeypatch, lambda n: out_of_memory(n) if n > 16 else None)
    model = open_models(tiny_bundle, notify=said.append).segment
    waveform, starts = long_example(100)
    found = model(waveform, starts)[Target.QUADRANT]
    np.testing.assert_allclose(found, tiny.segment_probabilities(waveform, starts, Target.QUADRANT), atol=1e-5)
    assert model.device == "cuda"
    assert model.segments_per_call == 16
    assert len(said) == 2
    assert "memory ran out" in said[0]
    failures = sum(n > 16 for n in made[0].calls)
    model(waveform, starts)
    assert sum(n > 16 for n in made[0].calls) == failures == 2  # the old size is not tried again


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_when_one_segment_does_not_fit_the_cpu_takes_over(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, device: Any
) -> None:
    said: list[str] = []
    broken = [False]
    made = fake_gpu(monkeypatch, lambda n: out_of_memory(n) if broken[0] else None)
    model = open_models(tiny_bundle, device=device, notify=said.append).segment
    broken[0] = True
    waveform, starts = long_example(40)
    found = model(waveform, starts)[Target.QUADRANT]
    np.testing.assert_allclose(found, tiny.segment_probabilities(waveform, starts, Target.QUADRANT), atol=1e-5)
    assert (model.device, model.provider) == ("cpu", sessions.CPU)
    assert "the rest runs on the CPU" in said[-1]
    calls = len(made[0].calls)
    model(waveform, starts)
    assert len(made[0].calls) == calls  # the GPU is not asked again


def test_another_gpu_failure_moves_auto_to_the_cpu_and_fails_cuda(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    for choice in ("auto", "cuda"):
        broken = [False]
        fake_gpu(
            monkeypatch,
            lambda n, b=broken: RuntimeError("CUDA failure 700: illegal access") if b[0] else None,
        )
        model = open_models(tiny_bundle, device=choice).segment  # type: ignore[arg-type]
        broken[0] = True
        if choice == "auto":
            assert model(*tiny.example())[Target.QUADRANT].shape == (6, 4)
            assert model.device == "cpu"
        else:
            with pytest.raises(DeviceError, match="CUDA failure 700"):
                model(*tiny.example())
            with pytest.raises(DeviceError):
                model.check()


def test_a_failing_cpu_is_a_device_error(tiny_bundle: Bundle) -> None:
    model = open_models(tiny_bundle, device="cpu").segment
    model.session = FakeSession(model.session, sessions.CPU, out_of_memory)
    with pytest.raises(DeviceError, match="memory ran out"):
        model(*tiny.example())


def test_padding_to_a_shape_keeps_the_segments() -> None:
    waveform, starts = np.ones(1_000, np.float32), np.array([0, 3], np.int64)
    padded, more = pad_to_shape(waveform, starts, front_end=tiny.FRONT_END)
    assert len(padded) == 689 * 512
    assert padded[:1_000].all()
    assert not padded[1_000:].any()
    assert more[:2].tolist() == [0, 3]
    assert len(more) == 16


# ---- device memory, of GPUs that are sessions on the CPU in disguise


@pytest.fixture
def disguised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a session on the CPU pass for one on a GPU; memory is bound on the CPU."""

    def cuda_session(model: bytes, *, where: Path, probe: bytes) -> Any:
        return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(device, "cuda_session", cuda_session)
    monkeypatch.setattr(device, "BoundSession", lambda session, _: BoundSession(session, "cpu"))


def worse_by(monkeypatch: pytest.MonkeyPatch, kind: type, error: float, *, on: str = "run") -> None:
    """Let a kind of session answer wrongly."""
    right: Run = getattr(kind, on)
    monkeypatch.setattr(kind, on, lambda *args: [found + np.float32(error) for found in right(*args)])


@pytest.mark.usefixtures("disguised")
def test_memory_is_bound_if_that_gives_the_same(tiny_bundle: Bundle) -> None:
    session, precision, remark = device.open_gpu(tiny_bundle, asked=None)
    assert isinstance(session, BoundSession)
    assert (precision, remark) == (Precision.FP16, "")
    model = open_models(tiny_bundle, device="cuda").segment
    waveform, starts = tiny.example()
    expected = tiny.segment_probabilities(waveform, starts, Target.QUADRANT)
    np.testing.assert_allclose(model(waveform, starts)[Target.QUADRANT], expected, atol=1e-5)
    assert model.reason == "fp16: made for GPUs"


@pytest.mark.usefixtures("disguised")
def test_memory_that_is_bound_wrongly_is_not_bound(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    worse_by(monkeypatch, BoundSession, 0.01)
    session, _, remark = device.open_gpu(tiny_bundle, asked=None)
    assert isinstance(session, onnxruntime.InferenceSession)
    assert remark == "memory not bound (it gives other results)"
    reason = open_models(tiny_bundle, device="cuda").segment.reason
    assert reason == "fp16: made for GPUs; memory not bound (it gives other results)"


@pytest.mark.usefixtures("disguised")
def test_memory_that_cannot_be_bound_is_not_bound(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("no allocator")

    monkeypatch.setattr(BoundSession, "run", fails)
    assert device.open_gpu(tiny_bundle, asked=None)[2] == "memory not bound (no allocator)"


@pytest.mark.usefixtures("disguised")
def test_a_gpu_that_says_not_a_number_is_not_taken_for_one_that_works(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    worse_by(monkeypatch, BoundSession, float("nan"))
    assert "other results" in device.open_gpu(tiny_bundle, asked=None)[2]
