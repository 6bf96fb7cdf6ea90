"""Cross-fitting: a network without each part, which judges the songs of that part; an interrupted one ends the same."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toy_runs import CONFIG, CPU, begun
from toy_training import TinyNetwork, planted, same_weights, toy_work

from mertag.emotion import Target
from mertag_train.learn import trainer
from mertag_train.learn.config import SongConfig
from mertag_train.learn.song import SongTable
from mertag_train.learn.trainer import Progress
from mertag_train.runs import run
from mertag_train.runs.experiment import networks_to_train
from mertag_train.runs.run import train_target
from mertag_train.runs.work import Parts, Watcher

pytestmark = [pytest.mark.command, pytest.mark.usefixtures("tiny_network")]

CROSS_FITTED = replace(
    CONFIG,
    song=SongConfig(features="cross_fitted", inner_folds=3),
    fractions=(0.7, 0.0, 0.3),
)


def test_rows_without_some_songs() -> None:
    table = SongTable(
        features=np.arange(8, dtype=np.float32).reshape(4, 2), label=np.array([0, 1, 0, 1]), song=np.array([0, 0, 1, 2])
    )
    left = table.without(np.array([0, 2]))
    assert left.features.tolist() == [[4.0, 5.0]]
    assert (left.label.tolist(), left.song.tolist()) == ([0], [1])


def test_each_network_is_trained_without_one_part_and_judges_the_songs_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    store, frames, clips = planted(32, n_classes=4)
    parts = Parts(
        network=np.arange(24),
        song=np.arange(24),
        figures=np.arange(24, 32),
        inner=(np.arange(8), np.arange(8, 16), np.arange(16, 24)),
    )
    numbers: list[tuple[int, int]] = []
    judged: list[tuple[torch.Tensor, list[int]]] = []
    predict = run.predict

    def noted(network: TinyNetwork, store: Any, frames: Any, clips: Any, *rest: Any) -> Any:
        judged.append((network.mean, clips.tolist()))
        return predict(network, store, frames, clips, *rest)

    monkeypatch.setattr(run, "predict", noted)

    class Counting(Watcher):
        def on_network(self, number: int, total: int) -> None:
            numbers.append((number, total))

    work = toy_work(store, frames, parts, clips.label, Target.QUADRANT, CROSS_FITTED, watcher=Counting())
    result = train_target(work)
    assert numbers == [(1, 4), (2, 4), (3, 4), (4, 4)]
    learnt = [parts.network, *(np.setdiff1d(parts.network, inner) for inner in parts.inner)]
    for (mean, songs), of, said in zip(judged, learnt, (parts.figures, *parts.inner), strict=True):
        torch.testing.assert_close(mean, trainer.band_statistics(store, of)[0])  # of these songs, and no others
        assert songs == said.tolist()
    torch.testing.assert_close(result.network.mean, judged[0][0])
    assert result.cross_validation is not None
    assert sorted(result.cross_validation.songs.tolist()) == list(range(24))
    validated = result.cross_validation.metrics
    assert set(validated) == {Target.QUADRANT, Target.VALENCE, Target.AROUSAL}
    assert validated[Target.QUADRANT]["song_classifier"].n == 24
    assert validated[Target.QUADRANT]["mean_probability"].n == 24
    assert result.metrics[Target.QUADRANT]["song_classifier"].n == 8


def test_nothing_is_cross_validated_where_nothing_is_cross_fitted() -> None:
    store, frames, clips = planted(24, n_classes=2)
    parts = Parts(network=np.arange(8), song=np.arange(8, 16), figures=np.arange(16, 24))
    assert train_target(toy_work(store, frames, parts, clips.label, Target.VALENCE, CONFIG)).cross_validation is None


def test_what_judges_a_part_is_not_told_of_the_songs_of_the_figures() -> None:
    store, frames, clips = planted(12, n_classes=4)
    index = np.arange(8)
    parts = Parts(network=index, song=index, figures=np.arange(8, 12), inner=(index[:4], index[4:]))
    model, *others = networks_to_train(toy_work(store, frames, parts, clips.label, Target.QUADRANT, CROSS_FITTED))
    assert model.watched is parts.figures
    assert [one.inner for one in (model, *others)] == [0, 1, 2]
    assert len({one.checkpoint for one in (model, *others)}) == 3
    for one, inner in zip(others, parts.inner, strict=True):
        assert one.watched is inner
        assert not set(one.learnt.tolist()) & {*inner.tolist(), *parts.figures.tolist()}


def test_an_interrupted_run_that_is_resumed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    whole, dataset, store = begun(tmp_path, "whole", CROSS_FITTED)
    run.train(whole, dataset, store, device=CPU)
    found = run.load(whole)
    assert found.cross_validation["quadrant"]["song_classifier"]["n"] == 28
    with (whole / "cross-validation.quadrant.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["song_id"] for row in rows} == {i for i, fold in found.fold_of.items() if fold == "train"}
    assert not list(whole.glob("checkpoint*"))

    stopped, dataset, store = begun(tmp_path, "stopped", CROSS_FITTED)
    numbers: list[int] = []

    class Stopping(Watcher):
        def on_network(self, number: int, total: int) -> None:
            numbers.append(number)

        def on_step(self, step: Progress) -> None:
            if numbers[-1] == 3 and step.epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.train(stopped, dataset, store, device=CPU, watcher=Stopping())
    assert len(list(stopped.glob("checkpoint*"))) == 3
    run.train(stopped, dataset, store, device=CPU, resume=True)
    one, other = (load_file(folder / "network.quadrant.safetensors") for folder in (whole, stopped))
    assert same_weights(one, other)
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (whole, stopped)]
    assert metrics[0]["figures"] == metrics[1]["figures"]
    assert metrics[0]["cross_validation"] == metrics[1]["cross_validation"]
