"""Replacing a file: real faults, and the old file after each."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from file_names import named
from forking import fork

from mertag.emotion import SongEmotion
from mertag.errors import TagWriteError
from mertag.files import remove_leftovers
from mertag.library.tags import TagOptions, plan_tags, read_tags, remove_tags, write_tags
from mertag.library.tags.container import Range
from mertag.library.tags.readers import FFmpegReader
from mertag.library.tags.safe_write import assemble, open_original, replace_file

Song = Callable[[str], Path]


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextlib.contextmanager
def refused_and_untouched(path: Path, match: str) -> Iterator[None]:
    before, entries = (path.read_bytes(), path.stat()), listed(path.parent)
    with pytest.raises(TagWriteError, match=match) as caught:
        yield
    assert caught.value.path == path
    assert path.read_bytes() == before[0]
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before[1].st_ino, before[1].st_mtime_ns)
    assert listed(path.parent) == entries


# What is kept


def test_mode_owner_and_extended_attributes_are_kept(song: Song, happy: SongEmotion) -> None:
    path = song("bare.mp3")
    path.chmod(0o640)
    with contextlib.suppress(OSError):  # this file system may have none
        os.setxattr(path, "user.rating", b"5")
    if os.geteuid() == 0:
        os.chown(path, 12345, 23456)
    before, names = path.stat(), os.listxattr(path)

    write_tags(path, happy)

    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert os.listxattr(path) == names
    assert all(os.getxattr(path, name) == b"5" for name in names)


@pytest.mark.parametrize("mode", [0o664, 0o644])
def test_of_a_file_that_its_group_may_write_the_group_is_enough(
    mode: int,
    song: Song,
    happy: SongEmotion,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = song("bare.mp3")
    path.chmod(mode)
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    os.chown(path, 12345, 23456)
    chown = os.chown

    def without_privileges(file: Path, uid: int, gid: int) -> None:
        if uid != -1:
            raise PermissionError(1, "Operation not permitted")
        chown(file, uid, gid)

    monkeypatch.setattr("os.chown", without_privileges)
    if mode == 0o644:
        with pytest.raises(TagWriteError, match=r"run mertag as its owner, or .* \(chmod g\+w\)"):
            write_tags(path, happy)
        return
    monkeypatch.setattr("mertag.library.tags.safe_write._owners_named", set())
    write_tags(path, happy)
    after = path.stat()
    assert (after.st_mode & 0o777, after.st_uid, after.st_gid) == (mode, 0, 23456)
    assert "belonged to user 12345 and now belongs to you" in caplog.text


def test_a_file_that_is_mounted_read_only_is_called_that(
    song: Song, happy: SongEmotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = song("bare.mp3")
    opened = os.open

    def of_a_read_only_mount(name: object, flags: int, *args: int, **more: int) -> int:
        if flags & os.O_WRONLY:
            raise OSError(errno.EROFS, "Read-only file system")
        return opened(name, flags, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("os.access", lambda name, mode: False)
    monkeypatch.setattr("os.open", of_a_read_only_mount)
    with pytest.raises(TagWriteError, match="mounted read-only"):
        write_tags(path, happy)


def test_a_folders_default_access_list_is_not_added_to_a_file(song: Song, happy: SongEmotion) -> None:
    path = song("bare.mp3")
    path.chmod(0o640)
    entries = [(1, 6, -1), (2, 7, 12345), (4, 4, -1), (16, 7, -1), (32, 0, -1)]  # tag, permissions, id
    access_list = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(path.parent, "system.posix_acl_default", access_list)
    except OSError:
        pytest.skip("this file system has no access lists")

    write_tags(path, happy)

    assert "system.posix_acl_access" not in os.listxattr(path)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("preserve", [True, False])
def test_the_time_of_change_is_kept_if_asked_for(preserve: bool, song: Song, happy: SongEmotion) -> None:
    path = song("bare.mp3")
    os.utime(path, ns=(10**18, 10**18 + 7))

    write_tags(path, happy, TagOptions(preserve_mtime=preserve))

    assert (path.stat().st_mtime_ns == 10**18 + 7) is preserve


def test_a_symbolic_link_stays_one_and_its_target_is_written(song: Song, tmp_path: Path, happy: SongEmotion) -> None:
    target = song("bare.mp3")
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "here.mp3"
    link.symlink_to(Path("..") / target.name)

    change = write_tags(link, happy)

    assert change.path == link
    assert link.is_symlink()
    assert read_tags(target)["MOOD"] == ("Happy",)
    assert listed(link.parent) == ["here.mp3"]


def test_links_that_lead_nowhere_are_an_error(tmp_path: Path, happy: SongEmotion) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "gone").symlink_to(tmp_path / "never was")
    for name in ("loop", "gone"):
        with pytest.raises(TagWriteError, match="cannot be read"):
            write_tags(tmp_path / name, happy)


def test_a_name_as_long_as_names_may_be_is_no_obstacle(song: Song, happy: SongEmotion) -> None:
    path = song("bare.mp3")
    path = path.rename(path.with_name(named("é" * 125 + "x.mp3")))
    assert len(os.fsencode(path.name)) == 255

    assert write_tags(path, happy).changed


# What is refused


def test_a_file_with_several_hard_links_is_refused_unless_asked_for(
    song: Song, tmp_path: Path, happy: SongEmotion
) -> None:
    path, other = song("bare.mp3"), tmp_path / "other name.mp3"
    os.link(path, other)

    with refused_and_untouched(path, "2 hard links"):
        write_tags(path, happy)

    old = other.read_bytes()
    write_tags(path, happy, TagOptions(break_hard_links=True))
    assert read_tags(path)["MOOD"] == ("Happy",)
    assert other.read_bytes() == old


def test_a_read_only_file_is_refused_even_for_root(song: Song, happy: SongEmotion) -> None:
    path = song("bare.mp3")
    path.chmod(0o444)
    with refused_and_untouched(path, "read-only"):
        write_tags(path, happy)
    assert plan_tags(path, happy).changed


def test_a_read_only_folder_is_refused_even_for_root(song: Song, happy: SongEmotion) -> None:
    path = song("bare.mp3")
    path.parent.chmod(0o555)
    try:
        with refused_and_untouched(path, "folder is read-only"):
            write_tags(path, happy)
    finally:
        path.parent.chmod(0o755)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone else")
def test_a_file_whose_owner_could_not_be_kept_is_refused(song: Song, happy: SongEmotion) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folder is closed to other users
        folder = Path(name)
        folder.chmod(0o777)
        path = folder / "a.mp3"
        path.write_bytes(song("bare.mp3").read_bytes())
        path.chmod(0o646)  # everyone but its group may write it
        os.seteuid(54321)
        try:
            with refused_and_untouched(path, "belongs to user 0"):
                write_tags(path, happy)
        finally:
            os.seteuid(0)


def test_a_change_by_another_program_meanwhile_is_not_lost(song: Song, happy: SongEmotion) -> None:
    path = song("bare.mp3")

    def touch(old: Path, new: Path) -> None:
        with old.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"!")

    with pytest.raises(TagWriteError, match="another program"):
        write_tags(path, happy, before_replace=touch)
    assert path.read_bytes()[-1:] == b"!"
    assert listed(path.parent) == [path.name]


def test_a_file_replaced_by_another_program_meanwhile_is_not_lost(song: Song, happy: SongEmotion) -> None:
    path = song("bare.mp3")

    def replace(old: Path, new: Path) -> None:
        status = old.stat()
        other = old.with_name("other")
        other.write_bytes(old.read_bytes())
        os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
        other.replace(old)

    with pytest.raises(TagWriteError, match="another program"):
        write_tags(path, happy, before_replace=replace)
    assert read_tags(path) == {}


def test_the_last_step_can_be_vetoed(song: Song, happy: SongEmotion) -> None:
    path = song("bare.mp3")
    seen = []

    def journal(old: Path, new: Path) -> None:
        seen.append((old.read_bytes(), read_tags(new)))
        raise RuntimeError("the journal is full")

    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="journal"):
        write_tags(path, happy, before_replace=journal)
    assert path.read_bytes() == before == seen[0][0]
    assert seen[0][1]["MOOD"] == ("Happy",)
    assert listed(path.parent) == [path.name]


def test_a_copy_that_fails_its_check_is_discarded(song: Song) -> None:
    path = song("bare.mp3")

    def check(copy: object) -> None:
        raise TagWriteError(path, "not as planned")

    with refused_and_untouched(path, "not as planned"), open_original(path) as original:
        replace_file(original, [b"something else"], check=check)


# Faults


def test_a_file_that_may_not_grow_is_left_as_it_was(song: Song, happy: SongEmotion) -> None:
    path = song("a.wav")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size // 2, limits[1]))
    try:
        with refused_and_untouched(path, "could not be written"):
            write_tags(path, happy)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def killed_again_and_again(path: Path, kills: int, happy: SongEmotion) -> list[bool]:
    """Kill a process that tags `path` to and fro, at another moment each time; return when it was tagged."""
    states = {path.read_bytes(): False}
    write_tags(path, happy)
    states[path.read_bytes()] = True
    remove_tags(path)
    states[path.read_bytes()] = False
    seen = []
    for i in range(10 * kills):
        if i >= kills and len(set(seen)) == 2:  # a busy machine may need more to be caught at both
            break
        child = fork()
        if not child:
            try:
                while True:
                    write_tags(path, happy)
                    remove_tags(path)
            finally:
                os._exit(1)  # never back into the test runner
        time.sleep(0.004 + 0.0037 * (i % 13) * (1 + i // kills))
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
        assert path.read_bytes() in states
        seen.append(states[path.read_bytes()])
    return seen


def test_a_killed_write_leaves_the_old_file_or_the_new_one(
    song: Song, happy: SongEmotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FFmpegReader, "seen", lambda *_: None)  # each child would start one, longer than it lives
    path = song("v23.mp3")
    assert set(killed_again_and_again(path, 40, happy)) == {True, False}

    left = [p for p in path.parent.iterdir() if p != path]
    assert all(p.name.startswith(".mertag-") and p.suffix == ".tmp" for p in left)
    assert sorted(remove_leftovers(path.parent, older_than_s=0)) == sorted(left)
    assert list(path.parent.iterdir()) == [path]


# Pieces


@pytest.mark.parametrize("in_kernel", [True, False])
@pytest.mark.parametrize(
    "pieces",
    [
        [b"head", Range(4, 5000)],
        [b"longer head", Range(4, 5000)],
        [Range(0, 100), b"in the middle", Range(113, 5000)],
        [Range(2500, 5000), b"x", Range(0, 2500)],
        [Range(0, 10)],
        [],
    ],
)
def test_pieces_laid_end_to_end_are_the_new_file(
    pieces: list[bytes | Range], in_kernel: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_kernel:
        monkeypatch.delattr(os, "copy_file_range")
    old = bytes(range(250)) * 20
    (tmp_path / "old").write_bytes(old)
    with (tmp_path / "old").open("rb") as source, (tmp_path / "new").open("w+b", buffering=0) as copy:
        assemble(source, copy, pieces)
    wanted = b"".join(p if isinstance(p, bytes) else old[p.start : p.stop] for p in pieces)
    assert (tmp_path / "new").read_bytes() == wanted
