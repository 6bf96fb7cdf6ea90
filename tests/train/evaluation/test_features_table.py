"""The features of a data set are computed once a clip, and what is computed survives whatever ends the run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mertag.emotion import QUADRANTS, Target
from mertag.errors import DatasetError
from mertag_train.data.datasets import Dataset, Song
from mertag_train.data.datasets.base import targets_of_quadrant
from mertag_train.evaluation.features import kept as module
from mertag_train.evaluation.features.features import FEATURE_NAMES, SAMPLE_RATE, clip_features
from mertag_train.evaluation.features.kept import feature_table
from mertag_train.evaluation.methods.base import Context, Fold
from mertag_train.evaluation.methods.svm import FeaturesSvm

pytestmark = pytest.mark.command

ROOT = Path(__file__).resolve().parents[3]


def tone(seed: int, *, n_samples: int = 6_000) -> np.ndarray:
    """Return low tones for the first quadrant, high ones for the second, and so on, in noise."""
    rng = np.random.default_rng(seed)
    frequency_hz = 200 * 3 ** (seed % 4) * rng.uniform(0.9, 1.1)
    clean = 0.3 * np.sin(2 * np.pi * frequency_hz * np.arange(n_samples) / SAMPLE_RATE)
    return (clean + 0.01 * rng.standard_normal(n_samples)).astype(np.float32)


def write(path: Path, samples: np.ndarray) -> None:
    soundfile.write(path, samples, SAMPLE_RATE, subtype="FLOAT")


def tones(folder: Path, n: int) -> Dataset:
    folder.mkdir()
    songs = []
    for i in range(n):
        write(folder / f"{i:03d}.wav", tone(i))
        songs.append(
            Song(
                id=f"{i:03d}",
                path=folder / f"{i:03d}.wav",
                group=f"{i:03d}",
                artist=f"artist {i // 8}",
                targets=targets_of_quadrant(QUADRANTS[i % 4]),
            )
        )
    return Dataset(
        name="tones",
        root=folder,
        songs=tuple(songs),
        missing_audio=(),
        unlabelled=(),
        targets=(Target.QUADRANT,),
        labelling="by pitch",
    )


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files whose features are computed, as it happens."""
    computed: list[str] = []
    real = module._computed

    def spy(paths: Any, workers: int) -> Any:
        computed.extend(path.name for path in paths)
        return real(paths, 0)  # in this process: quicker for a handful

    monkeypatch.setattr(module, "_computed", spy)
    return computed


