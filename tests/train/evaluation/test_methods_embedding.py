"""Embeddings of an ONNX model: the contract to the number, a cache that is never wrong, two methods, one option."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile
import torch
from onnx import TensorProto, helper, numpy_helper
from toy_evaluation import config_with
from typer.testing import CliRunner

from mertag.cli.app import app
from mertag.emotion import QUADRANTS, Target
from mertag.errors import ConfigError, DatasetError
from mertag_train.data import embedding_model, vibenet
from mertag_train.data.datasets import Dataset, Song
from mertag_train.data.datasets.base import targets_of_quadrant
from mertag_train.data.embedding_model import EmbeddingModel
from mertag_train.data.embeddings import embeddings
from mertag_train.evaluation.methods import Context, Fold
from mertag_train.evaluation.methods.svm import EmbeddingSvm, mean_and_deviation
from mertag_train.learn.config import TrainConfig

pytestmark = pytest.mark.command

RATE = 8_000


def save(path: Path, graph: onnx.GraphProto, **properties: object) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {name: str(value) for name, value in properties.items()})
    onnx.save(model, path)
    return path


def info(name: str, shape: tuple[Any, ...], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def statistics_model(path: Path, shape: tuple[Any, ...], *, outer: int | None = None, **properties: object) -> Path:
    """Write a model whose embedding of a window is its mean and its mean square: easy to say by hand."""
    last = numpy_helper.from_array(np.array([-1], dtype=np.int64), "last")
    flat = numpy_helper.from_array(np.array([-1, 2] if len(shape) > 1 else [2], dtype=np.int64), "flat")
    nodes = [
        helper.make_node("ReduceMean", ["audio"], ["mean"], axes=[-1], keepdims=1),
        helper.make_node("Mul", ["audio", "audio"], ["square"]),
        helper.make_node("ReduceMean", ["square"], ["power"], axes=[-1], keepdims=1),
        helper.make_node("Concat", ["mean", "power"], ["both"], axis=-1),
        helper.make_node("Reshape", ["both", "flat"], ["embeddings"]),
    ]
    given = ("n", 2) if len(shape) > 1 else (2,)
    graph = helper.make_graph(nodes, "statistics", [info("audio", shape)], [info("embeddings", given)], [last, flat])
    return save(path, graph, **properties)


def bands_model(path: Path, *, window: int = 512) -> Path:
    """Write a model whose embedding of a window is the logarithm of its energy in 6 bands, without any training."""
    k = np.geomspace(2, window // 2 - 1, 6).round()
    angle = 2 * np.pi * np.arange(window)[:, None] * k[None, :] / window
    weights = numpy_helper.from_array(np.concatenate([np.cos(angle), np.sin(angle)], 1).astype(np.float32), "basis")
    small = numpy_helper.from_array(np.array(1e-3, dtype=np.float32), "small")
    nodes = [
        helper.make_node("MatMul", ["audio", "basis"], ["spectrum"]),
        helper.make_node("Abs", ["spectrum"], ["magnitude"]),
        helper.make_node("Add", ["magnitude", "small"], ["positive"]),
        helper.make_node("Log", ["positive"], ["embeddings"]),
    ]
    shapes = [info("audio", ("batch", window))], [info("embeddings", ("batch", 12))]
    return save(path, helper.make_graph(nodes, "bands", *shapes, [weights, small]), sample_rate=RATE)


# The contract


@pytest.mark.parametrize(
    ("shape", "properties"),
    [
        ((100,), {}),
        ((1, 100), {}),
        ((1, 1, 100), {}),
        (("batch", 100), {}),
        (("batch", 1, 100), {}),
        ((None, "n"), {"window_s": 0.0125}),
        (("n",), {"window_s": 0.0125}),
        ((1, "samples"), {"window_s": 0.0125, "hop_s": 0.0125}),
    ],
)
def test_every_shape_of_the_contract_gives_the_embeddings_that_one_gets_by_hand(
    tmp_path: Path, shape: tuple[Any, ...], properties: dict[str, float]
) -> None:
    model = EmbeddingModel(statistics_model(tmp_path / "m.onnx", shape, sample_rate=RATE, **properties))
    assert (model.sample_rate, model.window_samples, model.hop_samples) == (RATE, 100, 100)
    waveform = np.linspace(-0.5, 1, 7_050).astype(np.float32)  # 70 full windows and a half
    found = model.embed(waveform)
    windows = waveform[:7_000].reshape(70, 100)
    np.testing.assert_allclose(found, np.stack([windows.mean(1), np.square(windows).mean(1)], 1), rtol=1e-5, atol=1e-6)


def test_windows_may_overlap_and_none_is_padded(tmp_path: Path) -> None:
    path = statistics_model(tmp_path / "m.onnx", ("b", 100), sample_rate=RATE, hop_s=0.005)
    model = EmbeddingModel(path)
    assert model.hop_samples == 40
    assert [model.n_windows(n) for n in (99, 100, 139, 140, 180)] == [0, 1, 1, 2, 3]
    waveform = np.arange(180, dtype=np.float32)
    np.testing.assert_allclose(model.embed(waveform)[:, 0], [49.5, 89.5, 129.5])
    with pytest.raises(ValueError, match="at least 100 samples, got 99"):
        model.embed(waveform[:99])


def test_several_embeddings_of_one_window_follow_each_other_in_time(tmp_path: Path) -> None:
    shape = numpy_helper.from_array(np.array([-1, 5, 20], dtype=np.int64), "shape")
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["audio", "shape"], ["steps"])],
        "steps",
        [info("audio", ("b", 100))],
        [info("steps", ("b", 5, 20))],
        [shape],
    )
    found = EmbeddingModel(save(tmp_path / "m.onnx", graph, sample_rate=RATE)).embed(np.arange(300, dtype=np.float32))
    np.testing.assert_array_equal(found, np.arange(300).reshape(15, 20))


def patches_model(path: Path, shape: tuple[Any, ...], **properties: object) -> Path:
    """Write a model whose embedding is the mean over the frames of a patch."""
    axes = {"axes": [len(shape) - 2], "keepdims": 0}
    out = (shape[0], 64) if len(shape) == 3 else (shape[0], 1, 64)
    node = helper.make_node("ReduceMean", ["mel"], ["embedding"], **axes)
    graph = helper.make_graph([node], "patches", [info("mel", shape)], [info("embedding", out)])
    return save(path, graph, **properties)


@pytest.mark.parametrize("shape", [(1, 96, 64), ("b", 96, 64), (1, 1, 96, 64), ("b", 1, 96, 64)])
def test_a_model_of_vggish_patches_needs_no_property_and_hears_the_band_of_a_tone(
    tmp_path: Path, shape: tuple[Any, ...]
) -> None:
    model = EmbeddingModel(patches_model(tmp_path / "m.onnx", shape))
    assert (model.sample_rate, model.hop_samples) == (16_000, 15_360)
    tone = np.sin(2 * np.pi * 1_000 * np.arange(3 * 16_000) / 16_000).astype(np.float32)
    found = model.embed(tone)
    assert found.shape == (3, 64)
    edges_mel = np.linspace(*(1_127 * np.log(1 + np.array([125, 7_500]) / 700)), 66)
    nearest = np.argmin(np.abs(edges_mel[1:-1] - 1_127 * np.log(1 + 1_000 / 700)))
    assert found.argmax(1).tolist() == [nearest] * 3


def vibenet_model(path: Path, *, shape: tuple[Any, ...] = ("batch", 128, "frames"), **properties: object) -> Path:
    """Write a model with VibeNet's input, whose output is of one window: the mean of each band."""
    nodes = [helper.make_node("ReduceMean", ["x"], ["out"], axes=[-1], keepdims=0)]
    return save(path, helper.make_graph(nodes, "bands", [info("x", shape)], [info("out", (1, 128))]), **properties)


