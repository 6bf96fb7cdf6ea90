"""The log-mels of a data set: computed from its audio, found again, made anew when a file changes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from mertag.errors import DatasetError
from mertag.listen.decode.audio import decode_all
from mertag.listen.windows import FrontEnd
from mertag_train.data.datasets import Dataset, read
from mertag_train.data.frontend import LogMel
from mertag_train.data.store import cache_folder, log_mels, open_store

FRONT_END = FrontEnd()


@pytest.fixture
def music(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("V+", "V-"):
        (tmp_path / "music" / name).mkdir(parents=True)
        for i in range(2):
            samples = rng.normal(0, 0.1, (22_050 * (1 + i), 2)).astype(np.float32)
            soundfile.write(tmp_path / "music" / name / f"{i}.wav", samples, 44_100)
    return tmp_path / "music"


@pytest.fixture
def dataset(music: Path) -> Dataset:
    return read("folder", music)


def test_every_clip_has_the_log_mel_of_its_decoded_audio(dataset: Dataset) -> None:
    said: list[tuple[int, int]] = []
    store = log_mels(dataset, FRONT_END, workers=2, on_clip=lambda done, total: said.append((done, total)))
    assert said == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert sorted(store.ids) == ["V+/0.wav", "V+/1.wav", "V-/0.wav", "V-/1.wav"]
    for song in dataset.songs:
        assert song.path is not None
        waveform = decode_all(song.path)
        (index,) = store.index_of([song.id])
        assert store.n_samples[index] == len(waveform)
        expected = LogMel(FRONT_END)(torch.from_numpy(waveform)).numpy()
        np.testing.assert_allclose(store.clip(index), expected, atol=1e-5)


def test_a_second_call_computes_nothing(dataset: Dataset) -> None:
    log_mels(dataset, FRONT_END, workers=0)

    def never(done: int, total: int) -> None:
        pytest.fail("computed again")

    assert len(log_mels(dataset, FRONT_END, workers=0, on_clip=never).ids) == 4
    assert cache_folder(dataset, FRONT_END).is_relative_to(os.environ["XDG_CACHE_HOME"])


def test_the_cache_is_another_one_when_a_file_the_songs_or_the_front_end_change(dataset: Dataset) -> None:
    before = cache_folder(dataset, FRONT_END)
    assert cache_folder(dataset, FRONT_END) == before
    assert cache_folder(dataset, FrontEnd(n_mels=64)) != before
    assert cache_folder(replace(dataset, songs=dataset.songs[1:]), FRONT_END) != before
    path = dataset.songs[0].path
    assert path is not None
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))
    touched = cache_folder(dataset, FRONT_END)
    assert touched != before
    path.write_bytes(path.read_bytes() + b"\0\0\0\0")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))
    assert cache_folder(dataset, FRONT_END) not in (before, touched)


def test_broken_clips_are_named_and_no_store_is_left(music: Path, tmp_path: Path) -> None:
    (music / "V+" / "broken.wav").write_bytes(b"this is no audio")
    with pytest.raises(DatasetError, match="1 of 5 clips cannot be read") as caught:
        log_mels(read("folder", music), FRONT_END, folder=tmp_path / "store", workers=0)
    assert "broken.wav" in str(caught.value)
    assert "Repair them, or remove them" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["music"]


def test_a_folder_of_music_is_never_taken_for_log_mels(dataset: Dataset, music: Path) -> None:
    before = sorted(path.name for path in music.rglob("*"))
    with pytest.raises(DatasetError, match="no log-mel store; name a folder that is empty"):
        log_mels(dataset, FRONT_END, folder=music, workers=0)
    assert sorted(path.name for path in music.rglob("*")) == before


def test_a_named_store_is_used_where_the_audio_is_not(dataset: Dataset, tmp_path: Path) -> None:
    log_mels(dataset, FRONT_END, folder=tmp_path / "store", workers=0)
    silent = replace(dataset, songs=tuple(replace(song, path=None) for song in dataset.songs))
    assert len(log_mels(silent, FRONT_END, folder=tmp_path / "store").ids) == 4


def test_a_named_store_that_lacks_songs_is_refused(dataset: Dataset, music: Path, tmp_path: Path) -> None:
    log_mels(dataset, FRONT_END, folder=tmp_path / "store", workers=0)
    soundfile.write(music / "V+" / "new.wav", np.zeros(22_050, np.float32), 22_050)
    with pytest.raises(DatasetError, match=r"1 songs of folder are not in these log-mels, such as 'V\+/new.wav'"):
        log_mels(read("folder", music), FRONT_END, folder=tmp_path / "store")
    others = replace(dataset, songs=tuple(replace(s, id=f"other {s.id}", path=None) for s in dataset.songs))
    with pytest.raises(DatasetError, match="no song of folder is in these log-mels"):
        log_mels(others, FRONT_END, folder=tmp_path / "store")


def test_a_store_of_another_front_end_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    log_mels(dataset, FRONT_END, folder=tmp_path / "store", workers=0)
    with pytest.raises(DatasetError, match="made with another front end; name another --log-mels folder"):
        log_mels(dataset, FrontEnd(fmin_hz=20.0), folder=tmp_path / "store", workers=0)
    assert open_store(tmp_path / "store").front_end == FRONT_END


def test_a_data_set_without_audio_says_so(dataset: Dataset) -> None:
    silent = replace(dataset, songs=tuple(replace(song, path=None) for song in dataset.songs))
    with pytest.raises(DatasetError, match="none of the 4 labelled songs"):
        log_mels(silent, FRONT_END, workers=0)
