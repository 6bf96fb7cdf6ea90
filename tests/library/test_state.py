"""The memory: what it keeps, what it forgets, and what it does when its file stops working."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from mertag.errors import StateError
from mertag.library.state import analyses as state_module
from mertag.library.state.analyses import State, open_state
from mertag.library.state.database import Database

AUDIO, OTHER = b"a" * 32, b"b" * 32
PATH = b"/music/a.mp3"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with open_state(tmp_path / "s", command="test") as state:
        yield state


def test_an_analysis_belongs_to_audio_and_model(state: State) -> None:
    state.remember_result(AUDIO, "m1", "{}")
    assert state.result(AUDIO, "m1") == "{}"
    assert state.result(AUDIO, "m2") is None
    assert state.result(OTHER, "m1") is None
    assert state.models(AUDIO) == ["m1"]


def test_a_later_analysis_takes_the_place_of_an_earlier_one(state: State) -> None:
    state.remember_result(AUDIO, "m", "1")
    state.remember_result(AUDIO, "m", "2")
    assert state.result(AUDIO, "m") == "2"
    assert state.result(AUDIO, "m", since_s=state.run.started_s) == "2"
    assert state.result(AUDIO, "m", since_s=state.run.started_s + 3600) is None


def test_an_analysis_is_there_for_another_process_at_once(state: State, tmp_path: Path) -> None:
    for n in range(3):  # not only the first, which waits for the disk
        state.remember_result(AUDIO, f"m{n}", "{}")
    with sqlite3.connect(tmp_path / "s") as other:
        assert other.execute("SELECT count(*) FROM analyses").fetchone() == (3,)


def test_a_file_is_known_with_the_analysis_of_its_audio(state: State) -> None:
    assert state.entry(PATH, "m") is None
    state.remember_file(PATH, size=10, mtime_ns=20, audio=AUDIO, settled="x")
    state.remember_result(AUDIO, "m", "{}")
    entry = state.entry(PATH, "m")
    assert entry is not None
    assert (entry.size, entry.mtime_ns, entry.audio, entry.settled, entry.result) == (10, 20, AUDIO, "x", "{}")
    other = state.entry(PATH, "other model")
    assert other is not None
    assert other.result is None


def settled(state: State) -> tuple[bytes, str]:
    entry = state.entry(PATH, "m")
    assert entry is not None
    return entry.audio, entry.settled


def test_a_run_that_settles_nothing_leaves_what_is_settled_if_the_file_is_the_same(state: State) -> None:
    state.remember_file(PATH, size=10, mtime_ns=20, audio=AUDIO, settled="x")
    state.remember_file(PATH, size=10, mtime_ns=20, audio=AUDIO, settled="")
    assert settled(state) == (AUDIO, "x")
    state.remember_file(PATH, size=10, mtime_ns=20, audio=b"", settled="y")
    assert settled(state) == (AUDIO, "y")
    state.remember_file(PATH, size=10, mtime_ns=21, audio=AUDIO, settled="")
    assert settled(state) == (AUDIO, "")


def test_a_file_with_other_audio_is_not_settled_though_size_and_time_are_the_same(state: State) -> None:
    state.remember_file(PATH, size=10, mtime_ns=20, audio=AUDIO, settled="x")
    state.remember_file(PATH, size=10, mtime_ns=20, audio=OTHER, settled="")
    assert settled(state) == (OTHER, "")


def test_a_path_that_is_no_text_is_kept_as_it_is(state: State) -> None:
    path = os.fsencode("/music/") + b"caf\xe9\xff.mp3"
    state.remember_file(path, size=1, mtime_ns=2, audio=AUDIO, settled="")
    assert state.entry(path, "m") is not None


def test_a_full_state_file_is_said_once_and_raises_nothing(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = state.run.database._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    monkeypatch.setattr(state_module, "REST_S", 0.0)  # else the state is left alone after the first failure
    for n in range(200):
        state.remember_result(AUDIO, f"m{n}", "x" * 500)
    assert state.troubles.qsize() == 1
    said = state.troubles.get()
    assert "full" in said
    assert "the run goes on" in said
    connection.execute("PRAGMA max_page_count = 100000")  # somebody made room
    state.remember_result(AUDIO, "after", "{}")
    assert state.result(AUDIO, "after") == "{}"


def test_a_state_that_failed_is_left_alone_for_a_while(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def broken(*_: object) -> list[tuple[object, ...]]:
        calls.append("")
        raise StateError("the disk is gone")

    monkeypatch.setattr(Database, "rows", broken)
    for _ in range(5):
        assert state.entry(PATH, "m") is None
        assert state.result(AUDIO, "m") is None
    assert len(calls) == 1
    assert state.claim(b"x")  # who cannot ask goes on


def test_damage_inside_is_found_set_aside_and_said_and_the_run_begins(tmp_path: Path) -> None:
    place, said = tmp_path / "s", list[str]()
    with open_state(place, command="test") as state:
        for n in range(50):
            state.remember_result(AUDIO, f"m{n}", "x" * 500)
    content = bytearray(place.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)  # the first page, with the header, stays
    place.write_bytes(content)
    with open_state(place, command="test", notify=said.append) as state:
        assert state.result(AUDIO, "m1") is None
        state.remember_result(AUDIO, "m1", "{}")
        assert state.result(AUDIO, "m1") == "{}"
    (aside,) = tmp_path.glob("s.aside-*")
    assert aside.read_bytes() == content
    assert len(said) == 1
    assert "damaged" in said[0]
    with open_state(place, command="test", notify=said.append) as state:
        assert state.result(AUDIO, "m1") == "{}"
    assert len(said) == 1


def test_damage_that_shows_in_the_middle_of_a_run_is_dealt_with_by_the_next(tmp_path: Path) -> None:
    place, said = tmp_path / "s", list[str]()
    with open_state(place, command="test") as state:
        for n in range(2000):
            state.remember_file(b"/%d" % n, size=1, mtime_ns=1, audio=os.urandom(32), settled="")
    content = bytearray(place.read_bytes())
    assert len(content) > 30 * 4096
    content[20 * 4096 : -8 * 4096] = bytes(len(content) - 28 * 4096)  # well inside
    place.write_bytes(content)
    with open_state(place, command="test", notify=said.append) as state:
        for n in range(2000):
            state.entry(b"/%d" % n, "m")
        assert state.troubles.qsize() == 1
        assert "the next run checks it" in state.troubles.get()
    assert not said
    with open_state(place, command="test", notify=said.append) as state:
        assert state.entry(b"/1", "m") is None
        assert state.troubles.empty()
    assert len(said) == 1
    assert list(tmp_path.glob("s.aside-*"))


def test_a_suspicion_that_proves_wrong_costs_nothing(tmp_path: Path) -> None:
    place, said = tmp_path / "s", list[str]()
    with open_state(place, command="test") as state:
        state.remember_result(AUDIO, "m", "{}")
    (tmp_path / "s.check").touch()
    with open_state(place, command="test", notify=said.append) as state:
        assert state.result(AUDIO, "m") == "{}"
    assert not said
    assert not (tmp_path / "s.check").exists()
