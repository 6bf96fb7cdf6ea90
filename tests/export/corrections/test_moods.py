"""Whose moods the files have, and what a corrected bundle is."""

from __future__ import annotations

from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile
import tiny_bundle
from fake_tagger import emotion

from mertag.emotion import Quadrant, Target
from mertag.library.tags import TagOptions, write_tags
from mertag.listen.bundle import load_bundle

pytest.importorskip("sklearn")

from drawn_corrections import VERDICT, drawn

from mertag_export.corrections.bundle import write_corrected
from mertag_export.corrections.moods import artist_of, owners_moods, sample
from mertag_export.graphs import run_song_graph, session


def song(path: Path, **tags: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(4000, np.float32), 8000)
    file = mutagen.File(path)
    for name, text in tags.items():
        file[name] = text
    file.save()
    return path


def test_corrections_are_told_from_moods_that_were_left_and_from_moods_that_name_no_quadrant(tmp_path: Path) -> None:
    tagged = [song(tmp_path / "a" / f"{i}.flac") for i in range(3)] + [song(tmp_path / "b" / "far.flac")]
    for path in tagged:
        write_tags(path, emotion(Quadrant.Q4), TagOptions())
    corrected = mutagen.File(tagged[0])
    corrected["MOOD"] = "sad"
    corrected.save()
    own = song(tmp_path / "a" / "own.flac", mood="Fröhlich")
    dreamy = song(tmp_path / "a" / "dreamy.flac", mood="Dreamy")
    bare = song(tmp_path / "a" / "bare.flac")
    broken = tmp_path / "a" / "broken.flac"
    broken.write_bytes(b"fLaC")
    told: dict[Path, str] = {}
    found = owners_moods(
        [*tagged, own, dreamy, bare, broken],
        labels=("Fröhlich", "Wütend", "Traurig", "Gelassen"),
        on_error=told.__setitem__,
    )
    assert found.owned == {tagged[0]: Quadrant.Q3, own: Quadrant.Q1}
    assert found.left == tagged[1:3]  # nobody has been in the other folder
    assert found.other == {"Dreamy": 1}
    assert found.n == 6
    assert list(told) == [broken]


def test_a_sample_stands_for_all(tmp_path: Path) -> None:
    songs = [tmp_path / str(i) for i in range(1000)]
    drawn, stands_for = sample(songs, 100)
    assert len(set(drawn)) * stands_for == 1000
    assert sample(songs[:5], 100) == (songs[:5], 1.0)


def test_the_artist_is_that_of_the_tags_or_the_folder(tmp_path: Path) -> None:
    assert artist_of(song(tmp_path / "a.flac", artist="Nina ")) == "nina"
    assert artist_of(song(tmp_path / "b.flac")) == str(tmp_path)


@pytest.mark.parametrize("targets", [(Target.QUADRANT,), (Target.VALENCE, Target.AROUSAL)])
def test_a_corrected_bundle_computes_what_was_learnt_and_leaves_the_old_one_alone(
    targets: tuple[Target, ...], tmp_path: Path
) -> None:
    old = tiny_bundle.build(tmp_path / "old", targets=targets)
    before = {path.name: path.read_bytes() for path in old.folder.iterdir()}
    rng = np.random.default_rng(0)
    k = 4 if Target.QUADRANT in targets else 2
    corrections = {t: drawn(rng, k, 7 * k) for t in targets}
    (tmp_path / "new").mkdir()
    new = write_corrected(old, tmp_path / "new", corrections, VERDICT)
    (tmp_path / "newer").mkdir()
    newer = write_corrected(new, tmp_path / "newer", corrections, VERDICT)

    features = rng.random((5, 7 * k)).astype(np.float32)
    p = run_song_graph(session(old.path(f"song.{targets[0]}.onnx")), features).astype(float)
    for bundle in (new, newer):
        p = corrections[targets[0]].probabilities(features.astype(float), p)
        assert np.abs(run_song_graph(session(bundle.path(f"song.{targets[0]}.onnx")), features) - p).max() < 1e-4
    assert load_bundle(tmp_path / "new").manifest.name == newer.manifest.name == "tiny-mine"
    assert "100 corrections" in new.card()
    assert {path.name: path.read_bytes() for path in old.folder.iterdir()} == before
