"""What of a clip sounds, in training as where songs are tagged; what cannot be heard is left out, named and counted."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from mertag.errors import DatasetError
from mertag.listen.decode.audio import decode_all
from mertag.listen.silence import Loudness
from mertag.listen.windows import FrontEnd, Segmentation
from mertag_train.data.datasets import read
from mertag_train.data.heard import heard, segment_starts
from mertag_train.data.segments import grid, random_crops
from mertag_train.data.store import INDEX, LogMelStore, log_mels, open_store
from mertag_train.evaluation.methods.networks import silent_segments
from mertag_train.learn.config import TrainConfig
from mertag_train.runs.work import truth_of

FRONT_END = FrontEnd()
RATE = FRONT_END.sample_rate
THREE = Segmentation(duration_s=3.0)
RNG = np.random.default_rng(0)


def noise(seconds: float) -> npt.NDArray[np.float32]:
    return RNG.normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def silence(seconds: float) -> npt.NDArray[np.float32]:
    return np.zeros(round(seconds * RATE), np.float32)


def library(folder: Path, **clips: npt.NDArray[np.floating]) -> Path:
    """A data set of a folder a class, whose clips are of both classes in turn."""
    for i, (name, samples) in enumerate(clips.items()):
        place = folder / ("V+", "V-")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        soundfile.write(place / f"{name}.wav", samples, RATE, subtype="FLOAT")
    return folder


def store_of(tmp_path: Path, **clips: npt.NDArray[np.floating]) -> LogMelStore:
    """The log-mels of some clips, after one of four seconds for each class."""
    music = library(tmp_path / "music", **{"first": noise(4), "second": noise(4), **clips})
    return log_mels(read("folder", music), FRONT_END, folder=tmp_path / "s", workers=0)


def index_of(store: LogMelStore, name: str) -> int:
    return next(i for i, song in enumerate(store.ids) if song.endswith(f"/{name}.wav"))


def test_the_grid_leaves_out_what_is_left_out_where_songs_are_tagged(tmp_path: Path) -> None:
    gap = np.concatenate([noise(8), silence(10), 1e-4 * noise(3), noise(7)])
    store = store_of(tmp_path, gap=gap, whole=noise(10))
    index = index_of(store, "gap")
    loudness = Loudness(FRONT_END)
    for chunk in np.split(decode_all(tmp_path / "music" / store.ids[index]), [5_000, 99_999]):
        loudness.feed(chunk)
    starts = THREE.start_frames(len(gap), FRONT_END)
    sounding = loudness.sounding(starts, THREE)
    assert 0 < np.count_nonzero(~sounding) < len(starts)
    np.testing.assert_array_equal(segment_starts(store, index, THREE), starts[sounding])
    table = grid(store, np.array([index]), THREE)
    np.testing.assert_array_equal(table.row - store.offsets[index], starts[sounding])
    assert len(grid(store, np.array([index_of(store, "whole")]), THREE)) == 8


def test_no_random_crop_is_silent(tmp_path: Path) -> None:
    store = store_of(tmp_path, gap=np.concatenate([noise(5), silence(30), noise(5)]), mute=silence(9))
    clips = np.array([index_of(store, "gap"), index_of(store, "mute")])
    crops = random_crops(store, clips, THREE, per_clip=200, rng=np.random.default_rng(1))
    index = index_of(store, "gap")
    assert crops.clip.tolist() == [index] * 200
    first_s = (crops.row - store.offsets[index]) * FRONT_END.hop_length / RATE
    assert np.all((first_s < 5) | (first_s > 40 - 5 - 3.1))
    assert len(random_crops(store, clips[:0], THREE, per_clip=2, rng=np.random.default_rng(1))) == 0


def test_real_classes_of_segments_stand_beside_those_that_sound(tmp_path: Path) -> None:
    store = store_of(tmp_path, gap=np.concatenate([noise(5), silence(20), noise(5)]), whole=noise(10))
    dataset = read("folder", tmp_path / "music")
    right = {song.id: 1 for song in dataset.songs}
    truth = truth_of(dataset.songs, store, dataset.targets[0], TrainConfig(segmentation=THREE), dataset, right)
    for index, classes in truth.items():
        assert len(classes) == len(grid(store, np.array([index]), THREE))


def test_out_of_phase_stereo_is_heard_as_where_songs_are_tagged(tmp_path: Path) -> None:
    left = noise(6)
    store = store_of(tmp_path, opposite=np.stack([left, -left], axis=1), whole=noise(6))
    index = index_of(store, "opposite")
    assert len(segment_starts(store, index, THREE)) == 4
    assert store.clip(index).max() > -40  # dB: the mean of the channels would be digital silence


def test_what_cannot_be_heard_is_left_out_named_and_counted(tmp_path: Path) -> None:
    bad = noise(6)
    bad[: len(bad) // 2] = np.nan
    endless = noise(6)
    endless[::3] = np.inf
    clips = {"mute": silence(6), "brief": noise(1), "tiny": noise(0.02), "nan": bad, "inf": endless}
    music = library(tmp_path / "music", fine=noise(6), good=noise(6), loud=1e3 * noise(6), **clips)
    dataset = read("folder", music)
    for _ in range(2):  # computed, then read back
        store = log_mels(dataset, FRONT_END, folder=tmp_path / "store", workers=0)
        kept, remarks = heard(dataset, store, THREE)
        assert sorted(Path(song.id).stem for song in kept.songs) == ["fine", "good"]
        assert remarks[0] == "left out: 6 of 8 songs, which cannot be learnt from or judged"
        said = "\n".join(remarks)
        assert "mute.wav: silent: nothing in it is louder than -65 dBFS" in said
        assert "brief.wav: 1.00 s, shorter than one segment of 3 s" in said
        assert "tiny.wav: 0.02 s, shorter than one segment of 3 s" in said
        assert "nan.wav: damaged after 0.0 s" in said
        assert "inf.wav: damaged after 0.0 s" in said
        assert re.search(r"loud.wav: samples of up to \d+ times full scale", said)


def test_where_nothing_can_be_heard_that_is_said(tmp_path: Path) -> None:
    store = store_of(tmp_path, mute=silence(6), brief=noise(1))
    with pytest.raises(DatasetError, match=r"no song of folder can be heard; .*wav: "):
        heard(read("folder", tmp_path / "music"), store, Segmentation(duration_s=9.0))


def test_what_networks_say_depends_on_which_segments_are_silent(tmp_path: Path) -> None:
    store = store_of(tmp_path, gap=np.concatenate([noise(5), silence(20), noise(5)]), whole=noise(10))
    config = TrainConfig(segmentation=THREE)
    (count,) = silent_segments(store, np.arange(4), config).values()
    sounding = segment_starts(store, index_of(store, "gap"), THREE)
    assert count == THREE.n_segments(30 * RATE, FRONT_END) - len(sounding) > 0
    assert silent_segments(replace(store, power=None), np.arange(4), config) == {}


def test_a_store_that_knows_nothing_of_silence_is_refused(tmp_path: Path) -> None:
    store_of(tmp_path, whole=noise(10), other=noise(4))
    index = tmp_path / "s" / INDEX
    index.write_text(json.dumps(json.loads(index.read_text()) | {"schema": 1}))
    with pytest.raises(DatasetError, match=r"schema 1, expected 2.*name another folder"):
        open_store(tmp_path / "s")
