"""Sidecars are whole, ours, and never in the way of anything; records are JSON that any parser reads."""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path

import pytest
from fake_tagger import MODEL, emotion
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from json_schemas import valid

from mertag.emotion import Quadrant
from mertag.errors import TagWriteError
from mertag.library import records, sidecar
from mertag.library.store import Store


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.mp3"
    path.write_bytes(b"audio")
    return path


def test_a_sidecar_lies_beside_the_song_and_says_what_was_heard(song: Path) -> None:
    assert sidecar.write_sidecar(song, emotion(Quadrant.Q3))
    content = json.loads((song.parent / "song.mp3.mertag.json").read_text())
    assert content["file"] == "song.mp3"
    assert content["model"] == MODEL
    assert content["emotion"]["quadrant"] == "Q3"
    assert content["emotion"]["label"] == "Sad"
    assert content["emotion"]["quadrant_probabilities"] == {"Q1": 0.1, "Q2": 0.1, "Q3": 0.7, "Q4": 0.1}
    assert valid(content, "sidecar")


def test_songs_that_differ_in_their_suffix_only_have_a_sidecar_each(tmp_path: Path) -> None:
    names = {sidecar.sidecar_path(tmp_path / name).name for name in ("song.mp3", "song.flac", "song")}
    assert len(names) == 3


def test_a_sidecar_that_says_the_same_is_not_written_again(song: Path) -> None:
    sidecar.write_sidecar(song, emotion())
    before = sidecar.sidecar_path(song).stat()
    assert not sidecar.write_sidecar(song, emotion())
    after = sidecar.sidecar_path(song).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert sidecar.write_sidecar(song, emotion(Quadrant.Q2))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"title": "x"}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"schema": 1, "mertag": "1", "schema": 1}',
        b'{"schema": 1, "mertag": "1", "x": NaN}',
        b'{"schema": true, "mertag": "1"}',
        b'{"schema": 1.0, "mertag": "1"}',
        b'{"schema": ' + b"9" * 5_000 + b', "mertag": "1"}',
        b'{"schema": 1, "mertag": "1", "x": "' + b"y" * (1 << 20) + b'"}',
        b'{"mertag": 1, "schema": 1}',
    ],
)
def test_what_someone_else_wrote_is_never_replaced(song: Path, content: bytes) -> None:
    sidecar.sidecar_path(song).write_bytes(content)
    with pytest.raises(TagWriteError, match="not written by mertag"):
        sidecar.write_sidecar(song, emotion())
    assert sidecar.sidecar_path(song).read_bytes() == content


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.usefixtures("fast_disk")
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=60)
    | st.fixed_dictionaries({}, optional=dict.fromkeys(("schema", "mertag", "emotion", "file"), JSON)).map(
        lambda content: json.dumps(content).encode()
    )
    | st.fixed_dictionaries({"schema": st.integers(-2, 3), "mertag": st.text(max_size=9), "emotion": JSON}).map(
        lambda content: json.dumps(content).encode()
    )
)
def test_whatever_lies_there_is_replaced_if_mertag_may_have_written_it_and_else_left(
    song: Path, content: bytes
) -> None:
    place = sidecar.sidecar_path(song)
    place.write_bytes(content)
    try:
        assert sidecar.plan_sidecar(song, emotion()) is sidecar.write_sidecar(song, emotion()) is True
    except TagWriteError:
        assert place.read_bytes() == content
    else:
        old = json.loads(content)
        assert isinstance(old["mertag"], str)
        assert old["schema"] <= records.SCHEMA
        assert not sidecar.write_sidecar(song, emotion())
    assert sorted(p.name for p in song.parent.iterdir()) == [song.name, place.name]


