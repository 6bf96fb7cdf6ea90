"""Undo: the old bytes, or the file as it is and the reason; of which files, and what is listed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from fake_tagger import emotion
from written_songs import contents, known, outcome, songs, write

from mertag.emotion import Quadrant
from mertag.errors import ConfigError
from mertag.library import sidecar, tags
from mertag.library.accounting import FileDone
from mertag.library.state.database import Database
from mertag.library.state.journal import Journal
from mertag.library.state.runs import Run
from mertag.library.tags import TagOptions
from mertag.library.undo import UndoOptions, journal_size, past_runs, undo_run

pytestmark = [pytest.mark.command, pytest.mark.usefixtures("fast_disk")]


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
