"""Bundles on disk: read back the same, and refused where a file is not what the manifest says."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tiny_bundle
from damaged_bundles import edit, load_manifest, refuse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mertag.emotion import Target
from mertag.errors import BundleError
from mertag.listen.bundle import Bundle, Precision, default_bundle_path, load_bundle, write_bundle


def test_a_written_bundle_is_read_back_the_same(tiny_bundle: Bundle) -> None:
    again = load_bundle(tiny_bundle.folder)
    assert again == tiny_bundle
    sha = hashlib.sha256((again.folder / "manifest.json").read_bytes()).hexdigest()
    assert again.id == f"tiny@1+{sha[:8]}"
    assert again.manifest.segment == {
        Precision.INT8: "segment.int8.onnx",
        Precision.FP16: "segment.fp16.onnx",
    }
    assert set(again.manifest.files) == {p.name for p in again.folder.iterdir()} - {"manifest.json"}


def test_the_card_and_the_golden_arrays_are_read(tiny_bundle: Bundle) -> None:
    assert tiny_bundle.card().startswith("# A tiny model")
    golden = tiny_bundle.golden()
    assert golden["probabilities_quadrant"].shape == (len(golden["starts"]), 4)


def test_free_json_survives(tmp_path: Path) -> None:
    metrics = {"macro_f1": 0.5, "confusion": [[1, 2], [3, 4]], "note": None}
    bundle = tiny_bundle.build(tmp_path, metrics=metrics, training_command="mertag train --dataset 4q")
    assert bundle.manifest.metrics == metrics
    assert bundle.manifest.training_command == "mertag train --dataset 4q"


def test_a_bundle_may_have_a_valence_and_an_arousal_head(tmp_path: Path) -> None:
    bundle = tiny_bundle.build(tmp_path, targets=(Target.VALENCE, Target.AROUSAL))
    assert [head.target for head in bundle.manifest.heads] == [Target.VALENCE, Target.AROUSAL]


def test_one_changed_byte_is_refused(bundle_folder: Path) -> None:
    data = bytearray((bundle_folder / "segment.int8.onnx").read_bytes())
    data[-1] ^= 1
    (bundle_folder / "segment.int8.onnx").write_bytes(data)
    refuse(bundle_folder, "segment.int8.onnx", "SHA-256", "fetch the bundle again")


def test_a_change_after_loading_is_refused_when_the_file_is_used(bundle_folder: Path) -> None:
    bundle = load_bundle(bundle_folder)
    (bundle_folder / "song.quadrant.onnx").write_bytes(b"other")
    with pytest.raises(BundleError, match="SHA-256"):
        bundle.read("song.quadrant.onnx")


def test_a_missing_file_is_refused(bundle_folder: Path) -> None:
    (bundle_folder / "golden.npz").unlink()
    refuse(bundle_folder, "golden.npz", "missing")


def test_an_unlisted_file_is_refused(bundle_folder: Path) -> None:
    (bundle_folder / "extra.bin").write_bytes(b"?")
    refuse(bundle_folder, "extra.bin", "not in the manifest")


@pytest.mark.parametrize("litter", [".DS_Store", "Thumbs.db", "desktop.ini"])
def test_what_file_managers_leave_behind_does_no_harm(bundle_folder: Path, litter: str) -> None:
    (bundle_folder / litter).write_bytes(b"?")
    load_bundle(bundle_folder)


def test_a_folder_in_place_of_a_file_is_refused(bundle_folder: Path) -> None:
    (bundle_folder / "golden.npz").unlink()
    (bundle_folder / "golden.npz").mkdir()
    refuse(bundle_folder, "golden.npz")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
@pytest.mark.parametrize("name", ["golden.npz", "manifest.json", "segment.int8.onnx"])
def test_a_pipe_in_place_of_a_file_is_refused_at_once(bundle_folder: Path, name: str) -> None:
    (bundle_folder / name).unlink()
    os.mkfifo(bundle_folder / name)
    refuse(bundle_folder, name, "not a plain file")


CHANGES = st.sampled_from(["cut", "flip", "insert", "append", "empty", "random", "swap", "link", "remove", "rename"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_bundle_in_which_anything_changed_is_refused_or_another_one(tiny_bundle: Bundle, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(shutil.copytree(tiny_bundle.folder, Path(parent) / "bundle"))
        path = folder / data.draw(st.sampled_from(sorted(p.name for p in folder.iterdir())))
        change, old = data.draw(CHANGES), path.read_bytes()
        at = data.draw(st.integers(0, len(old) - 1))
        some = data.draw(st.binary(min_size=1, max_size=20))
        if change == "remove":
            path.unlink()
        elif change == "rename":
            path.rename(folder / "renamed")
        elif change == "link":
            path.rename(Path(parent) / "elsewhere")
            path.symlink_to(Path(parent) / "elsewhere")
        elif change == "swap":
            other = folder / data.draw(st.sampled_from(sorted(p.name for p in folder.iterdir())))
            path.write_bytes(other.read_bytes())
        else:
            flipped = old[:at] + bytes([old[at] ^ 1 << data.draw(st.integers(0, 7))]) + old[at + 1 :]
            new = {"cut": old[:at], "flip": flipped, "insert": old[:at] + some + old[at:], "append": old + some}
            path.write_bytes(new.get(change, b"" if change == "empty" else some))
        try:
            found = load_bundle(folder)
        except BundleError:
            return
        same = all((folder / p.name).read_bytes() == p.read_bytes() for p in tiny_bundle.folder.iterdir())
        assert (found.id == tiny_bundle.id) is same
        assert same or path.name == "manifest.json"  # such as a space more in it: JSON, and another bundle


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_sealed_bundle_with_a_broken_graph_is_an_error_of_ours(tiny_bundle: Bundle, data: st.DataObject) -> None:
    """Its maker may well have given the right checksums."""
    from mertag.errors import MertagError
    from mertag.listen.device import open_models

    with tempfile.TemporaryDirectory() as parent:
        folder = Path(shutil.copytree(tiny_bundle.folder, Path(parent) / "bundle"))
        graph = folder / data.draw(st.sampled_from(["segment.int8.onnx", "song.quadrant.onnx"]))
        content = bytearray(graph.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, min(len(content), 3_000) - 5))
            content[at : at + 4] = data.draw(st.binary(min_size=0, max_size=6))
        graph.write_bytes(bytes(content))
        with contextlib.suppress(MertagError):
            bundle = write_bundle(folder, load_manifest(folder))
            open_models(bundle, device="cpu", threads=1, precision="int8")


def test_a_link_out_of_the_bundle_is_refused(bundle_folder: Path, tmp_path: Path) -> None:
    shutil.move(bundle_folder / "golden.npz", tmp_path / "elsewhere.npz")
    (bundle_folder / "golden.npz").symlink_to(tmp_path / "elsewhere.npz")
    refuse(bundle_folder, "golden.npz", "a link out of the bundle")


def test_a_manifest_that_is_a_link_out_is_refused(bundle_folder: Path, tmp_path: Path) -> None:
    shutil.move(bundle_folder / "manifest.json", tmp_path / "m.json")
    (bundle_folder / "manifest.json").symlink_to(tmp_path / "m.json")
    refuse(bundle_folder, "manifest.json", "a link out of the bundle")


def test_pickles_in_the_golden_file_are_never_loaded(bundle_folder: Path) -> None:
    np.savez(bundle_folder / "golden.npz", evil=np.array([{"a": 1}], dtype=object))
    digest = hashlib.sha256((bundle_folder / "golden.npz").read_bytes()).hexdigest()
    edit(bundle_folder, lambda m: m["files"].update({"golden.npz": digest}))
    bundle = load_bundle(bundle_folder)
    with pytest.raises(BundleError, match="plain arrays"):
        bundle.golden()


def test_without_a_folder_the_environment_names_it(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERTAG_BUNDLE", str(tiny_bundle.folder))
    assert load_bundle() == tiny_bundle
    monkeypatch.setenv("MERTAG_BUNDLE", str(tiny_bundle.folder / "nowhere"))
    with pytest.raises(BundleError, match="no such bundle folder"):
        load_bundle()


def test_the_default_bundle_lies_in_the_package() -> None:
    import mertag

    assert default_bundle_path() == Path(mertag.__file__).parent / "models" / "default"


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    refuse(tmp_path, "manifest.json", "no model bundle")


def test_writing_refuses_a_bundle_without_what_the_model_needs(bundle_folder: Path) -> None:
    manifest = load_manifest(bundle_folder)
    (bundle_folder / "song.quadrant.onnx").unlink()
    with pytest.raises(BundleError, match=r"song\.quadrant\.onnx"):
        write_bundle(bundle_folder, manifest)


def test_writing_refuses_folders_inside(bundle_folder: Path) -> None:
    (bundle_folder / "more").mkdir()
    with pytest.raises(BundleError, match="more"):
        write_bundle(bundle_folder, load_manifest(bundle_folder))
