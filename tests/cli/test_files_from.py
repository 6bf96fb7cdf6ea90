"""Lists of paths from other programs: whatever the names hold, they come out as they went in."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mertag.cli.tag_options import parse_names, read_names
from mertag.errors import ConfigError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="names that are any bytes")

NAMES = st.lists(st.binary(min_size=1, max_size=20).filter(lambda name: b"\0" not in name), max_size=6)
MARKS = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")


def texts(names: list[bytes]) -> list[str]:
    return [os.fsdecode(name) for name in names]


@given(NAMES.filter(lambda names: not (names and names[0].startswith(MARKS))), st.booleans())
def test_any_names_survive_a_list_separated_by_nul(names: list[bytes], closed: bool) -> None:
    data = b"\0".join(names) + (b"\0" if closed or len(names) == 1 else b"")
    assert parse_names(data) == texts(names)


@given(NAMES, st.sampled_from([b"\n", b"\r\n"]), st.booleans(), st.booleans())
def test_any_names_without_line_breaks_survive_a_list_of_lines(
    names: list[bytes], end: bytes, closed: bool, marked: bool
) -> None:
    names = [name.replace(b"\n", b" ").removesuffix(b"\r") or b"x" for name in names]
    if names and names[0].startswith(MARKS):
        names[0] = b"./" + names[0]
    data = (b"\xef\xbb\xbf" if marked else b"") + end.join(names) + (end if closed else b"")
    assert parse_names(data) == texts(names)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_list_or_refused(data: bytes) -> None:
    try:
        found = parse_names(data)
    except ValueError:
        assert data.startswith(MARKS[:2])
    else:
        assert all(b"\0" not in os.fsencode(path) for path in found)


def test_a_list_is_read_from_a_file_or_from_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "list").write_bytes(b"a b.mp3\n\ncaf\xe9.mp3\n")
    expected = texts([b"a b.mp3", b"caf\xe9.mp3"])
    assert read_names(str(tmp_path / "list")) == expected
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((tmp_path / "list").read_bytes())))
    assert read_names("-") == expected


@pytest.mark.parametrize(
    ("data", "says"), [("a.mp3\n".encode("utf-16"), "UTF-16"), (None, "cannot be read: No such file")]
)
def test_a_list_that_cannot_be_read_is_a_usage_error(tmp_path: Path, data: bytes | None, says: str) -> None:
    if data is not None:
        (tmp_path / "list").write_bytes(data)
    with pytest.raises(ConfigError, match=says):
        read_names(str(tmp_path / "list"))
