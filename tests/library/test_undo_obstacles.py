"""Undo against what stands in its way: rights, links, damage, a full disk, kills and interruptions."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest
from forking import fork
from written_songs import contents, make_song, outcome, songs, write

from mertag.files import remove_leftovers
from mertag.library.accounting import Event, FileDone, Finished
from mertag.library.state.database import Database
from mertag.library.undo import UndoOptions, undo_run

pytestmark = pytest.mark.command


def test_read_only_files_and_folders_are_left_and_reported(database: Database, music: Path) -> None:
    write(database, *songs(music), sidecars=True)
    after = contents(music)
    songs(music)[0].chmod(0o444)
    (music / "b").chmod(0o555)
    try:
        files, summary = outcome(undo_run(database))
    finally:
        (music / "b").chmod(0o755)
    assert "read-only" in files["1.flac"]
    assert "folder is read-only" in files["3.flac"]
    assert "folder is read-only" in files["3.flac.mertag.json"]
    assert summary.counts["undone"] == 3
    now = contents(music)
    assert all(now[path] == after[path] for path in (songs(music)[0], songs(music)[2]))


def test_a_file_with_several_names_is_left_unless_asked_for(database: Database, music: Path) -> None:
    song, before = songs(music)[0], contents(music)
    write(database, song)
    other = music / "other name"
    os.link(song, other)
    after = song.read_bytes()
    assert "2 hard links" in outcome(undo_run(database))[0]["1.flac"]
    assert outcome(undo_run(database, options=UndoOptions(break_hard_links=True)))[1].counts["undone"] == 1
    assert (song.read_bytes(), other.read_bytes()) == (before[song], after)


def test_something_else_in_the_files_place_is_left(database: Database, music: Path) -> None:
    write(database, *songs(music))
    songs(music)[0].unlink()
    (music / "a" / "1.flac").mkdir()
    songs(music)[1].unlink()
    os.mkfifo(music / "a" / "2.flac")
    files, _ = outcome(undo_run(database))
    assert files == {**dict.fromkeys(("1.flac", "2.flac"), "left: it is not a regular file"), "3.flac": "undone"}


def test_a_damaged_entry_leaves_its_file_and_no_other(database: Database, music: Path) -> None:
    write(database, *songs(music))
    after = contents(music)
    with database.transaction() as connection:
        connection.execute("UPDATE writes SET delta = x'01ff' WHERE id = 1")
        connection.execute("UPDATE writes SET old_digest = zeroblob(32) WHERE id = 2")
    files, summary = outcome(undo_run(database))
    assert files["1.flac"].startswith("left: its entry in the journal cannot be used: it is damaged")
    assert files["2.flac"].startswith("left: its entry in the journal cannot be used: it does not give the old file")
    assert summary.counts["undone"] == 1
    assert {path: contents(music)[path] for path in songs(music)[:2]} == {
        path: after[path] for path in songs(music)[:2]
    }


def test_files_are_given_back_even_if_the_state_file_cannot_be_written(
    database: Database, music: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = contents(music)
    write(database, *songs(music), sidecars=True)
    with sqlite3.connect(database.path) as connection:
        connection.execute("CREATE TRIGGER stop BEFORE UPDATE ON writes BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    connection.close()
    with caplog.at_level(logging.WARNING):
        assert outcome(undo_run(database))[1].counts["undone"] == 6
    assert contents(music) == before
    assert len([r for r in caplog.records if "files are given back all the same" in r.message]) == 1
    assert outcome(undo_run(database))[1].counts["already undone"] == 6


# Kills and interruptions


def test_an_undo_that_is_killed_again_and_again_gets_there_and_damages_nothing(tmp_path: Path) -> None:
    music, state = tmp_path / "music", tmp_path / "state.sqlite"
    paths = [make_song(music / f"{i}.flac") for i in range(30)]
    old = contents(music)
    with Database(state) as database:
        run = write(database, *paths, sidecars=True)
    new = contents(music)
    kills = finished = 0
    while not finished and kills < 60:
        child = fork()
        if not child:
            try:
                with Database(state) as database:
                    list(undo_run(database, run))
                os._exit(0)
            finally:
                os._exit(1)  # never back into the test runner
        time.sleep(0.02 + 0.011 * (kills % 7))
        os.kill(child, signal.SIGKILL)
        ended = os.waitpid(child, 0)[1]
        kills += os.WIFSIGNALED(ended)
        finished = os.WIFEXITED(ended)
        for path, content in contents(music).items():
            if not path.name.startswith(".mertag-"):
                assert content in (old.get(path), new[path]), path
    assert kills >= 3
    with Database(state) as database:
        files, summary = outcome(undo_run(database, run))
        assert summary.failed == 0
        assert len(files) == 60
    remove_leftovers(music, older_than_s=0)
    assert contents(music) == old


def test_an_interrupted_undo_finishes_its_file_and_accounts_for_the_rest(database: Database, music: Path) -> None:
    before = contents(music)
    write(database, *songs(music))
    seen: list[Event] = []

    def interrupt_after_the_first() -> None:
        for event in undo_run(database):
            seen.append(event)
            if isinstance(event, FileDone):
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        interrupt_after_the_first()
    assert isinstance(seen[-1], Finished)
    assert (seen[-1].summary.counts["undone"], seen[-1].summary.not_reached) == (1, 2)
    assert outcome(undo_run(database))[1].counts["undone"] == 2
    assert contents(music) == before
