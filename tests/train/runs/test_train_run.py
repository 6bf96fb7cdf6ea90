"""A run on disk: what it holds, that nothing of it is pickled, that an interrupted one ends as if it had not been."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from toy_runs import BOTH, CONFIG, CPU, begun, songs_of
from toy_training import TinyNetwork, same_weights

from mertag.emotion import QUADRANTS, Target
from mertag.errors import ConfigError, DatasetError, TrainingError
from mertag_train.data.datasets import Dataset
from mertag_train.data.datasets.base import targets_of_quadrant
from mertag_train.data.store import LogMelStore
from mertag_train.learn import trainer
from mertag_train.learn.config import TrainConfig
from mertag_train.learn.trainer import Progress
from mertag_train.runs import run
from mertag_train.runs.work import Watcher

pytestmark = [pytest.mark.command, pytest.mark.usefixtures("tiny_network")]


def figures(folder: Path) -> Any:
    return json.loads((folder / "metrics.json").read_text())["figures"]


def interrupt(
    folder: Path, dataset: Dataset, store: LogMelStore, *, target: int = 0, epoch: int = 2, **options: Any
) -> None:
    """Train until the given epoch of the given target, counted from 0."""
    begun_targets: list[Target] = []

    class Stopping(Watcher):
        def on_target(self, target: Target) -> None:
            begun_targets.append(target)

        def on_step(self, step: Progress) -> None:
            if len(begun_targets) == target + 1 and step.epoch == epoch:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.train(folder, dataset, store, device=CPU, watcher=Stopping(), **options)
    assert not (folder / "metrics.json").exists()


def test_a_finished_run_holds_these_files_and_no_other(tmp_path: Path) -> None:
    folder, dataset, store = begun(tmp_path)
    run.train(folder, dataset, store, device=CPU)
    assert sorted(path.name for path in folder.iterdir()) == [
        "epochs.quadrant.jsonl",
        "metrics.json",
        "network.quadrant.safetensors",
        "predictions.quadrant.csv",
        "run.json",
        "song.quadrant.npz",
        "split.csv",
    ]
    about = json.loads((folder / "run.json").read_text())
    assert TrainConfig.from_json(about["config"]) == CONFIG
    assert about["dataset"]["songs"] == 40
    assert about["command"] == "mertag train --dataset toy"
    epochs = [json.loads(line) for line in (folder / "epochs.quadrant.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in epochs] == [1, 2, 3]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert set(metrics["figures"]) == {"quadrant", "valence", "arousal"}
    assert {"mertag", "torch", "scikit-learn", "numpy", "python", "device", "training_s"} == set(metrics["environment"])
    with (folder / "predictions.quadrant.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == metrics["figures"]["quadrant"]["song_classifier"]["n"]
    right = sum(max(QUADRANTS, key=lambda q: float(row[f"song_classifier:{q}"])) == row["label"] for row in rows)
    assert right / len(rows) == pytest.approx(metrics["figures"]["quadrant"]["song_classifier"]["accuracy"])


def test_nothing_of_a_run_is_pickled(tmp_path: Path) -> None:
    folder, dataset, store = begun(tmp_path)
    run.train(folder, dataset, store, device=CPU)
    with np.load(folder / "song.quadrant.npz", allow_pickle=False) as arrays:
        assert all(array.dtype.kind in "fi" for array in arrays.values())
    with safe_open(folder / "network.quadrant.safetensors", framework="numpy") as weights:
        assert {"mean", "std"} <= set(weights.keys())
    assert {path.suffix for path in folder.iterdir()} == {".json", ".jsonl", ".csv", ".npz", ".safetensors"}


def test_a_run_is_read_back_as_it_was_trained(tmp_path: Path) -> None:
    folder, dataset, store = begun(tmp_path, options={"scale": [1, 9]}, root=tmp_path / "my.csv")
    (result,) = run.train(folder, dataset, store, device=CPU).values()
    found = run.load(folder)
    assert found.config == CONFIG
    assert found.dataset["name"] == "toy"
    assert found.dataset["options"] == {"scale": [1, 9]}
    assert found.dataset["root"] == str((tmp_path / "my.csv").resolve())
    assert found.command == "mertag train --dataset toy"
    assert found.metrics == figures(folder)
    assert set(found.fold_of.values()) == {"train", "validation", "test"}
    assert same_weights(found.networks[Target.QUADRANT].state_dict(), result.network.state_dict())
    assert not found.networks[Target.QUADRANT].training
    features = result.songs.table.features
    np.testing.assert_allclose(
        found.classifiers[Target.QUADRANT].predict_proba(features),
        result.songs.classifier.predict_proba(features),
        atol=1e-9,
    )


@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, targets=BOTH)], ids=["quadrant", "valence and arousal"])
def test_an_interrupted_run_that_is_resumed_has_the_figures_of_an_uninterrupted_one(
    config: TrainConfig, tmp_path: Path
) -> None:
    whole, dataset, store = begun(tmp_path, "whole", config)
    run.train(whole, dataset, store, device=CPU)
    for target in range(len(config.targets)):
        broken, *_ = begun(tmp_path, f"broken {target}", config)
        interrupt(broken, dataset, store, target=target)
        run.train(broken, dataset, store, device=CPU, resume=True)
        assert figures(broken) == figures(whole)
        for name in config.targets:
            assert (broken / f"predictions.{name}.csv").read_bytes() == (whole / f"predictions.{name}.csv").read_bytes()
            weights = [(folder / f"network.{name}.safetensors").read_bytes() for folder in (broken, whole)]
            assert weights[0] == weights[1]
            lines = (broken / f"epochs.{name}.jsonl").read_text().splitlines()
            assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
        assert sorted(p.name for p in broken.iterdir()) == sorted(p.name for p in whole.iterdir())


def test_two_heads_have_their_own_networks_classifiers_and_figures(tmp_path: Path) -> None:
    folder, dataset, store = begun(tmp_path, config=replace(CONFIG, targets=BOTH, epochs=2))
    run.train(folder, dataset, store, device=CPU)
    found = run.load(folder)
    assert set(found.networks) == set(found.classifiers) == set(BOTH)
    assert set(found.metrics) == {"valence", "arousal"}


def test_axes_can_be_split_where_a_quadrant_has_one_song(tmp_path: Path) -> None:
    dataset, store = songs_of(tmp_path)
    # All songs of Q4 but one become Q3: a valence that is rare, and a quadrant that cannot be dealt.
    relaxed = [song.id for song in dataset.songs if song.targets[Target.QUADRANT] == 3][1:]
    songs = tuple(
        replace(song, targets=targets_of_quadrant(QUADRANTS[2])) if song.id in relaxed else song
        for song in dataset.songs
    )
    folder = tmp_path / "run"
    config = replace(CONFIG, targets=BOTH)
    dealt = run.begin(folder, replace(dataset, songs=songs), store, config, command="mertag train --dataset toy")
    happy = {song.id for song in songs if song.targets[Target.VALENCE] == 1}
    assert [len(happy & set(dealt.ids(part))) for part in ("train", "validation", "test")] == [5, 3, 3]
    with pytest.raises(DatasetError, match="cannot be split by quadrant"):
        run.begin(tmp_path / "other", replace(dataset, songs=songs), store, CONFIG, command="mertag train")


def test_a_run_interrupted_after_its_last_epoch_trains_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, dataset, store = begun(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(run, "write_target", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.train(folder, dataset, store, device=CPU)

    class Refusing(Watcher):
        def on_step(self, step: Progress) -> None:
            pytest.fail("trained again")

    run.train(folder, dataset, store, device=CPU, resume=True, watcher=Refusing())
    assert run.load(folder).metrics


def interrupted(*args: object) -> None:
    raise KeyboardInterrupt


def test_a_target_without_a_checkpoint_begins_anew(tmp_path: Path) -> None:
    folder, dataset, store = begun(tmp_path)
    interrupt(folder, dataset, store)
    os.truncate(folder / "checkpoint.quadrant.pt", 100)
    with pytest.raises(TrainingError, match="delete it, and --resume starts this target"):
        run.train(folder, dataset, store, device=CPU, resume=True)
    (folder / "checkpoint.quadrant.pt").unlink()
    run.train(folder, dataset, store, device=CPU, resume=True)
    lines = (folder / "epochs.quadrant.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]


def test_a_run_cannot_go_on_with_other_songs(tmp_path: Path) -> None:
    folder, dataset, store = begun(tmp_path)
    interrupt(folder, dataset, store)
    fewer = replace(dataset, songs=dataset.songs[1:])
    with pytest.raises(DatasetError, match="no song 'clip0' in this data set"):
        run.train(folder, fewer, store, device=CPU, resume=True)


def test_songs_that_cannot_be_split_leave_no_folder(tmp_path: Path) -> None:
    dataset, store = songs_of(tmp_path, n=24)
    config = replace(CONFIG, fractions=(0.7, 0.15, 0.15))
    with pytest.raises(DatasetError, match="song classifier needs 2 songs of each class"):
        run.begin(tmp_path / "run", dataset, store, config, command="")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_never_begun_in(tmp_path: Path) -> None:
    folder, dataset, store = begun(tmp_path)
    with pytest.raises(ConfigError, match=r"exists; go on with it .mertag train --resume .*, or name another --out"):
        run.begin(folder, dataset, store, CONFIG, command="")
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "song.mp3").touch()
    with pytest.raises(ConfigError, match="music exists; name another --out"):
        run.begin(tmp_path / "music", dataset, store, CONFIG, command="")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file exists"):
        run.begin(tmp_path / "file", dataset, store, CONFIG, command="")
    with pytest.raises(ConfigError, match="file/run: the run's folder cannot be made"):
        run.begin(tmp_path / "file" / "run", dataset, store, CONFIG, command="")
    (tmp_path / "empty").mkdir()
    run.begin(tmp_path / "empty", dataset, store, CONFIG, command="")


def test_new_folders_never_collide(tmp_path: Path) -> None:
    first = run.new_folder(tmp_path, "4q", "ours")
    first.mkdir()
    second = run.new_folder(tmp_path, "4q", "ours")
    assert first != second
    assert first.name.startswith("4q-ours-")


def test_the_newest_run_is_the_last_that_was_finished(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no finished run in"):
        run.newest(tmp_path)
    for age, name in enumerate(("new", "old", "unfinished")):
        (tmp_path / name).mkdir()
        if name != "unfinished":
            (tmp_path / name / "metrics.json").touch()
            os.utime(tmp_path / name / "metrics.json", (1000 - age, 1000 - age))
    assert run.newest(tmp_path).name == "new"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no run is here"),
        ("{", "not readable"),
        ("[]", "does not read"),
        ('{"schema": 99}', "does not read"),
        ('{"schema": 1}', "does not read"),
    ],
)
def test_settings_that_cannot_be_read_are_a_configuration_error(content: str | None, says: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(ConfigError, match=says):
        run.settings(tmp_path)


def test_an_unfinished_run_cannot_be_loaded(tmp_path: Path) -> None:
    folder, *_ = begun(tmp_path)
    with pytest.raises(TrainingError, match="not finished; go on with `mertag train --resume"):
        run.load(folder)


@pytest.mark.parametrize("name", ["network.quadrant.safetensors", "song.quadrant.npz", "metrics.json", "split.csv"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_part_of_a_run_is_a_training_error(name: str, damage: str, finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in finished.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    if damage == "cut":
        os.truncate(folder / name, (folder / name).stat().st_size // 2 if name != "split.csv" else 4)
    else:
        (folder / name).unlink()
    with pytest.raises(TrainingError):
        run.load(folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "SegmentNetwork", TinyNetwork)
        folder, dataset, store = begun(tmp_path_factory.mktemp("finished"), config=replace(CONFIG, epochs=1))
        run.train(folder, dataset, store, device=CPU)
    return folder


def test_an_epoch_whose_training_is_cut_off_before_its_checkpoint_is_on_record_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, dataset, store = begun(tmp_path)
    saved = trainer.save_checkpoint

    def cut_off(*args: Any, epoch: int, **options: Any) -> None:
        if epoch == 2:
            raise KeyboardInterrupt
        saved(*args, epoch=epoch, **options)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save_checkpoint", cut_off)
        with pytest.raises(KeyboardInterrupt):
            run.train(folder, dataset, store, device=CPU)
    assert len((folder / "epochs.quadrant.jsonl").read_text().splitlines()) == 2
    run.train(folder, dataset, store, device=CPU, resume=True)
    lines = (folder / "epochs.quadrant.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
