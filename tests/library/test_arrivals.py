"""Files that arrive are taken when they are whole, and only those."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from mertag.errors import ConfigError
from mertag.library.find import find_audio

pytest.importorskip("watchfiles")

from mertag.library.arrivals import Arrivals, arriving, is_temporary


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_file_is_whole_when_it_has_stayed_the_same_for_a_while(tmp_path: Path, clock: Clock) -> None:
    arrivals, song = Arrivals(10, clock), tmp_path / "song.mp3"
    song.write_bytes(b"a")
    arrivals.note(song)
    assert arrivals.whole() == []
    assert arrivals.wait_s == 10
    clock.now_s += 9
    song.write_bytes(b"ab")
    assert arrivals.whole() == []
    clock.now_s += 9
    assert arrivals.whole() == []
    assert arrivals.wait_s == 1
    clock.now_s += 1
    assert arrivals.whole() == [song]
    assert arrivals.whole() == []
    assert arrivals.wait_s is None


def test_a_second_note_of_the_same_file_does_not_make_it_wait_longer(tmp_path: Path, clock: Clock) -> None:
    arrivals, song = Arrivals(10, clock), tmp_path / "song.mp3"
    song.write_bytes(b"a")
    arrivals.note(song)
    clock.now_s += 6
    arrivals.note(song)
    clock.now_s += 4
    assert arrivals.whole() == [song]


def test_files_that_were_there_wait_only_if_they_have_changed_lately(tmp_path: Path, clock: Clock) -> None:
    arrivals, old, new = Arrivals(10, clock), tmp_path / "old.mp3", tmp_path / "new.mp3"
    old.touch()
    new.touch()
    os.utime(old, (1e9, 1e9))
    for song in (old, new):
        arrivals.note(song, old=True)
    assert arrivals.whole() == [old]
    clock.now_s += 10
    assert arrivals.whole() == [new]


def test_a_file_that_goes_away_again_is_forgotten(tmp_path: Path, clock: Clock) -> None:
    arrivals, song = Arrivals(10, clock), tmp_path / "song.mp3"
    song.touch()
    arrivals.note(song)
    song.unlink()
    assert arrivals.whole() == []
    assert arrivals.wait_s is None


@pytest.mark.parametrize("name", ["a.temp.m4a", "a.part.mp3", "A.PARTIAL.flac", "a.tmp.ogg", "a.crdownload.mp3"])
def test_names_of_files_in_the_making_are_known(name: str, tmp_path: Path, clock: Clock) -> None:
    assert is_temporary(name)
    (tmp_path / name).touch()
    arrivals = Arrivals(0, clock)
    arrivals.note(tmp_path / name)
    assert arrivals.whole() == []


@pytest.mark.parametrize("name", ["Tempo.mp3", "temp.mp3", "Part 2.flac", "a.b.mp3", "Mr. Part.mp3"])
def test_names_of_songs_are_not_taken_for_them(name: str) -> None:
    assert not is_temporary(name)


@pytest.fixture
def groups(tmp_path: Path) -> Iterator[Generator[list[Path], None, None]]:
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "old.mp3").touch()
    os.utime(tmp_path / "music" / "old.mp3", (1e9, 1e9))
    found = arriving([tmp_path / "music"], exclude=["Live"], settle_s=0.3, on_error=lambda path, reason: None)
    yield found
    found.close()


@pytest.mark.command
def test_what_is_there_comes_first_and_then_what_arrives_by_any_way(
    groups: Iterator[list[Path]], tmp_path: Path
) -> None:
    music = tmp_path / "music"
    assert next(groups) == [music / "old.mp3"]
    (music / "song.mp3.part").write_bytes(b"abc")
    (music / ".hidden.mp3").write_bytes(b"abc")
    (music / "Live").mkdir()
    (music / "Live" / "song.mp3").touch()
    (music / "notes.txt").touch()
    (music / "written.mp3").write_bytes(b"abc")
    assert next(groups) == [music / "written.mp3"]
    (music / "song.mp3.part").rename(music / "song.mp3")
    assert next(groups) == [music / "song.mp3"]
    album = tmp_path / "album"
    album.mkdir()
    (album / "one.mp3").touch()
    shutil.move(album, music / "Artist")
    assert next(groups) == [music / "Artist" / "one.mp3"]


def test_no_thread_is_left_that_could_wake_while_the_interpreter_ends(
    groups: Generator[list[Path], None, None],
) -> None:
    next(groups)
    assert "mertag-watch" in {thread.name for thread in threading.enumerate()}
    groups.close()
    assert "mertag-watch" not in {thread.name for thread in threading.enumerate()}


def test_a_file_cannot_be_watched_nor_can_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").touch()
    for path in (tmp_path / "song.mp3", tmp_path / "none"):
        with pytest.raises(ConfigError, match="no such folder"):
            next(arriving([path], settle_s=1, on_error=lambda path, reason: None))


def test_a_search_within_some_paths_looks_into_no_other_folder(tmp_path: Path) -> None:
    for name in ("a/x/1.mp3", "a/x/2.mp3", "a/y/3.mp3", "b/4.mp3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / ".ndignore").write_text("[")  # would be read
    root = tmp_path.resolve()
    assert list(find_audio([tmp_path], within=[root / "a/x/2.mp3"])) == [tmp_path / "a/x/2.mp3"]
    assert list(find_audio([tmp_path], within=[root / "a/x"])) == [tmp_path / "a/x/1.mp3", tmp_path / "a/x/2.mp3"]
    assert list(find_audio([tmp_path], within=[root / "a"], include=["3*"])) == [tmp_path / "a/y/3.mp3"]
    (tmp_path / "a" / ".ndignore").write_text("x\n")
    assert list(find_audio([tmp_path], within=[root / "a/x/2.mp3"])) == []
