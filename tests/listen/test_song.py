"""The key of a model: equal where results are equal, and readable where they are not."""

from __future__ import annotations

import hashlib

from mertag.listen.bundle import Bundle
from mertag.listen.song import difference, model_key, model_of
from mertag.listen.tagger import Tagger
from mertag.listen.windows import Segmentation


def test_the_key_names_the_bundle_its_whole_checksum_and_the_hop(tiny_bundle: Bundle) -> None:
    digest = hashlib.sha256((tiny_bundle.folder / "manifest.json").read_bytes()).hexdigest()
    key = model_key(tiny_bundle, segmentation=Segmentation(duration_s=3.0, hop_s=0.5))
    assert key == f"{tiny_bundle.id} manifest={digest} hop_s=0.5"
    assert model_of(key) == tiny_bundle.id
    some = model_key(tiny_bundle, segmentation=Segmentation(duration_s=3.0, hop_s=0.5), windows=2)
    assert some == f"{key} windows=2"


def test_the_key_of_a_tagger_goes_by_its_hop_and_not_by_its_precision_or_processes(tiny_bundle: Bundle) -> None:
    usual = Tagger(tiny_bundle, device="cpu").model_key
    assert Tagger(tiny_bundle, device="cpu", precision="fp16", workers=1, threads=1).model_key == usual
    assert Tagger(tiny_bundle, device="cpu", segment_hop_s=0.3).model_key != usual


def test_a_difference_is_told_as_another_model_or_as_other_settings() -> None:
    old, new = "m@1+aa manifest=1 hop_s=1.0", "m@2+bb manifest=2 hop_s=1.0"
    assert difference(old, new) == "with the model m@1+aa, and this run uses m@2+bb"
    assert difference("m manifest=1 hop_s=1.0", "m manifest=1 hop_s=0.5 windows=2") == (
        "with other settings (hop_s=1.0), and this run uses hop_s=0.5, windows=2"
    )
