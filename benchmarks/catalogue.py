"""What a run over a catalogue takes beside decoding and the network, which take no time here.

    python benchmarks/catalogue.py --songs 1000000            # the driver alone: listing, dealing, collecting, writing
    python benchmarks/catalogue.py --songs 20000 --ray        # and Ray Data between the two steps

Processor time of the driver is what counts: it is the part of a run that has no second machine. It is set against what
decoding takes, at --decode-s a song, on --cores cores. The largest memory is the driver's.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mertag.batch.cluster import tag_catalogue
from mertag.batch.cluster.catalogue import Entry, read_catalogue
from mertag.batch.cluster.plan import plan
from mertag.batch.cluster.ray_data import RayEngine, connected, nodes
from mertag.batch.cluster.workers import Listening, decoded_columns, row_columns
from mertag.emotion import Quadrant, SongEmotion
from mertag.library import parquet
from mertag.library.accounting import FileDone, Finished, Status
from mertag.library.parquet import Row
from mertag.library.store import Store
from mertag.listen.bundle import load_bundle

KEY = "none@1+00000000"
EMOTION = SongEmotion(
    quadrant=Quadrant.Q1,
    confidence=0.7,
    valence=0.8,
    arousal=0.8,
    quadrant_probabilities=(0.7, 0.1, 0.1, 0.1),
    duration_s=240.0,
    n_segments=238,
    n_windows=15,
    model=KEY,
)


def row(index: int, id_: str) -> Row:
    """Return the row of a song that nobody listened to."""
    done = FileDone(index=index, path=id_, status=Status.TAGGED, emotion=EMOTION, audio=bytes(32))
    return parquet.row(done, id=id_, model_key=KEY) | {"index": index}


class InstantEngine:
    """Computes rows without listening, in the driver."""

    fault = ""

    def rows(self, blocks: Sequence[Sequence[Entry]]) -> Iterator[list[Row]]:
        """Yield the rows of each block."""
        for block in blocks:
            yield [row(entry.index, entry.id) for entry in block]


def decode_nothing(songs: Any, **options: Any) -> Iterator[Any]:
    """Yield songs as if they were decoded: with one sample each."""
    pa = parquet.pyarrow("tag")
    rows = [song | {"samples": bytes(4), "damage": "", "audio": ""} for song in songs.to_pylist()]
    yield pa.Table.from_pylist(rows, decoded_columns())


class InstantListener:
    """Gives every song the same row."""

    def __init__(self, **options: Any) -> None:
        pass

    def __call__(self, decoded: Any) -> Any:
        """Return a row for each song."""
        pa = parquet.pyarrow("tag")
        rows = [row(song["index"], song["id"]) for song in decoded.to_pylist()]
        return pa.Table.from_pylist(rows, row_columns())


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=100_000)
    parser.add_argument("--ray", action="store_true", help="run the steps on Ray, on this machine")
    parser.add_argument("--decode-s", type=float, default=0.25, help="what decoding a song takes, of one core")
    parser.add_argument("--cores", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        songs = Path(folder) / "songs.csv"
        with songs.open("w") as file:
            file.write("id,url\n")
            file.writelines(f"{i},s3://bucket/albums/{i % 1000:03}/{i:09}.mp3\n" for i in range(options.songs))
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        entries = read_catalogue([str(songs)])
        store = Store(str(Path(folder) / "rows"), command="tag")
        listed_cpu_s = time.process_time() - started_cpu_s
        if options.ray:
            os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
            import catalogue  # type: ignore[import-not-found]  # by name: the workers import it, too

            with connected(None) as ray:
                engine = RayEngine(
                    ray,
                    bundle=load_bundle(),
                    plan=plan(nodes(ray), "cpu"),
                    listening=Listening(),
                    steps=(catalogue.decode_nothing, catalogue.InstantListener),
                )
                started_s, started_cpu_s = time.perf_counter(), time.process_time() - listed_cpu_s
                events = list(tag_catalogue(entries, engine=engine, store=store, model_key=KEY))[-1:]
        else:
            events = [
                event
                for event in tag_catalogue(entries, engine=InstantEngine(), store=store, model_key=KEY)
                if isinstance(event, Finished)
            ]
        cpu_s, wall_s = time.process_time() - started_cpu_s, time.perf_counter() - started_s
        assert isinstance(events[-1], Finished)
        assert events[-1].summary.tagged == options.songs
        units = [path.stat().st_size for path in (Path(folder) / "rows").iterdir()]
    decoding_s = options.songs * options.decode_s / options.cores
    print(
        json.dumps(
            {
                "songs": options.songs,
                "ray": options.ray,
                "driver_cpu_s": round(cpu_s, 1),
                "of_it_listing_s": round(listed_cpu_s, 1),
                "wall_s": round(wall_s, 1),
                "share_of_decoding": round(cpu_s / decoding_s, 4),
                "driver_largest_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
                "units": len(units),
                "bytes_a_song": round(sum(units) / options.songs),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
