"""Writing and undoing in every container: the same bytes again, and what the journal takes for it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile

from mertag.emotion import SongEmotion
from mertag.errors import FileError
from mertag.library.accounting import FileDone
from mertag.library.state.database import Database
from mertag.library.state.journal import Journal
from mertag.library.state.runs import Run
from mertag.library.tags import TagOptions, ogg, remove_tags, write_tags
from mertag.library.tags.container import Source
from mertag.library.tags.safe_write import open_original
from mertag.library.undo import JournalSize, journal_size, undo_run

pytestmark = pytest.mark.usefixtures("fast_disk")

ENTRY_BYTES = 600
"""What one write may take in the journal, all in all: here, the path is most of it."""


def tag(database: Database, path: Path, *emotions: SongEmotion | None) -> None:
    """Write each emotion, None: remove it; each is a run of its own."""
    for emotion in emotions:
        with Run(database, kind="tag", command="mertag tag") as run:
            hook = Journal(database, run.id).before_replace("tags")
            if emotion is None:
                remove_tags(path, before_replace=hook)
            else:
                write_tags(path, emotion, TagOptions(overwrite=True), before_replace=hook)


def undone(database: Database) -> list[FileDone]:
    return [event for event in undo_run(database) if isinstance(event, FileDone)]


def said(size: JournalSize, what: str) -> None:
    print(f"journal: {size.journal_bytes} bytes, {100 * size.share:.3f} % of {what}")


def test_undo_gives_every_container_its_bytes_back(
    any_song: Path, database: Database, happy: SongEmotion, sad: SongEmotion
) -> None:
    states = [any_song.read_bytes()]
    for emotion in (happy, sad, None):
        tag(database, any_song, emotion)
        states.append(any_song.read_bytes())
    assert len(set(states)) >= 3

    for before in reversed(states[:-1]):
        [handled] = undone(database)
        assert (handled.path, handled.status) == (any_song, "undone")
        assert any_song.read_bytes() == before
    assert undone(database) == []
    size = journal_size(database)
    said(size, any_song.name)
    assert size.journal_bytes < 3 * ENTRY_BYTES


def test_an_ogg_file_whose_pages_are_all_renumbered_comes_back_and_costs_some_bytes_a_page(
    tmp_path: Path, database: Database, happy: SongEmotion
) -> None:
    path = tmp_path / "long.ogg"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 20 * 48_000), 48_000, format="OGG", subtype="VORBIS")
    with_picture(path, 50_000)
    packets = headers(path)
    more = (250 - len(packets[0])) % 255  # its last segment is nearly full,
    more += 255 * (-sum(len(packet) // 255 + 1 for packet in packets) % 255)  # and so is the last page
    with_picture(path, 50_000 + more)
    before, page_count = path.read_bytes(), page_count_of(path)
    assert page_count > 40

    tag(database, path, happy)
    assert page_count_of(path) == page_count + 1

    [handled] = undone(database)

    assert handled.status == "undone"
    assert path.read_bytes() == before
    [(delta,)] = database.rows("SELECT length(delta) FROM writes ORDER BY id DESC LIMIT 1")
    assert isinstance(delta, int)
    print(f"journal: {delta} bytes for {page_count} Ogg pages, {100 * delta / len(before):.3f} % of the file")
    assert delta < 250 + 9 * page_count


def page_count_of(path: Path) -> int:
    with open_original(path) as original:
        return len(list(ogg.pages(Source(original.file), 0)))


def headers(path: Path) -> tuple[bytes, ...]:
    """Return the packets on the pages that change when an Ogg file is tagged."""
    with open_original(path) as original:
        found = ogg.read(Source(original.file))
    return (found.magic + found.comment.rendered(found.comment.fields) + found.comment.tail, *found.others)


def with_picture(path: Path, size: int) -> None:
    """Give an Ogg file a picture, and its headers as few pages as they need (mutagen makes many small ones)."""
    tags = mutagen.File(path)
    tags["PICTURE"] = "x" * size
    tags.save(padding=lambda info: 0)
    data = path.read_bytes()
    with open_original(path) as original:
        found = ogg.read(Source(original.file))
        pages = replace(found, before=found.before[:1])._new_pages(headers(path))
    path.write_bytes(data[: found.before[0].start] + b"".join(pages) + data[found.before[-1].stop :])


@pytest.mark.realdata
def test_every_file_of_other_libraries_tests_is_written_and_undone_or_refused_untouched(
    real_data: Path, tmp_path: Path, database: Database, happy: SongEmotion, sad: SongEmotion
) -> None:
    folder = tmp_path / "music"
    originals: dict[Path, bytes] = {}
    for original in sorted(path for path in (real_data / "tagged-files").rglob("*") if path.is_file()):
        path = folder / original.relative_to(real_data)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(original, path)
        originals[path] = original.read_bytes()
    written, refused = set(), {}
    for emotion in (happy, sad, None):
        with Run(database, kind="tag", command="mertag tag") as run:
            journal = Journal(database, run.id)
            for path, content in originals.items():
                hook = journal.before_replace("tags")
                try:
                    if emotion is None:
                        remove_tags(path, before_replace=hook)
                    else:
                        write_tags(path, emotion, TagOptions(overwrite=True), before_replace=hook)
                    written.add(path)
                except FileError as error:
                    refused[path] = error.reason
                    assert path.read_bytes() == content, path
    assert len(written) >= 120
    assert written.isdisjoint(refused)
    size = journal_size(database)
    said(size, f"{len(written)} files, each written three times")
    assert size.journal_bytes < 3 * ENTRY_BYTES * len(written)

    for _ in range(3):
        for handled in undone(database):
            assert handled.status == "undone", handled
    assert undone(database) == []
    assert {path: path.read_bytes() for path in originals} == originals


@pytest.mark.realdata
def test_the_journal_is_a_small_share_of_real_collections(
    real_data: Path, tmp_path: Path, database: Database, happy: SongEmotion
) -> None:
    found = [p for f in ("4q", "pmemo", "eim", "music") for p in sorted((real_data / f).rglob("*.mp3"))[:8]]
    found += sorted((real_data / "music").rglob("*.og*"))[:3]
    originals: dict[Path, bytes] = {}
    for original in found:
        path = Path(shutil.copyfile(original, tmp_path / original.name))
        originals[path] = path.read_bytes()
        tag(database, path, happy)
    size = journal_size(database)
    said(size, f"{len(originals)} real songs")
    assert size.share < 0.001
    file_bytes = sum(p.stat().st_size for p in database.path.parent.glob("state.sqlite*"))
    print(f"state file: {file_bytes} bytes")

    while undone(database):
        pass

    assert {path: path.read_bytes() for path in originals} == originals
