"""What a cluster's workers do, in two steps: songs become samples, and samples become rows. Both are plain functions of
Arrow tables, made of the parts that a run on one machine has; nothing here knows which engine calls them.

Between the steps a song is one row of `decoded_columns`: its samples, or why there are none. One of more than
`MOST_SAMPLES_S` goes on without its samples, and is decoded again where it is listened to, chunk by chunk.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mertag import errors
from mertag.batch.cluster import sidecars
from mertag.batch.one_song import Song, Steps
from mertag.batch.options import BatchOptions
from mertag.files import local_path
from mertag.library import parquet
from mertag.library.parquet import Row
from mertag.library.state.analyses import song_digest
from mertag.listen.bundle import load_bundle
from mertag.listen.decode.pool import Decoded, DecoderPool, Place
from mertag.listen.tagger import Tagger
from mertag.listen.windows import FrontEnd

MOST_SAMPLES_S = 1200.0
DECODERS = 2
"""Processes for one task that decodes: while one waits for the store, the other one works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """How songs are listened to: what `mertag.listen.tagger.Tagger` is given, and `strict` of `BatchOptions`.

    With `segments`, rows have the columns of segments; with `sidecars`, each song gets its sidecar.
    """

    device: Literal["cuda", "cpu"] = "cpu"
    segment_hop_s: float | None = None
    windows: int | None = None
    threads: int | None = None
    strict: bool = False
    segments: bool = False
    sidecars: bool = False


def decoded_columns() -> Any:
    """Return the columns of songs that are decoded, as a `pyarrow.Schema`."""
    pa = parquet.pyarrow("tag")
    return pa.schema(
        [
            ("index", pa.int64()),
            ("id", pa.string()),
            ("address", pa.binary()),
            ("samples", pa.large_binary()),
            ("error", pa.string()),
            ("reason", pa.string()),
            ("damage", pa.string()),
            ("audio", pa.string()),
        ]
    )


def row_columns(*, segments: bool = False) -> Any:
    """Return the columns of rows on their way: those of `mertag.library.parquet`, the song's position, its sidecar."""
    pa = parquet.pyarrow("tag")
    own = [("index", pa.int64()), (sidecars.CHANGED, pa.bool_()), (sidecars.TROUBLE, pa.string())]
    return pa.schema([*own, *parquet.columns(segments=segments)])


def audio_digest(path: Path) -> str:
    """Return the digest of a file's audio in hexadecimal; empty if it cannot be had: decoding says what is wrong."""
    try:
        return song_digest(path)[1].hex()
    except Exception:  # noqa: BLE001  whatever a strange file does to the parsers
        return ""


def decode_songs(songs: Any, *, front_end: FrontEnd) -> Iterator[Any]:
    """Yield a table of one row for each song of a table with ``index``, ``id`` and ``address``, as they are decoded."""
    pa = parquet.pyarrow("tag")
    schema, wanted = decoded_columns(), songs.to_pylist()
    most_samples = round(MOST_SAMPLES_S * front_end.sample_rate)
    chunks: dict[int, list[bytes]] = {}
    n_samples: dict[int, int] = {}
    places = ((number, _place(song["address"])) for number, song in enumerate(wanted))
    for part in _pool(front_end).decode(places):
        if part.chunk is not None:
            n_samples[part.index] = n_samples.get(part.index, 0) + len(part.chunk)
            if n_samples[part.index] <= most_samples:
                chunks.setdefault(part.index, []).append(part.chunk.tobytes())
            else:
                chunks.pop(part.index, None)
        if part.last:
            whole = n_samples.pop(part.index, 0) <= most_samples and part.error is None
            row = wanted[part.index] | {
                "samples": b"".join(chunks.pop(part.index, [])) if whole else None,
                "error": None if part.error is None else type(part.error).__name__,
                "reason": None if part.error is None else part.error.reason,
                "damage": part.damage,
                "audio": part.inspected,
            }
            yield pa.Table.from_pylist([row], schema)


class Listener:
    """Holds the network, and turns decoded songs into rows; one for each GPU, or for the cores of a node.

    Parameters
    ----------
    bundle : mapping of str to bytes
        The files of the model bundle.
    listening : Listening
        How to listen.
    """

    def __init__(self, bundle: Mapping[str, bytes], listening: Listening) -> None:
        self._songs = _Songs()
        self._steps = Steps(BatchOptions(strict=listening.strict, writers=0), {}, None)
        with tempfile.TemporaryDirectory(prefix="mertag-") as folder:
            for name, content in bundle.items():
                (Path(folder) / name).write_bytes(content)
            self._tagger = Tagger(
                load_bundle(folder),
                device=listening.device,
                segment_hop_s=listening.segment_hop_s,
                windows=listening.windows,
                threads=listening.threads,
                decoder=self._songs,
                timelines=listening.segments,
            )
        self._sidecars = ThreadPoolExecutor(sidecars.THREADS) if listening.sidecars else None
        self._columns = row_columns(segments=listening.segments)
        self._songs.front_end = self._tagger.bundle.manifest.front_end

    def __call__(self, decoded: Any) -> Any:
        """Return a table with a row for each song of a table of `decoded_columns`."""
        pa = parquet.pyarrow("tag")
        songs = self._songs.rows = decoded.drop_columns(["samples"]).to_pylist()
        self._songs.samples = decoded.column("samples")
        addresses = [os.fsdecode(song["address"]) for song in songs]
        rows: list[Row] = []
        beside: list[Future[Row]] = []
        for outcome in self._tagger.tag_many(addresses):
            song, address = songs[outcome.index], addresses[outcome.index]
            done = self._steps.write(Song(index=outcome.index, path=Path(address)), outcome, remembered=False)
            done = dataclasses.replace(done, path=address, audio=bytes.fromhex(song["audio"] or ""))
            rows.append(parquet.row(done, id=song["id"], model_key=self._tagger.model_key) | {"index": song["index"]})
            if self._sidecars is not None:
                beside.append(self._sidecars.submit(sidecars.written, done))
        for row, said in zip(rows, beside, strict=False):
            row |= said.result()
        self._songs.rows, self._songs.samples = [], ()
        return pa.Table.from_pylist(rows, self._columns)


class _Songs:
    """A decoder whose songs are decoded already, but for the longest."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.samples: Any = ()  # of each row, as `pyarrow` scalars: they are not copied
        self.front_end = FrontEnd()

    def decode(self, paths: Iterable[tuple[int, Place]]) -> Iterator[Decoded]:
        for index, place in paths:
            row, whole = self.rows[index], self.samples[index].as_buffer()
            if row["error"] is not None:
                kind = getattr(errors, row["error"], errors.DecodeError)
                yield Decoded(index=index, path=place, last=True, error=kind(place, row["reason"]))
            elif whole is None:
                yield from _pool(self.front_end).decode([(index, place)])
            else:
                samples = np.frombuffer(whole, np.float32)
                n = round(30.0 * self.front_end.sample_rate)  # as they come from a decoder: no call waits for all of it
                for start in range(0, len(samples), n):
                    yield Decoded(index=index, path=place, chunk=samples[start : start + n])
                yield Decoded(index=index, path=place, last=True, damage=row["damage"])


@functools.lru_cache(maxsize=1)
def _pool(front_end: FrontEnd) -> DecoderPool:
    """Return the decoders of this worker: kept from task to task, and ended with it."""
    inspect = f"{__name__}:{audio_digest.__name__}"
    return DecoderPool(workers=DECODERS, front_end=front_end, inspect=inspect)


def _place(address: bytes) -> Place:
    text = os.fsdecode(address)
    path = local_path(text)
    return text if path is None else path
