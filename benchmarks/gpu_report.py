"""Figures of the folds that `on_gpu.py train` brought back.

    python benchmarks/gpu_report.py OUT/ours.npz OUT2/ours.npz --json ours.json

Files of the same recipe whose folds differ are joined. The figures are those of ``mertag evaluate``: pooled over the
songs of all folds that are there.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from mertag.emotion import Target
from mertag.errors import DatasetError
from mertag_train.measure.metrics import measure

METHODS = ("mean_probability", "song_classifier")


def main() -> None:
    """Print the figures; write them as JSON where asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result: dict[str, Any] = {}
    for method, (folds, labels, probabilities) in judged(options.files).items():
        result[method] = {"folds": folds, "figures": {}}
        for view, by_method in measure(labels, {method: probabilities}, Target.QUADRANT, seed=0).items():
            found = by_method[method]
            result[method]["figures"][str(view)] = found.to_json()
            low, high = found.accuracy_interval
            print(
                f"{method}, {view}: {found.n} songs of {len(folds)} folds, accuracy {found.accuracy:.3f} "
                f"({low:.3f}..{high:.3f}), macro-F1 {found.macro_f1:.3f}, log-loss {found.log_loss:.3f}, "
                f"calibration error {found.calibration_error:.3f}"
            )
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def judged(files: list[Path]) -> dict[str, tuple[list[str], np.ndarray, np.ndarray]]:
    """Return, by method, the folds that it judged, their songs' classes, and its probabilities.

    Raises DatasetError if two files are of other songs; of a fold that stands in two, the later one counts.
    """
    kept: dict[str, np.ndarray] = {}
    for path in files:
        with np.load(path, allow_pickle=False) as held:
            new = {name: held[name] for name in held.files}
        for name in ("ids", "labels"):
            if name in kept and not np.array_equal(kept[name], new[name]):
                raise DatasetError(f"{path}: other songs or classes than in {files[0]}; report on each by itself")
        kept |= new
    found = {}
    for method in METHODS:
        folds = sorted(name.removesuffix(f".{method}") for name in kept if name.endswith(f".{method}"))
        if folds:
            labels = np.concatenate([kept["labels"][kept[f"{fold}.songs"]] for fold in folds])
            found[method] = folds, labels, np.concatenate([kept[f"{fold}.{method}"] for fold in folds])
    return found


if __name__ == "__main__":
    main()
