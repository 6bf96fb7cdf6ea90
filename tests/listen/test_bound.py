"""Sessions with fixed places for inputs and outputs: the same answers, whatever shapes come in what order."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import tiny_bundle as tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from mertag.emotion import Target
from mertag.listen.bound import MOST_SHAPES, BoundSession
from mertag.listen.bundle import Bundle

NAMES = [f"probabilities_{Target.QUADRANT}"]


@pytest.fixture(scope="module")
def session(tiny_bundle: Bundle) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(tiny_bundle.path("segment.fp16.onnx")), providers=["CPUExecutionProvider"])


def call(n_hops: int, n_segments: int, seed: int) -> dict[str, np.ndarray]:
    waveform = tiny.music(512 * n_hops, seed=seed)
    starts = np.arange(n_segments, dtype=np.int64) % (n_hops - 24)
    return {"waveform": waveform, "starts": starts}


@settings(max_examples=30, deadline=None)
@given(calls=st.lists(st.tuples(st.integers(40, 44), st.integers(1, 4), st.integers(0, 9)), min_size=1, max_size=12))
def test_it_answers_as_the_session_does(
    calls: list[tuple[int, int, int]], session: onnxruntime.InferenceSession
) -> None:
    bound = BoundSession(session, "cpu")
    for n_hops, n_segments, seed in calls:
        feed = call(n_hops, n_segments, seed)
        before = {name: values.copy() for name, values in feed.items()}
        (found,) = bound.run(NAMES, feed)
        (expected,) = session.run(NAMES, feed)
        np.testing.assert_array_equal(found, expected)
        for name, values in before.items():
            np.testing.assert_array_equal(feed[name], values)


def test_an_answer_stays_what_it_was_when_the_next_one_comes(session: onnxruntime.InferenceSession) -> None:
    bound = BoundSession(session, "cpu")
    (first,) = bound.run(NAMES, call(40, 3, seed=1))
    kept = first.copy()
    bound.run(NAMES, call(40, 3, seed=2))
    np.testing.assert_array_equal(first, kept)


def test_views_and_strides_do_not_matter(session: onnxruntime.InferenceSession) -> None:
    feed = call(80, 4, seed=3)
    strided = {"waveform": feed["waveform"][::2], "starts": feed["starts"][::2]}
    (found,) = BoundSession(session, "cpu").run(NAMES, strided)
    (expected,) = session.run(NAMES, {name: np.ascontiguousarray(values) for name, values in strided.items()})
    np.testing.assert_array_equal(found, expected)


def test_memory_is_kept_for_a_few_shapes_only(session: onnxruntime.InferenceSession) -> None:
    bound = BoundSession(session, "cpu")
    for n_segments in range(1, 3 * MOST_SHAPES):
        bound.run(NAMES, call(100, n_segments, seed=0))
        bound.run(NAMES, call(40, 1, seed=0))  # the one in use stays
        assert len(bound._bound) <= MOST_SHAPES
    assert ((40 * 512,), (1,)) in bound._bound
    assert ((100 * 512,), (1,)) not in bound._bound


def test_a_binding_of_graphs_has_a_number_of_its_own(session: onnxruntime.InferenceSession) -> None:
    bound = BoundSession(session, "cpu", graphs=True)
    for n_segments in (1, 2):
        bound.run(NAMES, call(40, n_segments, seed=0))
    numbers = [kept.options.get_run_config_entry("gpu_graph_id") for kept in bound._bound.values()]
    assert numbers == ["1", "2"]


def test_it_says_of_itself_what_the_session_does(session: onnxruntime.InferenceSession) -> None:
    bound = BoundSession(session, "cpu")
    assert bound.get_providers() == ["CPUExecutionProvider"]
    assert [value.name for value in bound.get_inputs()] == ["waveform", "starts"]
    assert [value.name for value in bound.get_outputs()] == [value.name for value in session.get_outputs()]
