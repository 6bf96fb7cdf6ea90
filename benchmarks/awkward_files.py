"""What happens to awkward files, one by one: the table of docs/reliability.md.

Usage: ``python benchmarks/awkward_files.py FOLDER``. Each file is copied, tagged, and taken back by the journal; what
three readers (TagLib, FFmpeg's libraries, mutagen) see of others' tags is counted before, after, and after the undo.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import tempfile
from pathlib import Path

import mutagen
import taglib

from mertag.emotion import Quadrant, SongEmotion
from mertag.errors import FileError
from mertag.library.state.delta import make_delta, old_pieces, read_pieces
from mertag.library.tags import write_tags
from mertag.library.tags.readers import ffmpeg

OURS = ("MOOD", "TMOO", "MERTAG")
HAPPY = SongEmotion(
    quadrant=Quadrant.Q1,
    confidence=0.6,
    valence=0.7,
    arousal=0.85,
    quadrant_probabilities=(0.6, 0.25, 0.05, 0.1),
    duration_s=4.0,
    n_segments=1,
    n_windows=1,
    model="example@1.0.0+01234567",
)


def counted(path: Path) -> str:
    """Return how many tags of others TagLib, FFmpeg and mutagen see; a dash where one cannot read the file."""
    seen: list[object] = [None, ffmpeg.seen(path, path.name), None]
    with contextlib.suppress(OSError), taglib.File(path) as file:
        seen[0] = dict(file.tags)
    with contextlib.suppress(mutagen.MutagenError):
        seen[2] = dict(getattr(mutagen.File(path), "tags", None) or {})
    numbers = [
        "-" if tags is None else str(sum(not any(ours in str(key).upper() for ours in OURS) for key in tags))  # type: ignore[attr-defined]
        for tags in seen
    ]
    return " / ".join(numbers)


def main(folder: Path) -> None:
    """Print the table."""
    print("| file | outcome | before | after | after undo |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        for original in sorted(p for p in folder.iterdir() if p.is_file()):
            path = Path(shutil.copyfile(original, Path(work) / original.name))
            before = counted(path)
            deltas: list[bytes] = []

            def note(old: Path, new: Path, deltas: list[bytes] = deltas) -> None:
                with old.open("rb") as a, new.open("rb") as b:
                    deltas.append(make_delta(a, b))

            try:
                outcome = f"written, {write_tags(path, HAPPY, before_replace=note).container}"
            except FileError as error:
                outcome = f"refused: {error.reason}"
            after = counted(path)
            if deltas:
                with path.open("rb") as new:
                    path.with_suffix(".old").write_bytes(b"".join(read_pieces(old_pieces(deltas[0], new), new)))
                path.with_suffix(".old").replace(path)
            same = "the old bytes" if path.read_bytes() == original.read_bytes() else "OTHER BYTES"
            print(f"| {original.name} | {outcome} | {before} | {after} | {same}: {counted(path)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    main(parser.parse_args().folder)
