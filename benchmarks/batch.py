"""What a large library costs beside its analysis: the memory of a run, the state file, the start of a second run.

    python benchmarks/batch.py --songs 100000 --folder /dev/shm/many

Makes a library of small WAV files, no two alike, and tags it with a tagger that knows the answer at once: what is left
is the search, the state, the tags. Each run is a process of its own. The folder must not exist; it is removed at the
end.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from mertag.batch import BatchOptions, FileDone, Finished, Found, tag_library
from mertag.emotion import QUADRANTS, SongEmotion
from mertag.library.state.analyses import open_state
from mertag.outcomes import Outcome, Tagged

SONGS_A_FOLDER = 100


class InstantTagger:
    """Gives each song an emotion by its place in the run, at once."""

    def __init__(self, model: str) -> None:
        self.model_key = f"{model} manifest={'0' * 64} hop_s=1.0"
        self.analysed = 0

    def tag_many(self, paths: Iterable[Path]) -> Iterator[Outcome]:
        """Yield an outcome a path."""
        for index, path in enumerate(paths):
            self.analysed += 1
            p = [0.1234567, 0.2345678, 0.1567890]
            p.insert(index % 4, 1 - sum(p))
            emotion = SongEmotion(
                quadrant=QUADRANTS[index % 4],
                confidence=p[index % 4],
                valence=p[0] + p[3],
                arousal=p[0] + p[1],
                quadrant_probabilities=(p[0], p[1], p[2], p[3]),
                duration_s=240.0 + index / 7,
                n_segments=238,
                n_windows=15,
                model=self.model_key.partition(" ")[0],
            )
            yield Tagged(index=index, path=path, emotion=emotion)


def make_library(folder: Path, n: int) -> None:
    """Make `n` WAV files of 100 samples, each of which tells its number."""
    for index in range(n):
        below = folder / f"artist {index // SONGS_A_FOLDER:05}"
        if index % SONGS_A_FOLDER == 0:
            below.mkdir(parents=True)
        samples = struct.pack("<I", index) + bytes(196)
        form = struct.pack("<HHIIHH", 1, 1, 22_050, 44_100, 2, 16)
        chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", 200) + samples
        (below / f"{index % SONGS_A_FOLDER:02} - a song.wav").write_bytes(
            b"RIFF" + struct.pack("<I", len(chunks)) + chunks
        )


def memory_mb() -> float:
    """Return how much memory this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def one_run(library: Path, state: Path, what: str) -> None:
    """Make one run, and print its figures as JSON."""
    sidecar = "sidecars" in what
    options = BatchOptions(write_tags="tags" in what, sidecar=sidecar, retag="retag" in what)
    tagger = InstantTagger("another@2+00000000" if what == "tags, new model" else "instant@1+00000000")
    figures: dict[str, object] = {}
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    samples_mb: list[float] = []
    with open_state(state, command=what) as memory:
        n = 0
        for event in tag_library([library], tagger=tagger, options=options, state=memory):
            if isinstance(event, Found):
                figures["found_s"] = time.perf_counter() - began_s
                samples_mb.append(memory_mb())
            elif isinstance(event, FileDone):
                n += 1
                if n % 1000 == 0:
                    samples_mb.append(memory_mb())
            elif isinstance(event, Finished):
                s = event.summary
                figures |= {"found": s.found, "tagged": s.tagged, "unchanged": s.unchanged, "failed": s.failed}
    figures |= {
        "analysed": tagger.analysed,
        "seconds": time.perf_counter() - began_s,
        "cpu_s": time.process_time() - began_cpu_s,
        "found_mb": samples_mb[0],
        "end_mb": samples_mb[-1],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }
    print(json.dumps(figures))


RUNS = ("results", "results again", "tags", "tags again", "retag, sidecars", "sidecars again", "tags, new model")


def main() -> None:
    """Make the library, run, print one line a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=RUNS)
    parser.add_argument("--only-make", action="store_true", help="make the library in the folder, and leave it there")
    parser.add_argument("--run", choices=RUNS, help="make one run over a library that is there; print JSON")
    options = parser.parse_args()
    library, state = options.folder / "music", options.folder / "state" / "state.sqlite"
    if options.run:
        one_run(library, state, options.run)
        return
    if options.only_make:
        make_library(library, options.songs)
        return
    options.folder.mkdir()
    try:
        began_s = time.perf_counter()
        make_library(library, options.songs)
        print(f"{options.songs} songs made in {time.perf_counter() - began_s:.0f} s")
        head = (
            "run",
            "seconds",
            "CPU s",
            "search s",
            "analysed",
            "tagged",
            "unchanged",
            "MB at start",
            "MB at end",
            "peak",
        )
        print("".join(f"{h:>15}" for h in head), f"{'state: bytes a song':>22}", flush=True)
        for run in options.runs:
            command = [sys.executable, __file__, "--folder", str(options.folder), "--run", run]
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
            f = json.loads(done.stdout)
            size = sum(p.stat().st_size for p in state.parent.iterdir())
            cells = (
                run,
                f"{f['seconds']:.1f}",
                f"{f['cpu_s']:.1f}",
                f"{f['found_s']:.1f}",
                *(str(f[name]) for name in ("analysed", "tagged", "unchanged")),
                *(f"{f[name]:.0f}" for name in ("found_mb", "end_mb", "peak_mb")),
            )
            print("".join(f"{cell:>15}" for cell in cells), f"{size / options.songs:>22.0f}", flush=True)
    finally:
        shutil.rmtree(options.folder)


if __name__ == "__main__":
    main()
