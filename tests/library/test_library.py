"""Which files are found, and in which order."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_names import named
from hypothesis import given
from hypothesis import strategies as st

from mertag.errors import ConfigError, FileError
from mertag.formats import AUDIO_SUFFIXES
from mertag.library.find import Shard, find_audio


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(root: Path, found: object) -> list[str]:
    return [path.relative_to(root).as_posix() for path in found]  # type: ignore[attr-defined]


def test_a_folder_is_searched_to_the_bottom_in_a_stable_order(tmp_path: Path) -> None:
    make(
        tmp_path,
        "b/2.mp3",
        "b/1.flac",
        "a/z/deep.opus",
        "a/a.MP3",
        "c.wav",
        "cover.jpg",
        "notes.txt",
        "list.m3u",
    )
    expected = ["a/a.MP3", "a/z/deep.opus", "b/1.flac", "b/2.mp3", "c.wav"]
    assert names(tmp_path, find_audio([tmp_path])) == expected
    assert names(tmp_path, find_audio([str(tmp_path)])) == expected


def test_every_documented_suffix_is_found_in_any_case(tmp_path: Path) -> None:
    make(tmp_path, *(f"x{i}{s.upper() if i % 2 else s}" for i, s in enumerate(sorted(AUDIO_SUFFIXES))))
    assert len(list(find_audio([tmp_path]))) == len(AUDIO_SUFFIXES)


def test_what_is_hidden_is_left_out(tmp_path: Path) -> None:
    make(tmp_path, "a.mp3", "._a.mp3", ".mertag-x.tmp", ".mertag-x.mp3", ".Trash/b.mp3", "ok/.x.flac")
    assert names(tmp_path, find_audio([tmp_path])) == ["a.mp3"]


MUSIC = ("...And Justice for All", "..Hits", ".38 Special", ".5 The Gray Chapter", ". one", "a.b")
HIDDEN = (
    ".git",
    ".DS_Store",
    "._x",
    "._...And Justice for All",
    ".Trash",
    ".Trash-1000",
    ".stversions",
    ".@__thumb",
    ".~x",
)


@pytest.mark.parametrize("name", MUSIC)
def test_names_that_begin_with_dots_are_music(tmp_path: Path, name: str) -> None:
    make(tmp_path, f"{name}/1.mp3", f"{name}.mp3")
    assert names(tmp_path, find_audio([tmp_path])) == [f"{name}/1.mp3", f"{name}.mp3"]


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_names_are_left_out(tmp_path: Path, name: str) -> None:
    make(tmp_path, f"{name}/1.mp3", f"{name}.mp3", "a.mp3")
    assert names(tmp_path, find_audio([tmp_path])) == ["a.mp3"]


@pytest.mark.parametrize(
    ("patterns", "kept"),
    [
        ("*.flac", ["a/1.mp3", "a/b/1.mp3", "b/1.mp3"]),
        ("b", ["1.flac", "a/1.flac", "a/1.mp3"]),
        ("/b", ["1.flac", "a/1.flac", "a/1.mp3", "a/b/1.mp3"]),
        ("a/b", ["1.flac", "a/1.flac", "a/1.mp3", "b/1.mp3"]),
        ("b/", ["1.flac", "a/1.flac", "a/1.mp3"]),
        ("1.flac/", ["1.flac", "a/1.flac", "a/1.mp3", "a/b/1.mp3", "b/1.mp3"]),
        ("**/b/*.mp3", ["1.flac", "a/1.flac", "a/1.mp3"]),
        ("a/**", ["1.flac", "b/1.mp3"]),
        ("a/**/1.mp3", ["1.flac", "a/1.flac", "b/1.mp3"]),
        ("*.mp3\n!a/1.mp3", ["1.flac", "a/1.flac", "a/1.mp3"]),
        ("a\n!a/1.mp3", ["1.flac", "b/1.mp3"]),  # as git: what is in a folder that is left out cannot be taken back
        ("[^1].mp3\n# 1.mp3\n\\1.flac\n\\!x", ["a/1.mp3", "a/b/1.mp3", "b/1.mp3"]),
        ("# nothing but a comment in the given folder", ["1.flac", "a/1.flac", "a/1.mp3", "a/b/1.mp3", "b/1.mp3"]),
    ],
)
def test_an_ignore_file_with_patterns_is_read_as_patterns(tmp_path: Path, patterns: str, kept: list[str]) -> None:
    make(tmp_path, "1.flac", "a/1.flac", "a/1.mp3", "a/b/1.mp3", "b/1.mp3")
    (tmp_path / ".ndignore").write_text(patterns)
    assert names(tmp_path, find_audio([tmp_path])) == kept


def test_patterns_hold_from_their_folder_on_and_the_nearest_file_decides(tmp_path: Path) -> None:
    make(tmp_path, "a/live/1.mp3", "a/2.mp3", "live/3.mp3", "b/4.mp3")
    (tmp_path / "a" / ".ndignore").write_text("/live\n")
    (tmp_path / ".ndignore").write_text("*.mp3\n")
    (tmp_path / "b" / ".ndignore").write_text("!4.mp3\n")
    assert names(tmp_path, find_audio([tmp_path])) == ["b/4.mp3"]
    (tmp_path / ".ndignore").unlink()
    assert names(tmp_path, find_audio([tmp_path])) == ["a/2.mp3", "b/4.mp3", "live/3.mp3"]


def test_what_ignore_files_leave_out_is_told_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(tmp_path, "a/1.mp3", "b/2.mp3", "c/3.mp3", "c/4.txt", "c/5.mp3")
    make(tmp_path, "a/.nomedia", "b/.ndignore")
    (tmp_path / "c" / ".ndignore").write_text("[34].*")
    told: list[Path] = []
    with caplog.at_level("INFO", "mertag"):
        assert names(tmp_path, find_audio([tmp_path], on_ignored=told.append)) == ["c/5.mp3"]
    assert told == [tmp_path / "a", tmp_path / "b", tmp_path / "c" / "3.mp3"]
    assert f"left out: {told[2]}: {tmp_path / 'c' / '.ndignore'} says so" in caplog.messages


def test_an_ignore_file_that_cannot_be_read_leaves_its_folder_out_and_is_told(tmp_path: Path) -> None:
    make(tmp_path, "a/1.mp3", "b/2.mp3")
    (tmp_path / "a" / ".ndignore").symlink_to("nowhere")
    told: list[str] = []
    found = find_audio([tmp_path], on_error=lambda path, reason: told.append(f"{path.parent.name}: {reason}"))
    assert names(tmp_path, found) == ["b/2.mp3"]
    assert told == ["a: the ignore file cannot be read, so its folder is left out: No such file or directory"]


def test_many_stars_in_a_pattern_take_no_time(tmp_path: Path) -> None:
    make(tmp_path, f"{'a' * 200}.mp3")
    (tmp_path / ".ndignore").write_text("*a" * 90 + "b\n" + "**/" * 90 + "b\n")
    assert len(list(find_audio([tmp_path]))) == 1


@pytest.mark.parametrize("marker", [".nomedia", ".ndignore"])
def test_a_marked_folder_is_left_out_unless_it_is_the_one_that_was_given(tmp_path: Path, marker: str) -> None:
    make(tmp_path, "a.mp3", f"ringtones/{marker}", "ringtones/b.mp3", "ringtones/more/c.mp3")
    assert names(tmp_path, find_audio([tmp_path])) == ["a.mp3"]
    assert names(tmp_path, find_audio([tmp_path / "ringtones"])) == [
        "ringtones/b.mp3",
        "ringtones/more/c.mp3",
    ]


def test_a_file_given_by_name_counts_whatever_it_is_called(tmp_path: Path) -> None:
    make(tmp_path, "song.bin", ".hidden.mp3")
    given = [tmp_path / "song.bin", tmp_path / ".hidden.mp3"]
    assert list(find_audio(given, include=["*.flac"])) == given


def test_what_is_given_twice_comes_once(tmp_path: Path) -> None:
    make(tmp_path, "a/1.mp3", "a/2.mp3", "b/3.mp3")
    given = [tmp_path / "a" / "2.mp3", tmp_path / "a", tmp_path, tmp_path / "b" / ".." / "a" / "1.mp3"]
    assert names(tmp_path, find_audio(given)) == ["a/2.mp3", "a/1.mp3", "b/3.mp3"]


def test_hard_links_are_two_files(tmp_path: Path) -> None:
    make(tmp_path, "1.mp3")
    (tmp_path / "2.mp3").hardlink_to(tmp_path / "1.mp3")
    assert names(tmp_path, find_audio([tmp_path])) == ["1.mp3", "2.mp3"]


def test_links_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    make(tmp_path, "lib/a/1.mp3", "elsewhere/2.mp3")
    (tmp_path / "lib/a/up").symlink_to(tmp_path / "lib")
    (tmp_path / "lib/z").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "lib/copy.mp3").symlink_to(tmp_path / "lib/a/1.mp3")
    assert names(tmp_path, find_audio([tmp_path / "lib"])) == ["lib/a/1.mp3", "lib/z/2.mp3"]


def test_links_to_nothing_are_told(tmp_path: Path) -> None:
    make(tmp_path, "ok.mp3")
    (tmp_path / "gone.mp3").symlink_to(tmp_path / "nothing.mp3")
    (tmp_path / "self.mp3").symlink_to(tmp_path / "self.mp3")
    told: list[tuple[str, str]] = []
    found = find_audio([tmp_path], on_error=lambda path, reason: told.append((path.name, reason)))
    assert names(tmp_path, found) == ["ok.mp3"]
    assert [name for name, _ in told] == ["gone.mp3", "self.mp3"]
    assert told[0][1] == "a link to nothing"


def test_patterns_choose_files_and_folders(tmp_path: Path) -> None:
    make(tmp_path, "Rock/a.mp3", "Rock/Live/b.flac", "Podcasts/c.mp3", "Jazz/Live/d.MP3", "Jazz/e.ogg")

    def found(**patterns: list[str]) -> list[str]:
        return names(tmp_path, find_audio([tmp_path], **patterns))

    assert found(exclude=["podcasts"]) == ["Jazz/Live/d.MP3", "Jazz/e.ogg", "Rock/Live/b.flac", "Rock/a.mp3"]
    assert found(include=["*.mp3"]) == ["Jazz/Live/d.MP3", "Podcasts/c.mp3", "Rock/a.mp3"]
    assert found(include=["*.mp3"], exclude=["Live"]) == ["Podcasts/c.mp3", "Rock/a.mp3"]
    assert found(include=["Jazz/*"]) == ["Jazz/Live/d.MP3", "Jazz/e.ogg"]
    assert found(exclude=["*/Live/*"]) == ["Jazz/e.ogg", "Podcasts/c.mp3", "Rock/a.mp3"]


def test_an_excluded_file_is_left_out_even_if_given_by_name(tmp_path: Path) -> None:
    make(tmp_path, "a.mp3", "a live.mp3")
    given = [tmp_path / "a.mp3", tmp_path / "a live.mp3"]
    assert names(tmp_path, find_audio(given, exclude=["*live*"])) == ["a.mp3"]


def test_a_path_that_does_not_exist_is_an_error_before_anything_is_found(tmp_path: Path) -> None:
    make(tmp_path, "a.mp3")
    with pytest.raises(ConfigError, match=r"missing\.mp3: no such file or folder"):
        find_audio([tmp_path, tmp_path / "missing.mp3"])


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
def test_a_pipe_is_neither_a_file_nor_a_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp3")
    with pytest.raises(ConfigError, match="neither a file nor a folder"):
        find_audio([tmp_path / "pipe.mp3"])
    told: list[str] = []
    assert not list(find_audio([tmp_path], on_error=lambda path, reason: told.append(reason)))
    assert told == ["not a regular file"]


def test_a_folder_that_cannot_be_read_is_told_and_the_rest_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a/1.mp3", "locked/2.mp3", "z.mp3")
    scandir = os.scandir

    def refuse(folder: Path) -> object:  # the mode bits would not stop root
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    told: list[tuple[Path, str]] = []
    found = find_audio([tmp_path], on_error=lambda path, reason: told.append((path, reason)))
    assert names(tmp_path, found) == ["a/1.mp3", "z.mp3"]
    assert told == [(tmp_path / "locked", "the folder cannot be read: Permission denied")]
    with pytest.raises(FileError, match="Permission denied"):
        list(find_audio([tmp_path]))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_no_text_work(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9 \xff.mp3"
    os.close(os.open(raw, os.O_CREAT))
    (found,) = find_audio([tmp_path])
    assert os.fsencode(found) == raw
    assert found.is_file()


def test_the_search_is_lazy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a/1.mp3", "b/2.mp3")
    searched: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: (searched.append(Path(folder).name), scandir(folder))[1])
    found = find_audio([tmp_path])
    assert searched == []
    assert next(found).name == "1.mp3"
    assert "b" not in searched


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """Return the lowest of 1,500 folders; they are gone afterwards, since pytest cannot remove so many."""
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        for _ in range(1_500):
            Path("a").mkdir()
            os.chdir("a")
        yield Path(str(tmp_path) + "/a" * 1_500)
        Path("1.mp3").unlink(missing_ok=True)
        for _ in range(1_500):
            os.chdir("..")
            Path("a").rmdir()
    finally:
        os.chdir(here)


@pytest.mark.skipif(sys.platform == "win32", reason="paths of POSIX may be this long")
def test_folders_nested_deeper_than_python_can_recurse_are_searched(tmp_path: Path, deep: Path) -> None:
    (deep / "1.mp3").touch()
    assert list(find_audio([tmp_path])) == [deep / "1.mp3"]


# Parts of a library


def parts(root: Path, of: int) -> list[set[str]]:
    return [set(names(root, find_audio([root], shard=Shard(number=i + 1, of=of)))) for i in range(of)]


def test_shards_hold_every_song_once(tmp_path: Path) -> None:
    make(tmp_path, *(f"{i % 7}/{i}.mp3" for i in range(200)))
    found = parts(tmp_path, 4)
    assert sum(map(len, found)) == len(set.union(*found)) == 200
    assert all(30 <= len(part) <= 70 for part in found)


def test_a_library_at_another_place_is_dealt_the_same_way(tmp_path: Path) -> None:
    for place in ("mnt/music", "Volumes/My Music"):
        make(tmp_path / place, *(f"a/{i}.mp3" for i in range(40)))
    assert parts(tmp_path / "mnt/music", 3) == parts(tmp_path / "Volumes/My Music", 3)


def test_the_part_of_a_song_is_the_same_in_every_version() -> None:
    songs = ["a.mp3", "Artist/Album/01.flac", named("夜/音.opus")]
    assert [[Shard(number=n, of=5).holds(at) for n in range(1, 6)].index(True) for at in songs] == [3, 3, 0]


def test_a_name_in_decomposed_letters_belongs_to_the_same_part() -> None:
    name = "Björk/Jóga.mp3"
    for number in range(1, 9):
        shard = Shard(number=number, of=8)
        assert shard.holds(named(unicodedata.normalize("NFD", name))) == shard.holds(named(name))


def test_a_song_that_can_be_reached_twice_belongs_to_one_part(tmp_path: Path) -> None:
    make(tmp_path, *(f"z/{i}.mp3" for i in range(30)))
    (tmp_path / "a").mkdir()
    for i in range(30):
        (tmp_path / "a" / f"link {i}.mp3").symlink_to(tmp_path / "z" / f"{i}.mp3")
    found = [path.resolve() for n in (1, 2, 3) for path in find_audio([tmp_path], shard=Shard(number=n, of=3))]
    assert len(found) == len(set(found)) == 30


def test_a_link_to_nothing_is_told_in_one_part_and_a_locked_folder_in_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "locked/1.mp3")
    (tmp_path / "gone.mp3").symlink_to(tmp_path / "nothing.mp3")
    scandir = os.scandir

    def refuse(folder: Path) -> object:
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    told: list[str] = []
    for number in (1, 2, 3):
        shard = Shard(number=number, of=3)
        list(find_audio([tmp_path], shard=shard, on_error=lambda path, _: told.append(path.name)))
    assert sorted(told) == ["gone.mp3", "locked", "locked", "locked"]


@given(st.text(min_size=1), st.integers(1, 50))
def test_every_path_belongs_to_exactly_one_part(at: str, of: int) -> None:
    assert sum(Shard(number=n, of=of).holds(named(at)) for n in range(1, of + 1)) == 1


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "1/0", "0/0", "-1/4", "1/4/2", "a/b", " 1/4", "1/4\n", "１/4"])
def test_a_part_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot be"):
        Shard.parse(text)
    assert str(Shard.parse("3/16")) == "3/16"
