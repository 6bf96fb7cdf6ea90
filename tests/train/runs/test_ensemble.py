"""Several networks as one: the mean of what they say, trained by cross-fitting, on disk and back."""

from __future__ import annotations

import csv
import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_train_run import CONFIG, CPU, begun
from toy_training import TinyNetwork, planted, same_weights, toy_work

from mertag.emotion import Target
from mertag.errors import ConfigError
from mertag_train.learn import trainer
from mertag_train.learn.config import MemberConfig, SongConfig
from mertag_train.learn.song import SongTable
from mertag_train.learn.trainer import EpochReport, Progress
from mertag_train.networks.vgg import Ensemble, members_of
from mertag_train.runs import run
from mertag_train.runs.run import train_target
from mertag_train.runs.work import Parts, Watcher

pytestmark = pytest.mark.command

pytestmark = pytest.mark.command

KIND = MemberConfig(**{f.name: getattr(CONFIG, f.name) for f in fields(MemberConfig)})
TOGETHER = replace(
    CONFIG,
    ensemble=(KIND, replace(KIND, epochs=2)),
    song=SongConfig(features="cross_fitted", inner_folds=3),
    fractions=(0.7, 0.0, 0.3),
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "SegmentNetwork", TinyNetwork)


def network(seed: int) -> TinyNetwork:
    torch.manual_seed(seed)
    return TinyNetwork("compact", n_classes=3).eval()


def test_an_ensemble_says_the_mean_of_what_its_members_say() -> None:
    members = [network(0), network(1)]
    segments = torch.randn(5, 40, 128)
    found = Ensemble(members).eval()(segments).softmax(1)
    by_hand = (members[0](segments).softmax(1) + members[1](segments).softmax(1)) / 2
    torch.testing.assert_close(found, by_hand)


def test_a_single_network_is_its_own_only_member() -> None:
    alone = network(0)
    assert members_of(alone) == (alone,)
    assert members_of(Ensemble([alone, network(1)]))[0] is alone


def test_an_ensemble_needs_cross_fitted_features() -> None:
    with pytest.raises(ConfigError, match="cannot learn from held_out features"):
        replace(CONFIG, ensemble=(KIND,))


def test_rows_without_some_songs() -> None:
    table = SongTable(
        features=np.arange(8, dtype=np.float32).reshape(4, 2), label=np.array([0, 1, 0, 1]), song=np.array([0, 0, 1, 2])
    )
    left = table.without(np.array([0, 2]))
    assert left.features.tolist() == [[4.0, 5.0]]
    assert (left.label.tolist(), left.song.tolist()) == ([0], [1])


def test_each_member_is_trained_without_one_part_and_each_song_is_judged_by_the_member_that_has_not_seen_it() -> None:
    store, frames, clips = planted(32, n_classes=4)
    parts = Parts(
        network=np.arange(24),
        song=np.arange(24),
        figures=np.arange(24, 32),
        inner=(np.arange(8), np.arange(8, 16), np.arange(16, 24)),
    )
    numbers: list[tuple[int, int]] = []

    class Counting(Watcher):
        def on_network(self, number: int, total: int) -> None:
            numbers.append((number, total))

    config = replace(TOGETHER, ensemble=(KIND,))
    result = train_target(toy_work(store, frames, parts, clips.label, Target.QUADRANT, config, watcher=Counting()))
    assert numbers == [(1, 3), (2, 3), (3, 3)]
    assert isinstance(result.network, Ensemble)
    for member, inner in zip(result.network.members, parts.inner, strict=True):
        mean, _ = trainer.band_statistics(store, np.setdiff1d(parts.network, inner))
        torch.testing.assert_close(member.mean, mean)  # of the other parts' songs, and no others
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


def test_the_songs_of_the_figures_are_not_looked_at_before_the_end(tmp_path: Path) -> None:
    folder, dataset, store = begun(tmp_path, config=TOGETHER)
    kept = run.settings(folder)  # the split is on disk
    assert len(kept["config"]["ensemble"]) == 2
    dealt = {line.split(",")[0]: line.strip().split(",")[1] for line in (folder / "split.csv").read_text().splitlines()}
    frames = np.array(store.frames)
    for place, song_id in enumerate(store.ids):
        if dealt[song_id] == "test":
            frames[store.offsets[place] : store.offsets[place + 1]] = np.nan
    accuracies: list[float | None] = []
    spoilt = replace(store, frames=frames)

    class Noting(Watcher):
        def on_epoch(self, report: EpochReport) -> None:
            accuracies.append(report.validation_accuracy)

    with pytest.raises(Exception, match=r"NaN|nan|finite"):  # at the end, where they are measured
        run.train(folder, dataset, spoilt, device=CPU, watcher=Noting())
    assert len(accuracies) == TOGETHER.epochs
    assert all(accuracy is not None and accuracy > 0 for accuracy in accuracies[1:])


def test_a_run_with_an_ensemble_is_read_back_and_an_interrupted_one_ends_the_same(tmp_path: Path) -> None:
    folder, dataset, store = begun(tmp_path, "whole", TOGETHER)
    run.train(folder, dataset, store, device=CPU)
    found = run.load(folder)
    whole = found.networks[Target.QUADRANT]
    assert isinstance(whole, Ensemble)
    assert len(whole.members) == 6  # two kinds, three parts
    assert found.cross_validation["quadrant"]["song_classifier"]["n"] == 28
    with (folder / "cross-validation.quadrant.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["song_id"] for row in rows} == {i for i, fold in found.fold_of.items() if fold == "train"}
    assert not list(folder.glob("checkpoint*")) + list(folder.glob("cross-fitted*"))

    stopped, dataset, store = begun(tmp_path, "stopped", TOGETHER)
    numbers: list[int] = []

    class Stopping(Watcher):
        def on_network(self, number: int, total: int) -> None:
            numbers.append(number)

        def on_step(self, step: Progress) -> None:
            if numbers[-1] == 4 and step.epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.train(stopped, dataset, store, device=CPU, watcher=Stopping())
    run.train(stopped, dataset, store, device=CPU, resume=True)
    again = run.load(stopped).networks[Target.QUADRANT]
    assert isinstance(again, Ensemble)
    for a, b in zip(whole.members, again.members, strict=True):
        assert same_weights(a.state_dict(), b.state_dict())
    metrics = [json.loads((f / "metrics.json").read_text()) for f in (folder, stopped)]
    assert metrics[0]["figures"] == metrics[1]["figures"]
    assert metrics[0]["cross_validation"] == metrics[1]["cross_validation"]
