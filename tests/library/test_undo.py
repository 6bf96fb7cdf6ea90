"""Undo: the old bytes, or the file as it is and the reason; whatever happened in between."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_tagger import emotion
from written_songs import contents, make_song, outcome, write

from mertag.emotion import Quadrant
from mertag.errors import ConfigError
from mertag.files import remove_leftovers
from mertag.library import sidecar, tags
from mertag.library.accounting import Event, FileDone, Finished
from mertag.library.state.database import Database
from mertag.library.state.journal import Journal
from mertag.library.state.runs import Run
from mertag.library.tags import TagOptions
from mertag.library.undo import UndoOptions, journal_size, past_runs, undo_run

pytestmark = pytest.mark.command


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "state" / "state.sqlite") as opened:
        yield opened


@pytest.fixture
def music(tmp_path: Path) -> Path:
    for name in ("a/1.flac", "a/2.flac", "b/3.flac"):
        make_song(tmp_path / "music" / name)
    return tmp_path / "music"


def songs(music: Path) -> list[Path]:
    return sorted(music.rglob("*.flac"))


def test_a_run_is_undone_newest_write_first_and_then_there_is_nothing_to_undo(database: Database, music: Path) -> None:
    before = contents(music)
    run = write(database, *songs(music), sidecars=True)
    assert len(contents(music)) == 6

    events = list(undo_run(database))

    assert contents(music) == before
    handled = [event.path.name for event in events if isinstance(event, FileDone)]
    in_order = [name for song in songs(music) for name in (song.name, f"{song.name}.mertag.json")]
    assert handled == in_order[::-1]
    assert events[0].run == run  # type: ignore[union-attr]
    assert outcome(undo_run(database))[1].found == 0


def test_runs_are_undone_from_the_newest_on_and_each_gives_back_what_was_before_it(
    database: Database, music: Path
) -> None:
    states = [contents(music)]
    for quadrant in (Quadrant.Q1, Quadrant.Q3, Quadrant.Q2):
        write(database, *songs(music), quadrant=quadrant)
        states.append(contents(music))
    for state in reversed(states[:-1]):
        assert outcome(undo_run(database))[1].counts["undone"] == 3
        assert contents(music) == state


def test_an_earlier_run_is_not_undone_before_the_later_one(database: Database, music: Path) -> None:
    first = write(database, *songs(music))
    second = write(database, songs(music)[0], quadrant=Quadrant.Q3)
    after = contents(music)
    files, summary = outcome(undo_run(database, first))
    assert files["1.flac"] == f"left: run {second} wrote it again later; undo that one first"
    assert (summary.counts["undone"], summary.failed) == (2, 1)
    assert contents(music)[songs(music)[0]] == after[songs(music)[0]]


def test_a_file_written_twice_in_one_run_comes_back_whole(database: Database, music: Path) -> None:
    before, song = contents(music), songs(music)[0]
    with Run(database, kind="tag", command="") as run:
        journal = Journal(database, run.id)
        for quadrant in Quadrant:
            tags.write_tags(song, emotion(quadrant), before_replace=journal.before_replace("tags"))
    list(undo_run(database))
    assert contents(music) == before


def test_a_file_that_someone_changed_since_is_left_and_reported(database: Database, music: Path) -> None:
    write(database, *songs(music), sidecars=True)
    changed = [songs(music)[1], sidecar.sidecar_path(songs(music)[2])]
    for path in changed:
        path.write_bytes(path.read_bytes() + b" ")
    after = contents(music)
    files, summary = outcome(undo_run(database))
    assert {name for name, said in files.items() if said != "undone"} == {path.name for path in changed}
    assert files["2.flac"] == "left: someone changed it since; it is left as it is"
    assert (summary.counts["undone"], summary.failed) == (4, 2)
    assert all(path.read_bytes() == after[path] for path in changed)


def test_what_is_as_it_was_is_already_undone(database: Database, music: Path) -> None:
    song, before = songs(music)[0], contents(music)
    run = write(database, *songs(music))
    song.write_bytes(before[song])  # restored from a backup
    files, summary = outcome(undo_run(database))
    assert files["1.flac"] == "already undone"
    assert (summary.counts["undone"], summary.failed) == (2, 0)
    assert set(outcome(undo_run(database, run))[0].values()) == {"already undone"}
    assert contents(music) == before


def test_a_dry_run_changes_nothing_and_says_the_same(database: Database, music: Path) -> None:
    write(database, *songs(music), sidecars=True)
    songs(music)[0].chmod(0o444)
    songs(music)[1].write_bytes(b"changed")
    after, rows = contents(music), database.rows("SELECT undone FROM writes")
    dry = outcome(undo_run(database, options=UndoOptions(dry_run=True)))
    assert contents(music) == after
    assert database.rows("SELECT undone FROM writes") == rows
    assert len(database.rows("SELECT id FROM runs")) == 1
    assert dry[0] == outcome(undo_run(database))[0]


# Sidecars


def test_a_sidecar_that_was_there_gets_its_old_content_back(database: Database, music: Path) -> None:
    song = songs(music)[0]
    sidecar.write_sidecar(song, emotion(Quadrant.Q4))
    before = contents(music)
    write(database, song, sidecars=True)
    assert outcome(undo_run(database))[1].counts["undone"] == 2
    assert contents(music) == before


def test_a_sidecar_that_is_gone_is_undone_but_not_if_its_whole_folder_is(database: Database, music: Path) -> None:
    write(database, *songs(music), sidecars=True)
    sidecar.sidecar_path(songs(music)[0]).unlink()
    (music / "b").rename(music.parent / "unmounted")
    files, _ = outcome(undo_run(database))
    assert files["1.flac.mertag.json"] == "already undone"
    assert files["3.flac.mertag.json"].startswith("left: it is not there any more")

    (music.parent / "unmounted").rename(music / "b")
    assert outcome(undo_run(database))[0] == {"3.flac.mertag.json": "undone", "3.flac": "undone"}


# Which files


def test_only_the_files_and_folders_that_are_given_are_undone(database: Database, music: Path) -> None:
    before = contents(music)
    write(database, *songs(music), sidecars=True)
    options = UndoOptions(paths=(music / "a" / "1.flac", music / "b"))
    assert set(outcome(undo_run(database, options=options))[0]) == {
        *("1.flac", "1.flac.mertag.json", "3.flac", "3.flac.mertag.json")
    }
    now = contents(music)
    assert now.pop(music / "a" / "2.flac") != before.pop(music / "a" / "2.flac")
    del now[music / "a" / "2.flac.mertag.json"]
    assert now == before


def test_for_a_file_that_is_given_the_newest_run_that_wrote_it_is_undone(database: Database, music: Path) -> None:
    before = contents(music)
    write(database, songs(music)[0])
    write(database, songs(music)[2])
    options = UndoOptions(paths=(Path(os.path.relpath(songs(music)[0])),))
    assert outcome(undo_run(database, options=options))[0] == {"1.flac": "undone"}
    assert songs(music)[0].read_bytes() == before[songs(music)[0]]
    assert outcome(undo_run(database, options=options))[1].found == 0


def test_a_folder_whose_name_only_begins_the_same_is_not_meant(database: Database, music: Path) -> None:
    (music / "a").rename(music / "ab")
    write(database, *songs(music))
    assert outcome(undo_run(database, options=UndoOptions(paths=(music / "a",))))[1].found == 0


def test_a_run_that_never_was_and_one_that_still_goes_on_are_errors(database: Database, music: Path) -> None:
    with pytest.raises(ConfigError, match="no run 7"):
        undo_run(database, 7)
    with Run(database, kind="tag", command="") as run:
        hook = Journal(database, run.id).before_replace("tags")
        tags.write_tags(songs(music)[0], emotion(), before_replace=hook)
        with pytest.raises(ConfigError, match="still goes on"):
            undo_run(database)
    assert outcome(undo_run(database))[1].counts["undone"] == 1


# Files that are not where they were


def known(database: Database, path: Path) -> None:
    """Note a file as a later run of `mertag tag` does."""
    with database.transaction() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO files (path, size, mtime_ns, audio, settled) VALUES (?, ?, 0, x'00', 'x')",
            (os.fsencode(path), path.stat().st_size),
        )


def test_a_moved_file_that_mertag_met_again_is_found_and_its_sidecar_too(database: Database, music: Path) -> None:
    song, before = songs(music)[0], contents(music)
    write(database, song, sidecars=True)
    moved = music / "b" / "renamed.flac"
    song.rename(moved)
    sidecar.sidecar_path(song).rename(sidecar.sidecar_path(moved))
    for path in songs(music):
        known(database, path)

    files, _ = outcome(undo_run(database))

    assert files == {"renamed.flac": "undone", "renamed.flac.mertag.json": "undone"}
    assert moved.read_bytes() == before[song]
    assert not list(music.rglob("*.json"))
    assert database.rows("SELECT settled FROM files WHERE path = ?", (os.fsencode(moved),)) == [("",)]


def test_files_below_a_renamed_folder_are_found_if_it_is_given(database: Database, music: Path) -> None:
    before = {path.name: data for path, data in contents(music).items()}
    write(database, *songs(music), sidecars=True)
    moved = music.rename(music.with_name("elsewhere"))

    files, summary = outcome(undo_run(database))
    assert (summary.failed, len(files)) == (6, 6)
    assert all("if it was moved, say where" in said for said in files.values())

    files, summary = outcome(undo_run(database, options=UndoOptions(paths=(moved,))))
    assert summary.counts["undone"] == 6
    assert {path.name: data for path, data in contents(moved).items()} == before


def test_a_moved_file_is_not_guessed_among_copies(database: Database, music: Path) -> None:
    song = songs(music)[0]
    write(database, song)
    for name in ("x.flac", "y.flac"):
        (music / name).write_bytes(song.read_bytes())
    song.unlink()
    after = contents(music)
    files, _ = outcome(undo_run(database, options=UndoOptions(paths=(music,))))
    assert files["1.flac"].startswith("left: it is gone, and several files are what it was")
    assert contents(music) == after


def test_the_same_song_in_another_place_is_not_taken_for_the_moved_one(database: Database, music: Path) -> None:
    song, twin = songs(music)[0], music / "b" / "twin.flac"
    twin.write_bytes(song.read_bytes())
    before = song.read_bytes()
    write(database, song, twin)
    moved = song.rename(music / "moved.flac")
    files, _ = outcome(undo_run(database, options=UndoOptions(paths=(music,))))
    assert files == {"moved.flac": "undone", "twin.flac": "undone"}
    assert moved.read_bytes() == twin.read_bytes() == before


def test_a_file_that_is_gone_is_reported_and_stays_to_be_undone(database: Database, music: Path) -> None:
    song, before = songs(music)[0], contents(music)
    write(database, song)
    song.rename(music.parent / "hidden")
    files, summary = outcome(undo_run(database))
    assert (files["1.flac"][:5], summary.failed) == ("left:", 1)
    (music.parent / "hidden").rename(song)
    outcome(undo_run(database))
    assert contents(music) == before


# What stands in the way


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


# Times, attributes


@pytest.mark.parametrize("restore", [True, False])
def test_the_time_of_change_is_now_unless_asked_for(restore: bool, database: Database, music: Path) -> None:
    song = songs(music)[0]
    os.utime(song, ns=(10**18, 10**18 + 7))
    write(database, song)
    list(undo_run(database, options=UndoOptions(restore_mtime=restore)))
    assert (song.stat().st_mtime_ns == 10**18 + 7) is restore
    assert restore or time.time() - song.stat().st_mtime < 60


def test_a_write_that_kept_the_time_of_change_keeps_it_when_undone(database: Database, music: Path) -> None:
    song = songs(music)[0]
    os.utime(song, ns=(10**18, 10**18 + 7))
    write(database, song, options=TagOptions(preserve_mtime=True))
    known(database, song)
    list(undo_run(database))
    assert song.stat().st_mtime_ns == 10**18 + 7
    assert database.rows("SELECT settled FROM files") == [("",)]  # size and time are those that were settled


def test_mode_and_owner_stay_as_they_are_now(database: Database, music: Path) -> None:
    song = songs(music)[0]
    write(database, song)
    song.chmod(0o640)
    list(undo_run(database))
    assert song.stat().st_mode & 0o777 == 0o640


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
        child = os.fork()
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


# The list


def test_the_list_says_what_each_run_wrote_and_what_the_journal_takes(database: Database, music: Path) -> None:
    first, second = write(database, *songs(music)), write(database, songs(music)[0], quadrant=Quadrant.Q3)
    list(undo_run(database))
    listed = {run.id: run for run in past_runs(database)}
    assert list(listed) == [second, first]  # the undo itself wrote nothing that could be undone
    assert (listed[first].files, listed[first].standing, listed[first].ended) == (3, 3, "finished")
    assert (listed[second].files, listed[second].standing) == (1, 0)
    size = journal_size(database)
    assert size.journal_bytes == listed[first].journal_bytes + listed[second].journal_bytes
    assert size.written_bytes == sum(path.stat().st_size for path in songs(music))
    assert 0 < size.share < 1


def test_a_killed_run_is_listed_as_such(database: Database, music: Path) -> None:
    run = write(database, songs(music)[0])
    with database.transaction() as connection:
        connection.execute("UPDATE runs SET finished_s = NULL WHERE id = ?", (run,))
    assert past_runs(database)[0].ended == "killed"