def test_the_log_mels_of_vibenet_are_librosas_with_its_settings() -> None:
    import librosa

    rng = np.random.default_rng(0)
    windows = (0.1 * rng.normal(size=(2, 16_000))).astype(np.float32)
    windows[1, 4_000:] *= 1e-6  # what is 80 dB below the loudest is cut
    for window, found in zip(windows, vibenet.log_mels(windows), strict=True):
        # librosa puts a short frame into the middle of the FFT; its power is the same.
        frames = np.lib.stride_tricks.sliding_window_view(window, 640)[::320] * librosa.filters.get_window("hann", 640)
        power = np.abs(np.fft.rfft(frames, 1_024)) ** 2
        mel = librosa.feature.melspectrogram(S=power.T, sr=16_000, n_fft=1_024, n_mels=128, fmax=8_000)
        expected = librosa.power_to_db(mel, ref=1.0, amin=1e-10, top_db=80.0)
        np.testing.assert_allclose(found, expected, atol=1e-3)
        assert found.shape == (128, 49)


def test_a_model_that_hears_as_vibenet_is_known_by_its_property_or_its_hash_and_given_one_window_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waveform = (0.1 * np.random.default_rng(0).normal(size=25 * 16_000)).astype(np.float32)
    named = EmbeddingModel(vibenet_model(tmp_path / "named.onnx", front_end="vibenet", hop_s=5))
    assert (named.sample_rate, named.window_samples, named.hop_samples) == (16_000, 160_000, 80_000)
    windows = np.stack([waveform[start : start + 160_000] for start in range(0, 240_001, 80_000)])
    np.testing.assert_allclose(named.embed(waveform), vibenet.log_mels(windows).mean(2), atol=1e-3)
    published = vibenet_model(tmp_path / "published.onnx")
    with pytest.raises(ConfigError, match="with the metadata property front_end, VibeNet's log-mels"):
        EmbeddingModel(published)
    monkeypatch.setattr(vibenet, "SHA256", embedding_model.sha256_of(published))
    assert EmbeddingModel(published).embed(waveform).shape == (2, 128)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"front_end": "mfcc"}, "its metadata property front_end is 'mfcc'; 'vibenet' is understood"),
        ({"front_end": "vibenet", "shape": ("batch", 64, "n")}, r"the shape \(batch, 64, n\); VibeNet's is"),
        ({"front_end": "vibenet", "sample_rate": 44_100}, "a sample rate of 16000"),
        ({"front_end": "vibenet", "window_s": 0.01}, "at least 0.04 s"),
    ],
)
def test_a_model_that_says_it_hears_as_vibenet_and_does_not_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        EmbeddingModel(vibenet_model(tmp_path / "x.onnx", **changes))


