"""Removing: our own fields only, noted beforehand, and undone like any run."""

from __future__ import annotations

from pathlib import Path

import mutagen
import pytest
from fake_tagger import emotion
from written_songs import contents, make_song, outcome, write

from mertag.library import tags
from mertag.library.accounting import FileDone
from mertag.library.remove import remove_from
from mertag.library.state.database import Database
from mertag.library.state.journal import Journal
from mertag.library.state.runs import Run
from mertag.library.undo import undo_run


@pytest.fixture
def songs(tmp_path: Path) -> list[Path]:
    return [make_song(tmp_path / "music" / f"{i}.flac") for i in range(3)]


def remove(database: Database, songs: list[Path]) -> tuple[dict[str, str], object]:
    with Run(database, kind="remove", command="mertag remove") as run:
        return outcome(remove_from(songs, journal=Journal(database, run.id)))


def test_our_fields_go_everything_else_stays_and_undo_brings_them_back(database: Database, songs: list[Path]) -> None:
    file = mutagen.File(songs[0])
    file["title"], file["comment"] = "Café", "mine"
    file.save()
    write(database, *songs[:2])
    tagged = contents(songs[0].parent)

    files, _ = remove(database, songs)

    assert files == {"0.flac": "removed", "1.flac": "removed", "2.flac": "unchanged: it holds nothing of mertag's"}
    assert dict(mutagen.File(songs[0])) == {"title": ["Café"], "comment": ["mine"]}
    assert outcome(undo_run(database))[1].counts["undone"] == 2
    assert contents(songs[0].parent) == tagged


def test_a_mood_that_someone_else_wrote_stays(database: Database, songs: list[Path]) -> None:
    file = mutagen.File(songs[0])
    file["mood"] = "Dreamy"
    file.save()
    write(database, songs[0])
    remove(database, songs)
    assert tags.read_tags(songs[0]) == {"MOOD": ("Dreamy",)}


def test_a_dry_run_shows_what_would_change_and_changes_nothing(database: Database, songs: list[Path]) -> None:
    write(database, songs[0])
    before = contents(songs[0].parent)
    events = remove_from(songs, journal=None, dry_run=True)
    [change] = [event.change for event in events if isinstance(event, FileDone) and event.change]
    assert (change.old["MOOD"], change.new) == (("Happy",), {})
    assert contents(songs[0].parent) == before


def test_files_without_tags_are_skipped_and_damaged_ones_fail(
    database: Database, songs: list[Path], tmp_path: Path
) -> None:
    write(database, songs[0])
    text, cut = tmp_path / "text.mp3", tmp_path / "cut.flac"
    text.write_bytes(b"no song at all")
    cut.write_bytes(songs[0].read_bytes()[:60])
    lost = (tmp_path / "lost", "the folder cannot be read: Permission denied")
    with Run(database, kind="remove", command="") as run:
        journal = Journal(database, run.id)
        files, summary = outcome(remove_from([text, cut, songs[0]], journal=journal, unreadable=[lost]))
    assert files["lost"] == f"failed: {lost[1]}"
    assert files["text.mp3"].startswith("skipped: no audio format")
    assert files["cut.flac"].startswith("failed: ")
    assert (files["0.flac"], summary.failed) == ("removed", 2)


def test_without_a_working_journal_nothing_is_removed(database: Database, songs: list[Path]) -> None:
    write(database, *songs)
    before = contents(songs[0].parent)
    with Run(database, kind="remove", command="") as run:
        journal = Journal(database, run.id)
        database.close()
        files, summary = outcome(remove_from(songs, journal=journal))
    assert summary.failed == 3
    assert all("nothing was written" in said for said in files.values())
    assert contents(songs[0].parent) == before


def test_what_another_program_changed_meanwhile_leaves_no_entry(
    database: Database, songs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(database, songs[0])
    monkeypatch.setattr(
        "mertag.library.tags.safe_write._refuse_if_changed",
        lambda original: (_ for _ in ()).throw(OSError(5, "another program changed it")),
    )
    files, _ = remove(database, songs[:1])
    assert "another program changed it" in files["0.flac"]
    assert database.rows("SELECT count(*) FROM writes") == [(1,)]


def test_copies_that_a_killed_run_left_are_removed(
    database: Database, songs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = songs[0].with_name(".mertag-4711-0123456789abcdef.tmp")
    left.touch()
    now = left.stat().st_ctime
    monkeypatch.setattr("time.time", lambda: now + 100)
    remove(database, songs)
    assert not left.exists()


def test_without_a_journal_it_works_and_cannot_be_undone(database: Database, songs: list[Path]) -> None:
    tags.write_tags(songs[0], emotion())
    assert outcome(remove_from(songs, journal=None))[0]["0.flac"] == "removed"
    assert tags.read_tags(songs[0]) == {}
    assert outcome(undo_run(database))[1].found == 0
