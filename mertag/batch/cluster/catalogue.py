"""What a run over a catalogue is about: songs, each with an id and an address, from folders, stores and lists."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mertag.errors import ConfigError
from mertag.files import is_url, local_path, path_text
from mertag.formats import AUDIO_SUFFIXES
from mertag.library.find import Shard, find_audio, is_hidden, matches, trouble_with
from mertag.library.parquet import pyarrow
from mertag.library.store import Store, parent_and_name

LISTS = (".csv", ".parquet")
ADDRESS_COLUMNS = ("url", "path")


@dataclass(frozen=True, slots=True)
class Entry:
    """One song.

    Attributes
    ----------
    index : int
        Its position in the catalogue.
    id : str
        What its row is known by: the id of a list, else its address.
    address : str
        An absolute path, which every node has to see, or a URL.
    trouble : str
        Why it cannot be read, if that is known already.
    """

    index: int
    id: str
    address: str
    trouble: str = ""


def read_catalogue(
    sources: Iterable[str],
    *,
    listed: Iterable[str] = (),
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    shard: Shard | None = None,
) -> list[Entry]:
    """Return the songs that are meant.

    Parameters
    ----------
    sources : iterable of str
        Each a song or a folder, by path or URL; or a list, CSV with a header or Parquet, with a column ``url`` (or
        ``path``) and, if songs have ids, a column ``id``.
    listed : iterable of str
        More of the same; a path among these that is not there is a song with its `trouble`, and no error.
    include, exclude, shard
        As of `mertag.library.find.find_audio`, for what is in folders; the part of a song in a list goes by its id.

    Raises
    ------
    ConfigError
        If a source is not there or cannot be read, or two songs have the same id.
    MissingExtraError
        If pyarrow is needed for a list, or fsspec for a URL, and is not installed.
    """
    entries: list[Entry] = []
    seen: dict[str, str] = {}
    for source, may_be_gone in [*((source, False) for source in sources), *((source, True) for source in listed)]:
        for id_, address, trouble in _songs(source, include, exclude, shard, may_be_gone=may_be_gone):
            if id_ in seen:
                if seen[id_] == address:
                    continue  # it was reached twice
                raise ConfigError(f"{source}: the id {id_!r} stands for two songs: {seen[id_]} and {address}")
            seen[id_] = address
            entries.append(Entry(len(entries), id_, address, trouble))
    return entries


def _songs(
    source: str, include: Sequence[str], exclude: Sequence[str], shard: Shard | None, *, may_be_gone: bool
) -> Iterator[tuple[str, str, str]]:
    """Yield id, address and trouble of each song of one source."""
    if source.lower().endswith(LISTS):
        yield from ((id_, address, "") for id_, address in _listed(source) if shard is None or shard.holds(id_))
        return
    path = local_path(source)
    if path is not None:
        if may_be_gone and (reason := trouble_with(path)):
            if shard is None or shard.holds(path.name):
                yield path_text(path), str(path), reason
            return
        trouble: list[tuple[Path, str]] = []
        songs = find_audio(
            [path], include=include, exclude=exclude, shard=shard, on_error=lambda *found: trouble.append(found)
        )
        yield from ((path_text(song), song, "") for song in (str(song.absolute()) for song in songs))
        yield from ((path_text(song), str(song), reason) for song, reason in trouble)
        return
    _, name = parent_and_name(source)
    if Path(name).suffix.lower() in AUDIO_SUFFIXES:
        if shard is None or shard.holds(name):
            yield source, source, ""
        return
    store = Store(source, command="tag")
    for at in store.names(below=True):
        wanted = not include or matches(include, at)
        if Path(at).suffix.lower() not in AUDIO_SUFFIXES or any(is_hidden(part) for part in at.split("/")):
            continue
        if wanted and not matches(exclude, at) and (shard is None or shard.holds(at)):
            yield store.address(at), store.address(at), ""


def _listed(source: str) -> Iterator[tuple[str, str]]:
    """Yield id and address of each row of a list."""
    folder, name = parent_and_name(source)
    with Store(folder, command="tag").opened(name) as file:
        try:
            if name.lower().endswith(".csv"):
                text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
                rows = csv.reader(text)
                header = next(rows, [])
                yield from _rows(source, header, (dict(zip(header, row, strict=True)) for row in rows if row))
                return
            pa = pyarrow("tag")
            with pa.parquet.ParquetFile(file) as parquet:
                header = parquet.schema_arrow.names
                wanted = [column for column in ("id", *ADDRESS_COLUMNS) if column in header]
                batches = parquet.iter_batches(columns=wanted) if wanted else ()
                yield from _rows(source, header, (row for batch in batches for row in batch.to_pylist()))
        except (ValueError, csv.Error) as error:  # pyarrow's are ValueErrors, too
            raise ConfigError(f"{source}: the list cannot be read: {error}") from error


def _rows(source: str, header: Sequence[str], rows: Iterable[dict[str, object]]) -> Iterator[tuple[str, str]]:
    column = next((name for name in ADDRESS_COLUMNS if name in header), None)
    if column is None:
        raise ConfigError(f"{source}: the list has no column 'url' or 'path'; it has {', '.join(header) or 'none'}")
    for number, row in enumerate(rows, start=1):
        address, id_ = row[column], row.get("id", row[column])
        if not isinstance(address, str) or not address or id_ is None or id_ == "":
            raise ConfigError(f"{source}: row {number} lacks its {'id' if address else column}")
        yield str(id_), address if is_url(address) else str(Path(address).absolute())
