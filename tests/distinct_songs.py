"""Small songs, no two with the same audio: to mertag's memory, files with the same audio are one song."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np
import soundfile


def song(path: Path, *, like: str | None = None) -> Path:
    """Write a song whose audio follows from its name, or from another name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = zlib.crc32(os.fsencode(like or path.name))
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, 800)
    with path.open("wb") as file:  # the name may be one that soundfile cannot take
        soundfile.write(file, noise.astype(np.float32), 8000, format=path.suffix[1:].upper())
    return path
