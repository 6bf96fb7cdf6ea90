"""Songs for tests of what takes back: FLAC files, written as `mertag tag` writes them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import soundfile
from fake_tagger import emotion

from mertag.emotion import Quadrant
from mertag.library import sidecar, tags
from mertag.library.accounting import Event, FileDone, Finished, Found, Summary
from mertag.library.state.database import Database
from mertag.library.state.journal import Journal
from mertag.library.state.runs import Run
from mertag.library.tags import TagOptions


def make_song(path: Path) -> Path:
    """Make a song whose content follows from its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(sum(path.name.encode())).normal(0, 0.1, 4000)
    soundfile.write(path, noise, 8000, format="FLAC")
    return path


def songs(folder: Path) -> list[Path]:
    """Return the songs below a folder, by name."""
    return sorted(folder.rglob("*.flac"))


def write(
    database: Database,
    *paths: Path,
    quadrant: Quadrant = Quadrant.Q1,
    sidecars: bool = False,
    options: TagOptions = TagOptions(),  # noqa: B008  frozen
) -> int:
    """Tag songs as one run; return its number."""
    with Run(database, kind="tag", command="mertag tag") as run:
        journal = Journal(database, run.id)
        for path in paths:
            tags.write_tags(path, emotion(quadrant), options, before_replace=journal.before_replace("tags"))
            if sidecars:
                hook = journal.before_replace("sidecar")
                sidecar.write_sidecar(path, emotion(quadrant), before_replace=hook)
        return run.id


def known(database: Database, path: Path) -> None:
    """Note a file as a later run of `mertag tag` does."""
    with database.transaction() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO files (path, size, mtime_ns, audio, settled) VALUES (?, ?, 0, x'00', 'x')",
            (os.fsencode(path), path.stat().st_size),
        )


def contents(folder: Path) -> dict[Path, bytes]:
    """Return all files below a folder."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def outcome(events: object) -> tuple[dict[str, str], Summary]:
    """Return status (and reason) of each file by its name, and the summary, which must add up."""
    found: Found | None = None
    files: dict[str, str] = {}
    summary: Summary | None = None
    for event in events:  # type: ignore[attr-defined]
        assert isinstance(event, Event)
        if isinstance(event, Found):
            assert found is None
            found = event
        elif isinstance(event, Finished):
            summary = event.summary
        else:
            assert isinstance(event, FileDone)
            files[event.path.name] = f"{event.status}: {event.reason}" if event.reason else event.status
    assert found is not None
    assert summary is not None
    assert summary.found == found.n == sum(summary.counts.values()) + summary.not_reached
    return files, summary
