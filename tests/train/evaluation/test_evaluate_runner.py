"""Tasks are planned once each, kept one by one, continued, joined; and nothing foreign is ever joined."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from toy_evaluation import config_with, surroundings, toy_dataset

from mertag.emotion import Target
from mertag.errors import ConfigError, DatasetError
from mertag_train.data.store import LogMelStore
from mertag_train.evaluation import runner
from mertag_train.evaluation.methods import Context, Fold, Predictions
from mertag_train.evaluation.methods.svm import Majority
from mertag_train.evaluation.output import make_report
from mertag_train.evaluation.protocol import prepare
from mertag_train.evaluation.results import Task
from mertag_train.learn.config import AugmentConfig
from mertag_train.learn.trainer import Clips

pytestmark = pytest.mark.command

METHODS = ("majority", "inherited-mean", "inherited-svm")
TIMELESS = ("elapsed_s", "songs_per_s", "environment")


def evaluate(
    root: Path,
    *,
    methods: tuple[str, ...] = METHODS,
    folds: tuple[str, ...] | None = None,
    seeds: tuple[int, ...] = (0,),
    shuffle: bool = False,
    stop_after: int | None = None,
    **changes: Any,
) -> Path:
    """Run; return the data set's folder."""
    dataset = toy_dataset()
    folder, protocol, dealt, songs = prepare(
        root, dataset, targets=(Target.QUADRANT,), group="recording", n_folds=3, shuffle=shuffle
    )
    tasks = runner.plan(methods, targets=(Target.QUADRANT,), segments_s=(1.0,), seeds=seeds, folds=folds or dealt.names)
    around = surroundings(root, dataset, songs, **changes)

    def on_task(done: int, total: int, result: object, kept: bool) -> None:
        if done == stop_after:
            raise KeyboardInterrupt

    runner.run(folder, protocol, dealt, tasks, around, on_task=on_task)
    return folder


def contents(folder: Path) -> dict[str, Any]:
    """Return every result without what depends on the clock and the machine."""
    found = {}
    for path in sorted((folder / "results").rglob("*.json")):
        value = json.loads(path.read_text())
        found[str(path.relative_to(folder))] = {k: v for k, v in value.items() if k not in TIMELESS}
    return found


def test_the_plan_has_each_task_once_and_neighbours_share_a_network() -> None:
    tasks = runner.plan(
        ("majority", "inherited-vote", "inherited-svm"),
        targets=(Target.VALENCE, Target.AROUSAL),
        segments_s=(1.0, 3.0),
        seeds=(0, 1),
        folds=("0", "1"),
    )
    assert len(set(tasks)) == len(tasks)
    of = [t for t in tasks if t.method == "majority"]
    assert len(of) == 2 * 2  # neither duration nor seed matters to it
    assert {(t.segment_s, t.seed) for t in of} == {(None, 0)}
    assert len([t for t in tasks if t.method == "inherited-svm"]) == 2 * 2 * 2 * 2
    networks = [(t.target, t.segment_s, t.seed, t.fold) for t in tasks if t.method != "majority"]
    assert networks[::2] == networks[1::2]


def test_folds_that_are_not_there_are_refused() -> None:
    assert runner.chosen_folds(None, ("0", "1")) == ("0", "1")
    assert runner.chosen_folds(("1",), ("0", "1")) == ("1",)
    with pytest.raises(ConfigError, match=r"--fold 7: the folds are 0, 1\."):
        runner.chosen_folds(("7",), ("0", "1"))


def test_stopped_and_continued_equals_uninterrupted(tmp_path: Path, tiny_networks: Callable[[], int]) -> None:
    whole = evaluate(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_path / "stopped", stop_after=4)
    stopped = evaluate(tmp_path / "stopped")
    assert contents(stopped) == contents(whole)
    assert len(contents(whole)) == 9
    assert make_report(stopped).json["systems"] == make_report(whole).json["systems"]


