"""What is said of a training: what it will do and, in the form of ``mertag evaluate``, what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mertag.cli import console
from mertag.emotion import CLASS_NAMES, Target
from mertag_train.evaluation.report import BRIEF_NOTE
from mertag_train.evaluation.sheet import Sheet

if TYPE_CHECKING:
    from mertag_train.data.datasets import Dataset, Song
    from mertag_train.learn.config import TrainConfig
    from mertag_train.measure.metrics import Metrics
    from mertag_train.runs.forecast import Forecast
    from mertag_train.runs.run import TargetResult

COLUMNS = ("Target", "Method", "Songs", "Accuracy", "95 %", "Macro-F1", "MCC", "Cal. error")
METHOD_NAMES = {"song_classifier": "song classifier", "mean_probability": "mean probability"}
MAJORITY_NOTE = "majority: the most frequent class of the songs that are learnt from, which any model must beat."


def figures(results: Mapping[Target, TargetResult], dataset: Dataset, folder: Path) -> Sheet:
    """Return the figures of a run on the songs that were set aside, beside those of the majority class."""
    from mertag_train.measure.metrics import measure

    learnt = learnt_songs(dataset, folder)
    rows: list[tuple[str, ...]] = []
    for target, result in results.items():
        shares = np.bincount([song.targets[target] for song in learnt], minlength=len(CLASS_NAMES[target])) / len(
            learnt
        )
        constant = np.tile(shares, (len(result.songs.labels), 1))
        majority = measure(result.songs.labels, {"majority": constant}, target, seed=0)
        for view, by_method in result.metrics.items():
            title = str(view) if view is target else f"{view} (from the {target})"
            every = {**majority[view], **{METHOD_NAMES.get(name, name): m for name, m in by_method.items()}}
            rows += [(title, name, *_cells(m)) for name, m in every.items()]
    return Sheet(title="", columns=COLUMNS, rows=tuple(rows), text_columns=2, remarks=(MAJORITY_NOTE, BRIEF_NOTE))


def learnt_songs(dataset: Dataset, folder: Path) -> list[Song]:
    """Return the songs of a run that its networks or its song classifier learn from, by its ``split.csv``."""
    from mertag_train.data.datasets.tables import read_table

    rows = read_table(folder / "split.csv", ("song_id", "fold")).by("song_id")
    return [song for song in dataset.songs if song.id in rows and rows[song.id].text("fold") != "test"]


def at_chance(results: Mapping[Target, TargetResult], config: TrainConfig) -> list[str]:
    """Return a sentence for each target of a run that cannot be told from chance.

    It is judged by the cross-validation where there is one, which has more songs.
    """
    from mertag_train.measure.chance import targets_at_chance

    judged = {
        str(view): {method: m.to_json() for method, m in by_method.items()}
        for result in results.values()
        for view, by_method in (result.cross_validation or result).metrics.items()
    }
    return targets_at_chance(judged, config.targets)


def split_in_words(dealt: Mapping[str, Sequence[str]], songs: Dataset, group: str) -> str:
    """Return in a line how many songs each part of a split has; `dealt` has the ids of its parts."""
    if group == "artist" and all(song.artist is None for song in songs.songs):
        group = "recording, since no artist is known"
    words = {
        "train": "{} songs to learn from",
        "validation": "{} that only the song classifier learns from",
        "test": "{} set aside for the figures",
    }
    parts = [words[name].format(len(ids)) for name, ids in dealt.items() if ids]
    return f"split by {group}: {', '.join(parts)}"


def training_in_words(config: TrainConfig, found: Sequence[Forecast], *, jobs: int = 1) -> str:
    """Return a line: network, recipe, number of networks, about how long."""
    one = found[0]
    kind = {"compact": "VGG16 with batch norm", "published": "VGG16"}
    width = "" if config.network.width == 1 else f", {config.network.width:g} of the channels"
    n = sum(each.networks for each in found)
    networks = f"{n} networks" if n > 1 else "one network"
    taught = f", after pre-training by {config.teacher.name}" if one.pretrained else ""
    duration_s = sum(each.duration_s for each in found) / jobs
    return (
        f"recipe {config.recipe} ({config.learner}): {networks}{taught}; "
        f"{kind[config.network.architecture]}{width} ({one.weights / 1e6:.1f} M weights), "
        f"segments of {config.segmentation.duration_s:g} s, learning rate {config.optimiser.learning_rate:g}; "
        f"about {console.duration(duration_s)} here ({1000 * one.segment_s:.0f} ms a segment)"
    )


def _cells(m: Metrics) -> tuple[str, ...]:
    return (
        str(m.n),
        f"{m.accuracy:.3f}",
        "{:.3f}–{:.3f}".format(*m.accuracy_interval),
        f"{m.macro_f1:.3f}",
        f"{m.mcc:.3f}",
        f"{m.calibration_error:.3f} ({m.calibration_error_if_perfect:.3f})",
    )
