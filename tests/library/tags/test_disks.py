"""Real disks, mounted for the test: full, read-only, gone, without attributes, with access lists."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from file_names import named
from odd_disk import odd_disk

from mertag.emotion import SongEmotion
from mertag.errors import TagWriteError
from mertag.files import remove_leftovers
from mertag.library.tags import (
    TagOptions,
    audio_digest,
    plan_tags,
    read_tags,
    remove_tags,
    safe_write,
    write_tags,
)
from mertag.library.tags.safe_write import Original

pytestmark = pytest.mark.command

Song = Callable[[str], Path]
Mount = Callable[..., Path]
MAKERS = {"ext4": ["mkfs.ext4", "-q", "-F"], "vfat": ["mkfs.vfat"], "exfat": ["mkfs.exfat"], "xfs": ["mkfs.xfs", "-q"]}
HAPPY = ("Happy",)


def run(*command: object) -> bool:
    if shutil.which(str(command[0])) is None:
        return False
    return subprocess.run([str(part) for part in command], capture_output=True, check=False).returncode == 0


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Return a function that mounts a disk of a kind and a size in MiB, or skips the test."""
    mounted: list[Path] = []

    def do(kind: str, mib: int = 4) -> Path:
        disk = tmp_path / f"disk {len(mounted)}"
        disk.mkdir()
        if os.geteuid() != 0:
            pytest.skip("only root can mount a disk")
        if kind in MAKERS:
            image = tmp_path / f"{disk.name}.img"
            with image.open("wb") as file:
                file.truncate(mib * 2**20)
            done = run(*MAKERS[kind], image) and run("mount", "-o", "loop", image, disk)
        else:
            done = run("mount", "-t", kind, "-o", f"size={mib}m", kind, disk)
        if not done:
            pytest.skip(f"no {kind} disk can be made or mounted here")
        mounted.append(disk)
        return disk

    yield do
    for disk in mounted:
        run("mount", "-o", "remount,rw", disk)
        if os.path.ismount(disk):
            assert run("umount", disk)


def put(original: Path, disk: Path, name: str = "") -> Path:
    return Path(shutil.copyfile(original, disk / (name or original.name)))


@contextlib.contextmanager
def refused_and_untouched(path: Path, match: str) -> Iterator[None]:
    before, inode = path.read_bytes(), path.stat().st_ino
    with pytest.raises(TagWriteError, match=match):
        yield
    assert (path.read_bytes(), path.stat().st_ino) == (before, inode)


