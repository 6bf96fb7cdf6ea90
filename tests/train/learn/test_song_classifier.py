"""The song classifier: features, probabilities, whole songs in the calibration, the way to disk and back."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mertag.errors import DatasetError, TrainingError
from mertag.listen.windows import Segmentation, song_features
from mertag_train.learn.config import SongClassifier, TrainConfig
from mertag_train.learn.song import (
    SongTable,
    fit,
    load,
    predict_songs,
    save,
    song_table,
    window_features,
)

RATE = 22_050
CONFIG = TrainConfig()


def songs(
    n: int, n_classes: int = 2, *, duration_s: int = 30, seed: int = 0
) -> tuple[list[np.ndarray], list[int], np.ndarray]:
    """Segment probabilities that lean towards the class of each song, its duration, and the classes."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % n_classes
    n_segments = duration_s - 2
    logits = rng.normal(0, 1, (n, n_segments, n_classes)) + 1.5 * np.eye(n_classes)[label][:, None]
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return list(p), [duration_s * RATE] * n, label


def test_a_clip_is_one_window_with_seven_features_a_class() -> None:
    p = songs(1)[0][0]
    found = window_features(p, 30 * RATE, CONFIG)
    assert found.shape == (1, 14)
    np.testing.assert_array_equal(found[0], song_features(p))


def test_a_long_song_has_the_features_of_each_window() -> None:
    p = songs(1, duration_s=60)[0][0]
    found = window_features(p, 60 * RATE, CONFIG)
    np.testing.assert_array_equal(found, [song_features(p[a:b]) for a, b in ((0, 28), (15, 43), (30, 58))])


def test_the_table_holds_the_windows_of_each_song_and_leaves_short_songs_out() -> None:
    p, n_samples, label = songs(3)
    p[1] = p[1][:0]
    table = song_table(p, n_samples, label, CONFIG)
    assert table.features.dtype == np.float32
    assert table.song.tolist() == [0, 2]
    assert table.label.tolist() == [0, 0]
    np.testing.assert_allclose(table.features[1], song_features(p[2]), rtol=1e-6)


def test_no_song_long_enough_is_a_training_error() -> None:
    with pytest.raises(TrainingError, match="no song is as long as one segment"):
        song_table([np.zeros((0, 2))], [RATE], np.array([0]), CONFIG)


def test_sub_windows_are_stretches_of_their_duration_inside_the_song() -> None:
    p, n_samples, label = songs(4)
    table = song_table(p, n_samples, label, CONFIG, sub_windows_s=(6.0, 15.0, 30.0), seed=3)
    assert table.song.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]  # one of 30 s would be the whole clip
    for song in range(4):
        _, of_6_s, of_15_s = table.features[table.song == song]
        for row, span in ((of_6_s, 4), (of_15_s, 13)):
            places = [song_features(p[song][i : i + span]) for i in range(28 - span + 1)]
            assert sum(np.allclose(row, place, atol=1e-6) for place in places) == 1
    again = song_table(p, n_samples, label, CONFIG, sub_windows_s=(6.0, 15.0, 30.0), seed=3)
    np.testing.assert_array_equal(table.features, again.features)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_probabilities_sum_to_one_and_mostly_name_the_class(n_classes: int) -> None:
    p, n_samples, label = songs(40, n_classes)
    classifier = fit(song_table(p, n_samples, label, CONFIG), n_classes=n_classes)
    unseen, lengths, truth = songs(40, n_classes, seed=1)
    found = predict_songs(classifier, unseen, lengths, CONFIG)
    assert found.shape == (40, n_classes)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-9)
    assert (found >= 0).all()
    assert float((found.argmax(1) == truth).mean()) > 0.9


def test_a_song_of_several_windows_has_their_mean() -> None:
    p, n_samples, label = songs(20)
    classifier = fit(song_table(p, n_samples, label, CONFIG), n_classes=2)
    long = songs(1, duration_s=60)[0][0]
    (found,) = predict_songs(classifier, [long], [60 * RATE], CONFIG)
    each = classifier.predict_proba(window_features(long, 60 * RATE, CONFIG).astype(np.float32))
    assert len(each) == 3
    np.testing.assert_allclose(found, each.mean(0))


