"""onnxruntime sessions: which provider, and device memory bound once for each combination of input shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tiny_bundle as tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from mertag.emotion import Target
from mertag.errors import DeviceError
from mertag.listen import sessions
from mertag.listen.bundle import Bundle
from mertag.listen.sessions import MOST_SHAPES, BoundSession

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


def test_there_is_at_least_one_core() -> None:
    assert sessions.usable_cores() >= 1


@pytest.mark.parametrize(("code", "said"), [(100, "driver finds no GPU"), (803, "does not start (error 803)")])
def test_of_a_driver_without_a_gpu_that_is_said_and_nothing_of_libraries(
    monkeypatch: pytest.MonkeyPatch, code: int, said: str
) -> None:
    class Driver:
        def cuInit(self, flags: int) -> int:  # noqa: N802 - as NVIDIA calls it
            return code

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(sessions, "_driver", Driver)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [sessions.CUDA])
    monkeypatch.setattr(sessions, "_preload", lambda: "libcudnn.so.9")  # missing, and none of anyone's concern
    with pytest.raises(DeviceError) as caught:
        sessions.cuda_session(b"large", where=Path("segment.onnx"), probe=b"small")
    assert said in str(caught.value)
    assert "librar" not in str(caught.value)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    if code == 100:
        with pytest.raises(DeviceError, match="finds no GPU that CUDA_VISIBLE_DEVICES shows"):
            sessions.cuda_session(b"large", where=Path("segment.onnx"), probe=b"small")


def test_without_a_gpu_only_a_small_graph_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []

    class OnTheCpu:
        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    def make(model: bytes, threads: int, providers: list[Any]) -> Any:
        made.append(model)
        return OnTheCpu()

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [sessions.CUDA])
    monkeypatch.setattr(sessions, "_has_driver", lambda: True)
    monkeypatch.setattr(sessions, "_no_gpu", lambda: "")
    monkeypatch.setattr(sessions, "_preload", lambda: "")
    monkeypatch.setattr(sessions, "_make", make)
    with pytest.raises(DeviceError, match="no usable GPU"):
        sessions.cuda_session(b"large", where=Path("segment.onnx"), probe=b"small")
    assert made == [b"small"]
