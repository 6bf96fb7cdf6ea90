"""Embeddings of an ONNX model: a cache that is never wrong, a method, and its option."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from toy_embeddings import RATE, bands_model
from toy_evaluation import config_with
from typer.testing import CliRunner

from mertag.cli.app import app
from mertag.emotion import QUADRANTS, Target
from mertag.errors import DatasetError
from mertag_train.data import embedding_model
from mertag_train.data.datasets import Dataset, Song
from mertag_train.data.datasets.base import targets_of_quadrant
from mertag_train.data.embedding_model import EmbeddingModel
from mertag_train.data.embeddings import embeddings
from mertag_train.evaluation.methods import Context, Fold
from mertag_train.evaluation.methods.svm import EmbeddingSvm, mean_and_deviation
from mertag_train.learn.config import TrainConfig

pytestmark = pytest.mark.command


# The songs


def tone(i: int) -> np.ndarray:
    """Return a tone whose pitch is the quadrant's, in noise, half a second."""
    rng = np.random.default_rng(i)
    t = np.arange(RATE // 2) / RATE
    clean = 0.3 * np.sin(2 * np.pi * 150 * 2.5 ** (i % 4) * rng.uniform(0.95, 1.05) * t)
    return (clean + 0.01 * rng.standard_normal(len(t))).astype(np.float32)


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("tones")
    songs = []
    for i in range(48):
        path = folder / QUADRANTS[i % 4] / f"{i:02d}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, tone(i), RATE, subtype="FLOAT")
        songs.append(
            Song(
                id=f"{i:02d}",
                path=path,
                group=f"{i:02d}",
                artist=f"artist {i // 8}",
                targets=targets_of_quadrant(QUADRANTS[i % 4]),
            )
        )
    return Dataset(
        name="folder",
        root=folder,
        songs=tuple(songs),
        missing_audio=(),
        unlabelled=(),
        targets=tuple(Target),
        labelling="by pitch",
    )


@pytest.fixture(scope="module")
def bands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bands_model(tmp_path_factory.mktemp("model") / "bands.onnx")


def context_of(data: Dataset, cache: Path, model: Path | None) -> Context:
    never: Any = None  # no log-mels are needed
    return Context(
        dataset=data,
        config=config_with(),
        log_mels=never,
        frames=never,
        device=torch.device("cpu"),
        cache=cache,
        work=cache,
        embedding_model=model,
        workers=0,
    )


def fold_of(data: Dataset, **changes: Any) -> Fold:
    train, test = data.songs[:32], data.songs[32:]
    fold = Fold(name="0", target=Target.QUADRANT, train=train, test=test, seed=0, group="artist")
    return replace(fold, **changes)


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the lengths of the clips that are embedded, as it happens."""
    lengths: list[int] = []
    real = EmbeddingModel.embed

    def spy(self: EmbeddingModel, waveform: np.ndarray) -> np.ndarray:
        lengths.append(len(waveform))
        return real(self, waveform)

    monkeypatch.setattr(EmbeddingModel, "embed", spy)
    return lengths


def test_each_clip_is_embedded_once_and_a_changed_clip_or_model_anew(
    tmp_path: Path, bands: Path, embedded: list[int]
) -> None:
    paths = [tmp_path / f"{i}.wav" for i in range(3)]
    for i, path in enumerate(paths):
        soundfile.write(path, tone(i)[: 2_000 + i], RATE, subtype="FLOAT")
    songs = [
        Song(id=p.stem, path=p, group=p.stem, artist=None, targets=targets_of_quadrant(QUADRANTS[0])) for p in paths
    ]
    told: list[tuple[int, int]] = []
    first = embeddings(
        songs, EmbeddingModel(bands), cache=tmp_path, workers=0, on_clip=lambda *counts: told.append(counts)
    )
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert embedded == [2_000, 2_001, 2_002]
    assert first["0"].shape == (3, 12)
    np.testing.assert_array_equal(first["1"], EmbeddingModel(bands).embed(tone(1)[:2_001]))
    embedded.clear()
    soundfile.write(paths[1], tone(1)[:2_500], RATE, subtype="FLOAT")
    paths[2].rename(tmp_path / "moved.wav")
    songs[2] = replace(songs[2], path=tmp_path / "moved.wav")  # the same content under another name
    again = embeddings(songs, EmbeddingModel(bands), cache=tmp_path, workers=0)
    assert embedded == [2_500]
    np.testing.assert_array_equal(again["2"], first["2"])
    other = EmbeddingModel(bands_model(tmp_path / "other.onnx", window=256))
    assert embeddings(songs, other, cache=tmp_path, workers=0)["0"].shape == (7, 12)
    assert len(embedded) == 4


def test_clips_that_cannot_be_embedded_are_all_named_and_cost_nobody_else_the_embeddings(
    tmp_path: Path, bands: Path, embedded: list[int]
) -> None:
    paths = [tmp_path / f"{name}.wav" for name in ("good", "short", "broken")]
    soundfile.write(paths[0], tone(0), RATE)
    soundfile.write(paths[1], tone(0)[:511], RATE)
    paths[2].write_bytes(b"RIFF, or so it says" * 20)
    songs = [
        Song(id=p.stem, path=p, group=p.stem, artist=None, targets=targets_of_quadrant(QUADRANTS[0])) for p in paths
    ]
    with pytest.raises(
        DatasetError,
        match=r"1 clips have no embeddings: .*broken\.wav",
    ):
        embeddings(songs, EmbeddingModel(bands), cache=tmp_path, workers=0)
    embedded.clear()
    assert len(embeddings(songs[:2], EmbeddingModel(bands), cache=tmp_path, workers=0)["short"]) == 1  # filled up
    assert embedded == []
    kept = next(p for p in tmp_path.glob("embeddings/*/*.npy") if len(np.load(p)) > 1)
    kept.write_bytes(kept.read_bytes()[:-5])
    with pytest.raises(DatasetError, match=r"\.npy: not readable .*Delete it, and it is made anew"):
        embeddings(songs[:1], EmbeddingModel(bands), cache=tmp_path, workers=0)
    with pytest.raises(DatasetError, match=r"1 of 2 songs have no audio here, such as 'good'"):
        embeddings([replace(songs[0], path=None), songs[1]], EmbeddingModel(bands), cache=tmp_path, workers=0)


# The methods


def test_a_clip_is_the_mean_and_the_deviation_of_its_embeddings() -> None:
    pooled = mean_and_deviation(np.array([[1, 10], [3, 10]], dtype=np.float32))
    assert pooled.dtype == np.float32
    assert pooled.tolist() == [2, 10, 1, 0]


def test_it_beats_chance_where_the_class_can_be_heard_repeats_and_reads_no_label_of_a_test_song(
    tmp_path: Path, tones: Dataset, bands: Path
) -> None:
    chosen, fold, context = EmbeddingSvm(), fold_of(tones), context_of(tones, tmp_path, bands)
    found = chosen.predict(fold, context)
    assert found.song_ids == fold.test_ids
    np.testing.assert_allclose(found.probabilities.sum(1), 1)
    truth = [song.targets[Target.QUADRANT] for song in fold.test]
    assert (found.probabilities.argmax(1) == truth).mean() >= 0.75  # chance: 0.25
    wrong = tuple(replace(song, targets=targets_of_quadrant(QUADRANTS[0])) for song in fold.test)
    blind = chosen.predict(replace(fold, test=wrong), context)
    assert np.array_equal(found.probabilities, blind.probabilities)
    assert np.array_equal(chosen.predict(fold, context).probabilities, found.probabilities)


def test_the_settings_name_the_file_by_its_hash(tmp_path: Path, bands: Path) -> None:
    other = bands_model(tmp_path / "other.onnx", window=256)
    chosen = EmbeddingSvm()
    plain = chosen.settings(TrainConfig())
    assert json.loads(json.dumps(plain)) == plain == chosen.settings(TrainConfig(epochs=3))
    assert chosen.model_settings(bands) != chosen.model_settings(other)
    assert chosen.model_settings(bands) == {"embedding_model": EmbeddingModel(bands).sha256}


# The command


@pytest.fixture
def mertag(
    no_settings: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tones: Dataset
) -> Callable[..., tuple[int, str]]:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_: tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    common = ["--dataset", "folder", "--data-dir", tones.root, "--folds", 2, "--no-figures", "--threads", 1]

    def run(*args: object) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["evaluate", *map(str, [*common, *args])])
        return result.exit_code, result.stderr

    return run


def test_the_command_takes_a_model_and_a_result_of_another_model_is_refused(
    mertag: Callable[..., tuple[int, str]], tmp_path: Path, bands: Path
) -> None:
    given = ["--method", "embedding-svm", "--embedding-model"]
    code, err = mertag(*given, bands)
    assert code == 0, err
    (kept, _) = sorted((tmp_path / "evaluation").rglob("seed-0.fold-*.json"))
    result = json.loads(kept.read_text())
    assert result["settings"]["embedding_model"] == embedding_model.sha256_of(bands)
    truth, found = np.array(result["labels"]), np.array(result["probabilities"]).argmax(1)
    assert (truth == found).mean() > 0.75
    code, err = mertag(*given, bands_model(tmp_path / "other.onnx", window=256))
    assert code == 2
    assert "made with other settings: embedding_model" in err


def test_without_a_model_the_bundled_taggers_are_heard(mertag: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    code, err = mertag("--method", "embedding-svm", "--embedding-model", "absent.onnx")
    assert code == 2
    assert "absent.onnx: cannot be read" in err
    assert not (tmp_path / "evaluation").exists()
    code, err = mertag("--method", "embedding-svm")
    assert code == 0, err
    (kept, _) = sorted((tmp_path / "evaluation").rglob("seed-0.fold-*.json"))
    result = json.loads(kept.read_text())
    assert result["settings"]["embedding_model"] == embedding_model.sha256_of(embedding_model.BUNDLED)
    truth, found = np.array(result["labels"]), np.array(result["probabilities"]).argmax(1)
    assert (truth == found).mean() > 0.75
