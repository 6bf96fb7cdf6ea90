"""The contract of an embedding model: its inputs, its windows and its outputs, to the number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from toy_embeddings import RATE, bands_model, info, save, statistics_model

from mertag.errors import ConfigError
from mertag_train.data import embedding_model, vibenet
from mertag_train.data.embedding_model import EmbeddingModel

pytestmark = pytest.mark.command


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
