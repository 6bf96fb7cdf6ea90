"""Which precision is faster on this CPU: timed once, remembered, and never an error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_bundle as tiny

from mertag.listen import cpu_precision as precision
from mertag.listen.bundle import Precision, load_bundle
from mertag.listen.device import open_models


def test_the_faster_precision_is_timed_once_and_remembered(tmp_path: Path) -> None:
    cache = tmp_path / "deep" / "cache.json"
    prepared: list[Precision] = []

    def prepare(p: Precision) -> Callable[[], object]:
        prepared.append(p)
        work = 200_000 if p is Precision.INT8 else 100
        return lambda: sum(range(work))

    both = [Precision.INT8, Precision.FP32]
    first = precision.fastest(both, key="k", prepare=prepare, cache=cache)
    assert first.precision is Precision.FP32
    assert prepared == both
    again = precision.fastest(both, key="k", prepare=prepare, cache=cache)
    assert again == first
    assert prepared == both
    precision.fastest(both, key="another CPU", prepare=prepare, cache=cache)
    assert prepared == both * 2
    assert set(json.loads(cache.read_text())) == {"k", "another CPU"}


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"k": 3}', '{"k": {"int8": "x"}}', '{"k": {"int8": 1}}', "[" * 10**5]
)
def test_a_broken_cache_costs_the_time_again_and_no_more(tmp_path: Path, content: str) -> None:
    cache = tmp_path / "cache.json"
    cache.write_text(content)
    both = [Precision.INT8, Precision.FP32]
    choice = precision.fastest(both, key="k", prepare=lambda _: lambda: None, cache=cache)
    assert choice.precision in both
    assert set(json.loads(cache.read_text())["k"]) == set(both)


def test_a_cache_that_cannot_be_written_is_said_and_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    choice = precision.fastest(
        [Precision.INT8, Precision.FP32],
        key="k",
        prepare=lambda _: lambda: None,
        cache=tmp_path / "file" / "cache.json",
    )
    assert "could not be" in choice.reason


def test_on_a_cpu_fp16_weights_stand_in_for_fp32() -> None:
    names = {p: f"{p}.onnx" for p in Precision}
    assert precision.cpu_candidates(names) == [Precision.INT8, Precision.FP32]
    del names[Precision.FP32]
    assert precision.cpu_candidates(names) == [Precision.INT8, Precision.FP16]
    del names[Precision.INT8]
    assert precision.cpu_candidates(names) == [Precision.FP16]


def test_a_bundle_with_one_precision_needs_no_timing(tmp_path: Path) -> None:
    bundle = tiny.build(tmp_path, precisions=(Precision.FP32,))
    model = open_models(load_bundle(bundle.folder), device="cpu").segment
    assert model.precision is Precision.FP32
    assert "all that the bundle has" in model.reason
