"""Copies that a killed write left: which are removed, and when."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mertag.emotion import SongEmotion
from mertag.files import remove_leftovers
from mertag.library.tags.safe_write import open_original, replace_file

Song = Callable[[str], Path]


def test_a_copy_in_use_is_no_leftover(song: Song, happy: SongEmotion) -> None:
    path = song("bare.mp3")
    removed: list[Path] = []
    with open_original(path) as original:
        replace_file(
            original,
            [b"new"],
            check=lambda copy: removed.extend(remove_leftovers(path.parent, older_than_s=0)),
        )
    assert removed == []
    assert path.read_bytes() == b"new"


def test_only_our_own_leftovers_are_removed(tmp_path: Path) -> None:
    ours = tmp_path / ".mertag-4711-0123456789abcdef.tmp"
    others = [".mertag.tmp", ".mertag-1-0.tmp", "x.mertag-4711-0123456789abcdef.tmp", "song.tmp"]
    for path in (ours, *(tmp_path / name for name in others)):
        path.touch()
    (tmp_path / ".mertag-4712-0123456789abcdef.tmp").mkdir()

    assert remove_leftovers(tmp_path) == []
    assert remove_leftovers(tmp_path, older_than_s=0) == [ours]
    assert len(list(tmp_path.iterdir())) == len(others) + 1
    assert remove_leftovers(tmp_path / "absent") == []


@pytest.mark.parametrize(("age_s", "goes"), [(0, False), (100, False), (80_000, False), (90_000, True)])
def test_where_there_are_no_locks_a_leftover_stays_a_day(
    age_s: float, goes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".mertag-4711-0123456789abcdef.tmp"
    path.touch()

    def no_locks(file: object, kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    now_s = time.time()
    monkeypatch.setattr("fcntl.flock", no_locks)
    monkeypatch.setattr("time.time", lambda: now_s + age_s)
    assert remove_leftovers(tmp_path) == ([path] if goes else [])


def test_a_leftover_of_a_run_that_was_killed_is_removed_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".mertag-4711-0123456789abcdef.tmp"
    path.touch()
    now_s = time.time()
    monkeypatch.setattr("time.time", lambda: now_s + 6)
    assert remove_leftovers(tmp_path) == [path]
