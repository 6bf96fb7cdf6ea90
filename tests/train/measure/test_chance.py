"""Whether figures can be told from chance."""

from __future__ import annotations

import numpy as np
import pytest

from mertag.emotion import Target
from mertag_train.measure.chance import at_chance, chance_level, targets_at_chance
from mertag_train.measure.metrics import evaluate_predictions


def figures(right: int, n: int = 100, *, share: float = 0.5) -> dict[str, object]:
    """Return figures of a valence that is right on so many of `n` songs, a share of which are V+."""
    labels = (np.arange(n) < share * n).astype(np.int64)
    said = np.where(np.random.default_rng(0).permutation(n) < right, labels, 1 - labels)
    p = np.stack([1 - 0.8 * said - 0.1, 0.8 * said + 0.1], axis=1)
    return evaluate_predictions(labels, p, target=Target.VALENCE).to_json()


@pytest.mark.parametrize(
    ("right", "share", "told"),
    [(50, 0.5, False), (58, 0.5, False), (61, 0.5, True), (75, 0.75, False), (85, 0.75, True)],
)
def test_chance_is_the_most_frequent_class_and_the_interval_must_lie_above_it(
    right: int, share: float, told: bool
) -> None:
    found = figures(right, share=share)
    assert chance_level(found["confusion"]) == share  # type: ignore[arg-type]
    assert (at_chance(found) is None) == told


def test_each_target_that_was_learnt_is_judged_by_its_song_classifier() -> None:
    judged = {"valence": {"song_classifier": figures(50), "mean_probability": figures(90)}, "arousal": {}}
    (said,) = targets_at_chance({"valence": judged["valence"]}, [Target.VALENCE, Target.AROUSAL])
    assert said.startswith("valence: accuracy 0.500 (0.404–0.596) on 100 songs cannot be told from chance: always ")
    assert said.endswith("would reach 0.500")
