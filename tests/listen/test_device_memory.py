"""Device memory that is bound once for each combination of input shapes: the same answers, and only if it works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tiny_bundle as tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from mertag.emotion import Target
from mertag.listen import device
from mertag.listen.bundle import Bundle
from mertag.listen.device import open_models
from mertag.listen.manifest import Precision
from mertag.listen.sessions import MOST_SHAPES, BoundSession

Run = Callable[..., list[np.ndarray]]
NAMES = [f"probabilities_{Target.QUADRANT}"]


@pytest.fixture(scope="module")
def cpu_session(tiny_bundle: Bundle) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(tiny_bundle.path("segment.fp16.onnx")), providers=["CPUExecutionProvider"])


def call(n_hops: int, n_segments: int, seed: int) -> dict[str, np.ndarray]:
    waveform = tiny.music(512 * n_hops, seed=seed)
    starts = np.arange(n_segments, dtype=np.int64) % (n_hops - 24)
    return {"waveform": waveform, "starts": starts}


@settings(max_examples=30, deadline=None)
@given(calls=st.lists(st.tuples(st.integers(40, 44), st.integers(1, 4), st.integers(0, 9)), min_size=1, max_size=12))
def test_it_answers_as_the_session_does(
    calls: list[tuple[int, int, int]], cpu_session: onnxruntime.InferenceSession
) -> None:
    bound = BoundSession(cpu_session, "cpu")
    for n_hops, n_segments, seed in calls:
        feed = call(n_hops, n_segments, seed)
        before = {name: values.copy() for name, values in feed.items()}
        (found,) = bound.run(NAMES, feed)
        (expected,) = cpu_session.run(NAMES, feed)
        np.testing.assert_array_equal(found, expected)
        for name, values in before.items():
            np.testing.assert_array_equal(feed[name], values)


def test_an_answer_stays_what_it_was_when_the_next_one_comes(cpu_session: onnxruntime.InferenceSession) -> None:
    bound = BoundSession(cpu_session, "cpu")
    (first,) = bound.run(NAMES, call(40, 3, seed=1))
    kept = first.copy()
    bound.run(NAMES, call(40, 3, seed=2))
    np.testing.assert_array_equal(first, kept)


def test_views_and_strides_do_not_matter(cpu_session: onnxruntime.InferenceSession) -> None:
    feed = call(80, 4, seed=3)
    strided = {"waveform": feed["waveform"][::2], "starts": feed["starts"][::2]}
    (found,) = BoundSession(cpu_session, "cpu").run(NAMES, strided)
    (expected,) = cpu_session.run(NAMES, {name: np.ascontiguousarray(values) for name, values in strided.items()})
    np.testing.assert_array_equal(found, expected)


def test_memory_is_kept_for_a_few_shapes_only(cpu_session: onnxruntime.InferenceSession) -> None:
    bound = BoundSession(cpu_session, "cpu")
    for n_segments in range(1, 3 * MOST_SHAPES):
        bound.run(NAMES, call(100, n_segments, seed=0))
        bound.run(NAMES, call(40, 1, seed=0))  # the one in use stays
        assert len(bound._bindings) <= MOST_SHAPES
    assert ((40 * 512,), (1,)) in bound._bindings
    assert ((100 * 512,), (1,)) not in bound._bindings


def test_it_says_of_itself_what_the_session_does(cpu_session: onnxruntime.InferenceSession) -> None:
    bound = BoundSession(cpu_session, "cpu")
    assert bound.get_providers() == ["CPUExecutionProvider"]
    assert [value.name for value in bound.get_inputs()] == ["waveform", "starts"]
    assert [value.name for value in bound.get_outputs()] == [value.name for value in cpu_session.get_outputs()]


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
