"""What the journal takes: bytes a write in the state file, start of an undo, and the time that noting adds to a write.

    python benchmarks/journal.py [FOLDER]

FOLDER needs some 500 MB, for a while; by default a temporary one.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from mertag.emotion import Quadrant, SongEmotion
from mertag.library import tags
from mertag.library.state.database import Database
from mertag.library.state.journal import Journal
from mertag.library.state.runs import Run
from mertag.library.undo import journal_size, past_runs, undo_run

WRITES = 100_000
DELTA_BYTES = 45  # what the writes of MP3 and FLAC files take
INSERT = (
    "INSERT INTO writes (run, path, kind, old_digest, new_digest, old_size, new_size, old_mtime_ns, delta) "
    "VALUES (?, ?, 'tags', ?, ?, 5000000, 5000300, 1700000000000000000, ?)"
)


def emotion(quadrant: Quadrant) -> SongEmotion:
    """Return an emotion of that quadrant."""
    return SongEmotion(
        quadrant=quadrant,
        confidence=0.7,
        valence=0.8,
        arousal=0.8,
        quadrant_probabilities=(0.7, 0.1, 0.1, 0.1),
        duration_s=30.0,
        n_segments=28,
        n_windows=1,
        model="bench@1+00000000",
    )


def many_entries(folder: Path) -> None:
    """Measure a journal of many writes."""
    noise = random.Random(0).randbytes
    path = folder / "many.sqlite"
    with Database(path) as database:
        with Run(database, kind="tag", command="mertag tag") as run, database.transaction() as connection:
            for i in range(WRITES):
                name = f"/music/Artist {i % 1000:04}/Album {i % 10}/{i:06} - some song title.mp3"
                connection.execute(INSERT, (run.id, os.fsencode(name), noise(32), noise(32), noise(DELTA_BYTES)))
        size = journal_size(database)
        start_s = time.perf_counter()
        next(undo_run(database))
        began_s = time.perf_counter()
        past_runs(database)
        print(
            f"`mertag undo` begins after {began_s - start_s:.2f} s, --list takes {time.perf_counter() - began_s:.2f} s"
        )
    print(
        f"{path.stat().st_size / WRITES:.0f} bytes a write, {path.stat().st_size / 1e6:.0f} MB, {size.share:.4%} of all"
    )
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.0f} MB")


def noting(folder: Path, size: int) -> None:
    """Measure what noting adds to the write of a WAV file of `size` bytes (where the whole file lies in between)."""
    path = folder / "song.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, size // 2), 44_100, subtype="PCM_16")
    tags.write_tags(path, emotion(Quadrant.Q1))
    start_s = time.perf_counter()
    tags.write_tags(path, emotion(Quadrant.Q2))
    plain_s = time.perf_counter() - start_s
    with Database(folder / "one.sqlite") as database, Run(database, kind="tag", command="mertag tag") as run:
        start_s = time.perf_counter()
        hook = Journal(database, run.id).before_replace("tags")
        tags.write_tags(path, emotion(Quadrant.Q3), before_replace=hook)
        noted_s = time.perf_counter() - start_s
    print(f"a write of {size / 1e6:.0f} MB: {plain_s:.2f} s, noted {noted_s:.2f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    with tempfile.TemporaryDirectory(dir=parser.parse_args().folder) as name:
        many_entries(Path(name))
        for megabytes in (10, 100):
            noting(Path(name), megabytes * 10**6)
