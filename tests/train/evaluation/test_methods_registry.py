"""The registry, and the majority class by hand."""

from __future__ import annotations

from typing import Any, cast

import pytest
from toy_evaluation import toy_songs

from mertag.emotion import Target
from mertag.errors import ConfigError
from mertag_train.evaluation.methods import METHODS, Context, Fold, method
from mertag_train.evaluation.methods.base import Stopwatch
from mertag_train.learn.config import TrainConfig

NO_CONTEXT = cast(Context, None)


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_says_who_it_is_and_what_it_depends_on(name: str) -> None:
    found = method(name)
    assert found.name == name
    assert found.summary
    assert isinstance(found.uses_segments, bool)
    assert isinstance(found.uses_seed, bool)
    settings: dict[str, Any] = dict(found.settings(TrainConfig()))
    assert settings == dict(found.settings(TrainConfig()))


def test_an_unknown_method_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown method 'magic'; choose from majority, features-svm"):
        method("magic")


def test_a_method_that_trains_a_network_depends_on_every_setting_of_training() -> None:
    one = method("inherited-svm").settings(TrainConfig(epochs=3))
    other = method("inherited-svm").settings(TrainConfig(epochs=4))
    assert one != other
    assert method("majority").settings(TrainConfig(epochs=3)) == method("majority").settings(TrainConfig(epochs=4))


def test_the_majority_class_is_that_of_the_training_songs() -> None:
    songs = toy_songs(16)
    train, test = (*songs[:9], songs[12]), songs[9:12]  # Q1 four times, the others twice
    fold = Fold(name="0", target=Target.QUADRANT, train=train, test=test, seed=0, group="recording")
    found = method("majority").predict(fold, NO_CONTEXT)
    assert found.song_ids == ("clip9", "clip10", "clip11")
    assert found.probabilities.tolist() == [[0.4, 0.2, 0.2, 0.2]] * 3


def test_the_majority_of_an_axis_is_of_its_two_classes() -> None:
    songs = toy_songs(8)
    fold = Fold(name="0", target=Target.AROUSAL, train=songs[:5], test=songs[5:], seed=0, group="recording")
    assert method("majority").predict(fold, NO_CONTEXT).probabilities[0].tolist() == pytest.approx([2 / 5, 3 / 5])


def test_songs_that_were_on_disk_do_not_count_as_heard_in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr("mertag_train.evaluation.methods.base.time.monotonic", lambda: now_s[0])
    told: list[tuple[int, int]] = []
    watch = Stopwatch(lambda done, total: told.append((done, total)))
    assert watch.songs_per_s is None
    for done, at_s in ((700, 100.0), (710, 101.0), (719, 109.5)):
        now_s[0] = at_s
        watch(done, 719)
    assert watch.songs_per_s == 2.0
    assert told == [(700, 719), (710, 719), (719, 719)]
    all_there = Stopwatch(lambda done, total: None)
    all_there(719, 719)
    assert all_there.songs_per_s is None