# Full


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_disk_that_is_too_full_is_noticed_before_anything_is_written(
    kind: str, song: Song, mount: Mount, happy: SongEmotion
) -> None:
    path = put(song("a.wav"), mount(kind, 4))
    fill(path.parent, leave=path.stat().st_size + 2**19)
    with refused_and_untouched(path, "disk is too full: a safe write needs [0-9]+ bytes and [0-9]+ are free"):
        write_tags(path, happy)
    assert [p.name for p in path.parent.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
@pytest.mark.parametrize("name", ["a.wav", "v23.mp3", "a.flac", "a.ogg", "fast.m4a"])
def test_a_disk_that_fills_up_while_writing_costs_nothing(
    name: str, kind: str, song: Song, mount: Mount, happy: SongEmotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(song(name), mount(kind, 4))
    old, written = path.read_bytes(), 0
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 10**12, "total": 10**12}))
    for leave in [0, len(old) // 3, len(old) - 5000, len(old) * 3 + 2**16]:  # as another program fills it meanwhile
        fill(path.parent, leave=leave)
        if leave < len(old):
            with refused_and_untouched(path, "No space left on device"):
                write_tags(path, happy)
        else:
            written += write_tags(path, happy).changed
        assert {p.name for p in path.parent.iterdir()} <= {path.name, "ballast", "lost+found"}
    assert written == 1


def fill(disk: Path, *, leave: int) -> None:
    """Fill a disk up to about `leave` bytes."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    os.sync()
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    with ballast.open("r+b") as file:
        file.truncate(max(0, ballast.stat().st_size - leave))
        os.fsync(file.fileno())


# Read-only, or gone


def test_a_disk_that_is_mounted_read_only_is_named_as_the_reason(song: Song, mount: Mount, happy: SongEmotion) -> None:
    path = put(song("a.flac"), mount("tmpfs"))
    digest = audio_digest(path)
    assert run("mount", "-o", "remount,ro", path.parent)
    with refused_and_untouched(path, "mounted read-only"):
        write_tags(path, happy)
    assert plan_tags(path, happy).changed
    assert audio_digest(path) == digest
    assert remove_leftovers(path.parent, older_than_s=0) == []


def test_a_disk_that_turns_read_only_during_a_write_leaves_the_old_song(
    song: Song,
    mount: Mount,
    happy: SongEmotion,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = put(song("a.flac"), mount("ext4"))
    look = safe_write._refuse_if_changed

    def protect(original: Original) -> None:  # what a kernel does when a disk has errors; no file is open by now
        assert run("mount", "-o", "remount,ro", path.parent)
        look(original)

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(safe_write, "_refuse_if_changed", protect)
        with refused_and_untouched(path, "Read-only file system"):
            write_tags(path, happy)
    assert "could not be removed" in caplog.text
    assert run("mount", "-o", "remount,rw", path.parent)
    assert len(remove_leftovers(path.parent, older_than_s=0)) == 1
    assert write_tags(path, happy).new["MOOD"] == HAPPY


def test_a_disk_that_is_pulled_out_during_a_write_is_an_error_of_that_song(
    song: Song, mount: Mount, happy: SongEmotion
) -> None:
    path = put(song("a.flac"), mount("ext4"))
    old, disk, image = path.read_bytes(), path.parent, path.parent.parent / f"{path.parent.name}.img"

    def pull(old: Path, new: Path) -> None:
        assert run("umount", "-l", disk)

    with pytest.raises(TagWriteError, match="No such file"):
        write_tags(path, happy, before_replace=pull)
    assert run("mount", "-o", "loop", image, disk)
    assert path.read_bytes() == old


@pytest.mark.parametrize("what", ["song", "folder", "renamed folder"])
def test_a_song_or_folder_that_disappears_during_a_write_is_an_error_and_nothing_comes_back(
    what: str, song: Song, happy: SongEmotion, tmp_path: Path
) -> None:
    folder = tmp_path / "album"
    folder.mkdir()
    path = put(song("a.flac"), folder)
    old, elsewhere = path.read_bytes(), tmp_path / "elsewhere"

    def vanish(old: Path, new: Path) -> None:
        if what == "song":
            path.unlink()
        elif what == "folder":
            shutil.rmtree(folder)
        else:
            folder.rename(elsewhere)

    with pytest.raises(TagWriteError, match="No such file"):
        write_tags(path, happy, before_replace=vanish)
    assert not path.exists()
    if what == "renamed folder":
        assert len(remove_leftovers(elsewhere, older_than_s=0)) == 1
        assert [p.read_bytes() for p in elsewhere.iterdir()] == [old]
    elif what == "song":
        assert list(folder.iterdir()) == []


# Attributes


@pytest.mark.parametrize("kind", ["ext4", "tmpfs", "xfs"])
def test_access_lists_and_attributes_are_kept(kind: str, song: Song, mount: Mount, happy: SongEmotion) -> None:
    path = put(song("a.flac"), mount(kind, 4 if kind != "xfs" else 320))
    entries = [(1, 6, -1), (2, 4, 12345), (4, 4, -1), (16, 6, -1), (32, 0, -1)]  # tag, permissions, id
    access_list = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    wanted = {"user.rating": b"5", "user.empty": b"", "user.large": bytes(range(256)), "trusted.backup": b"x"}
    wanted["system.posix_acl_access"] = access_list
    for name, value in wanted.items():
        try:
            os.setxattr(path, name, value)
        except OSError:
            if name.startswith("user.") or kind == "ext4":
                pytest.skip(f"this {kind} has no such attributes")
    kept = {name: os.getxattr(path, name) for name in os.listxattr(path)}
    mode = path.stat().st_mode

    write_tags(path, happy)

    assert {name: os.getxattr(path, name) for name in os.listxattr(path)} == kept
    assert path.stat().st_mode == mode


def test_an_immutable_song_is_refused(song: Song, mount: Mount, happy: SongEmotion) -> None:
    path = put(song("a.flac"), mount("ext4"))
    if not run("chattr", "+i", path):
        pytest.skip("chattr is not here")
    try:
        with refused_and_untouched(path, "read-only"):
            write_tags(path, happy)
    finally:
        run("chattr", "-i", path)


@pytest.mark.parametrize("kind", ["ramfs", "vfat", "exfat"])
def test_a_disk_without_attributes_will_do(kind: str, song: Song, mount: Mount, happy: SongEmotion) -> None:
    path = put(song("a.flac"), mount(kind, 8))
    with pytest.raises(OSError, match=r"not supported"):
        os.setxattr(path, "user.rating", b"5")
    mode = path.stat().st_mode

    assert write_tags(path, happy).changed

    assert read_tags(path)["MOOD"] == HAPPY
    assert path.stat().st_mode == mode
    assert remove_tags(path).changed
    assert [p.name for p in path.parent.iterdir()] == [path.name]


# Odd ones

OddDisk = Callable[..., Path]


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[OddDisk]:
    """Return a function that mounts a disk as odd as a network share or a memory card; see `odd_disk`."""
    with contextlib.ExitStack() as mounted:

        def do(*faults: str) -> Path:
            folder = tmp_path / "odd"
            folder.mkdir()
            try:
                return mounted.enter_context(odd_disk(folder, *faults))
            except OSError as error:
                pytest.skip(f"FUSE cannot be used here ({error})")

        yield do


@pytest.mark.parametrize("name", ["a.flac", "v23.mp3", "a.ogg", "a.m4a", "a.wav"])
def test_a_share_without_modes_attributes_sizes_and_folder_syncs_will_do(
    name: str, song: Song, odd: OddDisk, happy: SongEmotion, caplog: pytest.LogCaptureFixture
) -> None:
    path = put(song(name), odd())
    assert shutil.disk_usage(path.parent).total == 0
    with pytest.raises(PermissionError):
        path.chmod(0o600)

    assert write_tags(path, happy).changed
    assert read_tags(path)["MOOD"] == HAPPY
    assert write_tags(path, happy).changed is False
    os.utime(path, (10**9, 10**9))
    remove_tags(path, TagOptions(preserve_mtime=True))
    assert path.stat().st_mtime == 10**9
    assert [p.name for p in path.parent.iterdir()] == [name]
    assert caplog.text == ""


@pytest.mark.parametrize("given", ["song.mp3", "SONG.MP3", "sOnG.mP3", "Song.MP3"])
def test_a_song_keeps_its_name_where_case_does_not_count(
    given: str, song: Song, odd: OddDisk, happy: SongEmotion
) -> None:
    disk = odd()
    put(song("bare.mp3"), disk, "Song.MP3")
    seen = []
    write_tags(disk / given, happy, before_replace=lambda old, new: seen.append(old.name))
    assert [p.name for p in disk.iterdir()] == ["Song.MP3"] == seen
    assert read_tags(disk / "Song.MP3")["MOOD"] == HAPPY


def test_a_name_as_long_as_names_may_be_is_no_obstacle_on_any_disk(
    song: Song, odd: OddDisk, happy: SongEmotion
) -> None:
    path = put(song("bare.mp3"), odd(), named("é" * 125 + "x.mp3"))
    assert len(os.fsencode(path.name)) == 255
    assert write_tags(path, happy).changed


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("fsync:5", "Input/output error"),  # what was written earlier did not reach the disk
        ("write@100000:28", "No space left"),
        ("write@100000:5", "Input/output error"),
        ("write@100000:122", "quota exceeded"),
        ("rename:5", "Input/output error"),
        ("rename:16", "busy"),
        ("flush:5", "Input/output error"),  # as close() reports it on network shares
        ("create:30", "Read-only file system"),
        ("create:28", "No space left"),
    ],
)
def test_an_error_of_the_disk_itself_leaves_the_old_song(
    fault: str, reason: str, song: Song, odd: OddDisk, happy: SongEmotion
) -> None:
    path = put(song("a.wav"), odd(fault))
    (path.parent / "armed").touch()
    with refused_and_untouched(path, reason):
        write_tags(path, happy)
    assert sorted(p.name for p in path.parent.iterdir()) == ["a.wav", "armed"]