def test_a_network_that_has_learnt_nothing_is_a_figure(
    tmp_path: Path, tiny_networks: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stalled(*_: object) -> None:
        raise AssertionError("an evaluation does not end where a network guesses")

    monkeypatch.setattr("mertag_train.learn.trainer._refuse_stall", stalled)
    looked_at = config_with(augment=AugmentConfig(mixup_alpha=0.0))
    assert len(contents(evaluate(tmp_path, methods=("inherited-mean",), config=looked_at))) == 3


def test_what_is_there_is_not_run_again(tmp_path: Path, tiny_networks: Callable[[], int]) -> None:
    folder = evaluate(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in (folder / "results").rglob("*.json")}
    networks = tiny_networks()
    shutil.rmtree(folder / "work")
    evaluate(tmp_path)
    assert tiny_networks() == networks
    assert {p: p.stat().st_mtime_ns for p in (folder / "results").rglob("*.json")} == before


def test_results_of_two_machines_are_joined_by_copying(tmp_path: Path, tiny_networks: Callable[[], int]) -> None:
    whole = evaluate(tmp_path / "whole")
    one = evaluate(tmp_path / "one", folds=("0",))
    two = evaluate(tmp_path / "two", folds=("1", "2"))
    shutil.copytree(two / "results", one / "results", dirs_exist_ok=True)
    assert contents(one) == contents(whole)
    assert make_report(one).json["systems"] == make_report(whole).json["systems"]


def test_other_settings_are_refused_before_anything_is_computed(
    tmp_path: Path, tiny_networks: Callable[[], int]
) -> None:
    evaluate(tmp_path, methods=("inherited-mean",), folds=("0",))
    networks = tiny_networks()
    with pytest.raises(ConfigError, match=r"fold-0\.json: made with other settings: config\.epochs: 2 there, 1 here"):
        evaluate(tmp_path, methods=("inherited-mean",), config=config_with(epochs=1))
    assert tiny_networks() == networks


def test_joined_results_of_other_settings_are_refused(tmp_path: Path, tiny_networks: Callable[[], int]) -> None:
    one = evaluate(tmp_path / "one", methods=("inherited-mean",), folds=("0",))
    two = evaluate(tmp_path / "two", methods=("inherited-mean",), folds=("1",), config=config_with(epochs=1))
    shutil.copytree(two / "results", one / "results", dirs_exist_ok=True)
    with pytest.raises(ConfigError, match=r"fold-1\.json: made with other settings than .*fold-0\.json"):
        make_report(one)


def test_joined_results_of_other_labels_are_refused(tmp_path: Path) -> None:
    one = evaluate(tmp_path / "one", methods=("majority",), folds=("0",))
    two = evaluate(tmp_path / "two", methods=("majority",), folds=("1",), shuffle=True)
    shutil.copytree(two / "results", one / "results", dirs_exist_ok=True)
    with pytest.raises(DatasetError, match=r"fold-1\.json: made with other songs or classes .*protocol\.json"):
        make_report(one)


def test_a_result_in_the_wrong_place_or_damaged_is_refused(tmp_path: Path) -> None:
    folder = evaluate(tmp_path, methods=("majority",))
    path = next((folder / "results").rglob("*fold-0.json"))
    text = path.read_text()
    moved = path.with_name("seed-3.fold-0.json")
    moved.write_text(text)
    with pytest.raises(DatasetError, match=r"seed-3\.fold-0\.json: this is the result of majority, quadrant, song"):
        make_report(folder)
    moved.unlink()
    for damaged in (text[:-30], text.replace('"probabilities": [[', '"probabilities": [[9, ', 1), "[]"):
        path.write_text(damaged)
        with pytest.raises(DatasetError, match=r"fold-0\.json: .*\. (Delete it|Name another)"):
            make_report(folder)
    value = json.loads(text)
    value["probabilities"][0] = [0.9, 0.9, 0.0, 0.0]
    path.write_text(json.dumps(value))
    with pytest.raises(DatasetError, match="do not sum to 1"):
        make_report(folder)


def test_a_method_that_skips_a_song_is_a_mistake_of_the_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def skipping(self: Majority, fold: Fold, context: Context) -> Predictions:
        return Predictions(song_ids=fold.test_ids[1:], probabilities=np.full((len(fold.test) - 1, 4), 0.25))

    monkeypatch.setattr(Majority, "predict", skipping)
    with pytest.raises(DatasetError, match="'majority' did not predict every song of fold '0'"):
        evaluate(tmp_path, methods=("majority",))


def test_every_song_is_predicted_once_and_never_by_a_method_that_learnt_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[set[str], set[str]]] = []
    inner = Majority.predict

    def watched(self: Majority, fold: Fold, context: Context) -> Predictions:
        seen.append(({s.id for s in fold.train}, set(fold.test_ids)))
        return inner(self, fold, context)

    monkeypatch.setattr(Majority, "predict", watched)
    evaluate(tmp_path, methods=("majority",))
    every = {s.id for s in toy_dataset().songs}
    assert all(not train & test and train | test == every for train, test in seen)
    assert sorted(i for _, test in seen for i in test) == sorted(every)


def test_seeds_are_results_of_their_own(tmp_path: Path, tiny_networks: Callable[[], int]) -> None:
    folder = evaluate(tmp_path, methods=("inherited-mean",), seeds=(0, 1))
    found = [p.name for p in sorted((folder / "results").rglob("*.json"))]
    assert found == [f"seed-{s}.fold-{f}.json" for s in (0, 1) for f in (0, 1, 2)]
    [system] = [s for s in make_report(folder).summaries if s.system.learnt is s.system.target]
    assert system.seeds == (0, 1)
    assert system.over_seeds["accuracy"][1] is not None


class Centroids(nn.Module):
    """The mean level of each class, and the nearest of them."""

    def __init__(self, levels: torch.Tensor) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, segments: torch.Tensor) -> torch.Tensor:
        return -((segments.mean((1, 2))[:, None] - self.levels) ** 2)


def learn_levels(
    store: LogMelStore, frames: torch.Tensor, train: Clips, *_: object, class_names: Sequence[str], **__: object
) -> Centroids:
    level = np.array([store.clip(int(i)).mean() for i in train.index])
    return Centroids(torch.tensor([level[train.label == k].mean() for k in range(len(class_names))]))


def test_what_can_be_learnt_is_learnt_and_with_shuffled_labels_only_chance_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mertag_train.runs.experiment.train_network", learn_levels)
    four = ("inherited-vote", "inherited-run", "inherited-mean", "inherited-svm")
    honest = make_report(evaluate(tmp_path / "a", methods=four))
    shuffled = make_report(evaluate(tmp_path / "b", methods=four, shuffle=True))
    assert [s.system.method for s in honest.summaries[:4]] == list(four)
    assert min(s.first.accuracy for s in honest.summaries[:4]) > 0.9
    for summary in shuffled.summaries[:4]:
        low, high = summary.first.accuracy_interval
        assert low < 0.25 < high, summary.system
    assert any("leak" in remark for remark in shuffled.json["remarks"])


def test_a_result_lies_where_its_task_says(tmp_path: Path) -> None:
    task = Task(method="m", target=Target.VALENCE, segment_s=2.5, seed=1, fold="x")
    assert task.path(tmp_path) == tmp_path / "results" / "m" / "valence" / "2.5s" / "seed-1.fold-x.json"
    assert replace(task, segment_s=None).duration == "song"
