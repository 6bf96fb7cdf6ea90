"""What all results of a folder have in common is fixed once, and anything else is refused."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_evaluation import toy_dataset, toy_songs

from mertag.emotion import Quadrant, Target
from mertag.errors import ConfigError, DatasetError
from mertag_train.data.datasets import Dataset, Song
from mertag_train.data.datasets.base import targets_of_quadrant
from mertag_train.data.folds import bound_groups
from mertag_train.evaluation.protocol import prepare, read_protocol, shuffle_labels

BOTH = (Target.QUADRANT, Target.VALENCE)


def prepared(root: Path, dataset: Dataset | None = None, **options: Any) -> Any:
    given = {"targets": BOTH, "group": "recording", "n_folds": 4, **options}
    return prepare(root, dataset or toy_dataset(), **given)


def test_songs_and_folds_are_written_for_others_to_use(tmp_path: Path) -> None:
    folder, protocol, dealt, songs = prepared(tmp_path)
    assert folder == tmp_path / "folder-recording"
    assert read_protocol(folder) == protocol
    lines = (folder / "folds.csv").read_text().splitlines()
    assert lines[0] == "song_id,fold"
    assert dict(line.split(",") for line in lines[1:]) == dict(dealt.fold_of)
    assert len(songs) == 32
    assert protocol.counts["quadrant"] == {"Q1": 8, "Q2": 8, "Q3": 8, "Q4": 8}


def test_the_same_call_finds_the_same_folds(tmp_path: Path) -> None:
    assert prepared(tmp_path)[1:3] == prepared(tmp_path)[1:3]
    assert prepared(tmp_path)[2] == prepared(tmp_path, n_folds=None)[2]


def test_published_folds_are_used_as_they_are(tmp_path: Path) -> None:
    mine = prepared(tmp_path / "mine")[2]
    theirs = prepared(tmp_path / "theirs", folds_file=tmp_path / "mine" / "folder-recording" / "folds.csv")[2]
    assert theirs == mine


def test_other_songs_labels_or_folds_are_refused_with_the_file_and_the_remedy(tmp_path: Path) -> None:
    prepared(tmp_path)
    other_labels = tuple(
        replace(s, targets=targets_of_quadrant(Quadrant.Q1)) if s.id == "clip1" else s for s in toy_songs()
    )
    with pytest.raises(DatasetError, match=r"protocol\.json: an evaluation with another songs or classes .*--out"):
        prepared(tmp_path, toy_dataset(other_labels))
    with pytest.raises(DatasetError, match=r"folds\.csv, line \d+: no song"):
        prepared(tmp_path, toy_dataset(toy_songs()[:-1]))
    with pytest.raises(DatasetError, match=r"another labelling \(as planted there, by ear here\)"):
        prepared(tmp_path, replace(toy_dataset(), labelling="by ear"))
    with pytest.raises(DatasetError, match=r"folds\.csv: 4 folds, where --folds asks for 5"):
        prepared(tmp_path, n_folds=5)
    file = tmp_path / "folds.csv"
    text = (tmp_path / "folder-recording" / "folds.csv").read_text()
    file.write_text(text.translate(str.maketrans({"\n": "x\n"})).replace("foldx", "fold"))
    with pytest.raises(DatasetError, match="another folds"):
        prepared(tmp_path, folds_file=file)


def test_results_without_their_protocol_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder-recording" / "results").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"holds results but no protocol\.json; copy it"):
        prepared(tmp_path)


def test_a_damaged_protocol_is_refused(tmp_path: Path) -> None:
    folder = prepared(tmp_path)[0]
    path = folder / "protocol.json"
    path.write_text(path.read_text()[:40])
    with pytest.raises(DatasetError, match=r"protocol\.json: not readable"):
        prepared(tmp_path)
    path.write_text(json.dumps({"schema": 99}))
    with pytest.raises(DatasetError, match="of a schema"):
        prepared(tmp_path)


def test_a_fold_of_one_class_is_refused_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "folds.csv"
    songs = toy_songs()
    rows = [f"{s.id},{'a' if s.targets[Target.VALENCE] else 'b'}" for s in songs]
    file.write_text("\n".join(["song_id,fold", *rows]))
    with pytest.raises(DatasetError, match=r"folds\.csv: fold 'a' holds .*V\+ songs only.*Use fewer folds"):
        prepared(tmp_path, folds_file=file, targets=(Target.VALENCE,), n_folds=None)


def test_a_class_with_one_song_is_refused(tmp_path: Path) -> None:
    songs = [s for s in toy_songs() if s.targets[Target.QUADRANT] != 2 or s.id == "clip2"]
    with pytest.raises(DatasetError, match=r"class Q3 \(Sad\) has 1 song"):
        prepared(tmp_path, toy_dataset(tuple(songs)))


def test_too_little_audio_is_said_with_what_is_there(tmp_path: Path) -> None:
    few = replace(toy_dataset(toy_songs(5)), missing_audio=tuple(f"m{i}" for i in range(60)))
    with pytest.raises(
        DatasetError, match=r"^60 of 65 labelled .*\(m0, m1, m2, and 57 more\)\. With the other 5: .*\(Angry\) has 1"
    ):
        prepared(tmp_path, few)
    few = replace(few, songs=toy_songs(8))
    with pytest.raises(DatasetError, match=r"60 of 68 labelled .* With the other 8: part '0' holds"):
        prepared(tmp_path, few, n_folds=10)


def test_where_a_quadrant_is_too_thin_an_axis_is_spread(tmp_path: Path) -> None:
    songs = tuple(s for s in toy_songs(24) if s.targets[Target.QUADRANT] != 1)
    _, _, dealt, _ = prepared(tmp_path, toy_dataset(songs), targets=(Target.VALENCE,), n_folds=3)
    of = {s.id: s.targets[Target.VALENCE] for s in songs}
    assert [sorted(of[i] for i in dealt.ids(name)) for name in dealt.names] == [[0, 0, 1, 1, 1, 1]] * 3
    with pytest.raises(DatasetError, match=r"quadrant: class Q2 \(Angry\) has 0 songs"):
        prepared(tmp_path, toy_dataset(songs), targets=(Target.QUADRANT,), n_folds=3)


def test_the_authors_split_can_be_the_folds(tmp_path: Path) -> None:
    parts = ("development", "development", "development", "evaluation")
    songs = tuple(replace(s, official_split=parts[i // 4 % 4]) for i, s in enumerate(toy_songs()))
    official = Path("official")
    _, protocol, dealt, _ = prepared(tmp_path, toy_dataset(songs), folds_file=official, n_folds=None)
    assert protocol.folds == ("development", "evaluation")
    assert set(dealt.ids("evaluation")) == {s.id for s in songs if s.official_split == "evaluation"}
    with pytest.raises(DatasetError, match="the official split puts clip10, clip14, which belong together"):
        prepared(tmp_path, toy_dataset(songs), folds_file=official, n_folds=None, group="artist")
    with pytest.raises(DatasetError, match="'clip0' is in no official split"):
        prepared(tmp_path, folds_file=official, n_folds=None)


def test_what_the_reader_notes_and_what_is_not_used_is_kept(tmp_path: Path) -> None:
    odd = replace(toy_dataset(), notes=("One clip is odd.",), unlabelled=(Path("x.mp3"), Path("y.mp3")))
    folder, protocol, _, _ = prepared(tmp_path, odd)
    assert protocol.notes == ("One clip is odd.", "2 clips have no label and are not used.")
    assert read_protocol(folder) == protocol
    prepared(tmp_path)  # notes may change: they decide nothing


def test_a_shuffled_evaluation_lies_apart(tmp_path: Path) -> None:
    folder, protocol, _, songs = prepared(tmp_path, shuffle=True)
    assert folder.name == "folder-recording-shuffled"
    assert protocol.shuffled
    assert [s.targets for s in songs] != [s.targets for s in toy_songs()]


@given(st.integers(0, 99), st.integers(1, 4))
def test_shuffling_keeps_the_classes_and_the_songs(seed: int, per_artist: int) -> None:
    songs = toy_songs(48, per_artist=per_artist)
    dealt = shuffle_labels(songs, seed=seed)
    assert [(s.id, s.artist, s.group, s.path) for s in dealt] == [(s.id, s.artist, s.group, s.path) for s in songs]
    assert Counter(map(_quadrant, dealt)) == Counter(map(_quadrant, songs))
    assert all(s.valence is None and s.dynamics is None for s in dealt)


def test_shuffled_labels_still_go_with_the_artist_and_no_longer_with_the_music() -> None:
    songs = toy_songs(400, per_artist=4)
    dealt = shuffle_labels(songs)
    pure = [len({_quadrant(s) for s in bound}) == 1 for bound in bound_groups(dealt, "artist")]
    assert sum(pure) / len(pure) > 0.9
    same = sum(_quadrant(a) == _quadrant(b) for a, b in zip(songs, dealt, strict=True)) / len(songs)
    assert 0.1 < same < 0.4  # chance is 0.25


def _quadrant(song: Song) -> int:
    return song.targets[Target.QUADRANT]
