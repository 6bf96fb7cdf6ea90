"""What a run's model is worth, as Markdown, and its reliability diagrams: the figures of docs/model.md.

    python benchmarks/model_report.py runs/RUN --picture docs/reliability.png
    python benchmarks/model_report.py benchmarks/results/run --against benchmarks/results/evaluation/4q-artist

From the run's own files: ``cross-validation.quadrant.csv``, the songs that were learnt from, each judged without it,
and ``predictions.quadrant.csv``, the songs that were set aside; those of the bundled model are in
``benchmarks/results/run``. ``--against`` compares the cross-validation, song by song, with what methods in a folder of
`mertag evaluate` say of the same songs, in folds of their own (McNemar).
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mertag.emotion import CLASS_NAMES, Target
from mertag_train.evaluation.protocol import read_protocol
from mertag_train.evaluation.results import read_results
from mertag_train.measure.metrics import (
    by_axis,
    calibration_interval,
    coverage,
    mcnemar,
    measure,
    predicted_classes,
)
from mertag_train.plots.pictures import draw_reliability, new_figure, save_png

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
PARTS = {"cross-validation": "cross-validation", "predictions": "set aside"}
METHODS = ("song_classifier", "mean_probability")


def main() -> None:
    """Print the tables; draw where asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="a data set's folder of mertag evaluate")
    options = parser.parse_args()
    print(
        "| songs | target | method | n | accuracy | 95 % | macro-F1 | log-loss | Brier | calibration error | 95 % | "
        "if perfect |"
    )
    print("|---|---|---|---:|---:|---|---:|---:|---:|---:|---|---:|")
    views: dict[Target, tuple[Floats, Ints]] = {}
    for file, part in PARTS.items():
        labels, said = read_predictions(options.run / f"{file}.quadrant.csv")
        for target, methods in measure(labels, said, Target.QUADRANT, seed=0).items():
            for method, m in methods.items():
                p, y = by_axis(said[method], labels, target)
                if file == "cross-validation" and method == METHODS[0]:
                    views[target] = (p, y)
                low, high = calibration_interval(p.max(1), predicted_classes(p) == y)
                print(
                    f"| {part} | {target} | {method} | {m.n} | {m.accuracy:.3f} | {m.accuracy_interval[0]:.3f}\u2013"
                    f"{m.accuracy_interval[1]:.3f} | {m.macro_f1:.3f} | {m.log_loss:.3f} | {m.brier:.3f} | "
                    f"{m.calibration_error:.3f} | {low:.3f}\u2013{high:.3f} | {m.calibration_error_if_perfect:.3f} |"
                )
    p, y = views[Target.QUADRANT]
    print("\n| confidence at least | share of the songs | right |\n|---:|---:|---:|")
    for row in coverage(p.max(1), predicted_classes(p) == y):
        print(f"| {row['at_least']} | {row['share']:.1%} | {row['accuracy'] or float('nan'):.1%} |")
    if options.against:
        compare(options.run / "cross-validation.quadrant.csv", options.against)
    if options.picture:
        figure = new_figure(13.0, 4.4)
        for axes, (target, (p, y)) in zip(figure.subplots(1, 3), views.items(), strict=True):
            draw_reliability(axes, p, y, what=f"{target}\n")
        save_png(figure, options.picture, dpi=100)


def compare(mine: Path, folder: Path) -> None:
    """Print a row a method and target: the song classifier of the run and the method, on the songs that both judge."""
    with mine.open(newline="", encoding="utf-8") as file:
        ids = [row["song_id"] for row in csv.DictReader(file)]
    labels, said = read_predictions(mine)
    others: dict[str, dict[str, Floats]] = {}
    for result in read_results(folder, read_protocol(folder)):
        if result.task.target is Target.QUADRANT:
            others.setdefault(result.task.method, {}).update(zip(result.song_ids, result.probabilities, strict=True))
    print("\n| against | target | songs | the model | it | only the model right | only it right | p |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for method, by_song in others.items():
        rows = [i for i, song in enumerate(ids) if song in by_song]
        theirs = np.stack([by_song[ids[i]] for i in rows])
        for target in (Target.QUADRANT, Target.VALENCE, Target.AROUSAL):
            p, y = by_axis(said[METHODS[0]][rows], labels[rows], target)
            q, _ = by_axis(theirs, labels[rows], target)
            found = mcnemar(y, predicted_classes(p), predicted_classes(q))
            right = [float((predicted_classes(each) == y).mean()) for each in (p, q)]
            print(
                f"| {method} | {target} | {len(rows)} | {right[0]:.3f} | {right[1]:.3f} | {found.only_first} | "
                f"{found.only_second} | {found.p_value:.4f} |"
            )


def read_predictions(path: Path) -> tuple[Ints, dict[str, Floats]]:
    """Return the labels and, by method, the probabilities of a run's table."""
    names = CLASS_NAMES[Target.QUADRANT]
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    labels = np.array([names.index(row["label"]) for row in rows], dtype=np.int64)
    return labels, {m: np.array([[float(row[f"{m}:{n}"]) for n in names] for row in rows]) for m in METHODS}


if __name__ == "__main__":
    main()
