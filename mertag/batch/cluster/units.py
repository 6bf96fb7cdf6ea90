"""Units: songs whose rows are one Parquet object, written whole. That it is there is all that is known of a unit.

A song's unit follows from its id and the size of the catalogue alone, and the name of a unit's object from the songs in
it and the model: so every run over the same catalogue deals alike, whoever starts it and whatever was done before.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mertag.batch.cluster.catalogue import Entry
from mertag.errors import ConfigError
from mertag.library import parquet
from mertag.library.parquet import Row
from mertag.library.store import Store

UNITS, FEWEST_SONGS, MOST_SONGS = 64, 8, 256
"""A catalogue has some `UNITS` units, of as many songs as these bounds allow: enough for the cores of a small cluster,
and few enough objects for a store."""

_SEGMENTS = "-segments.parquet"
_NAME = re.compile(r"unit-[0-9a-f]{24}(-segments)?\.parquet")


@dataclass(frozen=True, slots=True)
class Unit:
    """The songs of one object, its name, and whether it has the columns of segments."""

    name: str
    entries: tuple[Entry, ...]
    segments: bool = False


def deal(entries: Iterable[Entry], *, n_songs: int, model_key: str, segments: bool = False) -> list[Unit]:
    """Return the units of `entries`, which are some of the `n_songs` of a catalogue."""
    n_units = -(-n_songs // min(MOST_SONGS, max(FEWEST_SONGS, n_songs // UNITS)))
    dealt: dict[int, list[Entry]] = {}
    for entry in entries:
        digest = hashlib.blake2b(_bytes(entry.id), digest_size=8).digest()
        dealt.setdefault(int.from_bytes(digest, "big") % n_units, []).append(entry)
    units = (dealt[number] for number in sorted(dealt))
    return [Unit(_name(unit, model_key, segments), tuple(unit), segments) for unit in units]


def rows_there(store: Store, model_key: str, *, segments: bool = False) -> Iterator[Row]:
    """Yield the rows that earlier runs with the same model and settings have written.

    Raises
    ------
    ConfigError
        If `segments` are wanted, and such rows have none.
    """
    for name in filter(_NAME.fullmatch, store.names()):
        for row in _rows(store, name):
            if row["model_key"] != model_key:
                continue
            if segments and not name.endswith(_SEGMENTS):
                raise ConfigError(
                    f"{store}: there are rows of this model without segment probabilities; name another folder, or "
                    "leave out --segment-probabilities"
                )
            yield row


def write(store: Store, unit: Unit, rows: Sequence[Row]) -> list[Row]:
    """Write a unit, and return its rows: those of another run, if that has written it meanwhile."""
    whole = io.BytesIO()
    with parquet.written(whole, segments=unit.segments) as add:
        for row in sorted(rows, key=lambda row: str(row["id"])):
            add(row)
    return list(rows) if store.create(unit.name, whole.getvalue()) else list(_rows(store, unit.name))


def _rows(store: Store, name: str) -> Iterator[Row]:
    with store.opened(name) as file:
        yield from parquet.read(file, command="tag")


def _name(entries: Iterable[Entry], model_key: str, segments: bool) -> str:
    digest = hashlib.blake2b(_bytes(model_key), digest_size=12)
    for id_ in sorted(entry.id for entry in entries):
        digest.update(b"\0" + _bytes(id_))
    return f"unit-{digest.hexdigest()}{_SEGMENTS if segments else '.parquet'}"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
