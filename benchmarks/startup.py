"""How long mertag takes to start: `mertag --help`, and one short clip from a cold start.

    python benchmarks/startup.py --repeats 9 --json startup.json

Beside them, in turn with them, what cannot be avoided: an empty Python; numpy and onnxruntime imported and the
session made; and the session's time on the segments of the clip. "Cold" means new processes, not an empty disk cache.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from material import stereo, write
from processes import machine, me, measure, spread

from mertag.listen.sessions import usable_cores

SESSION = """
import os, sys
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[2])
onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
"""


def main() -> None:
    """Print the medians, and write them as JSON where asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, help="what to tag; if not given, 30 s of noise")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = options.clip or write(Path(folder) / "clip.mp3", stereo([], 30.0))
        result = measured(clip, options)
    print(result["machine"])
    print(f"medians of {options.repeats} turns, with the smallest and the largest, in seconds")
    for name, found in result["seconds"].items():
        print(f"{name:>16}: {spread(found)}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def measured(clip: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything in turn."""
    from mertag.listen.bundle import load_bundle
    from mertag.listen.device import open_models

    bundle = load_bundle(options.model)
    models = open_models(bundle, device="cpu", threads=options.threads, at_once=1)  # timed, then remembered
    graph = bundle.path(bundle.manifest.segment[models.segment.precision])
    python, mertag = [sys.executable], [sys.executable, "-m", "mertag"]
    model = ["--model", str(bundle.folder)]
    bare = [*me("tagging_work.py"), "bare", "--threads", str(options.threads), "--at-once", "1", *model]
    commands = {
        "python": [*python, "-c", ""],
        "mertag --help": [*mertag, "--help"],
        "session": [*python, "-c", SESSION, str(graph), str(options.threads)],
        "one clip": [*mertag, "tag", "--quiet", "--device", "cpu", *model, str(clip)],
    }
    seconds: dict[str, list[float]] = {name: [] for name in [*commands, "bare session on it"]}
    for turn in range(options.repeats + 1):
        for name, command in commands.items():
            took_s = measure(command, speaks=False).wall_s
            if turn:  # the first is for warming up
                seconds[name].append(took_s)
        if turn:
            seconds["bare session on it"].append(measure(bare, given=[clip]).said["seconds"])
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    return {"machine": machine(options.threads), "seconds": seconds, "medians": medians}


if __name__ == "__main__":
    main()
