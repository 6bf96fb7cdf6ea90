"""Wrong segments in training songs: the same for every method, never in a test song, never mixed with plain results."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_evaluation import config_with, surroundings, toy_dataset, toy_store

from mertag.emotion import Target
from mertag.errors import ConfigError
from mertag_train.evaluation import runner
from mertag_train.evaluation.methods import Context, Fold, Method, Predictions
from mertag_train.evaluation.methods.svm import FeaturesSvm
from mertag_train.evaluation.output import gather, make_report
from mertag_train.evaluation.protocol import folder_name, prepare
from mertag_train.learn.config import PartitionConfig, SsslConfig, TrainConfig

pytestmark = pytest.mark.command


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening(Method):
    """Notes the log-mels that it is given."""

    name: str = "listening"
    summary: str = ""
    seen: dict[tuple[str, str], Any]
    uses_segments: bool = True

    def settings(self, config: TrainConfig) -> dict[str, Any]:
        return {}

    def predict(self, fold: Fold, context: Context) -> Predictions:
        store = context.log_mels()
        assert np.array_equal(context.frames().numpy(), store.frames)
        self.seen[self.name, fold.name] = (fold, np.array(store.frames), context.spliced)
        even = np.full((len(fold.test), fold.n_classes), 1 / fold.n_classes)
        return Predictions(song_ids=fold.test_ids, probabilities=even)


def evaluate(root: Path, *methods: Method | str, splice: float, **changes: Any) -> Path:
    dataset = toy_dataset()
    folder, protocol, dealt, songs = prepare(
        root, dataset, targets=(Target.QUADRANT,), group="recording", n_folds=2, splice=splice
    )
    tasks = runner.plan(methods, targets=(Target.QUADRANT,), segments_s=(1.0,), seeds=(0,), folds=dealt.names)
    own = {method.name: method for method in methods if isinstance(method, Method)}
    runner.run(folder, protocol, dealt, tasks, surroundings(root, dataset, songs, splice=splice, own=own, **changes))
    return folder


def test_every_method_hears_the_same_training_songs_spliced_and_the_test_songs_as_they_are(tmp_path: Path) -> None:
    seen: dict[tuple[str, str], Any] = {}
    folder = evaluate(tmp_path, Listening(seen=seen), Listening(name="other", seen=seen), splice=0.25)
    assert folder.name == "folder-recording-spliced-0.25"
    assert folder.name == folder_name("folder", "recording", shuffled=False, spliced=0.25)
    store = toy_store()
    for name in ("0", "1"):
        fold, frames, spliced = seen["listening", name]
        assert np.array_equal(frames, seen["other", name][1])
        other = (frames != store.frames).any(1)
        changed = [other[store.offsets[i] : store.offsets[i + 1]].mean() for i in range(32)]
        train, test = (store.index_of([song.id for song in songs]).tolist() for songs in (fold.train, fold.test))
        assert [changed[i] for i in test] == [0.0] * len(test)
        assert all(changed[i] == pytest.approx(0.25, abs=0.01) for i in train)
        assert {one.donor for one in spliced.splices} <= set(train)
    assert not np.array_equal(seen["listening", "0"][1], seen["listening", "1"][1])


@pytest.mark.usefixtures("tiny_networks")
def test_planted_segments_are_looked_for_and_results_never_mix_with_plain_ones(
    tmp_path: Path, tiny_networks: Callable[[], int]
) -> None:
    sssl = SsslConfig(partition=PartitionConfig(relative_to_clip=True), kl_weight=0.0)
    config = config_with(epochs=6, warm_up_epochs=3, crops_per_clip=0, learner="sssl", sssl=sssl)
    config = replace(config, optimiser=replace(config.optimiser, learning_rate=0.1))
    recipes = {"paper": config, "ours": config}
    how = {"recipes": recipes, "config": config}
    spliced = evaluate(tmp_path, "ours", "inherited-mean", splice=0.25, **how)
    made = [json.loads(path.read_text()) for path in sorted(spliced.rglob("ours/**/seed-0.fold-*.json"))]
    for one in made:
        assert one["settings"]["spliced"] == 0.25
        assert [epoch["epoch"] for epoch in one["epochs"]] == [4, 5, 6]
        for epoch in one["epochs"]:
            assert epoch["right_share"] == pytest.approx(0.75, abs=0.05)
            assert epoch["partition_auroc_in_clip"] > 0.55
        assert one["diagnostics"]["noisy_recall"] == one["epochs"][-1]["noisy_recall"]
    report = make_report(spliced)
    assert [(row["method"], len(row["epochs"])) for row in report.json["partitions"]] == [("ours", 3)]
    assert report.told_apart is not None

    before = tiny_networks()
    plain = evaluate(tmp_path, "ours", splice=0.0, **how)
    assert tiny_networks() == before + 2  # no network of the spliced songs is taken for one of the plain ones
    assert plain != spliced
    assert [one.protocol.spliced for one in gather(tmp_path, group="recording")] == [0.0]
    assert [one.protocol.spliced for one in gather(tmp_path, group="recording", wrong="-spliced-0.25")] == [0.25]
    moved = next(spliced.rglob("ours/**/seed-0.fold-0.json"))
    (plain / moved.relative_to(spliced)).write_bytes(moved.read_bytes())
    with pytest.raises(ConfigError, match="made with other settings"):
        evaluate(tmp_path, "ours", splice=0.0, **how)


def test_a_method_that_listens_to_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="features-svm listens to the files themselves; leave it out"):
        evaluate(tmp_path, "majority", FeaturesSvm(), splice=0.2)
