"""One run over a catalogue, on many machines: songs by path or URL, rows as Parquet objects in one folder or store.

Its events are those of `mertag.batch.tag_library`, and add up in the same way. A song ends with exactly one row for a
model, `tagged` (listened to), `skipped` or `failed`. Rows that are there already are not computed again.

Songs are dealt into units (`mertag.batch.cluster.units`); what computes them is an `Engine`, which may lose some on the
way: they are given to it again, each alone, `MOST_TRIES` times in all. What no worker survives has a row that says so.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator, Iterator, Sequence
from typing import Protocol

from mertag.batch import STATUSES
from mertag.batch.cluster.catalogue import Entry
from mertag.batch.cluster.sidecars import THREADS, noted, written
from mertag.batch.cluster.units import Unit, deal, rows_there, write
from mertag.batch.threads import Writers
from mertag.errors import MertagError
from mertag.interrupt import Interruptible
from mertag.library import parquet
from mertag.library.accounting import Account, Event, FileDone, Finished, Found, Note, Status
from mertag.library.parquet import Row
from mertag.library.store import Store

MOST_TRIES = 3


class Engine(Protocol):
    """What computes rows: `mertag.batch.cluster.ray_data.RayEngine`."""

    @property
    def fault(self) -> str:
        """What a worker last failed with, other than by dying; empty: nothing."""
        ...

    def rows(self, blocks: Sequence[Sequence[Entry]]) -> Iterator[list[Row]]:
        """Yield the rows of blocks of songs, in any order, each with the song's position as its ``index``."""
        ...


def tag_catalogue(
    entries: Sequence[Entry],
    *,
    engine: Engine,
    store: Store,
    model_key: str,
    segments: bool = False,
    sidecars: bool = False,
    stop_at_failures: int | None = None,
) -> Generator[Event, None, None]:
    """Listen to the songs of a catalogue, and write their rows.

    Parameters
    ----------
    entries : sequence of Entry
        The catalogue; see `mertag.batch.cluster.catalogue.read_catalogue`.
    engine : Engine
        What listens.
    store : Store
        Where the rows go.
    model_key : str
        All that a result depends on beside the audio.
    segments : bool
        Whether the engine's rows have the columns of segments.
    sidecars : bool
        Whether the engine writes sidecars; those of songs that have a row already are then looked at, too.
    stop_at_failures : int, optional
        Stop when so many songs have failed.

    Yields
    ------
    Event
        As `mertag.batch.tag_library`. A `FileDone` comes once the song's row is written.

    Raises
    ------
    ConfigError
        If the store cannot be read or written, or has rows of the model without the segments that are wanted; after
        `Finished` if the run has begun.
    KeyboardInterrupt
        After `Finished`, if the run is interrupted; units that are under way are lost, those that are written are kept.
    MertagError
        After `Finished`, if the engine fails as a whole.
    """
    yield Found(n=len(entries))
    account = Account(len(entries), STATUSES)
    addresses = [entry.address for entry in entries]
    stopped_by = ""
    try:
        with Interruptible() as interruptible:
            left = {entry.id: entry for entry in entries}
            there = _there(left, store, model_key, segments=segments, sidecars=sidecars)
            stages = _stages(left, there, engine, store, model_key, segments, interruptible)
            with contextlib.closing(stages) as events:
                for event in events:
                    if isinstance(event, FileDone):
                        account.add(event)
                    yield event
                    if stop_at_failures is not None and account.failed >= stop_at_failures:
                        after = f"after {stop_at_failures} failures" if stop_at_failures > 1 else "at the first failure"
                        stopped_by = f"stopped {after}"
                        break
    except (Exception, KeyboardInterrupt) as error:
        reason = "interrupted" if isinstance(error, KeyboardInterrupt) else "stopped by an error"
        yield Finished(summary=account.summary(addresses, not_reached_because=reason))
        raise
    yield Finished(summary=account.summary(addresses, not_reached_because=stopped_by))


