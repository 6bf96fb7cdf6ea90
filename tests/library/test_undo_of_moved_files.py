"""Undo of files that are not where they were: found again, or reported, never guessed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from written_songs import contents, known, outcome, songs, write

from mertag.library import sidecar
from mertag.library.state.database import Database
from mertag.library.undo import UndoOptions, undo_run

pytestmark = pytest.mark.command


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
