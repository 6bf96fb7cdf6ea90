"""What Windows and macOS have otherwise, simulated: calls that are missing, locks, attributes, files that are open."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from file_names import named
from written_songs import contents, make_song, outcome, write

from mertag import files
from mertag.library.state import database as state_file
from mertag.library.state import runs
from mertag.library.state.database import Database
from mertag.library.state.runs import Run, is_under_way, remove_stale_claims
from mertag.library.tags import attributes, safe_write
from mertag.library.undo import undo_run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="simulates other systems on Linux")

NOT_ON_WINDOWS = ("chown", "statvfs", "copy_file_range", "listxattr", "getxattr", "setxattr", "removexattr")


def lock_of_windows(descriptor: int, mode: int, n_bytes: int) -> None:
    """Stand in for `msvcrt.locking`: refused with EACCES, and all locks exclusive."""
    import fcntl

    assert (mode, n_bytes) == (2, 1)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise PermissionError(errno.EACCES, "Permission denied") from error


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Return a folder with two songs; to be asked for before `windows`, on which they could not be made."""
    for name in ("a/1.flac", "b/2.flac"):
        make_song(tmp_path / "music" / name)
    return tmp_path / "music"


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what Windows lacks: calls, `fcntl`, folders that can be opened, open files that can be replaced."""
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)  # Windows' own does not need `statvfs`
    for name in NOT_ON_WINDOWS:
        monkeypatch.delattr(os, name)
    for module in (files, runs, state_file):
        monkeypatch.delattr(module, "fcntl")
    monkeypatch.setattr(runs, "msvcrt", SimpleNamespace(LK_NBLCK=2, locking=lock_of_windows), raising=False)
    replace, unlink, really_open = Path.replace, Path.unlink, os.open

    def refuse_if_open(path: Path) -> None:
        held = {os.path.realpath(number) for number in Path("/proc/self/fd").iterdir()}
        if os.path.realpath(path) in held:
            raise PermissionError(errno.EACCES, "The process cannot access the file: it is used by another process")

    def replace_closed(path: Path, target: Path) -> Path:
        refuse_if_open(path)
        refuse_if_open(target)
        return replace(path, target)

    def unlink_closed(path: Path, missing_ok: bool = False) -> None:
        refuse_if_open(path)
        unlink(path, missing_ok=missing_ok)

    def open_files(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if os.path.isdir(path):  # noqa: PTH112
            raise PermissionError(errno.EACCES, "Permission denied")
        return really_open(path, flags, *rest, **named)

    monkeypatch.setattr(Path, "replace", replace_closed)
    monkeypatch.setattr(Path, "unlink", unlink_closed)
    monkeypatch.setattr(os, "open", open_files)
    monkeypatch.setattr(sys, "platform", "win32")


def test_the_simulation_refuses_what_windows_refuses(windows: None, tmp_path: Path) -> None:
    with (tmp_path / "a").open("w"):
        with pytest.raises(PermissionError):
            (tmp_path / "a").unlink()
        with pytest.raises(PermissionError):
            (tmp_path / "a").replace(tmp_path / "b")
    with pytest.raises(PermissionError):
        os.open(tmp_path, os.O_RDONLY)


def test_songs_are_written_and_taken_back_on_windows(music: Path, windows: None, tmp_path: Path) -> None:
    before = contents(music)
    songs = sorted(before)
    with Database(tmp_path / "state.sqlite") as database:
        write(database, *songs, sidecars=True)
        written = contents(music)
        assert len(written) == 4
        assert all(written[path] != before[path] for path in songs)
        assert outcome(undo_run(database))[1].counts["undone"] == 4
    assert contents(music) == before


def test_a_song_that_a_player_holds_open_on_windows_is_refused_and_whole(music: Path, windows: None) -> None:
    path = music / "a" / "1.flac"
    before = path.read_bytes()
    refused = pytest.raises(safe_write.TagWriteError, match=r"used by another process\); the old one is untouched")
    with path.open("rb"), safe_write.open_original(path) as original, refused:
        safe_write.replace_file(original, [b"new"], check=lambda copy: None)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["1.flac"]


def test_a_run_is_known_to_live_by_its_lock_on_windows(windows: None, tmp_path: Path) -> None:
    with Database(tmp_path / "s") as database:
        run = Run(database, kind="tag", command="")
        owner = str(database.rows("SELECT owner FROM runs")[0][0])
        assert run.claim(b"song")
        assert is_under_way(database, owner)
        os.close(run._descriptor)  # as when its process ends
        remove_stale_claims(database)
        assert not is_under_way(database, owner)
        assert database.rows("SELECT * FROM claims") == []
        assert not list(tmp_path.glob("s.run-*"))
        run._descriptor = -1


def test_what_a_killed_run_left_is_removed_on_windows_and_what_is_open_stays(windows: None, tmp_path: Path) -> None:
    left, making = files.temporary_beside(tmp_path / "a"), files.temporary_beside(tmp_path / "b")
    left.write_bytes(b"half")
    with files.create_locked(making, 0o600):
        assert files.remove_leftovers(tmp_path, older_than_s=0.0) == [left]
        assert making.exists()


class LibraryOfMacOS:
    """Stands in for the C library of macOS; `number` is the error that `copyfile` ends with, 0 if it works."""

    def __init__(self, number: int) -> None:
        self.number, self.calls = number, []

    def copyfile(self, *arguments: object) -> int:
        self.calls.append(arguments)
        ctypes.set_errno(self.number)
        return -1 if self.number else 0


@pytest.mark.parametrize("number", [0, errno.ENOTSUP])
def test_macos_copies_attributes_and_access_lists_by_copyfile(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = LibraryOfMacOS(number)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", lambda name, use_errno: library if name is None and use_errno else None)
    attributes.keep_attributes(tmp_path / named("né.tmp"), tmp_path / named("né.flac"))
    folder = os.fsencode(tmp_path)
    assert library.calls == [(folder + "/né.flac".encode(), folder + "/né.tmp".encode(), None, 0b101)]


def test_macos_refuses_a_copy_that_loses_attributes(music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = music / "a" / "1.flac"
    before = path.read_bytes()
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: LibraryOfMacOS(errno.EPERM))
    monkeypatch.delattr(os, "copy_file_range")
    refused = pytest.raises(safe_write.TagWriteError, match="extended attributes: Operation not permitted")
    with safe_write.open_original(path) as original, refused:
        safe_write.replace_file(original, [b"new"], check=lambda copy: None)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["1.flac"]
