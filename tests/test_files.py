"""Files that are whole or not there, files that may be anything, and paths as text."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mertag import files


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_replacing_keeps_the_permissions_and_a_symbolic_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    files.write_whole(link, b"new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.name != "posix", reason="the umask of POSIX")
def test_a_new_file_follows_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        files.write_whole(tmp_path / "new", b"")
    finally:
        os.umask(old)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640


def test_an_error_while_writing_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "kept"
    target.write_text("old")

    def interrupted() -> None:
        with files.replaced_whole(target) as file:
            file.write(b"ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_is_called_before_the_replacement_may_forbid_it(tmp_path: Path) -> None:
    target = tmp_path / "kept"
    target.write_text("old")
    seen: list[tuple[bytes, bytes]] = []

    def forbid(old: Path, new: Path) -> None:
        seen.append((old.read_bytes(), new.read_bytes()))
        raise OSError("cannot be noted")

    with pytest.raises(OSError, match="noted"):
        files.write_whole(target, "new", before_replace=forbid)
    assert seen == [(b"old", b"new")]
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_writers_of_one_file_do_not_mix_what_they_write(tmp_path: Path) -> None:
    target = tmp_path / "one"
    writers = [
        threading.Thread(target=files.write_whole, args=(target, str(n) * 100_000)) for n in range(8) for _ in range(3)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert set(target.read_text()) in [{str(n)} for n in range(8)]
    assert list(tmp_path.iterdir()) == [target]


def test_what_is_no_regular_file_or_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"12345")
    assert files.read_regular(tmp_path / "large", 5) == b"12345"
    with pytest.raises(ValueError, match="5 bytes, more than the 4"):
        files.read_regular(tmp_path / "large", 4)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ValueError, match="not a plain file"):
            files.read_regular(tmp_path / "pipe", 4)


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert files.json_digest({"a": 1, "b": [2]}) == files.json_digest({"b": [2], "a": 1})
    assert files.json_digest({"a": 1}) != files.json_digest({"a": 2})


@given(text=st.text(st.characters(codec=None)))
def test_printable_text_can_be_encoded_and_holds_nothing_that_a_terminal_obeys(text: str) -> None:
    shown = files.printable(text)
    shown.encode("utf-8")
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in shown)


def test_japanese_and_emoji_stay_as_they_are() -> None:
    assert files.printable("　夜に駆ける 👨‍👩‍👧 ñ") == "　夜に駆ける 👨‍👩‍👧 ñ"
