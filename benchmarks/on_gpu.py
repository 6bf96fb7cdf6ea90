"""What a GPU that is at hand for minutes is used for: everything prepared, in one command a part.

    python benchmarks/on_gpu.py train --pack PACK --out OUT
    python benchmarks/on_gpu.py tag --out OUT --clips CLIPS
    python benchmarks/on_gpu.py train --pack PACK --out OUT --device cpu --small      # the same on a CPU, tiny

Each part takes five minutes at most, and leaves PART.json and PART.log in OUT, written as it goes. A step that fails or
takes too long is noted, and the next one runs. docs/performance.md says how such a run is made.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from guarded import Record, run_steps

PARTS = ("tag", "train")
LEFT_OUT = {"folds-paper", "run"}
"""Steps that are done only when they are named: each takes minutes by itself."""


def main() -> None:
    """Run the steps of a part."""
    options = parsed()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.part == "train":
        import gpu_training as part
    else:
        import gpu_tagging as part  # type: ignore[no-redef]
    steps = part.steps(options)
    names = [step.name for step in steps]
    unknown = sorted(set(options.steps or ()) - set(names))
    if unknown:
        raise SystemExit(f"no step {unknown[0]!r}; those of {options.part} are {', '.join(names)}")
    wanted = options.steps or [name for name in names if name not in LEFT_OUT]
    record = Record(options.out / f"{options.part}.json")
    record.put("command", arguments=sys.argv[1:], at=time.strftime("%Y-%m-%dT%H:%M:%S"), processors=os.cpu_count())
    chosen = [step for name in wanted for step in steps if step.name == name]
    if options.small:  # a busy machine may take its time
        chosen = [replace(step, most_s=options.budget) for step in chosen]
    done = run_steps(chosen, record, options.out / f"{options.part}.log", budget_s=options.budget)
    raise SystemExit(0 if done else 1)


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--out", type=Path, required=True, help="a folder for what is found")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--budget", type=float, default=285.0, help="seconds for all steps")
    parser.add_argument("--steps", nargs="+", metavar="STEP", help="only these, in this order")
    parser.add_argument("--small", action="store_true", help="a tiny case, which shows that everything runs")
    train = parser.add_argument_group("train")
    train.add_argument("--pack", type=Path, help="what pack_training.py wrote")
    train.add_argument("--n-folds", type=int, default=10)
    train.add_argument("--folds", nargs="+", metavar="FOLD", help="only these, by name: 0 to 9")
    tag = parser.add_argument_group("tag")
    tag.add_argument("--model", type=Path, help="a bundle; else the one that comes with mertag")
    tag.add_argument("--clips", type=Path, help="a folder with a dozen real songs, for comparing with the CPU")
    options = parser.parse_args()
    if options.part == "train" and options.pack is None:
        parser.error("train needs --pack")
    return options


if __name__ == "__main__":
    main()
