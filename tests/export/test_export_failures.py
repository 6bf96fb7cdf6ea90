"""An export that fails leaves nothing behind, and what was there before stays."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import Made, Spoil
from onnx import numpy_helper
from small_run import mertag

from mertag.errors import ConfigError, ExportError, ParityError
from mertag.listen.bundle import load_bundle
from mertag.listen.manifest import Precision
from mertag_export import run as export_steps
from mertag_export.run import ExportOptions, export_run
from mertag_train.runs import run as runs

pytestmark = pytest.mark.command


@pytest.fixture(scope="module")
def run(made: Made) -> runs.Run:
    return runs.load(made.run)


def options(*precisions: Precision, **changes: object) -> ExportOptions:
    given = {"name": "again", "version": "2", "precisions": precisions or (Precision.FP32,), "check_songs": 3}
    return ExportOptions(**{**given, **changes})  # type: ignore[arg-type]


def change_a_weight(model: onnx.ModelProto, by: float = 0.5) -> None:
    """Change one weight of the last linear layer."""
    last = next(i for i in model.graph.initializer if i.name.endswith("head.4.weight"))
    values = numpy_helper.to_array(last).copy()
    values[0, 0] += by * np.abs(values).max()
    last.CopyFrom(numpy_helper.from_array(values, last.name))


def litter(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_weight_that_changed_is_found_and_nothing_is_left(
    run: runs.Run, ready_graphs: dict[Precision, Spoil], tmp_path: Path
) -> None:
    ready_graphs[Precision.FP32] = change_a_weight
    with pytest.raises(ParityError, match=r"against torch: .* no bundle was written"):
        export_run(run, tmp_path / "bundle", options())
    assert litter(tmp_path) == []


def test_a_half_precision_graph_that_computes_something_else_is_found(
    run: runs.Run, ready_graphs: dict[Precision, Spoil], tmp_path: Path
) -> None:
    ready_graphs[Precision.FP16] = lambda model: change_a_weight(model, by=20.0)
    with pytest.raises(ParityError, match="fp16 against fp32"):
        export_run(run, tmp_path / "bundle", options(Precision.FP16))
    assert litter(tmp_path) == []


def test_a_song_graph_that_computes_something_else_is_found(
    run: runs.Run, ready_graphs: dict[Precision, Spoil], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = export_steps.export_song

    def spoilt(classifier: object, path: Path, *, n_classes: int) -> None:
        exact(classifier, path, n_classes=n_classes)  # type: ignore[arg-type]
        model = onnx.load(path)
        linear = next(node for node in model.graph.node if node.op_type == "LinearClassifier")
        (intercepts,) = (attribute for attribute in linear.attribute if attribute.name == "intercepts")
        intercepts.floats[0] += 1e-3
        onnx.save(model, path)

    monkeypatch.setattr(export_steps, "export_song", spoilt)
    with pytest.raises(ParityError, match="scikit-learn"):
        export_run(run, tmp_path / "bundle", options())
    assert litter(tmp_path) == []


def test_a_failed_export_leaves_the_bundle_that_was_there(
    made: Made, run: runs.Run, ready_graphs: dict[Precision, Spoil], tmp_path: Path
) -> None:
    shutil.copytree(made.bundle.folder, tmp_path / "bundle")
    ready_graphs[Precision.FP32] = change_a_weight
    with pytest.raises(ParityError):
        export_run(run, tmp_path / "bundle", options(), overwrite=True)
    assert load_bundle(tmp_path / "bundle").id == made.bundle.id
    assert litter(tmp_path) == ["bundle"]


def test_overwrite_replaces_a_bundle_whole(
    made: Made, run: runs.Run, ready_graphs: dict[Precision, Spoil], tmp_path: Path
) -> None:
    shutil.copytree(made.bundle.folder, tmp_path / "bundle")
    bundle = export_run(run, tmp_path / "bundle", options(), overwrite=True)
    assert load_bundle(tmp_path / "bundle").id == bundle.id != made.bundle.id
    assert not (tmp_path / "bundle" / "segment.int8.onnx").exists()
    assert litter(tmp_path) == ["bundle"]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_full_disk_leaves_no_half_bundle(run: runs.Run, ready_graphs: dict[Precision, Spoil], tmp_path: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))  # no file may grow larger: the graphs do
    try:
        with pytest.raises(ExportError, match="make room there"):
            export_run(run, tmp_path / "bundle", options())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert litter(tmp_path) == []


def test_overwrite_never_replaces_a_folder_of_music(made: Made, tmp_path: Path) -> None:
    music = tmp_path / "music"
    music.mkdir()
    (music / "song.flac").write_bytes(b"precious")
    code, _, err = mertag("export", made.run, "--out", music, "--overwrite")
    assert code == 2
    assert "not a model bundle" in err
    assert (music / "song.flac").read_bytes() == b"precious"


def test_overwrite_never_replaces_a_bundle_with_other_files_in_it(made: Made, run: runs.Run, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    shutil.copytree(made.bundle.folder, out)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds other files"):
        export_run(run, out, options(), overwrite=True)
    assert (out / "notes.txt").read_text() == "mine"


def test_a_name_that_cannot_stand_in_a_tag_is_refused() -> None:
    with pytest.raises(ConfigError, match="unsafe name"):
        options(name="a/b")
    with pytest.raises(ConfigError, match="precision"):
        ExportOptions(name="a", version="1", precisions=())