def test_each_clip_is_computed_once_in_its_file_s_own_numbers(tmp_path: Path, counted: list[str]) -> None:
    data = tones(tmp_path / "data", 3)
    seen: list[tuple[int, int]] = []
    table = feature_table(data, cache=tmp_path, on_clip=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert list(table) == ["000", "001", "002"]
    assert table["000"].shape == (len(FEATURE_NAMES),)
    np.testing.assert_array_equal(table["002"], clip_features(tone(2)))
    np.testing.assert_array_equal(table["000"], clip_features(tone(0)))
    again = feature_table(data, cache=tmp_path)
    assert all(np.array_equal(again[song_id], table[song_id]) for song_id in table)
    assert counted == ["000.wav", "001.wav", "002.wav"]


def test_a_file_that_changes_or_comes_is_computed_alone(tmp_path: Path, counted: list[str]) -> None:
    data = tones(tmp_path / "data", 4)
    feature_table(Dataset(**{**fields(data), "songs": data.songs[:3]}), cache=tmp_path)
    counted.clear()
    write(tmp_path / "data" / "001.wav", tone(5))
    os.utime(tmp_path / "data" / "001.wav", ns=(1, 1))
    table = feature_table(data, cache=tmp_path)
    assert counted == ["001.wav", "003.wav"]
    np.testing.assert_array_equal(table["001"], clip_features(tone(5)))


def fields(data: Dataset) -> dict[str, Any]:
    return {name: getattr(data, name) for name in Dataset.__slots__}


def test_another_definition_of_the_features_makes_all_anew(
    tmp_path: Path, counted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tones(tmp_path / "data", 2)
    feature_table(data, cache=tmp_path)
    monkeypatch.setattr("mertag_train.evaluation.features.features.VERSION", 10**6)
    feature_table(data, cache=tmp_path)
    assert len(counted) == 4


def test_clips_that_cannot_be_read_are_all_named_and_cost_nobody_else_the_features(
    tmp_path: Path, counted: list[str]
) -> None:
    data = tones(tmp_path / "data", 4)
    (tmp_path / "data" / "001.wav").write_bytes(b"RIFF, or so it says" * 20)
    write(tmp_path / "data" / "002.wav", tone(2)[:100])
    with pytest.raises(DatasetError, match=r"2 clips have no features: .*001\.wav.*002\.wav: shorter than 0\.09 s"):
        feature_table(data, cache=tmp_path)
    write(tmp_path / "data" / "001.wav", tone(1))
    write(tmp_path / "data" / "002.wav", tone(2))
    counted.clear()
    feature_table(data, cache=tmp_path)
    assert counted == ["001.wav", "002.wav"]


def test_a_damaged_file_of_features_is_named(tmp_path: Path, counted: list[str]) -> None:
    data = tones(tmp_path / "data", 1)
    feature_table(data, cache=tmp_path)
    (kept,) = tmp_path.glob("features-tones-*.npz")
    kept.write_bytes(kept.read_bytes()[:200])
    with pytest.raises(DatasetError, match=r"features-tones-.*delete it, it is made anew"):
        feature_table(data, cache=tmp_path)


def test_two_computations_at_once_keep_what_both_have(tmp_path: Path, counted: list[str]) -> None:
    data = tones(tmp_path / "data", 4)
    early, late = (Dataset(**{**fields(data), "songs": part}) for part in (data.songs[:2], data.songs[2:]))

    def meanwhile(done: int, total: int) -> None:
        if done == 1:
            feature_table(late, cache=tmp_path)

    feature_table(early, cache=tmp_path, on_clip=meanwhile)
    counted.clear()
    feature_table(data, cache=tmp_path)
    assert counted == []


RUN = """
import sys, time
from pathlib import Path
import numpy as np
from mertag_train.evaluation.features import kept as module
from mertag_train.data.datasets import read
def slowly(paths, workers):
    for index, path in enumerate(paths):
        time.sleep(0.01)
        yield index, np.full(153, int(path.stem), np.float32)
module._computed = slowly
module.SAVE_EVERY_S = 0.0
table = module.feature_table(
    read("folder", sys.argv[1]), cache=Path(sys.argv[2]), on_clip=lambda *told: print(*told, flush=True)
)
assert all(values[0] == int(song.split("/")[-1].split(".")[0]) for song, values in table.items())
"""


def process(data: Path, cache: Path) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "train")])
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(data), str(cache)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a POSIX affair")
def test_a_computation_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    for i in range(200):
        folder = tmp_path / "data" / f"Q{i % 4 + 1}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i:03d}.wav").write_bytes(b"music")
    (tmp_path / "cache").mkdir()
    first = process(tmp_path / "data", tmp_path / "cache")
    assert first.stdout is not None
    done = 0
    while done < 20:
        done = int(first.stdout.readline().split()[0])
    first.kill()
    first.wait()
    first.stdout.close()
    second = process(tmp_path / "data", tmp_path / "cache")
    out, _ = second.communicate()
    told = [tuple(map(int, line.split())) for line in out.splitlines()]
    assert second.returncode == 0
    assert done - 1 <= told[0][0] < 200  # the last one was told of before it was saved
    assert told[-1] == (200, 200)


def test_worker_processes_give_the_same_numbers(tmp_path: Path) -> None:
    data = tones(tmp_path / "data", 3)
    table = feature_table(data, cache=tmp_path, workers=1)
    np.testing.assert_allclose(table["002"], clip_features(tone(2)), rtol=1e-4, atol=1e-4)


def context(data: Dataset, cache: Path) -> Context:
    never: Any = None  # features need no log-mels, no device and no settings
    return Context(
        dataset=data, config=never, log_mels=never, frames=never, device=never, cache=cache, work=cache, workers=0
    )


def test_the_svm_tells_tones_apart_and_learns_from_the_training_songs_only(tmp_path: Path, counted: list[str]) -> None:
    data = tones(tmp_path / "data", 56)
    train, test = data.songs[:40], data.songs[40:]
    fold = Fold(name="0", target=Target.QUADRANT, train=train, test=test, seed=0, group="artist")
    method = FeaturesSvm()
    found = method.predict(fold, context(data, tmp_path))
    assert found.song_ids == fold.test_ids
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    truth = [song.targets[Target.QUADRANT] for song in test]
    assert (found.probabilities.argmax(axis=1) == truth).mean() >= 0.9

    swapped = [Song(**{**song_fields(song), "targets": targets_of_quadrant(QUADRANTS[0])}) for song in test]
    blind = Fold(name="0", target=Target.QUADRANT, train=train, test=tuple(swapped), seed=0, group="artist")
    np.testing.assert_array_equal(method.predict(blind, context(data, tmp_path)).probabilities, found.probabilities)
    one = Fold(name="0", target=Target.QUADRANT, train=train, test=test[:1], seed=0, group="artist")
    np.testing.assert_allclose(method.predict(one, context(data, tmp_path)).probabilities, found.probabilities[:1])


def song_fields(song: Song) -> dict[str, Any]:
    return {name: getattr(song, name) for name in Song.__slots__}


def test_the_settings_of_the_svm_are_plain_and_name_the_features() -> None:
    never: Any = None
    settings = FeaturesSvm().settings(never)
    assert json.loads(json.dumps(settings)) == settings
    assert "librosa" in settings["features"]
