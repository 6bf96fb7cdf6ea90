"""Names, groups, tables and where data sets are looked for."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from mertag.emotion import QUADRANTS, Quadrant, Target
from mertag.errors import ConfigError, DatasetError
from mertag_train.data.datasets import Dataset, Song, class_counts, read
from mertag_train.data.datasets.base import (
    artist_key,
    group_recordings,
    normalised,
    recording_key,
    targets_of_quadrant,
    targets_of_signs,
)
from mertag_train.data.datasets.tables import read_table


@pytest.mark.parametrize(
    ("quadrant", "valence", "arousal"),
    [(Quadrant.Q1, 1, 1), (Quadrant.Q2, 0, 1), (Quadrant.Q3, 0, 0), (Quadrant.Q4, 1, 0)],
)
def test_a_quadrant_is_a_pair_of_signs(quadrant: Quadrant, valence: int, arousal: int) -> None:
    expected = {
        Target.VALENCE: valence,
        Target.AROUSAL: arousal,
        Target.QUADRANT: QUADRANTS.index(quadrant),
    }
    assert targets_of_quadrant(quadrant) == expected
    assert targets_of_signs(valence_positive=bool(valence), arousal_positive=bool(arousal)) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Dancing On My Own(Ben Dooks Remix)", "Dancing on My Own"),
        ("Sneakin'", "Sneakin\u2019"),
        ("Call On Me", "Call on Me"),
        ("Rockabye [feat. Sean Paul]", "Rockabye"),
    ],
)
def test_one_recording_is_known_by_its_title_without_case_punctuation_and_brackets(one: str, other: str) -> None:
    assert recording_key(one, "X") == recording_key(other, "x")


def test_a_title_that_is_only_a_bracket_or_only_punctuation_is_kept() -> None:
    assert recording_key("(Interlude)", "X") == ("interlude", "x")
    assert recording_key("(Intro)", "X") != recording_key("(Outro)", "X")
    assert recording_key("???", "X") == ("???", "x")
    assert recording_key("愛", "X") == ("愛", "x")


def test_unknown_titles_and_artists_make_nobody_a_neighbour() -> None:
    assert recording_key("", "X") is None
    assert recording_key("Title", " ") is None
    assert artist_key("  ") is None
    groups = group_recordings({"a": None, "b": None, "c": ("t", "x"), "d": ("t", "x")})
    assert groups == {"a": "a", "b": "b", "c": "c", "d": "c"}


def test_names_are_compared_without_width_and_spacing() -> None:
    assert normalised("  ＡＢＢＡ  &  co. ") == "abba co"


def test_songs_travel_between_processes() -> None:
    song = Song(id="1", path=None, group="1", artist=None, targets=targets_of_quadrant(Quadrant.Q1))
    assert pickle.loads(pickle.dumps(song)) == song  # noqa: S301 - our own bytes


def test_songs_without_audio_are_left_out_on_request_and_still_named(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path, paths=[tmp_path / "1.mp3", None])
    heard = dataset.with_audio()
    assert [song.id for song in heard.songs] == ["0"]
    assert heard.missing_audio == ("1",)


def test_a_data_set_without_any_audio_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none of the 2 labelled songs of 'x' has audio"):
        _dataset(tmp_path, paths=[None, None]).with_audio()


def test_a_target_that_a_song_does_not_have_is_named() -> None:
    song = Song(id="s", path=None, group="s", artist=None, targets={Target.VALENCE: 1})
    assert class_counts([song], Target.VALENCE) == {"V-": 0, "V+": 1}
    with pytest.raises(DatasetError, match=r"'s' has no quadrant label \(it has: valence\)"):
        class_counts([song], Target.QUADRANT)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
def test_a_table_is_read_in_any_encoding_in_use(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("Song,Artist\r\n1,Motörhead\r\n".encode(encoding))
    (row,) = read_table(path, ("song", "ARTIST"))
    assert (row.text("Song"), row.text("Artist"), row.line) == ("1", "Motörhead", 2)


def test_bytes_that_windows_does_not_know_are_latin_1(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"Song,Artist\n1,\x81\xf6\n")
    assert read_table(path, ("Song",)).rows[0].text("Artist") == "\x81ö"


def test_columns_are_found_by_name_and_tabs_are_stripped(tmp_path: Path) -> None:
    path = _write(tmp_path, '"b","a"\n"\t2\t","\t1"\n\n"4","3"\n')
    rows = read_table(path, ("a", "b")).rows
    assert [(row.text("a"), row.number("b"), row.line) for row in rows] == [("1", 2.0, 2), ("3", 4.0, 4)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("id,x\n", "line 1: no column 'y'. The columns found are 'id', 'x'"),
        ("id;y\n1;2\n", "Columns are separated by commas"),
        ("id,y,Y\n1,2,3\n", "line 1: column 'y' stands twice"),
        ("id,y\n1,2,3\n", "line 2: 3 values for 2 columns. A value that holds a comma"),
        ('id,y\n1,"2"3\n', "line 2: not valid CSV"),
    ],
)
def test_a_wrong_table_names_file_line_and_remedy(tmp_path: Path, text: str, message: str) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(DatasetError) as error:
        read_table(path, ("id", "y"))
    assert message in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("value", ["", "abc", "nan", "inf", "0,5"])
def test_what_is_no_number_is_named_with_its_line(tmp_path: Path, value: str) -> None:
    path = _write(tmp_path, f'id,y\n1,0.5\n2,"{value}"\n')
    with pytest.raises(DatasetError, match=r"t\.csv, line 3: column 'y' holds .* not a number"):
        read_table(path, ("id",)).rows[1].number("y")


def test_an_id_that_is_missing_or_stands_twice_is_named_with_its_lines(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"line 3: id '1' stands twice, first on line 2"):
        read_table(_write(tmp_path, "id,y\n1,a\n1,b\n"), ("id",)).by("id")
    with pytest.raises(DatasetError, match=r"line 2: column 'id' is empty"):
        read_table(_write(tmp_path, "id,y\n,a\n"), ("id",)).by("id")


def test_a_table_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read_table(tmp_path, ("id",))


@pytest.mark.parametrize("name", ["pmemo", "4q", "eim"])
def test_a_missing_data_set_says_what_was_looked_for_and_where_it_can_be_had(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError) as error:
        read(name, tmp_path / "nowhere")
    message = str(error.value)
    assert str(tmp_path / "nowhere") in message
    assert ".csv" in message
    assert "http" in message


@pytest.mark.parametrize("name", ["pmemo", "4q", "eim", "folder"])
def test_without_any_folder_both_ways_to_name_one_are_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv("MERTAG_DATA", raising=False)
    with pytest.raises(DatasetError, match=r"--data-dir.*MERTAG_DATA"):
        read(name)


def test_the_environment_names_the_parent_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MERTAG_DATA", str(tmp_path))
    with pytest.raises(DatasetError) as error:
        read("pmemo")
    assert str(tmp_path / "pmemo") in str(error.value)


def test_half_a_data_set_names_the_missing_half(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("musicId,title,artist\n")
    with pytest.raises(DatasetError, match=r"not whole: missing annotations/static_annotations\.csv"):
        read("pmemo", tmp_path)


def test_an_unknown_data_set_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="choose from pmemo, 4q, eim, deam, mtg-jamendo, folder"):
        read("emotify")


def _write(folder: Path, text: str) -> Path:
    path = folder / "t.csv"
    path.write_text(text, encoding="utf-8")
    return path


def _dataset(root: Path, paths: list[Path | None]) -> Dataset:
    songs = tuple(
        Song(id=str(i), path=path, group=str(i), artist=None, targets=targets_of_quadrant(Quadrant.Q1))
        for i, path in enumerate(paths)
    )
    return Dataset(
        name="x",
        root=root,
        songs=songs,
        missing_audio=tuple(song.id for song in songs if song.path is None),
        unlabelled=(),
        targets=tuple(Target),
        labelling="",
    )
