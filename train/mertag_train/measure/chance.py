"""Whether figures can be told from chance, and what always saying the same would be worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mertag.emotion import Target


def chance_level(confusion: Sequence[Sequence[int]]) -> float:
    """Return the accuracy of the best constant answer for the songs of a confusion matrix: at least 1/K."""
    counts = np.asarray(confusion)
    return float(counts.sum(1).max() / counts.sum())


def at_chance(figures: Mapping[str, Any]) -> str | None:
    """Return in words that figures cannot be told from chance, None if they can.

    The figures are as `Metrics.to_json` gives them. They can be told from chance where the 95 % interval of the
    accuracy lies above what always saying the most frequent class of these songs would reach.
    """
    chance = chance_level(figures["confusion"])
    low, high = figures["accuracy_interval"]
    if low > chance:
        return None
    said = f"accuracy {figures['accuracy']:.3f} ({low:.3f}–{high:.3f}) on {figures['n']} songs"
    return f"{said} cannot be told from chance: always saying the most frequent class would reach {chance:.3f}"


def targets_at_chance(judged: Mapping[str, Mapping[str, Mapping[str, Any]]], targets: Sequence[Target]) -> list[str]:
    """Return a sentence for each target whose song classifier cannot be told from chance.

    Parameters
    ----------
    judged : mapping
        Target, then method, then figures, as ``metrics.json`` has them.
    targets : sequence of Target
        What was trained; axes that only follow from a quadrant are not judged.
    """
    found = []
    for target in targets:
        why = at_chance(judged[str(target)]["song_classifier"]) if str(target) in judged else None
        if why is not None:
            found.append(f"{target}: {why}")
    return found
