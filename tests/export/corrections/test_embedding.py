"""What the last layers see, behind the probabilities: the same moods, and more to learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import tiny_bundle

from mertag.emotion import Target
from mertag.errors import BundleError
from mertag.listen.bundle import Bundle, load_bundle
from mertag.listen.manifest import Head, Manifest
from mertag.listen.tagger import Tagger
from mertag.listen.windows import FrontEnd
from mertag.outcomes import Tagged

pytest.importorskip("sklearn")

from drawn_corrections import VERDICT, drawn

from mertag_export.corrections.bundle import write_corrected
from mertag_export.corrections.embedding import bundle_with_embedding, last_inputs, principal
from mertag_export.graphs import check_golden, run_song_graph, session

BOTH = pytest.mark.parametrize("targets", [(Target.QUADRANT,), (Target.VALENCE, Target.AROUSAL)])


def widened(old: Bundle, folder: Path) -> Bundle:
    folder.mkdir()
    return bundle_with_embedding(old, folder)


def outputs(bundle: Bundle, target: Target) -> np.ndarray:
    waveform, starts = tiny_bundle.example()
    name = next(iter(bundle.manifest.segment.values()))
    (found,) = session(bundle.path(name)).run([f"probabilities_{target}"], {"waveform": waveform, "starts": starts})
    return np.asarray(found)


@BOTH
def test_what_the_last_layers_see_stands_behind_the_probabilities(targets: tuple[Target, ...], tmp_path: Path) -> None:
    old = tiny_bundle.build(tmp_path / "old", targets=targets)
    new = widened(old, tmp_path / "new")
    for head in new.manifest.heads:
        k = len(head.classes)
        weights = tiny_bundle.weights(head.target)
        assert head.embedding == len(weights)
        found, before = outputs(new, head.target), outputs(old, head.target)
        assert np.abs(found[:, :k] - before).max() < 1e-6
        seen = found[:, k:].astype(float)
        assert np.abs(tiny_bundle.softmax(seen @ weights.astype(float)) - before).max() < 1e-4
        features = np.random.default_rng(0).random((3, head.n_features)).astype(np.float32)
        judged = run_song_graph(session(new.path(head.song)), features)
        assert np.array_equal(judged, run_song_graph(session(old.path(head.song)), features[:, : 7 * k]))


@pytest.mark.command
def test_a_song_has_the_mood_that_it_had_and_longer_features(tmp_path: Path) -> None:
    old = tiny_bundle.build(tmp_path / "old")
    new = widened(old, tmp_path / "new")
    (head,) = new.manifest.heads
    song = tmp_path / "song.wav"
    soundfile.write(song, tiny_bundle.music(22_050 * 8), 22_050)
    with Tagger(old.folder, device="cpu", workers=1) as tagger:
        before, course = tagger.tag(song), tagger.segments(song).probabilities
    with Tagger(new.folder, device="cpu", workers=1) as tagger:
        after, longer = tagger.tag(song), tagger.segments(song).probabilities
        ((outcome, features),) = tagger.features_many([song])
    assert isinstance(outcome, Tagged)
    assert features[Target.QUADRANT].shape == (after.n_windows, 7 * 4 + head.embedding)
    assert np.abs(np.subtract(after.quadrant_probabilities, before.quadrant_probabilities)).max() < 1e-5
    assert np.abs(longer[Target.QUADRANT] - course[Target.QUADRANT]).max() < 1e-5


@BOTH
def test_a_corrected_bundle_goes_by_its_embedding_and_can_be_corrected_again(
    targets: tuple[Target, ...], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    old = tiny_bundle.build(tmp_path / "old", targets=targets)
    projections = {t: rng.normal(0, 1, (len(tiny_bundle.weights(t)), 3)) for t in targets}
    k = 4 if Target.QUADRANT in targets else 2
    corrections = {t: drawn(rng, k, 7 * k + 3) for t in targets}
    for name in ("new", "newer"):
        (tmp_path / name).mkdir()
    new = write_corrected(old, tmp_path / "new", corrections, VERDICT, projections)
    newer = write_corrected(new, tmp_path / "newer", corrections, VERDICT, projections)
    for target in targets:
        wide = widened(old, tmp_path / f"wide {target}")
        seen = outputs(wide, target)[:, k:].astype(float) @ projections[target]
        assert np.abs(outputs(new, target)[:, k:] - seen).max() < 1e-3
        assert np.array_equal(outputs(newer, target), outputs(new, target))  # one embedding, not two
        features = rng.random((5, 7 * k + 3)).astype(np.float32)
        p = run_song_graph(session(old.path(f"song.{target}.onnx")), features[:, : 7 * k]).astype(float)
        for bundle in (new, newer):
            p = corrections[target].probabilities(features.astype(float), p)
            assert np.abs(run_song_graph(session(bundle.path(f"song.{target}.onnx")), features) - p).max() < 1e-4


@pytest.mark.command
def test_the_model_that_comes_with_mertag_gets_an_embedding_and_keeps_its_probabilities(tmp_path: Path) -> None:
    old = load_bundle(None)
    graphs = [onnx.load_from_string(old.read(name)).graph for name in old.manifest.segment.values()]
    rng = np.random.default_rng(0)
    corrections, projections = {}, {}
    for head in old.manifest.heads:
        k = len(head.classes)
        (widths,) = {tuple(n for _, n in last_inputs(g, f"probabilities_{head.target}")) for g in graphs}  # the same
        projections[head.target] = rng.normal(0, 0.01, (sum(widths), 5))
        corrections[head.target] = drawn(rng, k, 7 * k + 5)
    (tmp_path / "new").mkdir()
    new = write_corrected(old, tmp_path / "new", corrections, VERDICT, projections)
    found = check_golden(new)  # probabilities of segments as they were
    assert len(found) == len(graphs) * len(old.manifest.heads) + len(old.manifest.heads)
    for head in new.manifest.heads:
        assert new.golden()[f"features.{head.target}"].shape == (1, 7 * len(head.classes) + 5)


def test_directions_are_those_in_which_songs_differ_whatever_the_size_of_the_numbers() -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(0, 1, 200)
    x = np.stack(
        [1000 * common, common + 0.1 * rng.normal(0, 1, 200), rng.normal(0, 1, 200), np.full(200, 7.0)], axis=1
    )
    found = principal(list(x), 2)
    assert found.shape == (4, 2)
    assert np.abs(np.corrcoef((x @ found)[:, 0], common)[0, 1]) > 0.99
    assert np.array_equal(found[3], [0, 0])
    assert principal(list(np.zeros((5, 3))), 2).shape == (3, 0)


@pytest.mark.parametrize("embedding", [-1, 10**9])
def test_an_embedding_that_cannot_be_is_refused(embedding: int, tmp_path: Path) -> None:
    manifest = tiny_bundle.build(tmp_path / "old").manifest
    (head,) = manifest.heads
    with pytest.raises(BundleError, match="embedding of quadrant"):
        Manifest(
            name="a",
            version="1",
            heads=(Head(target=head.target, classes=head.classes, song=head.song, embedding=embedding),),
            segment=manifest.segment,
            licence="",
            front_end=FrontEnd(),
        )