@pytest.mark.parametrize("labels", [[0, 0, 0, 1], [0, 0, 0, 0]])
def test_fewer_than_two_songs_of_a_class_are_a_data_set_error(labels: list[int]) -> None:
    p, n_samples, _ = songs(4)
    table = song_table(p, n_samples, np.array(labels), CONFIG, sub_windows_s=(6.0,))
    with pytest.raises(DatasetError, match="needs two songs of each class, and has"):
        fit(table, n_classes=2)


def test_two_songs_of_each_class_are_enough() -> None:
    p, n_samples, label = songs(8, 4)
    classifier = fit(song_table(p, n_samples, label, CONFIG, sub_windows_s=(6.0,)), n_classes=4)
    assert predict_songs(classifier, p, n_samples, CONFIG).shape == (8, 4)


@pytest.mark.parametrize("counts", [(2, 9), (5, 5), (3, 20)])
def test_a_song_never_stands_on_both_sides_of_the_calibration(counts: tuple[int, int]) -> None:
    label = np.repeat([0, 1], counts)
    p, n_samples, _ = songs(len(label), duration_s=70)
    table = song_table(p, n_samples, label, CONFIG, sub_windows_s=(6.0, 15.0))
    folds = fit(table, n_classes=2)[-1].cv
    assert len(folds) == min(5, *counts)
    for train, test in folds:
        assert not set(table.song[train]) & set(table.song[test])
        assert set(table.label[train]) == {0, 1}
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(table.label)))


@pytest.fixture(params=["svm", "svm-linear"])
def kind(request: pytest.FixtureRequest) -> SongClassifier:
    return request.param


@pytest.fixture
def saved(tmp_path: Path, kind: SongClassifier) -> tuple[Path, SongTable]:
    p, n_samples, label = songs(24, 4)
    table = song_table(p, n_samples, label, CONFIG, sub_windows_s=(6.0,))
    path = tmp_path / "song.npz"
    save(path, table, fit(table, n_classes=4, c=2.0, seed=5, kind=kind), c=2.0, seed=5, kind=kind)
    return path, table


def test_what_is_saved_is_the_same_classifier_when_it_is_loaded(
    saved: tuple[Path, SongTable], kind: SongClassifier
) -> None:
    path, table = saved
    found, classifier = load(path)
    expected = fit(table, n_classes=4, c=2.0, seed=5, kind=kind)
    np.testing.assert_array_equal(found.features, table.features)
    np.testing.assert_array_equal(found.song, table.song)
    unseen = np.random.default_rng(1).uniform(0, 1, (9, 28)).astype(np.float32)
    np.testing.assert_allclose(classifier.predict_proba(unseen), expected.predict_proba(unseen), atol=1e-12)


def test_it_is_saved_as_plain_arrays(saved: tuple[Path, SongTable]) -> None:
    with np.load(saved[0], allow_pickle=False) as arrays:
        assert {array.dtype.kind for array in arrays.values()} <= {"f", "i"}


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 0.95])
def test_a_truncated_file_is_a_training_error(share: float, saved: tuple[Path, SongTable]) -> None:
    path = saved[0]
    os.truncate(path, int(share * path.stat().st_size))
    with pytest.raises(TrainingError, match="not a readable song classifier"):
        load(path)


def test_a_damaged_array_is_a_training_error(saved: tuple[Path, SongTable]) -> None:
    content = bytearray(saved[0].read_bytes())
    content[200] ^= 0xFF
    saved[0].write_bytes(content)
    with pytest.raises(TrainingError, match="not a readable song classifier"):
        load(saved[0])


@pytest.mark.parametrize("shift", [0.01, np.nan])
def test_another_classifier_than_the_saved_one_is_refused(shift: float, saved: tuple[Path, SongTable]) -> None:
    path = saved[0]
    with np.load(path) as arrays:
        content = dict(arrays)
    np.savez(path, **{**content, "probabilities": content["probabilities"] + shift})
    with pytest.raises(TrainingError, match="use the scikit-learn version of the run"):
        load(path)


def test_another_segment_hop_moves_the_windows() -> None:
    config = replace(CONFIG, segmentation=Segmentation(duration_s=3.0, hop_s=0.5))
    p = np.random.default_rng(0).uniform(0, 1, (115, 2))  # 60 s: starts 0, 0.5 .. 57 s
    assert len(window_features(p, 60 * RATE, config)) == 3
