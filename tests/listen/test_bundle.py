"""Bundles on disk: what is refused, and with which words."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_bundle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mertag.emotion import Target
from mertag.errors import BundleError
from mertag.listen.bundle import Bundle, Precision, default_bundle_path, load_bundle, write_bundle
from mertag.listen.external_data import has_external_data
from mertag.listen.manifest import Manifest


@pytest.fixture
def folder(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """A copy of a good bundle, to be damaged."""
    return Path(shutil.copytree(tiny_bundle.folder, tmp_path / "bundle"))


def edit(folder: Path, change: Callable[[dict], object]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def refuse(folder: Path, *words: str) -> None:
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    for word in (str(folder), *words):
        assert word in str(caught.value)


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


def test_one_changed_byte_is_refused(folder: Path) -> None:
    data = bytearray((folder / "segment.int8.onnx").read_bytes())
    data[-1] ^= 1
    (folder / "segment.int8.onnx").write_bytes(data)
    refuse(folder, "segment.int8.onnx", "SHA-256", "fetch the bundle again")


def test_a_change_after_loading_is_refused_when_the_file_is_used(folder: Path) -> None:
    bundle = load_bundle(folder)
    (folder / "song.quadrant.onnx").write_bytes(b"other")
    with pytest.raises(BundleError, match="SHA-256"):
        bundle.read("song.quadrant.onnx")


def test_a_missing_file_is_refused(folder: Path) -> None:
    (folder / "golden.npz").unlink()
    refuse(folder, "golden.npz", "missing")


def test_an_unlisted_file_is_refused(folder: Path) -> None:
    (folder / "extra.bin").write_bytes(b"?")
    refuse(folder, "extra.bin", "not in the manifest")


@pytest.mark.parametrize("litter", [".DS_Store", "Thumbs.db", "desktop.ini"])
def test_what_file_managers_leave_behind_does_no_harm(folder: Path, litter: str) -> None:
    (folder / litter).write_bytes(b"?")
    load_bundle(folder)


def test_a_folder_in_place_of_a_file_is_refused(folder: Path) -> None:
    (folder / "golden.npz").unlink()
    (folder / "golden.npz").mkdir()
    refuse(folder, "golden.npz")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
@pytest.mark.parametrize("name", ["golden.npz", "manifest.json", "segment.int8.onnx"])
def test_a_pipe_in_place_of_a_file_is_refused_at_once(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    refuse(folder, name, "not a plain file")


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


def test_a_link_out_of_the_bundle_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / "golden.npz", tmp_path / "elsewhere.npz")
    (folder / "golden.npz").symlink_to(tmp_path / "elsewhere.npz")
    refuse(folder, "golden.npz", "a link out of the bundle")


def test_a_manifest_that_is_a_link_out_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / "manifest.json", tmp_path / "m.json")
    (folder / "manifest.json").symlink_to(tmp_path / "m.json")
    refuse(folder, "manifest.json", "a link out of the bundle")


UNSAFE_NAMES = [
    "../secret",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "C:secret",
    "..",
    ".",
    "",
    ".hidden",
    "nul",
    "COM1.onnx",
    "a\n",
    "a\0",
    "a.",
    "ä",
    "x" * 101,
]


@pytest.mark.parametrize("name", UNSAFE_NAMES)
def test_names_that_could_leave_the_folder_are_refused(folder: Path, name: str) -> None:
    pristine = (folder / "manifest.json").read_text()
    edit(folder, lambda m: m["files"].update({name: "0" * 64}))
    refuse(folder, "unsafe name")
    (folder / "manifest.json").write_text(pristine)
    edit(folder, lambda m: m["segment"].update(int8=name))
    refuse(folder, "unsafe name")
    (folder / "manifest.json").write_text(pristine)
    edit(folder, lambda m: m["heads"][0].update(song=name))
    refuse(folder, "unsafe name")


@pytest.mark.parametrize("key", ["name", "version"])
@pytest.mark.parametrize("value", ["a b", "a@b", "a+b", "a;b", ""])
def test_names_that_would_spoil_the_id_are_refused(folder: Path, key: str, value: str) -> None:
    edit(folder, lambda m: m.update({key: value}))
    refuse(folder, key)


@pytest.mark.parametrize("key", [*tiny_bundle.manifest_of((), (), tiny_bundle.SEGMENTATION), "files", "schema"])
def test_a_missing_key_is_named(folder: Path, key: str) -> None:
    edit(folder, lambda m: m.pop(key))
    refuse(folder, "manifest.json", repr(key), "missing")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("name",), 3),
        (("schema",), True),
        (("schema",), 1.0),
        (("schema",), "1"),
        (("heads",), {}),
        (("heads",), []),
        (("heads",), ["quadrant"]),
        (("heads", 0, "target"), "mood"),
        (("heads", 0, "target"), "valence"),
        (("heads", 0, "classes"), ["Q4", "Q3", "Q2", "Q1"]),
        (("heads", 0, "classes"), [1, 2, 3, 4]),
        (("segment",), {}),
        (("segment",), {"int4": "segment.int8.onnx"}),
        (("segment", "int8"), None),
        (("segment", "int8"), "other.onnx"),
        (("front_end", "hop_length"), 512.0),
        (("front_end", "hop_length"), 0),
        (("front_end", "n_fft"), 1 << 40),
        (("front_end", "sample_rate"), 10**12),
        (("front_end", "amin"), -1.0),
        (("front_end", "preemphasis"), 0.97),
        (("segmentation", "hop_s"), 0),
        (("segmentation", "duration_s"), 1e300),
        (("window_rule", "hop_s"), "15"),
        (("files",), []),
        (("files", "golden.npz"), "abc"),
        (("files", "golden.npz"), "A" * 64),
        (("files", "manifest.json"), "0" * 64),
        (("metrics",), 1),
        (("shared",), "int8"),
        (("shared",), ["int4"]),
        (("shared",), ["fp32"]),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(folder: Path, path: tuple, value: object) -> None:
    def change(manifest: dict) -> None:
        *above, last = path
        for key in above:
            manifest = manifest[key]
        manifest[last] = value

    edit(folder, change)
    refuse(folder)


def test_two_heads_of_one_target_are_refused(folder: Path) -> None:
    edit(folder, lambda m: m["heads"].append(m["heads"][0]))
    refuse(folder, "same target")


def test_an_unknown_key_at_the_top_is_left_alone(folder: Path) -> None:
    edit(folder, lambda m: m.update(homepage="https://example.org"))
    load_bundle(folder)


def test_a_manifest_that_does_not_say_what_is_shared_shares_nothing(folder: Path) -> None:
    edit(folder, lambda m: m.pop("shared"))
    assert load_bundle(folder).manifest.shared == ()
    edit(folder, lambda m: m.update(shared=["int8"]))
    assert load_bundle(folder).manifest.shared == (Precision.INT8,)


def test_an_unknown_schema_says_which_mertag_reads_it(folder: Path) -> None:
    edit(folder, lambda m: m.update(schema=2, created_by="mertag 3.1.4"))
    refuse(folder, "schema 2", "pip install 'mertag>=3.1.4'")


def test_an_unknown_schema_does_not_put_foreign_words_into_the_advice(folder: Path) -> None:
    edit(folder, lambda m: m.update(schema=2, created_by="mertag 1'; rm -rf ~ #"))
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    assert "rm -rf" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"schema": NaN}',
        '{"schema": Infinity}',
        '{"schema": 1, "schema": 1}',
        '{"metrics": {"a": 1e999}}',
        "[" * 100_000,
        '{"schema": ' + "9" * 5_000 + "}",
        b"\xff\xfe\xfd",
    ],
)
def test_what_is_not_strict_json_is_refused(folder: Path, text: str | bytes) -> None:
    (folder / "manifest.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    refuse(folder, "manifest.json")


def test_a_huge_manifest_is_refused(folder: Path) -> None:
    edit(folder, lambda m: m.update(metrics={"x": "y" * (1 << 20)}))
    refuse(folder, "manifest.json", "more than")


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["schema", "heads", "files", "segment", "front_end", "name"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    ),
    st.sampled_from(["heads", "segment", "files", "front_end", "segmentation", "window_rule", "metrics", "name"]),
)
def test_no_manifest_does_worse_than_a_bundle_error(value: object, key: str) -> None:
    good = json.loads(
        Manifest(**tiny_bundle.manifest_of((Target.QUADRANT,), (Precision.INT8,), tiny_bundle.SEGMENTATION)).to_json()
    )
    with contextlib.suppress(BundleError):
        Manifest.from_json(json.dumps({**good, key: value}))


def test_pickles_in_the_golden_file_are_never_loaded(folder: Path) -> None:
    np.savez(folder / "golden.npz", evil=np.array([{"a": 1}], dtype=object))
    digest = hashlib.sha256((folder / "golden.npz").read_bytes()).hexdigest()
    edit(folder, lambda m: m["files"].update({"golden.npz": digest}))
    bundle = load_bundle(folder)
    with pytest.raises(BundleError, match="plain arrays"):
        bundle.golden()


def test_a_graph_with_external_data_is_refused(folder: Path) -> None:
    write_external(folder / "segment.int8.onnx", "secret.bin")
    manifest = load_manifest(folder)
    with pytest.raises(BundleError, match="outside the file"):
        write_bundle(folder, manifest)


def test_a_graph_that_is_no_protocol_buffer_is_refused(folder: Path) -> None:
    (folder / "song.quadrant.onnx").write_bytes(b"\xff" * 40)
    with pytest.raises(BundleError, match="not an ONNX file"):
        write_bundle(folder, load_manifest(folder))


def load_manifest(folder: Path) -> Manifest:
    return Manifest.from_json((folder / "manifest.json").read_text())


def external_tensor(location: str = "secret.bin") -> onnx.TensorProto:
    tensor = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def write_external(path: Path, location: str) -> None:
    model = onnx.load(path)
    model.graph.initializer.append(external_tensor(location))
    path.write_bytes(model.SerializeToString())


def model_with(place: str) -> onnx.ModelProto:
    """Hide an external tensor in each place where a model can hold one."""
    tensor = external_tensor()
    constant = helper.make_node("Constant", [], ["w"])
    constant.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(tensor)
    graph = helper.make_graph([], "g", [], [])
    model = helper.make_model(graph)
    if place == "initializer":
        model.graph.initializer.append(tensor)
    elif place == "sparse":
        model.graph.sparse_initializer.add().values.CopyFrom(tensor)
    elif place == "attribute":
        model.graph.node.append(constant)
    elif place == "tensors":
        model.graph.node.add(op_type="X").attribute.add(name="many").tensors.append(tensor)
    elif place == "subgraph":
        inner = model.graph.node.add(op_type="If").attribute.add(name="then_branch").g
        inner.node.append(constant)
    elif place == "function":
        model.functions.add(name="f").node.append(constant)
    elif place == "training":
        model.training_info.add().algorithm.initializer.append(tensor)
    elif place == "entries only":
        tensor.ClearField("data_location")
        model.graph.initializer.append(tensor)
    elif place == "location only":
        tensor.ClearField("external_data")
        model.graph.initializer.append(tensor)
    return model


@pytest.mark.parametrize(
    "place",
    [
        "initializer",
        "sparse",
        "attribute",
        "tensors",
        "subgraph",
        "function",
        "training",
        "entries only",
        "location only",
    ],
)
def test_external_data_is_found_wherever_it_hides(place: str) -> None:
    assert has_external_data(model_with(place).SerializeToString())


def test_weights_that_look_like_external_data_are_not_taken_for_it() -> None:
    disguised = np.frombuffer(external_tensor().SerializeToString().ljust(64, b"\0"), np.float32)
    model = model_with("nowhere")
    model.graph.initializer.append(numpy_helper.from_array(disguised.copy(), "w"))
    assert not has_external_data(model.SerializeToString())


@given(st.binary(max_size=200))
def test_no_bytes_do_worse_than_a_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        has_external_data(data)


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


def test_writing_refuses_a_bundle_without_what_the_model_needs(folder: Path) -> None:
    manifest = load_manifest(folder)
    (folder / "song.quadrant.onnx").unlink()
    with pytest.raises(BundleError, match=r"song\.quadrant\.onnx"):
        write_bundle(folder, manifest)


def test_writing_refuses_folders_inside(folder: Path) -> None:
    (folder / "more").mkdir()
    with pytest.raises(BundleError, match="more"):
        write_bundle(folder, load_manifest(folder))
