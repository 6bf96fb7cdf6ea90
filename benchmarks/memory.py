"""Peak memory of tagging: by the size of the library, and by the length of a track.

The session does its full work on each block, but takes few segments of a file (a large segment hop), since memory is
bound by blocks, queues and buffers, and not by how many of them there are.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from material import RATE, stereo, write
from processes import me, measure

LIBRARY_CLIP_S = 30.0
_LIBRARY_HOP = "30"  # seconds: one segment a clip
_LENGTH_HOP = "60"
_PIECE_S = 120.0


def by_library(sizes: list[int], options: list[str], folder: Path) -> dict[str, Any]:
    """Measure libraries of 30-s FLAC clips, by the number of files; print and return the peaks in MB."""
    sample = write(folder / "clip.flac", stereo([], LIBRARY_CLIP_S))
    found: dict[str, float | None] = {}
    for size in sizes:
        library = folder / f"library-{size}"
        library.mkdir()
        files = [Path(shutil.copy(sample, library / f"{number:05}.flac")) for number in range(size)]
        found[f"{size} files"] = _peak(files, [*options, "--segment-hop", _LIBRARY_HOP])
        shutil.rmtree(library)
    return _told("by size of the library", found)


def by_length(lengths_s: list[int], options: list[str], folder: Path) -> dict[str, Any]:
    """Measure one MP3 and one FLAC of each length; print and return the peaks in MB."""
    piece = stereo([], _PIECE_S)
    found: dict[str, float | None] = {}
    for suffix in ("mp3", "flac", "m4a"):
        for length_s in lengths_s:
            copies = max(1, round(length_s / (piece.shape[1] / RATE)))
            track = write(folder / f"long.{suffix}", piece, copies=copies)
            found[f"{suffix}, {length_s} s"] = _peak([track], [*options, "--segment-hop", _LENGTH_HOP])
            track.unlink()
    return _told("by length of a track", found)


def _peak(files: list[Path], options: list[str]) -> float | None:
    return measure([*me("tagging_work.py"), "mertag", *options], given=files).peak_mb


def _told(what: str, found: dict[str, float | None]) -> dict[str, Any]:
    print(f"\npeak memory of all processes, {what}:")
    for name, peak in found.items():
        print(f"{name:>18} {peak or 0:8.0f} MB")
    return {"peak_mb": found}
