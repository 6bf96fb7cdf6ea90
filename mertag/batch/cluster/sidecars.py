"""Sidecars of a run over a catalogue: beside each song, by the worker that listened to it, before its row goes out.

A row says what was heard, and nothing of a sidecar: that of a song which has its row from an earlier run is looked at
anew, by the driver. What becomes of it counts in the events of the run, as on one machine.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from mertag.batch.one_song import UP_TO_DATE
from mertag.errors import reason_of
from mertag.files import local_path
from mertag.library.accounting import FileDone, Status
from mertag.library.parquet import Row
from mertag.library.sidecar import write_sidecar, write_sidecar_at

THREADS = 16
"""So many wait for a store at a time."""

CHANGED, TROUBLE = "sidecar_changed", "sidecar_trouble"
"""Columns of rows on their way: whether it was written (null: none was asked for, or it failed), and why it failed."""


def written(done: FileDone) -> Row:
    """Write the sidecar of a song, if it has an emotion, and return the columns that say so; never raises."""
    if done.status is not Status.TAGGED or done.emotion is None:
        return {}
    address = str(done.path)
    path = local_path(address)
    try:
        changed = write_sidecar_at(address, done.emotion) if path is None else write_sidecar(path, done.emotion)
    except Exception as error:  # noqa: BLE001  one that cannot be written must not stop the others
        return {TROUBLE: reason_of(error)}
    return {CHANGED: changed}


def noted(done: FileDone, row: Row) -> FileDone:
    """Return a song that was listened to as one whose sidecar is what a row says of it."""
    changed: Any = row.get(CHANGED)
    if row.get(TROUBLE) is not None:
        return dataclasses.replace(done, status=Status.FAILED, reason=row[TROUBLE])
    if changed is None:
        return done
    if changed:
        return dataclasses.replace(done, sidecar_changed=True)
    return dataclasses.replace(done, status=Status.UNCHANGED, reason=UP_TO_DATE, sidecar_changed=False)
