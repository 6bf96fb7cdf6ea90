"""DEAM and MTG-Jamendo, in their published layouts; the list of all data sets; and indexes with checksums."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from mertag.emotion import Target
from mertag.errors import ConfigError, DatasetError
from mertag_train.data.datasets import READERS, read
from mertag_train.data.datasets.catalogue import catalogue
from mertag_train.data.datasets.deam import KNOWN
from mertag_train.data.datasets.index import check, index, write_index
from mertag_train.data.datasets.mtg_jamendo import TAGS, signs_of

# ---- DEAM

EARLY = "2,3.1,0.94,3,0.63\n5,4.4,2.01,5.3,1.85\n1000,6.5,1,4,1\n"
"""As published: song 5 has arousal 4.4 and valence 5.3 in Emotion in Music."""


def make_deam(root: Path, *, early: str = EARLY, later: str = "1001,6.5,1,4,1\n") -> Path:
    level = root / "annotations/annotations averaged per song/song_level"
    level.mkdir(parents=True)
    head = "song_id, valence_mean, valence_std, arousal_mean, arousal_std\n"
    (level / "static_annotations_averaged_songs_1_2000.csv").write_text(head + early + later)
    (level / "static_annotations_averaged_songs_2000_2058.csv").write_text(
        "song_id, valence_mean, valence_std, valence_ max_mean, valence_max_std, arousal_mean, arousal_std\n"
        "2001,3.2,0.98,5.0,1.41,6.6,0.8\n"
    )
    (root / "metadata").mkdir()
    (root / "metadata/metadata_2013.csv").write_text(
        "song_id,file_name,Artist,Song title,start of the segment (min.sec),end of the segment (min.sec),Genre\n"
        '2,00002.mp3\t,"\tThe New Mystikal Troubadours",\tTonight A Lonely Century\t,1.02,1.47,Blues\n'
        "5,5.mp3,ABBA,One,0.1,0.55,Pop\n"
    )
    (root / "metadata/metadata_2014.csv").write_text(
        "Id,Artist,Album,Track,Genre,segment start,segment end,last.fm labels,,\n"
        "1001,ABBA,Ring,One,Pop,20,65\n"
        "1002,Nobody,None,Two,Pop,20,65,calm,slow,sad,long,longer,longest\n"
    )
    (root / "metadata/metadata_2015.csv").write_text(
        'id,Filename,title,artist,album,genre\n2001,x.mp3,"Night, Day",Some "One",n/a,Jazz,Funk\n'
    )
    (root / "MEMD_audio").mkdir()
    (root / "MEMD_audio/2001.mp3").write_bytes(b"")
    return root


def test_the_swapped_columns_of_deam_are_put_right_up_to_song_1000_and_this_is_said(tmp_path: Path) -> None:
    dataset = read("deam", make_deam(tmp_path / "x"))
    rated = {song.id: (song.valence, song.arousal) for song in dataset.songs}
    assert rated == {"2": (3.0, 3.1), "5": (5.3, 4.4), "1000": (4.0, 6.5), "1001": (6.5, 4.0), "2001": (3.2, 6.6)}
    quadrants = {song.id: song.targets[Target.QUADRANT] for song in dataset.songs}
    assert quadrants == {"2": 2, "5": 3, "1000": 1, "1001": 3, "2001": 1}
    assert any("3 songs with ids up to 1000 are swapped in the published table" in note for note in dataset.notes)
    assert any("Emotion in Music: do not train on the one" in note for note in dataset.notes)


def test_a_copy_of_deam_that_somebody_mended_is_not_swapped_again(tmp_path: Path) -> None:
    root = make_deam(tmp_path / "x", early="2,3,0.63,3.1,0.94\n5,5.3,1.85,4.4,2.01\n1000,4,1,6.5,1\n")
    dataset = read("deam", root)
    assert {s.id: s.valence for s in dataset.songs if int(s.id) <= 1000} == {"2": 3.0, "5": 5.3, "1000": 4.0}
    assert any("were put right in this copy" in note for note in dataset.notes)


@pytest.mark.realdata
def test_the_songs_by_which_a_mended_copy_is_known_have_the_ratings_of_emotion_in_music(real_data: Path) -> None:
    rated = {song.id: (song.valence, song.arousal) for song in read("eim", real_data / "eim").songs}
    assert {song: rated[song] for song in KNOWN} == KNOWN


def test_names_of_deam_come_from_three_ragged_tables(tmp_path: Path) -> None:
    dataset = read("deam", make_deam(tmp_path / "x"))
    artists = {song.id: song.artist for song in dataset.songs}
    assert artists == {
        "2": "the new mystikal troubadours",
        "5": "abba",
        "1000": None,
        "1001": "abba",
        "2001": "some one",
    }
    assert {song.id: song.group for song in dataset.songs}["1001"] == "5"
    assert "No artist is known for 1 of 5 songs: each is a group of its own." in dataset.notes
    assert dataset.missing_audio == ("2", "5", "1000", "1001")


def test_wrong_files_of_deam_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="outside the scale 1 to 9"):
        read("deam", make_deam(tmp_path / "a", later="1001,0.5,1,4,1\n"))
    with pytest.raises(DatasetError, match=r"2058\.csv, line 2: song '2001' stands in .*1_2000\.csv, too"):
        read("deam", make_deam(tmp_path / "b", later="2001,5,1,4,1\n"))
    with pytest.raises(ConfigError, match="threshold is 0"):
        read("deam", tmp_path, threshold=0)
    (tmp_path / "a/metadata/metadata_2014.csv").unlink()
    with pytest.raises(DatasetError, match=r"missing metadata/metadata_2014\.csv"):
        read("deam", tmp_path / "a")


# ---- MTG-Jamendo

HEAD = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n"


def make_jamendo(root: Path, *tags: str) -> Path:
    lines = [
        f"track_{i:07d}\tartist_{i // 2:06d}\talbum_000001\t{i % 100:02d}/{i}.mp3\t{60 + i}.0\t"
        + "\t".join(f"mood/theme---{tag}" for tag in of_song.split())
        for i, of_song in enumerate(tags)
    ]
    (root / "data/splits/split-0").mkdir(parents=True)
    (root / "data/autotagging_moodtheme.tsv").write_text(HEAD + "\n".join(lines) + "\n")
    (root / "data/splits/split-0/autotagging_moodtheme-test.tsv").write_text(HEAD + lines[0] + "\n")
    for name in ("00/0.mp3", "01/1.low.mp3", "04/4.mp3"):
        path = root / "audio" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def test_songs_of_mtg_jamendo_have_the_quadrant_of_their_tags_and_the_others_are_counted(tmp_path: Path) -> None:
    root = make_jamendo(
        tmp_path / "x", "happy film", "dark energetic", "sad", "relaxing", "sad party", "dark", "fast", "film epic"
    )
    dataset = read("mtg-jamendo", root)
    assert [song.targets[Target.QUADRANT] for song in dataset.songs] == [0, 1, 2, 3]
    assert [song.artist for song in dataset.songs] == ["artist_000000"] * 2 + ["artist_000001"] * 2
    assert [song.official_split for song in dataset.songs] == ["test", None, None, None]
    names = [song.path.name if song.path else None for song in dataset.songs]
    assert names == ["0.mp3", "1.low.mp3", None, None]
    assert dataset.missing_audio == ("track_0000002", "track_0000003")
    assert dataset.unlabelled == ()
    assert sorted(dataset.notes) == [
        "4 of 8 songs have tags that say both valence and arousal.",
        "Left out: 1 songs whose tags contradict each other.",
        "Left out: 1 songs whose tags say nothing of arousal.",
        "Left out: 1 songs whose tags say nothing of either.",
        "Left out: 1 songs whose tags say nothing of valence.",
    ]


def test_no_song_is_left_without_a_word(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no song has tags that say both"):
        read("mtg-jamendo", make_jamendo(tmp_path / "x", "film", "epic"))


def test_order_and_repetition_of_tags_change_nothing() -> None:
    assert signs_of(["energetic", "dark"]) == signs_of(["dark", "energetic", "dark", "film"]) == (-1, 1)
    assert all(set(pair) <= {-1, 0, 1} and pair != (0, 0) for pair in TAGS.values())


# ---- the list, and indexes


def test_every_reader_is_in_the_list_with_licence_and_source(tmp_path: Path) -> None:
    make_deam(tmp_path / "deam")
    (tmp_path / "eim/annotations").mkdir(parents=True)
    (tmp_path / "eim/annotations/songs_info.csv").write_text("")
    found = {entry.name: entry for entry in catalogue(environ={"MERTAG_DATA": str(tmp_path)})}
    assert found.keys() == READERS.keys()
    assert all(entry.what and entry.size and entry.licence and entry.source for entry in found.values())
    assert (found["deam"].songs, found["deam"].with_audio) == (5, 1)
    assert found["deam"].here == f"{tmp_path / 'deam'}: 1 of 5 labelled songs have audio"
    assert found["eim"].here == f"no: {tmp_path / 'eim'} lacks annotations/static_annotations.csv"
    assert found["4q"].here == f"no: there is no {tmp_path / '4q'}"
    assert "not set" in catalogue(environ={})[0].here


def test_an_index_has_the_shape_of_mirdatas_and_finds_what_is_missing_or_changed(tmp_path: Path) -> None:
    root = make_jamendo(tmp_path / "x", "happy", "sad", "calm")
    dataset = read("mtg-jamendo", root)
    seen: list[tuple[int, int]] = []
    found = index(
        dataset,
        version="1",
        files={"tracks": "data/autotagging_moodtheme.tsv"},
        on_file=lambda done, total: seen.append((done, total)),
    )
    write_index(found, tmp_path / "index.json")
    found = json.loads((tmp_path / "index.json").read_text())
    empty = hashlib.md5(b"").hexdigest()
    assert found["tracks"]["track_0000000"] == {"audio": ["audio/00/0.mp3", empty]}
    assert found["tracks"]["track_0000002"] == {"audio": [None, None]}
    assert found["metadata"]["tracks"][0] == "data/autotagging_moodtheme.tsv"
    assert seen[-1] == (4, 4)
    assert str(check(found, root)) == "whole"
    (root / "audio/00/0.mp3").write_bytes(b"x")
    (root / "audio/01/1.low.mp3").unlink()
    faults = check(found, root)
    assert (faults.missing, faults.different) == (("audio/01/1.low.mp3",), ("audio/00/0.mp3",))
    assert str(faults) == "missing: audio/01/1.low.mp3; other than published: audio/00/0.mp3"
