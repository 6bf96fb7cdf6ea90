"""Music without a label: which stretches of which files, beside a labelled store, and what a teacher hears of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from toy_embeddings import statistics_model
from toy_training import planted

from mertag.errors import ConfigError, DatasetError
from mertag.listen.windows import FrontEnd, Segmentation
from mertag_train.data import unlabelled as module
from mertag_train.data.datasets.base import Song
from mertag_train.data.embedding_model import EmbeddingModel
from mertag_train.data.embeddings import embeddings_of_stretches
from mertag_train.data.heard import segment_starts
from mertag_train.data.teacher import hear
from mertag_train.data.unlabelled import Stretches, Unlabelled, unlabelled

FRONT_END = FrontEnd()
RATE = FRONT_END.sample_rate
TWO_S = Stretches(duration_s=2.0)


def noise(seconds: float, level: float = 0.1, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, level, round(seconds * RATE)).astype(np.float32)


def write(path: Path, samples: npt.NDArray[np.float32]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return path


def found(root: Path, *labelled: Path, rule: Stretches = TWO_S) -> Unlabelled:
    songs = [Song(id=path.name, path=path, group=path.name, artist=None, targets={}) for path in labelled]
    return unlabelled(root, songs, FRONT_END, rule=rule, workers=0)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("n", "count", "starts"),
    [
        (5, 1, [0]),  # shorter than a stretch: whole
        (10, 3, [0]),
        (11, 1, [0]),
        (30, 1, [10]),  # the middle
        (29, 3, [2, 17]),  # no room for three
        (100, 3, [12, 45, 78]),
        (30, 3, [0, 10, 20]),
    ],
)
def test_stretches_are_the_middles_of_equal_parts(n: int, count: int, starts: list[int]) -> None:
    cut = Stretches(count=count, duration_s=10.0).of(np.arange(n, dtype=np.float32), 1)
    assert [int(stretch[0]) for stretch in cut] == starts
    assert {len(stretch) for stretch in cut} == {min(n, 10)}


def test_no_stretch_is_no_rule() -> None:
    with pytest.raises(ConfigError, match="1 or more"):
        Stretches(count=0)


def test_the_middle_of_each_song_is_in_the_store_and_is_not_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = np.concatenate([noise(3, 0.001), noise(2, 0.5), noise(3, 0.001)])
    write(tmp_path / "music" / "sub" / "long.wav", long)
    write(tmp_path / "music" / "short.wav", noise(1.5))
    music = found(tmp_path / "music")
    assert music.store.ids == ("unlabelled/short.wav#1", "unlabelled/sub/long.wav#1")
    assert music.store.n_samples.tolist() == [round(1.5 * RATE), 2 * RATE]
    assert music.store.clip(1).mean() > music.store.clip(0).mean() + 10  # the loud middle alone
    assert music.in_words() == (
        f"without a label: 2 songs in {tmp_path / 'music'}, 2 stretches of at most 2 s, 0.0 hours in all",
    )
    monkeypatch.setattr(module, "write_store", lambda *_, **__: pytest.fail("computed again"))
    assert found(tmp_path / "music").fingerprint == music.fingerprint


def test_of_a_long_file_its_beginning_counts_so_that_memory_has_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_S", 6.0)
    write(tmp_path / "music" / "mix.wav", np.concatenate([noise(2, 0.01), noise(2, 0.5), noise(90, 0.01)]))
    music = found(tmp_path / "music", rule=Stretches(count=9, duration_s=2.0))
    assert len(music.store.ids) == 3
    levels = [float(music.store.clip(i).mean()) for i in range(3)]
    assert levels[1] > max(levels[0], levels[2]) + 10


def test_what_cannot_be_heard_is_left_out_and_named_and_what_is_labelled_is_left_out(tmp_path: Path) -> None:
    root = tmp_path / "music"
    write(root / "good.wav", noise(2, seed=1))
    write(root / "mute.wav", np.zeros(4 * RATE, np.float32))
    write(root / "brief.wav", noise(0.4))
    write(root / "wild.wav", noise(3, 500.0))
    (root / "broken.mp3").write_bytes(b"no music at all" * 100)
    labelled = write(tmp_path / "set" / "song.wav", noise(2, seed=2))
    shutil.copy(labelled, root / "copy of a labelled song.wav")
    music = found(root, labelled)
    assert music.store.ids == ("unlabelled/good.wav#1",)
    assert sorted(music.store.left_out) == ["brief.wav", "broken.mp3", "mute.wav", "wild.wav"]
    assert music.labelled == (root / "copy of a labelled song.wav",)
    said = "\n".join(music.in_words())
    assert "without a label: 1 songs" in said
    assert "left out: 1 files that are labelled songs" in said
    assert "left out: 4 files that cannot be read or heard" in said
    assert "mute.wav: silent: nothing in it is louder than -65 dBFS" in said
    assert "wild.wav: samples of up to " in said


def test_a_folder_without_such_music_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file or folder"):
        found(tmp_path / "nowhere")
    labelled = write(tmp_path / "music" / "song.wav", noise(2))
    with pytest.raises(DatasetError, match="1 files in it are labelled songs"):
        found(tmp_path / "music", labelled)
    (tmp_path / "music" / "song.wav").write_bytes(b"x" * 99)
    with pytest.raises(DatasetError, match=r"there is no clip.*song\.wav"):
        found(tmp_path / "music")


def test_beside_a_labelled_store_its_clips_come_last_and_sound_as_before(tmp_path: Path) -> None:
    write(tmp_path / "music" / "a.wav", np.concatenate([noise(1.5), np.zeros(2 * RATE, np.float32)]))
    music = found(tmp_path / "music", rule=Stretches(duration_s=10.0))
    store, _, _ = planted(3)
    both, positions = music.beside(store)
    assert positions.tolist() == [3]
    assert both.ids == (*store.ids, "unlabelled/a.wav#1")
    assert np.array_equal(both.clip(1), store.clip(1))
    assert np.array_equal(both.clip(3), music.store.clip(0))
    cut = Segmentation(duration_s=1.0, hop_s=1.0)
    assert segment_starts(music.store, 0, cut).tolist() == [0, 43]
    bare = [segment_starts(both, i, cut).tolist() for i in range(4)]
    assert bare == [*(segment_starts(store, i, cut).tolist() for i in range(3)), [0, 43, 86]]  # silence is not known
    power = np.stack([np.zeros(sum(store.n_samples // 512)), np.ones(sum(store.n_samples // 512))])
    known, _ = music.beside(module.replace(store, power=power))
    assert segment_starts(known, 3, cut).tolist() == [0, 43]


def test_a_teacher_hears_the_same_stretch_and_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loud_middle = np.concatenate([noise(3, 0.001), noise(2, 0.5), noise(3, 0.001)])
    write(tmp_path / "music" / "a.wav", loud_middle)
    write(tmp_path / "music" / "b.wav", noise(1.2, 0.05))
    music = found(tmp_path / "music")
    model = EmbeddingModel(statistics_model(tmp_path / "m.onnx", ("n", 8_000), sample_rate=8_000))
    said = embeddings_of_stretches(music, model, cache=tmp_path / "kept", workers=0)
    assert {clip: rows.shape for clip, rows in said.items()} == {
        "unlabelled/a.wav#1": (2, 2),
        "unlabelled/b.wav#1": (1, 2),
    }
    # White noise of variance 0.25 keeps 8,000 / 22,050 of its power at the lower rate.
    assert said["unlabelled/a.wav#1"][:, 1] == pytest.approx(0.25 * 8_000 / RATE, rel=0.1)
    monkeypatch.setattr(EmbeddingModel, "embed", lambda *_: pytest.fail("heard again"))
    again = embeddings_of_stretches(music, model, cache=tmp_path / "kept", workers=0)
    assert all(np.array_equal(again[clip], said[clip]) for clip in said)


def test_a_clip_that_is_neither_has_no_window(tmp_path: Path) -> None:
    write(tmp_path / "music" / "a.wav", noise(3))
    music = found(tmp_path / "music")
    store, _, _ = planted(2)
    both, _ = music.beside(store)
    heard = write(tmp_path / "clip0.wav", noise(4))
    song = Song(id="clip0", path=heard, group="clip0", artist=None, targets={})
    model = EmbeddingModel(statistics_model(tmp_path / "m.onnx", ("n", 8_000), sample_rate=8_000))
    said = hear([song], both, model, cache=tmp_path / "kept", unlabelled=music, workers=0)
    assert np.diff(said.offsets).tolist() == [4, 0, 2]  # clip1 cannot be heard, and was left out
