"""Inherited labels: one network a fold for four methods, kept on disk, and never taken for another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_evaluation import config_with, context_of, fold_of, toy_songs

from mertag.emotion import Target
from mertag.errors import DatasetError
from mertag.listen.windows import Segmentation
from mertag_train.evaluation.methods import method
from mertag_train.evaluation.methods.networks import network_songs, refuse_short, song_share
from mertag_train.evaluation.methods.trained import majority_vote, maximum_run_length, mean_probability
from mertag_train.learn.config import TrainConfig
from mertag_train.learn.recipes import PAPER

pytestmark = pytest.mark.command

FOUR = ("inherited-vote", "inherited-run", "inherited-mean", "inherited-svm")


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "work" / "networks").glob("*/segments.npz"))


def test_the_four_share_one_network_and_differ_in_the_last_step(
    tmp_path: Path, tiny_networks: Callable[[], int]
) -> None:
    fold, context = fold_of(), context_of(tmp_path)
    found = {name: method(name).predict(fold, context) for name in FOUR}
    assert tiny_networks() == 1
    assert len(kept(tmp_path)) == 1
    with np.load(kept(tmp_path)[0]) as saved:
        ids = saved["ids"].tolist()
        of_song = dict(zip(ids, np.split(saved["probabilities"], np.cumsum(saved["counts"])[:-1]), strict=True))
    assert sorted(ids) == sorted(s.id for s in toy_songs())
    for name, rule in (
        ("inherited-vote", majority_vote),
        ("inherited-run", maximum_run_length),
        ("inherited-mean", mean_probability),
    ):
        expected = np.stack([rule(of_song[i]) for i in fold.test_ids])
        assert np.array_equal(found[name].probabilities, expected), name
    for name in FOUR:
        assert found[name].song_ids == fold.test_ids
        assert found[name].probabilities.shape == (8, 4)
        assert found[name].diagnostics["test_segments"] == 8 * 4  # 4 s of segments of 1 s


def test_what_was_trained_is_found_again_and_changes_nothing(tmp_path: Path, tiny_networks: Callable[[], int]) -> None:
    first = method("inherited-svm").predict(fold_of(), context_of(tmp_path))
    again = method("inherited-svm").predict(fold_of(), context_of(tmp_path))
    assert tiny_networks() == 1
    assert np.array_equal(first.probabilities, again.probabilities)
    assert not list((tmp_path / "work").rglob("checkpoint.pt"))


@pytest.mark.parametrize("what", ["labels", "songs", "epochs", "target", "seed"])
def test_another_question_gets_another_network(tmp_path: Path, tiny_networks: Callable[[], int], what: str) -> None:
    fold, context = fold_of(), context_of(tmp_path)
    method("inherited-mean").predict(fold, context)
    if what == "labels":
        moved = tuple(replace(s, targets=fold.train[(i + 1) % 24].targets) for i, s in enumerate(fold.train))
        fold = replace(fold, train=moved)
    elif what == "songs":
        fold = replace(fold, train=fold.train[:-4], test=(*fold.train[-4:], *fold.test))
    elif what == "target":
        fold = replace(fold, target=Target.AROUSAL)
    elif what == "seed":
        fold, context = replace(fold, seed=1), context_of(tmp_path, config_with(seed=1))
    else:
        context = context_of(tmp_path, config_with(epochs=1))
    method("inherited-mean").predict(fold, context)
    assert tiny_networks() == 2
    assert len(kept(tmp_path)) == 2


def test_the_song_classifier_learns_from_songs_that_the_network_has_not_seen() -> None:
    fold = fold_of(group="artist")
    network, song = network_songs(fold, TrainConfig(fractions=(0.5, 0.35, 0.15)))
    assert not {s.id for s in network} & {s.id for s in song}
    assert not {s.artist for s in network} & {s.artist for s in song}
    assert {s.id for s in (*network, *song)} == {s.id for s in fold.train}
    assert song_share(TrainConfig(fractions=(0.6, 0.2, 0.2))) == pytest.approx(0.25)


def test_without_songs_of_its_own_it_learns_from_the_networks() -> None:
    fold = fold_of()
    network, song = network_songs(fold, PAPER)
    assert network == song == fold.train


def test_too_few_songs_for_the_song_classifier_are_an_error_before_training(
    tmp_path: Path, tiny_networks: Callable[[], int]
) -> None:
    songs = toy_songs()
    fold = fold_of(train=songs[:12], test=songs[12:])
    with pytest.raises(
        DatasetError, match=r"fold '0', quadrant: the song classifier needs 2 songs .* --svm-songs in-sample"
    ):
        method("inherited-svm").predict(fold, context_of(tmp_path, config_with(fractions=(0.8, 0.05, 0.15))))
    assert tiny_networks() == 0


def test_a_clip_shorter_than_a_segment_is_an_error_that_names_it() -> None:
    config = config_with(segmentation=Segmentation(duration_s=3.0))
    with pytest.raises(DatasetError, match=r"shorter than one segment of 3 s: clip1 \(2\.00 s\)\. Choose a shorter"):
        refuse_short(toy_songs()[:2], [3 * 22_050, 2 * 22_050], config)


def test_a_damaged_network_file_is_an_error_that_says_delete_it(
    tmp_path: Path, tiny_networks: Callable[[], int]
) -> None:
    method("inherited-mean").predict(fold_of(), context_of(tmp_path))
    kept(tmp_path)[0].write_bytes(kept(tmp_path)[0].read_bytes()[:100])
    with pytest.raises(DatasetError, match=r"segments\.npz: not readable .*Delete it"):
        method("inherited-mean").predict(fold_of(), context_of(tmp_path))
