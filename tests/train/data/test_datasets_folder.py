"""One's own music: folders and tables, right and wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from mertag.emotion import Target
from mertag.errors import ConfigError, DatasetError
from mertag_train.data.datasets import read


def fill(root: Path, *names: str, n: int = 2) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
        for i in range(n):
            (root / name / f"{i}.mp3").write_bytes(b"")
    return root


def table(root: Path, text: str, name: str = "labels.csv") -> Path:
    root.mkdir(exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")
    for i in range(8):
        (root / f"{i}.mp3").write_bytes(b"")
    return root / name


EIGHT = "path,label\n" + "".join(f"{i}.mp3,Q{i // 2 + 1}\n" for i in range(8))


@pytest.mark.parametrize(
    "names",
    [("Q1", "Q2", "Q3", "Q4"), ("Happy", "Angry", "Sad", "Relaxed"), ("HAPPY", "q2", "sad", "relaxed")],
)
def test_folders_are_quadrants_under_either_name_in_any_case(tmp_path: Path, names: tuple[str, ...]) -> None:
    dataset = read("folder", fill(tmp_path / "m", *names))
    assert dataset.targets == tuple(Target)
    assert list(dataset.counts(Target.QUADRANT).values()) == [2, 2, 2, 2]
    by_folder = {song.id.split("/")[0]: song.targets[Target.QUADRANT] for song in dataset.songs}
    assert [by_folder[name] for name in names] == [0, 1, 2, 3]


def test_folders_of_one_axis_have_that_target_only(tmp_path: Path) -> None:
    dataset = read("folder", fill(tmp_path / "m", "v+", "V-"))
    assert dataset.targets == (Target.VALENCE,)
    assert dataset.counts(Target.VALENCE) == {"V-": 2, "V+": 2}


def test_subfolders_are_read_and_what_is_no_audio_is_not(tmp_path: Path) -> None:
    root = fill(tmp_path / "m", "V+", "V-", "V+/Album", ".hidden", "V-/covers", n=2)
    (root / "V+" / "cover.jpg").write_bytes(b"")
    (root / "V+" / "._0.mp3").write_bytes(b"")
    (root / "loose.flac").write_bytes(b"")
    (root / "docs").mkdir()
    dataset = read("folder", root)
    assert dataset.counts(Target.VALENCE) == {"V-": 4, "V+": 4}
    assert "V+/Album/0.mp3" in {song.id for song in dataset.songs}
    assert [path.name for path in dataset.unlabelled] == ["loose.flac"]
    assert len({song.group for song in dataset.songs}) == 8


def test_wrong_folders_are_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere: there is no such file or folder\. Name a folder"):
        read("folder", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"holds no folder named after a class\. Classes are Q1 to Q4"):
        read("folder", tmp_path / "empty")
    (tmp_path / "empty" / "mine.csv").write_text("path,label\n")
    with pytest.raises(DatasetError, match=r"Or name a table: mine\.csv"):
        read("folder", tmp_path / "empty")
    with pytest.raises(DatasetError, match=r"Joyful: holds audio, but its name is no class"):
        read("folder", fill(tmp_path / "a", "Happy", "Joyful"))
    with pytest.raises(DatasetError, match=r"Q1: names the same class as 'Happy'"):
        read("folder", fill(tmp_path / "b", "Happy", "Q1"))
    with pytest.raises(DatasetError, match=r"V-: is another kind of class than 'Happy'"):
        read("folder", fill(tmp_path / "c", "Happy", "V-"))


def test_a_class_with_fewer_than_two_songs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"class V- has 0 songs"):
        read("folder", fill(tmp_path / "a", "V+"))
    root = fill(tmp_path / "b", "Q1", "Q2", "Q3", "Q4")
    (root / "Q3" / "1.mp3").unlink()
    with pytest.raises(DatasetError, match=r"class Q3 \(Sad\) has 1 song, and needs at least two\. Add songs"):
        read("folder", root)


def test_a_scale_for_folders_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Leave the scale out"):
        read("folder", fill(tmp_path / "a", "V+", "V-"), scale=(0, 1))


def test_a_table_of_labels_is_read_from_its_path_or_its_folder(tmp_path: Path) -> None:
    path = table(tmp_path / "m", EIGHT)
    dataset = read("folder", path)
    assert dataset == read("folder", path.parent)
    assert list(dataset.counts(Target.QUADRANT).values()) == [2, 2, 2, 2]
    assert all(song.path is not None for song in dataset.songs)


@pytest.mark.parametrize(
    "words", [("Q1", "Q2", "Q3", "Q4"), ("1", "2", "3", "4"), ("happy", "Angry", "SAD", "Relaxed")]
)
def test_a_column_quadrant_stands_for_the_label_and_ratings_beside_it_are_not_read(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    rows = "".join(f"{i}.mp3,{words[i // 2]},0.5,0.5\n" for i in range(8))
    dataset = read("folder", table(tmp_path / "x", "path,quadrant,valence,arousal\n" + rows))
    assert [song.targets[Target.QUADRANT] for song in dataset.songs] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert dataset.songs[0].valence is None


def test_groups_and_artists_of_a_table_are_kept(tmp_path: Path) -> None:
    text = "Path,Label,Group,Artist\n0.mp3,V+,1.mp3,ABBA\n1.mp3,V-,,abba\n2.mp3,v+,1.mp3,\n3.mp3,v-,,X\n"
    songs = read("folder", table(tmp_path / "m", text)).songs
    assert songs[0].group == songs[2].group
    assert len({song.group for song in songs}) == 3  # a song is not in a group that is called as the song is
    assert [song.artist for song in songs] == ["abba", "abba", None, "x"]


def test_ratings_at_the_middle_of_the_scale_or_above_are_positive(tmp_path: Path) -> None:
    ratings = [(9, 9), (5, 5), (1, 9), (4.9, 5), (1, 1), (4.9, 4.9), (5, 4.9), (9, 1)]
    text = "path,arousal,valence\n" + "".join(f"{i}.mp3,{a},{v}\n" for i, (v, a) in enumerate(ratings))
    dataset = read("folder", table(tmp_path / "m", text), scale=(1, 9))
    assert [song.targets[Target.QUADRANT] for song in dataset.songs] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert dataset.songs[3].valence == 4.9
    assert dataset.scale == (1, 9)


def test_a_song_of_the_table_without_audio_is_reported(tmp_path: Path) -> None:
    dataset = read("folder", table(tmp_path / "m", EIGHT + "gone.mp3,Q1\n"))
    assert dataset.missing_audio == ("gone.mp3",)
    assert len(dataset.with_audio().songs) == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\n", r"labels\.csv, line 1: no column 'path'"),
        ("path,mood\n0.mp3,Q1\n", r"labels\.csv, line 1: no column 'label' or 'quadrant', nor both"),
        ("path,label\n", r"labels\.csv: names no song"),
        ("path,label,quadrant\n0.mp3,Q1,Q1\n", r"labels\.csv, line 1: a column 'label' and a column 'quadrant'"),
        ("path,quadrant\n0.mp3,V+\n", r"labels\.csv, line 2: unknown class 'V\+'\. Classes are Q1 to Q4, 1 to 4"),
        ("path,label\n0.mp3,Q1\n1.mp3,Joy\n", r"labels\.csv, line 3: unknown class 'Joy'\. Classes are"),
        ("path,label\n0.mp3,Q1\n1.mp3,V+\n", r"line 3: 'V\+' is another kind of class than 'Q1' on line 2"),
        (EIGHT + "./0.mp3,Q1\n", r"labels\.csv, line 10: '0\.mp3' stands twice, first on line 2"),
        (EIGHT + ",Q1\n", r"labels\.csv, line 10: column 'path' is empty"),
    ],
)
def test_wrong_tables_of_labels_name_file_line_and_remedy(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read("folder", table(tmp_path / "m", text))


def test_ratings_need_a_scale_and_must_lie_on_it(tmp_path: Path) -> None:
    path = table(tmp_path / "m", "path,valence,arousal\n0.mp3,5,5\n1.mp3,9.5,1\n")
    with pytest.raises(ConfigError, match="say on which scale"):
        read("folder", path)
    with pytest.raises(ConfigError, match="write the lowest rating first"):
        read("folder", path, scale=(9, 1))
    with pytest.raises(DatasetError, match=r"labels\.csv, line 3: column 'valence' holds 9\.5, outside the scale"):
        read("folder", path, scale=(1, 9))
    with pytest.raises(ConfigError, match="holds labels, not ratings"):
        read("folder", table(tmp_path / "n", EIGHT), scale=(1, 9))
