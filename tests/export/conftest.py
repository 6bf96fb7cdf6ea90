"""One small run and its bundle, made once by the words that a user types."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest
from small_run import mertag, music_folder, small_networks

from mertag.listen.bundle import Bundle, load_bundle
from mertag.listen.manifest import Precision
from mertag_export import run as export_steps

Spoil = Callable[[onnx.ModelProto], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What ``mertag train`` and ``mertag export`` left, and said."""

    music: Path
    run: Path
    bundle: Bundle
    stdout: str
    stderr: str


@pytest.fixture(scope="module", autouse=True)
def small_network() -> Iterator[None]:
    """Hold for the modules of this folder only: other tests read runs of the real network."""
    with small_networks():
        yield


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    home = tmp_path_factory.mktemp("home")
    music = music_folder(home / "my music", per_class=14)
    with small_networks(), pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        words = "--dataset folder --target quadrant --segment 1 --epochs 5 --crops 2 --batch-size 8 --device cpu"
        code, out, err = mertag(
            "train",
            "--data-dir",
            music,
            *words.split(),
            "--threads",
            "1",
            "--teacher",
            "none",
            "--learner",
            "inherited",
        )
        assert code == 0, err
        code, out, err = mertag("export", "--precision", "int8,fp16,fp32")
        assert code == 0, err
    (run,) = (home / "runs").iterdir()
    return Made(music=music, run=run, bundle=load_bundle(run / "bundle"), stdout=out, stderr=err)


@pytest.fixture
def ready_graphs(made: Made, monkeypatch: pytest.MonkeyPatch) -> dict[Precision, Spoil]:
    """Take the graphs of the bundle in place of exporting them again; what is put in here spoils them."""
    spoil: dict[Precision, Spoil] = {}

    def export_segment(graph: export_steps.SegmentGraph, path: Path, *_: object) -> None:
        precision = Precision.FP16 if graph.half_networks else Precision.FP32
        model = onnx.load(made.bundle.folder / f"segment.{precision}.onnx")
        spoil.get(precision, lambda model: None)(model)
        onnx.save(model, path)

    monkeypatch.setattr(export_steps, "export_segment", export_segment)
    return spoil