def test_the_patches_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    window = rng.normal(size=embedding_model.PATCH_SAMPLES).astype(np.float32)
    (patch,) = embedding_model.patches(window[None])
    assert patch.shape == (96, 64)
    frame = window[160 * 7 : 160 * 7 + 400] * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400))
    spectrum = [abs(sum(frame * np.exp(-2j * np.pi * k * np.arange(400) / 512))) for k in range(257)]
    mel = 1_127 * np.log(1 + np.arange(257) * 16_000 / 512 / 700)
    edges = np.linspace(1_127 * np.log(1 + 125 / 700), 1_127 * np.log(1 + 7_500 / 700), 66)
    for band in (0, 20, 63):
        low, centre, high = edges[band : band + 3]
        weight = np.clip(np.minimum((mel - low) / (centre - low), (high - mel) / (high - centre)), 0, None)
        assert patch[7, band] == pytest.approx(np.log(weight @ spectrum + 0.01), abs=1e-4)
    np.testing.assert_allclose(
        embedding_model.patches(np.zeros((2, embedding_model.PATCH_SAMPLES), np.float32)), np.log(0.01)
    )


@pytest.mark.parametrize(
    ("shape", "properties", "message"),
    [
        (("b", 100), {}, r"which sample rate\? It has no metadata property sample_rate \(add it with onnx\.helper"),
        (("b", "n"), {"sample_rate": RATE}, r"the shape \(b, n\): how long is a window\?"),
        (("b", 100), {"sample_rate": "fast"}, r"sample_rate is 'fast'; a number above 0 is understood"),
        (("b", 100), {"sample_rate": 8000.5}, r"sample_rate is 8000\.5; whole Hz"),
        (("b", 100), {"sample_rate": RATE, "window_s": 1}, r"takes 100 samples, but .* window_s says 8000"),
        (("b", 100), {"sample_rate": RATE, "hop_s": 1e-9}, r"is shorter than a sample"),
        ((4, 100), {"sample_rate": RATE}, r"the shape \(4, 100\): always 4 windows at once"),
        (("b", 2, 100), {"sample_rate": RATE}, r"the shape \(b, 2, 100\); understood are a float32 waveform, \(n,\)"),
        (("b", 1, 128, 199), {"sample_rate": RATE}, r"the shape \(b, 1, 128, 199\); understood .* into the graph"),
        (("b", 100), {"sample_rate": RATE, "output": "logits"}, r"its outputs are 'embeddings'; which one holds"),
    ],
)
def test_a_model_that_does_not_keep_the_contract_is_refused_by_name_with_what_was_found(
    tmp_path: Path, shape: tuple[Any, ...], properties: dict[str, object], message: str
) -> None:
    path = statistics_model(tmp_path / "mine.onnx", shape, **properties)
    with pytest.raises(ConfigError, match=rf"--embedding-model .*mine\.onnx: .*{message}"):
        EmbeddingModel(path)