def _there(
    left: dict[str, Entry], store: Store, model_key: str, *, segments: bool, sidecars: bool
) -> Generator[FileDone, None, None]:
    """Yield the songs that have a row, or can have none, and take them out of `left`."""
    beside = Writers(THREADS, _with_sidecar) if sidecars else Writers[FileDone, FileDone](0, lambda done: done)
    try:
        for row in rows_there(store, model_key, segments=segments):
            entry = left.pop(str(row["id"]), None)
            if entry is not None:
                beside.submit(_remembered(row, entry))
                yield from beside.finished()
        yield from beside.rest()
    finally:
        beside.stop()
    for entry in [entry for entry in left.values() if entry.trouble]:
        del left[entry.id]
        yield FileDone(index=entry.index, path=entry.address, status=Status.FAILED, reason=entry.trouble)


def _stages(
    left: dict[str, Entry],
    there: Generator[FileDone, None, None],
    engine: Engine,
    store: Store,
    model_key: str,
    segments: bool,
    interruptible: Interruptible,
) -> Generator[FileDone | Note, None, None]:
    n_songs = len(left)
    store.make()
    with contextlib.closing(there):
        yield from interruptible.each(there)
    units = deal(left.values(), n_songs=n_songs, model_key=model_key, segments=segments)
    under_way, blocks = _UnderWay(units, store), list[Sequence[Entry]](unit.entries for unit in units)
    again: set[int] = set()
    for attempt in range(MOST_TRIES):
        if blocks:
            for rows in interruptible.each(engine.rows(blocks)):
                yield from under_way.add(rows)
        missing = under_way.missing()
        if attempt == 0 and missing and not under_way.n_rows and engine.fault:  # it is no song's fault
            raise MertagError(f"no worker could listen to a song: {engine.fault}")
        if not missing or attempt + 1 == MOST_TRIES:
            break
        blocks = [[entry] for entry in missing]
        again.update(entry.index for entry in missing)
    if missing:
        reason = f"every worker that had it died or failed ({MOST_TRIES} times"
        reason += f"; the last one said: {engine.fault})" if engine.fault else ")"
        lost = [FileDone(index=e.index, path=e.address, status=Status.FAILED, reason=reason) for e in missing]
        ids = {entry.index: entry.id for entry in missing}
        rows = [parquet.row(one, id=ids[one.index], model_key=model_key) | {"index": one.index} for one in lost]
        yield from under_way.add(rows)
    if again:
        songs = "1 song was" if len(again) == 1 else f"{len(again)} songs were"
        yield Note(text=f"{songs} tried again, since a worker or a node was lost")


class _UnderWay:
    """Collects the rows of units, and writes each unit when it has all of them."""

    def __init__(self, units: list[Unit], store: Store) -> None:
        self.units, self._store = units, store
        self._unit_of = {entry.index: number for number, unit in enumerate(units) for entry in unit.entries}
        self._rows: dict[int, dict[int, Row]] = {}
        self._done: set[int] = set()
        self.n_rows = 0

    def add(self, rows: list[Row]) -> Iterator[FileDone]:
        """Take rows, and yield the songs of the units that are written now; a second row of a song is passed over."""
        for row in rows:
            index = row.pop("index")
            number = self._unit_of[index]
            held = self._rows.setdefault(number, {}) if number not in self._done else {index: row}
            if index in held:
                continue
            held[index] = row
            self.n_rows += 1
            unit = self.units[number]
            if len(held) == len(unit.entries):
                self._done.add(number)
                del self._rows[number]
                indices = {entry.id: entry.index for entry in unit.entries}
                for kept in write(self._store, unit, list(held.values())):
                    index = indices[str(kept["id"])]
                    yield noted(parquet.done_of(kept, index=index), held[index])

    def missing(self) -> list[Entry]:
        """Return the songs that have no row."""
        return [
            entry
            for number, unit in enumerate(self.units)
            if number not in self._done
            for entry in unit.entries
            if entry.index not in self._rows.get(number, {})
        ]


def _with_sidecar(done: FileDone) -> FileDone:
    return noted(done, written(done))


def _remembered(row: Row, entry: Entry) -> FileDone:
    """Return the song of a row that an earlier run has written, where it is now."""
    done = parquet.done_of(row, index=entry.index)
    return dataclasses.replace(done, path=entry.address, remembered=True, as_before=done.status is Status.FAILED)
