"""The published data sets: their real annotation files, and faults planted into small copies."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mertag.emotion import QUADRANTS, Target
from mertag.errors import ConfigError, DatasetError
from mertag_train.data.datasets import Dataset, read
from mertag_train.data.datasets.pmemo import AROUSAL_MEDIAN, SCALE_MIDDLE, VALENCE_MEDIAN


def quadrant_counts(dataset: Dataset) -> list[int]:
    return list(dataset.counts(Target.QUADRANT).values())


def repeated_groups(dataset: Dataset) -> list[set[str]]:
    members: dict[str, set[str]] = {}
    for song in dataset.songs:
        members.setdefault(song.group, set()).add(song.id)
    return [ids for ids in members.values() if len(ids) > 1]


# ---- 4Q


@pytest.mark.realdata
def test_4q_is_read_whole_with_its_audio(real_data: Path) -> None:
    dataset = read("4q", real_data / "4q")
    assert quadrant_counts(dataset) == [180, 180, 179, 180]
    assert dataset.counts(Target.VALENCE) == {"V-": 359, "V+": 360}
    assert dataset.counts(Target.AROUSAL) == {"A-": 359, "A+": 360}
    assert dataset.missing_audio == ()
    for song in dataset.songs:
        assert song.path is not None
        assert song.path.is_file()
        assert song.path.parent.name == QUADRANTS[song.targets[Target.QUADRANT]]
    assert read("4Q", real_data / "4q" / "MER_audio_taffc_dataset") == dataset


@pytest.mark.realdata
def test_22_artists_of_4q_stand_in_more_than_one_quadrant_and_two_songs_have_none(real_data: Path) -> None:
    dataset = read("4q", real_data / "4q")
    quadrants: dict[str, set[int]] = {}
    for song in dataset.songs:
        if song.artist is not None:
            quadrants.setdefault(song.artist, set()).add(song.targets[Target.QUADRANT])
    assert sum(len(found) > 1 for found in quadrants.values()) == 22
    assert "motörhead" in quadrants
    nameless = [song for song in dataset.songs if song.artist is None]
    assert [song.id for song in nameless] == ["MT0011413068", "MT0013824918"]
    assert len({song.group for song in nameless}) == 2
    assert any("MT0011413068" in note for note in dataset.notes)


def make_4q(
    root: Path,
    annotations: str = "a,Q1\nb,Q2\n",
    metadata: str = "a,X,One,Q1\nb,Y,Two,Q2\n",
    audio: tuple[str, ...] = ("Q1/a", "Q2/b"),
) -> Path:
    for quadrant in QUADRANTS:
        (root / quadrant).mkdir(parents=True)
    (root / "panda_dataset_taffc_annotations.csv").write_bytes(f"Song,Quadrant\n{annotations}".encode("latin-1"))
    (root / "panda_dataset_taffc_metadata.csv").write_bytes(f"Song,Artist,Title,Quadrant\n{metadata}".encode("latin-1"))
    for name in audio:
        (root / f"{name}.mp3").write_bytes(b"")
    return root


def test_a_4q_song_without_audio_is_reported_and_audio_without_a_label_is_not_used(tmp_path: Path) -> None:
    dataset = read("4q", make_4q(tmp_path / "x", audio=("Q1/a", "Q3/c", "Q1/._a")))
    assert dataset.missing_audio == ("b",)
    assert [path.name for path in dataset.unlabelled] == ["c.mp3"]
    assert [song.id for song in dataset.with_audio().songs] == ["a"]


def test_the_recording_that_4q_holds_twice_is_one_group(tmp_path: Path) -> None:
    one, two = "MT0000523076", "MT0000941301"
    root = make_4q(
        tmp_path / "x",
        annotations=f"{one},Q1\n{two},Q2\nc,Q3\n",
        metadata=f"{one},X,One,Q1\n{two},Y,Two,Q2\nc,Z,Three,Q3\n",
        audio=(),
    )
    dataset = read("4q", root)
    assert repeated_groups(dataset) == [{one, two}]
    assert any(one in note and two in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"metadata": "a,X,One,Q1\n"}, r"annotations\.csv, line 3: song 'b' has no line in .*metadata\.csv"),
        ({"annotations": "a,Q1\n"}, r"metadata\.csv, line 3: song 'b' has no line in .*annotations\.csv"),
        (
            {"metadata": "a,X,One,Q1\nb,Y,Two,Q3\n"},
            r"metadata\.csv, line 3: song 'b' is Q3 here, but Q2 in .*line 3",
        ),
        ({"annotations": "a,Q1\nb,Q5\n"}, r"annotations\.csv, line 3: unknown quadrant 'Q5'"),
        (
            {"annotations": "a,Q1\na,Q1\n"},
            r"annotations\.csv, line 3: Song 'a' stands twice, first on line 2",
        ),
        ({"audio": ("Q1/a", "Q3/b")}, r"annotations\.csv, line 3: song 'b' is Q2, but its audio is .*Q3"),
    ],
)
def test_4q_tables_that_contradict_each_other_are_refused(tmp_path: Path, change: dict[str, str], where: str) -> None:
    with pytest.raises(DatasetError, match=where):
        read("4q", make_4q(tmp_path / "x", **change))  # type: ignore[arg-type]


def test_latin_1_names_are_read_right(tmp_path: Path) -> None:
    root = make_4q(tmp_path / "x", metadata="a,Motörhead,One,Q1\nb,Céline Dion,Two,Q2\n")
    assert [song.artist for song in read("4q", root).songs] == ["motörhead", "céline dion"]


# ---- PMEmo


@pytest.mark.realdata
def test_pmemo_is_binarised_at_its_medians(real_data: Path) -> None:
    dataset = read("pmemo", real_data / "pmemo")
    assert len(dataset.songs) == 767
    assert dataset.counts(Target.VALENCE) == {"V-": 383, "V+": 384}
    assert dataset.counts(Target.AROUSAL) == {"A-": 377, "A+": 390}
    assert np.median([song.valence for song in dataset.songs]) == VALENCE_MEDIAN
    assert np.median([song.arousal for song in dataset.songs]) == AROUSAL_MEDIAN
    assert quadrant_counts(dataset) == [298, 92, 291, 86]


@pytest.mark.realdata
def test_at_the_middle_of_the_scale_pmemo_is_lopsided(real_data: Path) -> None:
    dataset = read("pmemo", real_data / "pmemo", valence_threshold=SCALE_MIDDLE, arousal_threshold=SCALE_MIDDLE)
    assert quadrant_counts(dataset) == [505, 73, 132, 57]
    assert dataset.counts(Target.VALENCE)["V+"] / 767 == pytest.approx(0.733, abs=5e-4)
    assert dataset.counts(Target.AROUSAL)["A+"] / 767 == pytest.approx(0.754, abs=5e-4)


@pytest.mark.realdata
def test_arousal_is_not_taken_for_valence(real_data: Path) -> None:
    first = read("pmemo", real_data / "pmemo").songs[0]
    assert (first.id, first.arousal, first.valence) == ("1", 0.4, 0.575)


@pytest.mark.realdata
def test_thirteen_recordings_of_pmemo_stand_twice(real_data: Path) -> None:
    pairs = repeated_groups(read("pmemo", real_data / "pmemo"))
    assert len(pairs) == 13
    assert all(len(pair) == 2 for pair in pairs)
    assert {"104", "105"} in pairs  # "(Ben Dooks Remix)"
    assert {"224", "277"} in pairs  # another apostrophe
    exact: dict[tuple[str, str], set[str]] = {}
    with (real_data / "pmemo/PMEmo2019/metadata.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            exact.setdefault((row["title"].casefold(), row["artist"].casefold()), set()).add(row["musicId"])
    assert sum(len(ids) > 1 for ids in exact.values()) == 11  # a comparison without brackets and punctuation alone


def test_songs_of_pmemo_without_ratings_are_reported(tmp_path: Path) -> None:
    dataset = read("pmemo", make_pmemo(tmp_path / "x"))
    assert [song.id for song in dataset.songs] == ["1", "2"]
    assert "1 of the 3 songs have no ratings and are not used." in dataset.notes


@pytest.mark.realdata
def test_songs_of_pmemo_without_audio_are_reported(real_data: Path) -> None:
    dataset = read("pmemo", real_data / "pmemo")
    present = {path.stem for path in (real_data / "pmemo/PMEmo2019/chorus").glob("*.mp3")}
    assert {song.id for song in dataset.with_audio().songs} == present
    assert set(dataset.missing_audio) == {song.id for song in dataset.songs} - present


def make_pmemo(
    root: Path,
    ratings: str = "1,0.4,0.575\n2,0.7,0.9\n",
    metadata: str = "1,A,X\n2,B,Y\n3,C,Z\n",
    dynamic: str = "",
) -> Path:
    (root / "annotations").mkdir(parents=True)
    (root / "annotations/static_annotations.csv").write_text(f"musicId,Arousal(mean),Valence(mean)\n{ratings}")
    (root / "metadata.csv").write_text(f"musicId,title,artist\n{metadata}")
    if dynamic:
        (root / "annotations/dynamic_annotations.csv").write_text(
            f"musicId,frameTime,Arousal(mean),Valence(mean)\n{dynamic}"
        )
    return root


def test_a_rating_at_the_threshold_of_pmemo_is_positive(tmp_path: Path) -> None:
    (song,) = read("pmemo", make_pmemo(tmp_path / "x", ratings="1,0.65,0.625\n")).songs
    assert song.targets == {Target.VALENCE: 1, Target.AROUSAL: 1, Target.QUADRANT: 0}


def test_ratings_over_time_of_pmemo_are_sorted_by_time(tmp_path: Path) -> None:
    root = make_pmemo(tmp_path / "x", dynamic="1,15.5,0.2,0.4\n1,15.0,0.1,0.3\n")
    first, second = read("pmemo", root).songs
    assert first.dynamics is not None
    assert first.dynamics.times_s == (15.0, 15.5)
    assert first.dynamics.arousal == (0.1, 0.2)
    assert first.dynamics.valence == (0.3, 0.4)
    assert second.dynamics is None


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"ratings": "1,0.4,1.5\n"}, r"static_annotations\.csv, line 2: .*1\.5, outside the scale 0 to 1"),
        ({"ratings": "9,0.4,0.5\n"}, r"static_annotations\.csv, line 2: song '9' has no line in metadata"),
        ({"dynamic": "1,15,x,0.5\n"}, r"dynamic_annotations\.csv, line 2: .*not a number"),
    ],
)
def test_wrong_pmemo_files_are_refused(tmp_path: Path, change: dict[str, str], where: str) -> None:
    with pytest.raises(DatasetError, match=where):
        read("pmemo", make_pmemo(tmp_path / "x", **change))


def test_a_threshold_outside_the_scale_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="threshold"):
        read("pmemo", make_pmemo(tmp_path / "x"), valence_threshold=5)
    with pytest.raises(ConfigError, match="threshold"):
        read("eim", tmp_path, threshold=0.5)


# ---- Emotion in Music


@pytest.mark.realdata
def test_emotion_in_music_is_binarised_above_5(real_data: Path) -> None:
    dataset = read("eim", real_data / "eim")
    assert quadrant_counts(dataset) == [251, 73, 307, 113]
    assert Counter(song.official_split for song in dataset.songs) == {"development": 619, "evaluation": 125}


@pytest.mark.realdata
def test_names_of_emotion_in_music_hold_no_tabs(real_data: Path) -> None:
    artists = {song.artist for song in read("eim", real_data / "eim").songs}
    assert "kevin macleod" in artists
    assert not any("\t" in (artist or "") for artist in artists)


@pytest.mark.realdata
def test_ratings_over_time_come_every_half_second_from_15_s(real_data: Path) -> None:
    song = read("eim", real_data / "eim").songs[0]
    assert song.dynamics is not None
    assert song.dynamics.times_s == tuple(15 + i / 2 for i in range(61))
    assert song.dynamics.valence[0] == pytest.approx(-0.0733412307857912)
    assert song.dynamics.arousal[0] == pytest.approx(-0.109387732373192)
    assert song.dynamics.scale == (-1, 1)


@pytest.mark.realdata
def test_audio_of_emotion_in_music_is_found(real_data: Path) -> None:
    dataset = read("eim", real_data / "eim")
    assert {song.id for song in dataset.with_audio().songs} == {
        "2",
        "3",
        "4",
        "5",
        "7",
        "8",
        "10",
        "12",
        "13",
        "17",
    }
    assert len(dataset.missing_audio) == 734


def make_eim(root: Path, *, split: str = "development", ratings: str = "1,5,5\n2,5.1,5.1\n") -> Path:
    (root / "annotations").mkdir(parents=True)
    (root / "clips_45seconds").mkdir()
    (root / "annotations/static_annotations.csv").write_text(f"song_id,mean_arousal,mean_valence\n{ratings}")
    (root / "annotations/songs_info.csv").write_text(
        f"song_id,Artist,Song title,Mediaeval 2013 set\n1,A\t,\tX,{split}\n2,B,Y,evaluation\n"
    )
    return root


def test_a_rating_at_5_is_negative_and_audio_without_a_row_is_ignored(tmp_path: Path) -> None:
    root = make_eim(tmp_path / "x")
    for name in ("1", "2", "3"):
        (root / f"clips_45seconds/{name}.mp3").write_bytes(b"")
    dataset = read("eim", root)
    assert [song.targets[Target.QUADRANT] for song in dataset.songs] == [2, 0]
    assert [path.name for path in dataset.unlabelled] == ["3.mp3"]
    assert dataset.missing_audio == ()
    assert dataset.songs[0].dynamics is None


def test_wrong_files_of_emotion_in_music_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"songs_info\.csv, line 2: unknown set 'test'"):
        read("eim", make_eim(tmp_path / "a", split="test"))
    with pytest.raises(DatasetError, match=r"line 3: song '7' has no line in annotations/songs_info"):
        read("eim", make_eim(tmp_path / "b", ratings="1,5,5\n7,5,5\n"))
    with pytest.raises(DatasetError, match=r"line 2: .*'0', outside the scale 1 to 9|holds 0, outside"):
        read("eim", make_eim(tmp_path / "c", ratings="1,0,5\n"))
    root = make_eim(tmp_path / "d")
    (root / "annotations/valence_cont_average.csv").write_text("song_id,sample_15000ms\n1,0.5\n")
    with pytest.raises(DatasetError, match=r"arousal_cont_average\.csv: absent, but"):
        read("eim", root)
    (root / "annotations/arousal_cont_average.csv").write_text("song_id,sample_15500ms\n1,0.5\n")
    with pytest.raises(DatasetError, match="other times"):
        read("eim", root)
    (root / "annotations/arousal_cont_average.csv").write_text("song_id,sample_15000ms\n2,0.5\n")
    with pytest.raises(DatasetError, match=r"line 2: song '1' has no line"):
        read("eim", root)
