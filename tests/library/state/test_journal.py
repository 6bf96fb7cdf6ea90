"""The journal: on the disk before anything is replaced, and without it nothing is written."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path

import pytest
from fake_tagger import emotion
from forking import fork
from written_songs import contents, make_song, write

from mertag.emotion import Quadrant
from mertag.errors import TagWriteError
from mertag.files import remove_leftovers
from mertag.library import sidecar, tags
from mertag.library.accounting import FileDone
from mertag.library.state.database import Database
from mertag.library.state.journal import Journal, digest_of
from mertag.library.state.runs import Run
from mertag.library.tags import TagOptions
from mertag.library.undo import undo_run


@pytest.fixture
def song(tmp_path: Path) -> Path:
    return make_song(tmp_path / "music" / "a.flac")


def entries(database: Database) -> list[tuple[object, ...]]:
    return database.rows("SELECT path, kind, old_digest, new_digest, old_size, new_size, undone FROM writes")


def test_an_entry_says_what_was_written_where(database: Database, song: Path) -> None:
    old = song.read_bytes()
    write(database, song)
    new = song.read_bytes()
    digests = [digest_of([data]) for data in (old, new)]
    assert entries(database) == [(os.fsencode(song), "tags", *digests, len(old), len(new), 0)]


def test_the_entry_of_a_link_names_the_file_itself(database: Database, song: Path) -> None:
    link = song.with_name("link.flac")
    link.symlink_to(song.name)
    write(database, link)
    assert entries(database)[0][0] == os.fsencode(song)


def test_a_name_that_is_not_text_is_no_obstacle(database: Database, song: Path) -> None:
    strange = song.rename(song.with_name(os.fsdecode(b"caf\xe9\n.flac")))
    old = strange.read_bytes()
    write(database, strange)
    list(undo_run(database))
    assert strange.read_bytes() == old


def test_the_entry_is_committed_before_the_file_is_replaced(database: Database, song: Path) -> None:
    old, seen = song.read_bytes(), []
    with Run(database, kind="tag", command="") as run:
        hook = Journal(database, run.id).before_replace("tags")

        def look(before: Path, after: Path) -> None:
            hook(before, after)
            with Database(database.path) as other:  # what is not committed, another connection does not see
                seen.append((len(entries(other)), before.read_bytes() == old))

        tags.write_tags(song, emotion(), before_replace=look)
    assert seen == [(1, True)]


def test_a_new_sidecar_has_nothing_before_it(database: Database, song: Path) -> None:
    write(database, song, sidecars=True)
    made = entries(database)[1]
    assert made[:3] == (os.fsencode(sidecar.sidecar_path(song)), "sidecar", None)


def test_what_was_settled_is_not_any_more(database: Database, song: Path) -> None:
    row = "INSERT INTO files (path, size, mtime_ns, audio, settled) VALUES (?, 1, 1, x'00', 'all')"
    for kind in ("tags", "sidecar"):
        with database.transaction() as connection:
            connection.execute("DELETE FROM files")
            connection.execute(row, (os.fsencode(song),))
        with Run(database, kind="tag", command="") as run:
            hook = Journal(database, run.id).before_replace("tags" if kind == "tags" else "sidecar")
            if kind == "tags":
                tags.write_tags(song, emotion(), before_replace=hook)
            else:
                sidecar.write_sidecar(song, emotion(), before_replace=hook)
        assert database.rows("SELECT settled FROM files") == [("",)]


def refused(song: Path, journal: Journal, match: str) -> None:
    """Check that neither tags nor a sidecar can be written, and that nothing is left behind."""
    before = contents(song.parent)
    with pytest.raises(TagWriteError, match=match) as caught:
        tags.write_tags(song, emotion(Quadrant.Q3), before_replace=journal.before_replace("tags"))
    assert "nothing was written" in caught.value.reason
    with pytest.raises(TagWriteError, match=match):
        sidecar.write_sidecar(song, emotion(), before_replace=journal.before_replace("sidecar"))
    assert contents(song.parent) == before


def test_without_a_working_state_file_nothing_is_written(database: Database, song: Path) -> None:
    with Run(database, kind="tag", command="") as run:
        journal = Journal(database, run.id)
        database.close()
        refused(song, journal, "closed database")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a disk of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_where_the_journals_disk_is_full_nothing_is_written_and_undo_still_works(small_disk: Path, song: Path) -> None:
    old = song.read_bytes()
    with Database(small_disk / "state.sqlite") as database:
        run = write(database, song)
        with (small_disk / "ballast").open("wb", buffering=0) as ballast, pytest.raises(OSError, match="No space"):
            fill(ballast)
        with pytest.raises(TagWriteError):  # what still fits is noted, and written
            write_again_and_again(database, run, song)
        refused(song, Journal(database, run), "disk is full")
        statuses = {event.status for event in undo_run(database) if isinstance(event, FileDone)}
        assert "left" not in statuses
    assert song.read_bytes() == old


def fill(file: RawIOBase) -> None:
    while True:
        file.write(bytes(4096))


def write_again_and_again(database: Database, run: int, song: Path) -> None:
    journal = Journal(database, run)
    for quadrant in (Quadrant.Q2, Quadrant.Q4) * 100:
        tags.write_tags(song, emotion(quadrant), before_replace=journal.before_replace("tags"))


def test_a_change_too_large_for_the_journal_is_not_made(
    database: Database, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mertag.library.state.delta.MOST_BYTES", 10)
    with Run(database, kind="tag", command="") as run, pytest.raises(TagWriteError, match="differ in more than"):
        tags.write_tags(song, emotion(), before_replace=Journal(database, run.id).before_replace("tags"))
    assert tags.read_tags(song) == {}
    assert entries(database) == []


def test_an_entry_that_would_not_give_the_old_file_back_is_not_trusted(
    database: Database, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mertag.library.state.journal.make_delta", lambda old, new: b"\x01" + bytes(6))
    with Run(database, kind="tag", command="") as run, pytest.raises(TagWriteError, match="does not give the old"):
        tags.write_tags(song, emotion(), before_replace=Journal(database, run.id).before_replace("tags"))
    assert tags.read_tags(song) == {}
    assert entries(database) == []


def test_an_entry_is_withdrawn_if_the_write_did_not_happen(database: Database, song: Path) -> None:
    with Run(database, kind="tag", command="") as run:
        hook = Journal(database, run.id).before_replace("tags")

        def and_fail(old: Path, new: Path) -> None:
            hook(old, new)
            raise TagWriteError(old, "something else")

        with pytest.raises(TagWriteError, match="something else"):
            tags.write_tags(song, emotion(), before_replace=and_fail)
        assert len(entries(database)) == 1
        hook.withdraw()
        assert entries(database) == []
        hook.withdraw()


def test_an_entry_is_never_withdrawn_if_the_write_did_happen(database: Database, song: Path) -> None:
    with Run(database, kind="tag", command="") as run:
        hook = Journal(database, run.id).before_replace("tags")
        tags.write_tags(song, emotion(), before_replace=hook)
        hook.withdraw()
    assert len(entries(database)) == 1


def test_several_threads_share_a_journal(database: Database, tmp_path: Path) -> None:
    songs = [make_song(tmp_path / "music" / f"{i}.flac") for i in range(12)]
    before = contents(tmp_path / "music")
    with Run(database, kind="tag", command="") as run:
        journal = Journal(database, run.id)

        def work(mine: list[Path]) -> None:
            for path in mine:
                tags.write_tags(path, emotion(), before_replace=journal.before_replace("tags"))

        threads = [threading.Thread(target=work, args=(songs[i::3],)) for i in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(entries(database)) == 12
    list(undo_run(database))
    assert contents(tmp_path / "music") == before


def test_a_process_killed_between_the_entry_and_the_replacement_leaves_the_old_file_and_a_harmless_entry(
    database: Database, song: Path
) -> None:
    old, path = song.read_bytes(), database.path
    database.close()
    child = fork()
    if not child:
        try:
            with Database(path) as own, Run(own, kind="tag", command="") as run:
                hook = Journal(own, run.id).before_replace("tags")

                def and_die(before: Path, after: Path) -> None:
                    hook(before, after)
                    os.kill(os.getpid(), signal.SIGKILL)

                tags.write_tags(song, emotion(), before_replace=and_die)
        finally:
            os._exit(1)  # never back into the test runner
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert song.read_bytes() == old

    with Database(path) as again:
        assert len(entries(again)) == 1
        statuses = [event.status for event in undo_run(again) if hasattr(event, "status")]
        assert statuses == ["already undone"]
        assert entries(again)[0][-1] != 0
        remove_leftovers(song.parent, older_than_s=0)
    assert contents(song.parent) == {song: old}


def test_a_write_that_keeps_the_time_of_change_is_noted_as_any(database: Database, song: Path) -> None:
    os.utime(song, ns=(10**18, 10**18))
    write(database, song, options=TagOptions(preserve_mtime=True))
    assert database.rows("SELECT old_mtime_ns FROM writes") == [(10**18,)]
