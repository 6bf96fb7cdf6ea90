"""Results of other machines, taken into the state file: what ``mertag import`` does.

A result belongs to the audio and to the model (see `mertag.library.state.analyses`), so that it serves every file that
holds this audio, wherever it lies and whatever it is called.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mertag.errors import ConfigError
from mertag.library.parquet import emotion_of
from mertag.library.state.analyses import decode, encode
from mertag.library.state.database import Database
from mertag.outcomes import Tagged

COLUMNS = (
    *("quadrant", "confidence", "valence", "arousal", "p_q1", "p_q2", "p_q3", "p_q4", "duration_s", "analysed_s"),
    *("silent_s", "n_segments", "n_windows", "damage", "model", "model_key", "audio"),
)
"""The columns that are needed of a Parquet file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """How many results were `new`, were `known` already, had no `emotion`, and lacked the digest of their `audio`."""

    new: int = 0
    known: int = 0
    without_emotion: int = 0
    without_audio: int = 0

    def __add__(self, other: Imported) -> Imported:
        return Imported(
            new=self.new + other.new,
            known=self.known + other.known,
            without_emotion=self.without_emotion + other.without_emotion,
            without_audio=self.without_audio + other.without_audio,
        )


def import_rows(database: Database, rows: Iterable[Mapping[str, Any]], *, name: str) -> Imported:
    """Take the rows of the file `name` into a state file, all or none; what it knows already stays as it is.

    Raises
    ------
    ConfigError
        If a row holds what cannot be a result.
    StateError
        If the state file does not work.
    """
    found = Imported()
    now_s = time.time()
    with database.transaction() as connection:
        for number, row in enumerate(rows, start=1):
            if row["quadrant"] is None:
                found += Imported(without_emotion=1)
                continue
            if row["audio"] is None:
                found += Imported(without_audio=1)
                continue
            audio, text = _result(row, f"{name}: row {number}")
            added = connection.execute(
                "INSERT OR IGNORE INTO analyses (audio, model, result, analysed_s) VALUES (?, ?, ?, ?)",
                (audio, row["model_key"], text, now_s),
            ).rowcount
            found += Imported(new=added, known=1 - added)
    return found


def _result(row: Mapping[str, Any], where: str) -> tuple[bytes, str]:
    """Return the digest of a row's audio, and its result as it is remembered."""
    try:
        audio, emotion = bytes.fromhex(row["audio"]), emotion_of(row)
        assert emotion is not None  # it has a quadrant
        text = encode(Tagged(index=0, path=Path(), emotion=emotion))
        if not row["model_key"] or text is None or decode(text, index=0, path=Path()) is None:
            raise ValueError("its figures are out of range")
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where} is no result of mertag's ({error}); nothing of this file was imported") from error
    return audio, text
