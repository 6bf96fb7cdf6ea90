"""A run on Ray beside the same run without it, both on this machine; and what memory each part of it takes.

    python benchmarks/cluster.py ~/Music/album --turns 3 --json cluster.json
    python benchmarks/cluster.py --library 1000 20000 --json memory.json

Both are `mertag tag --parquet`. Ratios are those of songs a second, the median of those within one turn: of the run as
its report has it, and of the whole command, which on Ray starts a cluster. The rows are compared, too. Processor time
is that of all processes of a run: on a machine that others use, compare what a further song takes, from runs of two
sizes. With --library only memory is measured, on that many made-up songs of 3 s: the largest that was seen, in MB, of
each part; what processes share is divided among them.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from processes import machine, ratio

from mertag.library import parquet
from mertag.listen.sessions import usable_cores

SAMPLE_EVERY_S = 1.0
PARTS = {
    "network": ("ray::MapWorker", "ray::_Listener"),
    "decoding": ("ray::MapBatches", "ray::IDLE", "-P -c"),
    "Ray": ("gcs_server", "raylet", "ray/_private", "ray/dashboard", "ray::"),
}


def tag(folder: Path, engine: str, *, out: Path, model: Path | None) -> dict[str, Any]:
    """Run `mertag tag` on a folder; return songs a second, its rows, and the largest memory of each part."""
    rows, report = out / engine, out / "report.json"
    shutil.rmtree(rows, ignore_errors=True)
    rows.mkdir(parents=True)
    command = [
        sys.executable,
        "-m",
        "mertag",
        "tag",
        str(folder),
        "--device",
        "cpu",
        "--quiet",
        "--report",
        str(report),
    ]
    command += ["--engine", engine, "--parquet", str(rows if engine == "ray" else rows / "rows.parquet")]
    command += [] if engine == "ray" else ["--state", str(rows / "state")]  # both find the digest of the audio
    command += [] if model is None else ["--model", str(model)]
    began_s = time.perf_counter()
    process = subprocess.Popen(command, env=os.environ | {"RAY_worker_niceness": "0"})
    largest: Counter[str] = Counter()
    used_s: dict[int, float] = {}
    ended = threading.Event()
    watcher = threading.Thread(target=watch, args=(process.pid, largest, used_s, ended))
    watcher.start()
    code = process.wait()
    wall_s = time.perf_counter() - began_s
    ended.set()
    watcher.join()
    if code not in (0, 1):
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    summary = json.loads(report.read_text())["summary"]
    return {
        "songs": summary["found"],
        "failed": summary["failed"],
        "run_songs_per_s": summary["found"] / summary["elapsed_s"],
        "command_songs_per_s": summary["found"] / wall_s,
        "processor_s": round(sum(used_s.values()), 1),
        "largest_mb": {part: round(size / 1e6) for part, size in largest.items()},
        "rows": {row["path"]: row for path in rows.glob("*.parquet") for row in parquet.read(path, command="tag")},
    }


def watch(root: int, largest: Counter[str], used_s: dict[int, float], ended: threading.Event) -> None:
    """Keep the largest memory of each part of a run, and the processor time of each process, until it ends."""
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    while not ended.wait(SAMPLE_EVERY_S):
        now: Counter[str] = Counter()
        left = [root]
        while left:
            pid = left.pop()
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                times = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[11:13]
                used_s[pid] = tick_s * sum(map(int, times))
                kb = sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
                for task in Path(f"/proc/{pid}/task").iterdir():
                    left += map(int, (task / "children").read_text().split())
            except OSError:  # it has just ended
                continue
            part = next((part for part, words in PARTS.items() if any(word in command for word in words)), "others")
            now["driver" if pid == root else part] += kb << 10
        now["all"] = now.total()
        largest |= now  # the larger of each


def compared(ones: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """Return by how much the probabilities of the same songs differ, and how many decisions do."""
    names = ("p_q1", "p_q2", "p_q3", "p_q4", "valence", "arousal", "confidence")
    assert ones.keys() == others.keys()
    differences = [
        abs(ones[path][name] - others[path][name])
        for path in ones
        for name in names
        if ones[path][name] is not None and others[path][name] is not None
    ]
    same = ("status", "reason", "quadrant", "n_segments", "n_windows", "audio")
    return {
        "largest_difference": max(differences),
        "rows_that_differ": sum(any(ones[path][name] != others[path][name] for name in same) for path in ones),
    }


def made_up(folder: Path, n: int) -> Path:
    """Return a folder of so many songs, of which a few are different ones."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for i in range(n):
        song, first = folder / f"{i:06}.flac", folder / f"{i % 8:06}.flac"
        if i < 8:
            soundfile.write(song, 0.1 * rng.standard_normal(3 * 22_050 + 2048), 22_050)
        else:
            shutil.copyfile(first, song)
    return folder


def main() -> None:
    """Measure, and print and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument(
        "--library", type=int, nargs="+", default=(), help="how many made-up songs, in place of a folder"
    )
    parser.add_argument("--model", type=Path, help="another bundle than the one that comes with mertag")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, Any] = {"machine": machine(usable_cores())}
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        one = functools.partial(tag, out=out, model=options.model)
        if options.library:
            songs = {n: made_up(out / f"songs-{n}", n) for n in options.library}
            found["largest_mb"] = {n: one(folder, "ray")["largest_mb"] for n, folder in songs.items()}
        elif options.folder is None:
            parser.error("give a folder of songs, or --library")
        else:
            turns = [{e: one(options.folder, e) for e in ("local", "ray")} for _ in range(options.turns)]
            rows = [{e: turn[e].pop("rows") for e in turn} for turn in turns][-1]
            found |= {"turns": turns, **compared(rows["local"], rows["ray"])}
            for rate in ("run_songs_per_s", "command_songs_per_s"):
                found[f"ray_to_local_{rate.partition('_')[0]}"] = round(
                    ratio(*([turn[e][rate] for turn in turns] for e in ("ray", "local"))), 3
                )
    text = json.dumps(found, indent=1)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
