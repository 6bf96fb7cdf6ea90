"""The manifest of a bundle: names, keys and values that are refused, and with which words."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import tiny_bundle
from damaged_bundles import edit, refuse
from hypothesis import given, settings
from hypothesis import strategies as st

from mertag.emotion import Target
from mertag.errors import BundleError
from mertag.listen.bundle import Precision, load_bundle
from mertag.listen.manifest import Manifest

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
def test_names_that_could_leave_the_folder_are_refused(bundle_folder: Path, name: str) -> None:
    pristine = (bundle_folder / "manifest.json").read_text()
    edit(bundle_folder, lambda m: m["files"].update({name: "0" * 64}))
    refuse(bundle_folder, "unsafe name")
    (bundle_folder / "manifest.json").write_text(pristine)
    edit(bundle_folder, lambda m: m["segment"].update(int8=name))
    refuse(bundle_folder, "unsafe name")
    (bundle_folder / "manifest.json").write_text(pristine)
    edit(bundle_folder, lambda m: m["heads"][0].update(song=name))
    refuse(bundle_folder, "unsafe name")


@pytest.mark.parametrize("key", ["name", "version"])
@pytest.mark.parametrize("value", ["a b", "a@b", "a+b", "a;b", ""])
def test_names_that_would_spoil_the_id_are_refused(bundle_folder: Path, key: str, value: str) -> None:
    edit(bundle_folder, lambda m: m.update({key: value}))
    refuse(bundle_folder, key)


@pytest.mark.parametrize("key", [*tiny_bundle.manifest_of((), (), tiny_bundle.SEGMENTATION), "files", "schema"])
def test_a_missing_key_is_named(bundle_folder: Path, key: str) -> None:
    edit(bundle_folder, lambda m: m.pop(key))
    refuse(bundle_folder, "manifest.json", repr(key), "missing")


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
def test_a_value_of_the_wrong_kind_is_refused(bundle_folder: Path, path: tuple, value: object) -> None:
    def change(manifest: dict) -> None:
        *above, last = path
        for key in above:
            manifest = manifest[key]
        manifest[last] = value

    edit(bundle_folder, change)
    refuse(bundle_folder)


def test_two_heads_of_one_target_are_refused(bundle_folder: Path) -> None:
    edit(bundle_folder, lambda m: m["heads"].append(m["heads"][0]))
    refuse(bundle_folder, "same target")


def test_an_unknown_key_at_the_top_is_left_alone(bundle_folder: Path) -> None:
    edit(bundle_folder, lambda m: m.update(homepage="https://example.org"))
    load_bundle(bundle_folder)


def test_a_manifest_that_does_not_say_what_is_shared_shares_nothing(bundle_folder: Path) -> None:
    edit(bundle_folder, lambda m: m.pop("shared"))
    assert load_bundle(bundle_folder).manifest.shared == ()
    edit(bundle_folder, lambda m: m.update(shared=["int8"]))
    assert load_bundle(bundle_folder).manifest.shared == (Precision.INT8,)


def test_an_unknown_schema_says_which_mertag_reads_it(bundle_folder: Path) -> None:
    edit(bundle_folder, lambda m: m.update(schema=2, created_by="mertag 3.1.4"))
    refuse(bundle_folder, "schema 2", "pip install 'mertag>=3.1.4'")


def test_an_unknown_schema_does_not_put_foreign_words_into_the_advice(bundle_folder: Path) -> None:
    edit(bundle_folder, lambda m: m.update(schema=2, created_by="mertag 1'; rm -rf ~ #"))
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle_folder)
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
def test_what_is_not_strict_json_is_refused(bundle_folder: Path, text: str | bytes) -> None:
    (bundle_folder / "manifest.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    refuse(bundle_folder, "manifest.json")


def test_a_huge_manifest_is_refused(bundle_folder: Path) -> None:
    edit(bundle_folder, lambda m: m.update(metrics={"x": "y" * (1 << 20)}))
    refuse(bundle_folder, "manifest.json", "more than")


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
