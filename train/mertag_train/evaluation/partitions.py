"""How well self-learning found the segments whose label is wrong, epoch by epoch, where that is known.

It is known of segments that were spliced in on purpose, of labels that were flipped on purpose, and of data sets whose
songs were rated over time. What the figures mean is told in `mertag_train.learn.partition.figures`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from mertag_train.evaluation.results import Result
from mertag_train.evaluation.sheet import Sheet

COLUMNS = {
    "right_share": "Wrong",
    "clean_share": "Not trusted",
    "partition_auroc": "AUROC [1]",
    "partition_auroc_in_clip": "in a clip [2]",
    "noisy_precision": "Precision [3]",
    "noisy_recall": "Recall [3]",
}
SHARES_OF_OTHERS = ("right_share", "clean_share")
NOTES = (
    "Area under the ROC curve of the clean probability, of all segments whose real class is known: 0.5 is chance.",
    "The same over pairs of segments of one clip.",
    "Of finding the wrong labels by a clean probability of at most tau.",
)

Key = tuple[str, str, str]


def by_epoch(results: Sequence[Result]) -> dict[Key, dict[int, dict[str, float]]]:
    """Return by target, method and duration, then by epoch, the mean of each figure over folds and seeds.

    Only of methods on whose partition something is known; ``"folds"`` is how many results the means are of.
    """
    seen: dict[Key, dict[int, list[Mapping[str, float]]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        for epoch in result.epochs:
            if "right_share" in epoch:
                task = result.task
                seen[task.target.value, task.method, task.duration][int(epoch["epoch"])].append(epoch)
    return {
        key: {number: _means(same) for number, same in sorted(epochs.items())} for key, epochs in sorted(seen.items())
    }


def _means(same: Sequence[Mapping[str, float]]) -> dict[str, float]:
    found = {"folds": float(len(same))}
    for name in COLUMNS:
        values = [epoch[name] for epoch in same if name in epoch]
        if values:
            found[name] = fmean(values)
    return found


def to_json(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return the same as plain JSON values, one a target, method and duration."""
    return [
        {
            "target": target,
            "method": method,
            "duration": duration,
            "epochs": [{"epoch": number, **means} for number, means in epochs.items()],
        }
        for (target, method, duration), epochs in by_epoch(results).items()
    ]


def sheet(results: Sequence[Result]) -> Sheet | None:
    """Return a row for each epoch of each method; None where nothing is known."""
    rows = [
        (target, method, duration, str(number), f"{means['folds']:.0f}", *(_cell(means, name) for name in COLUMNS))
        for (target, method, duration), epochs in by_epoch(results).items()
        for number, means in epochs.items()
    ]
    if not rows:
        return None
    columns = ("Target", "Method", "Segment", "Epoch", "Folds", *COLUMNS.values())
    return Sheet(title="Wrong labels found", columns=columns, rows=tuple(rows), notes=NOTES, text_columns=3)


def _cell(means: Mapping[str, float], name: str) -> str:
    if name not in means:
        return ""
    return f"{1 - means[name] if name in SHARES_OF_OTHERS else means[name]:.3f}"


def in_words(epoch: Mapping[str, float]) -> str:
    """Return what one epoch found, for a line; empty where nothing is known."""
    words = {"partition_auroc": "AUROC", "partition_auroc_in_clip": "in a clip"}
    words |= {"noisy_precision": "precision", "noisy_recall": "recall"}
    said = [f"{word} {epoch[name]:.3f}" for name, word in words.items() if name in epoch]
    return f"wrong labels found: {', '.join(said)}" if said else ""
