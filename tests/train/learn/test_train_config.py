"""Configurations survive JSON, and those that cannot be are refused with a reason."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mertag.emotion import Target
from mertag.errors import ConfigError
from mertag.listen.windows import Segmentation
from mertag_train.learn.config import OptimiserConfig, TrainConfig
from mertag_train.learn.recipes import OURS, PAPER


@pytest.mark.parametrize("config", [PAPER, OURS, replace(OURS, targets=(Target.VALENCE, Target.AROUSAL), seed=3)])
def test_a_configuration_survives_json(config: TrainConfig) -> None:
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("where", "value", "says"),
    [
        ("epoch", 3, r"config: keys that are missing or unknown: \$\.epoch$"),
        ("epochs", "3", r"config: Expected `int`, got `str` - at `\$\.epochs`"),
        ("epochs", 2.5, r"Expected `int`, got `float` - at `\$\.epochs`"),
        ("epochs", True, r"Expected `int`, got `bool`"),
        ("targets", ["mood"], r"Invalid enum value 'mood' - at `\$\.targets\[0\]`"),
        ("targets", "quadrant", "Expected `array`, got `str`"),
        ("fractions", [0.5, 0.5], "Expected `array` of length 3, got 2"),
        ("group", "label", r"Invalid enum value 'label' - at `\$\.group`"),
        ("network", {"architecture": "huge", "dropout": 0.5, "width": 1.0}, r"at `\$\.network\.architecture`"),
        (
            "network",
            {"architecture": "compact"},
            r"missing or unknown: \$\.network\.dropout, \$\.network\.width",
        ),
        ("optimiser", [], "Expected `object`, got `array`"),
        ("optimiser", {**OURS.to_json()["optimiser"], "momentum": float("nan")}, "NaN is no JSON number"),
    ],
)
def test_a_damaged_configuration_is_named(where: str, value: object, says: str) -> None:
    data = {**OURS.to_json(), where: value}
    with pytest.raises(ConfigError, match=says):
        TrainConfig.from_json(data)


def test_a_missing_key_is_no_silent_default() -> None:
    data = OURS.to_json()
    del data["seed"]
    with pytest.raises(ConfigError, match=r"missing or unknown: \$\.seed$"):
        TrainConfig.from_json(data)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"targets": ()}, "once each"),
        ({"targets": (Target.QUADRANT, Target.QUADRANT)}, "once each"),
        ({"targets": (Target.VALENCE,)}, "quadrant head or a valence and an arousal head"),
        ({"crops_per_clip": -1}, "crops a clip"),
        ({"optimiser": OptimiserConfig(batch_size=0)}, "batch size"),
        ({"optimiser": OptimiserConfig(learning_rate=0.0)}, "learning rate"),
        ({"segmentation": Segmentation(duration_s=0.7)}, "a segment of 0.7 s is too short; the network needs 0.77 s"),
        ({"segmentation": Segmentation(hop_s=0.0)}, "hop must be above 0"),
        ({"group": "label"}, "group by artist or recording"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        replace(OURS, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("config", "crops"),
    [
        (replace(OURS, epochs=4, warm_up_epochs=2), [5, 5, 0, 0]),
        (replace(OURS, epochs=4, warm_up_epochs=2, learner="inherited"), [5, 5, 5, 5]),
        (replace(PAPER, epochs=2, warm_up_epochs=1), [0, 0]),
    ],
    ids=["self-learning", "inherited labels", "the paper"],
)
def test_segments_that_must_be_known_again_are_of_the_grid(config: TrainConfig, crops: list[int]) -> None:
    assert [config.crops_of_epoch(epoch) for epoch in range(1, config.epochs + 1)] == crops