@pytest.mark.skipif(os.name != "posix", reason="pipes and links of POSIX")
def test_a_pipe_or_a_link_to_nothing_in_its_place_is_refused_at_once(song: Path) -> None:
    place = sidecar.sidecar_path(song)
    os.mkfifo(place)
    with pytest.raises(TagWriteError, match="not written by mertag"):
        sidecar.write_sidecar(song, emotion())
    place.unlink()
    place.symlink_to(song.parent / "elsewhere.json")
    with pytest.raises(TagWriteError, match="a link to nothing"):
        sidecar.write_sidecar(song, emotion())
    assert not (song.parent / "elsewhere.json").exists()
    place.unlink()
    place.mkdir()
    with pytest.raises(TagWriteError, match="could not be read: Is a directory"):
        sidecar.write_sidecar(song, emotion())


def test_a_sidecar_of_a_later_version_is_left_alone(song: Path) -> None:
    sidecar.sidecar_path(song).write_text('{"schema": 99, "mertag": "9.0", "emotion": {}}')
    with pytest.raises(TagWriteError, match="later mertag"):
        sidecar.write_sidecar(song, emotion())


def test_a_write_that_fails_leaves_the_old_sidecar_and_no_litter(song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sidecar.write_sidecar(song, emotion())
    old = sidecar.sidecar_path(song).read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TagWriteError, match="No space left"):
        sidecar.write_sidecar(song, emotion(Quadrant.Q4))
    assert sidecar.sidecar_path(song).read_bytes() == old
    assert len(list(song.parent.iterdir())) == 2


def test_a_name_too_long_for_a_sidecar_is_a_reason_and_not_a_crash(tmp_path: Path) -> None:
    song = tmp_path / ("x" * 250 + ".mp3")
    with pytest.raises(TagWriteError, match="sidecar could not be"):
        sidecar.write_sidecar(song, emotion())


@pytest.mark.skipif(sys.platform != "linux", reason="file names that are any bytes")
def test_a_name_that_is_not_utf8_is_shown_and_also_given_exactly(tmp_path: Path) -> None:
    song = tmp_path / os.fsdecode(b"caf\xe9 \xc3\xa9.mp3")
    assert sidecar.write_sidecar(song, emotion())
    assert not sidecar.write_sidecar(song, emotion())
    content = json.loads(sidecar.sidecar_path(song).read_bytes())
    assert content["file"] == "caf\\xe9 é.mp3"
    assert base64.b64decode(content["file_base64"]) == b"caf\xe9 \xc3\xa9.mp3"
    assert valid(content, "sidecar")


@pytest.fixture(params=["local", "memory"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    pytest.importorskip("fsspec")
    return f"{request.param}://{tmp_path}/song.mp3"


def test_a_song_in_a_store_has_its_sidecar_beside_it(address: str) -> None:
    assert sidecar.write_sidecar_at(address, emotion(Quadrant.Q3))
    assert not sidecar.write_sidecar_at(address, emotion(Quadrant.Q3)), "it says so already"
    assert sidecar.write_sidecar_at(address, emotion(Quadrant.Q2))
    content = json.loads(
        Store(address.removesuffix("/song.mp3"), command="tag").head("song.mp3.mertag.json", 10_000) or ""
    )
    assert (content["file"], content["emotion"]["quadrant"]) == ("song.mp3", "Q2")
    assert valid(content, "sidecar")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not written by mertag"),
        (b'{"mine": 1}', "not written by mertag"),
        (b'{"schema": 99, "mertag": "9.0"}', "9.0"),
    ],
)
def test_what_mertag_did_not_write_stays_in_a_store(address: str, content: bytes, says: str) -> None:
    store = Store(address.removesuffix("/song.mp3"), command="tag")
    store.create("song.mp3.mertag.json", content)
    with pytest.raises(TagWriteError, match=says):
        sidecar.write_sidecar_at(address, emotion())
    assert store.head("song.mp3.mertag.json", 100) == content


def test_what_another_program_makes_in_a_store_at_the_same_moment_stays(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(address.removesuffix("/song.mp3"), command="tag")
    store.create("song.mp3.mertag.json", b"theirs")
    monkeypatch.setattr(Store, "head", lambda *_: None)
    with pytest.raises(TagWriteError, match="made by another program"):
        sidecar.write_sidecar_at(address, emotion())
    monkeypatch.undo()
    assert store.head("song.mp3.mertag.json", 100) == b"theirs"