def test_what_is_no_model_or_has_other_inputs_or_keeps_weights_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.onnx: cannot be read: No such file.*Name an ONNX file"):
        EmbeddingModel(tmp_path / "absent.onnx")
    (tmp_path / "text.onnx").write_bytes(b"once upon a time there was no graph")
    with pytest.raises(ConfigError, match=r"text\.onnx: (it is no ONNX file|onnxruntime cannot load it)"):
        EmbeddingModel(tmp_path / "text.onnx")
    with pytest.raises(ConfigError, match=r"which have a sample rate of 16000"):
        EmbeddingModel(patches_model(tmp_path / "p.onnx", ("b", 96, 64), sample_rate=22_050))
    cast = helper.make_node("Cast", ["ids"], ["embedding"], to=TensorProto.FLOAT)
    graph = helper.make_graph([cast], "g", [info("ids", ("b", 9), TensorProto.INT64)], [info("embedding", ("b", 9))])
    with pytest.raises(ConfigError, match=r"its inputs are 'ids' tensor\(int64\) \(b, 9\); one is expected"):
        EmbeddingModel(save(tmp_path / "ids.onnx", graph))
    outside = onnx.load(bands_model(tmp_path / "bands.onnx"))
    onnx.save(outside, tmp_path / "outside.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    with pytest.raises(ConfigError, match=r"outside\.onnx: its weights lie in other files; save it as one file"):
        EmbeddingModel(tmp_path / "outside.onnx")


def test_a_model_that_gives_nonsense_is_refused_when_it_does(tmp_path: Path) -> None:
    log = helper.make_graph(
        [helper.make_node("Log", ["audio"], ["embedding"])],
        "log",
        [info("audio", ("b", 4))],
        [info("embedding", ("b", 4))],
    )
    model = EmbeddingModel(save(tmp_path / "log.onnx", log, sample_rate=RATE))
    with pytest.raises(ConfigError, match=r"log\.onnx: its output 'embedding' holds NaN or infinity"):
        model.embed(np.full(8, -1, np.float32))
    total = helper.make_graph(
        [helper.make_node("ReduceSum", ["audio"], ["embedding"], keepdims=0)],
        "total",
        [info("audio", ("b", 4))],
        [info("embedding", ())],
    )
    model = EmbeddingModel(save(tmp_path / "total.onnx", total, sample_rate=RATE))
    with pytest.raises(ConfigError, match=r"of 2 windows its output 'embedding' is float32 of the shape \(\)"):
        model.embed(np.ones(8, np.float32))


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
def mertag(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tones: Dataset) -> Callable[..., tuple[int, str]]:
    monkeypatch.setenv("MERTAG_CONFIG", "")
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_: Path("/nowhere"))
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
