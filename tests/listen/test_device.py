"""onnxruntime sessions: the device in use, the precision, and what happens when memory runs out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny_bundle as tiny
from onnx import TensorProto, helper

from mertag.emotion import Target
from mertag.errors import BundleError, ConfigError, DeviceError
from mertag.listen import device, sessions
from mertag.listen.bundle import Bundle, Precision, write_bundle
from mertag.listen.device import open_models
from mertag.listen.segment_model import SegmentModel, pad_to_shape
from mertag.listen.sessions import BoundSession

Run = Callable[..., list[np.ndarray]]


def test_the_segment_model_computes_what_numpy_does(tiny_bundle: Bundle) -> None:
    model = open_models(tiny_bundle, device="cpu").segment
    waveform, starts = tiny.example()
    found = model(waveform, starts)
    expected = tiny.segment_probabilities(waveform, starts, Target.QUADRANT)
    assert set(found) == {Target.QUADRANT}
    assert found[Target.QUADRANT].dtype == np.float32
    np.testing.assert_allclose(found[Target.QUADRANT], expected, atol=1e-5)
    assert expected.std(axis=0).min() > 0.01  # the segments differ, so that a mix-up would show


def test_a_bundle_with_two_heads_gives_both(tmp_path: Path) -> None:
    bundle = tiny.build(tmp_path, targets=(Target.VALENCE, Target.AROUSAL))
    models = open_models(bundle, device="cpu", threads=1)
    waveform, starts = tiny.example()
    found = models.segment(waveform, starts)
    for target in (Target.VALENCE, Target.AROUSAL):
        expected = tiny.segment_probabilities(waveform, starts, target)
        np.testing.assert_allclose(found[target], expected, atol=1e-5)


def test_the_song_model_computes_what_numpy_does(tiny_bundle: Bundle) -> None:
    features = np.random.default_rng(1).random((3, 28))
    found = open_models(tiny_bundle, device="cpu").song(Target.QUADRANT, features)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, tiny.song_probabilities(features, Target.QUADRANT), atol=1e-6)


def test_the_cpu_says_what_it_is_and_why(tiny_bundle: Bundle) -> None:
    model = open_models(tiny_bundle, device="cpu", threads=1).segment
    assert (model.device, model.provider) == ("cpu", "CPUExecutionProvider")
    assert model.precision in (Precision.INT8, Precision.FP16)
    assert "faster on this CPU" in model.reason
    assert model.reason.endswith("; 1 thread")


@pytest.mark.parametrize(
    ("threads", "asked", "at_once", "words"),
    [
        (1, None, 1, "; 1 thread"),
        (3, None, 3, "; 3 calls at once, 1 thread each"),
        (8, None, 8, "; 8 calls at once, 1 thread each"),
        (12, None, 6, "; 6 calls at once, 2 threads each"),
        (15, None, 7, "; 7 calls at once, 2 threads each"),
        (64, None, 8, "; 8 calls at once, 8 threads each"),
        (4, 1, 1, "; 4 threads"),
        (4, 3, 2, "; 2 calls at once, 2 threads each"),
        (2, 5, 2, "; 2 calls at once, 1 thread each"),
    ],
)
def test_threads_are_shared_out_to_calls(
    tiny_bundle: Bundle, threads: int, asked: int | None, at_once: int, words: str
) -> None:
    model = open_models(tiny_bundle, device="cpu", threads=threads, at_once=asked, precision="int8").segment
    assert model.at_once == at_once
    assert model.reason.endswith(words)


def test_no_segments_give_empty_probabilities(tiny_bundle: Bundle) -> None:
    model = open_models(tiny_bundle, device="cpu").segment
    found = model(np.zeros(512, np.float32), np.empty(0, np.int64))
    assert found[Target.QUADRANT].shape == (0, 4)


def test_a_long_call_is_split_and_gives_the_same(tiny_bundle: Bundle) -> None:
    model = open_models(tiny_bundle, device="cpu").segment
    waveform, starts = tiny.example()
    whole = model(waveform, starts)[Target.QUADRANT]
    model.segments_per_call = 2
    np.testing.assert_allclose(model(waveform, starts)[Target.QUADRANT], whole, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"device": "tpu"}, "auto, cuda or cpu"),
        ({"threads": 0}, "1 or more"),
        ({"at_once": 0}, "1 or more"),
        ({"precision": "fp32"}, "int8, fp16"),
    ],
)
def test_settings_that_cannot_be_are_refused(tiny_bundle: Bundle, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        open_models(tiny_bundle, **{"device": "cpu", **settings})


def test_the_precision_can_be_asked_for(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_models(tiny_bundle, device="cpu", precision="fp16").segment.precision is Precision.FP16
    monkeypatch.setenv("MERTAG_PRECISION", "int8")
    model = open_models(tiny_bundle, device="cpu").segment
    assert model.precision is Precision.INT8
    assert "asked for" in model.reason


# ---- the device that is really in use


needs_no_gpu = pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a GPU")


@needs_no_gpu
def test_cuda_without_a_gpu_fails_and_auto_says_why(tiny_bundle: Bundle) -> None:
    with pytest.raises(DeviceError, match="--device cuda"):
        open_models(tiny_bundle, device="cuda")
    model = open_models(tiny_bundle, device="auto").segment
    assert model.device == "cpu"
    assert model.reason.startswith("no GPU: no NVIDIA driver is installed; ")
    assert "CUDA" not in model.reason


@needs_no_gpu
def test_looking_for_a_gpu_prints_nothing(tiny_bundle: Bundle) -> None:
    code = (
        "import sys; from mertag.listen.bundle import load_bundle; from mertag.listen.device import open_models; "
        "open_models(load_bundle(sys.argv[1]))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_bundle.folder)],
        capture_output=True,
        text=True,
        cwd=root,
        check=True,
    )
    assert done.stdout == ""
    assert done.stderr == ""


class FakeSession:
    """A real session on the CPU that claims another provider, and fails when told to."""

    def __init__(self, session: sessions.Session, provider: str, fail: Callable[[int], Exception | None]) -> None:
        self.session, self.provider, self.fail = session, provider, fail
        self.calls: list[int] = []
        self.shapes: list[tuple[int, int]] = []

    def run(self, names: list[str], feed: dict[str, Any]) -> list[Any]:
        n = len(feed["starts"])
        self.shapes.append((len(feed["waveform"]), n))
        self.calls.append(n)
        error = self.fail(n)
        if error is not None:
            raise error
        return self.session.run(names, feed)

    def get_inputs(self) -> list[Any]:
        return self.session.get_inputs()

    def get_outputs(self) -> list[Any]:
        return self.session.get_outputs()

    def get_providers(self) -> list[str]:
        return [self.provider, "CPUExecutionProvider"]


def fake_gpu(monkeypatch: pytest.MonkeyPatch, fail: Callable[[int], Exception | None]) -> list[FakeSession]:
    made: list[FakeSession] = []

    def cuda_session(model: bytes, *, where: Path, probe: bytes) -> FakeSession:
        made.append(FakeSession(sessions.cpu_session(model, threads=1, where=where), sessions.CUDA, fail))
        return made[-1]

    monkeypatch.setattr(device, "cuda_session", cuda_session)
    return made


def out_of_memory(n: int) -> Exception:
    # The words of onnxruntime's BFC arena.
    return RuntimeError(
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. "
        f"bfc_arena.cc:376 Failed to allocate memory for requested buffer of size {n}"
    )


def long_example(n_segments: int) -> tuple[np.ndarray, np.ndarray]:
    hop = tiny.SEGMENTATION.hop_samples(tiny.FRONT_END)
    n_samples = tiny.SEGMENTATION.segment_samples(tiny.FRONT_END) + (n_segments - 1) * hop
    starts = tiny.SEGMENTATION.start_frames(n_samples, tiny.FRONT_END)
    return tiny.music(n_samples + -n_samples % 512), starts


def test_a_gpu_runs_fp16_in_shapes_from_a_short_list(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    made = fake_gpu(monkeypatch, lambda n: None)
    model = open_models(tiny_bundle).segment
    assert (model.device, model.precision, model.provider) == ("cuda", Precision.FP16, sessions.CUDA)
    for n in (1, 5, 16, 17, 40):
        waveform, starts = long_example(n)
        expected = tiny.segment_probabilities(waveform, starts, Target.QUADRANT)
        np.testing.assert_allclose(model(waveform, starts)[Target.QUADRANT], expected, atol=1e-5)
    assert {samples % (689 * 512) for samples, _ in made[0].shapes} == {0}
    assert {n for _, n in made[0].shapes} == {16, 32, 48}


def test_a_gpu_that_loads_but_does_not_run_is_no_gpu(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_gpu(monkeypatch, lambda n: RuntimeError("no kernel image is available\nmore"))
    with pytest.raises(DeviceError, match="does not run it \\(no kernel image is available\\)"):
        open_models(tiny_bundle, device="cuda")
    assert open_models(tiny_bundle, device="auto").segment.device == "cpu"


def test_when_gpu_memory_runs_out_the_block_halves_for_good(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    made = fake_gpu(monkeypatch, lambda n: out_of_memory(n) if n > 16 else None)
    model = open_models(tiny_bundle, notify=said.append).segment
    waveform, starts = long_example(100)
    found = model(waveform, starts)[Target.QUADRANT]
    np.testing.assert_allclose(found, tiny.segment_probabilities(waveform, starts, Target.QUADRANT), atol=1e-5)
    assert model.device == "cuda"
    assert model.segments_per_call == 16
    assert len(said) == 2
    assert "memory ran out" in said[0]
    failures = sum(n > 16 for n in made[0].calls)
    model(waveform, starts)
    assert sum(n > 16 for n in made[0].calls) == failures == 2  # the old size is not tried again


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_when_one_segment_does_not_fit_the_cpu_takes_over(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, device: Any
) -> None:
    said: list[str] = []
    broken = [False]
    made = fake_gpu(monkeypatch, lambda n: out_of_memory(n) if broken[0] else None)
    model = open_models(tiny_bundle, device=device, notify=said.append).segment
    broken[0] = True
    waveform, starts = long_example(40)
    found = model(waveform, starts)[Target.QUADRANT]
    np.testing.assert_allclose(found, tiny.segment_probabilities(waveform, starts, Target.QUADRANT), atol=1e-5)
    assert (model.device, model.provider) == ("cpu", sessions.CPU)
    assert "the rest runs on the CPU" in said[-1]
    calls = len(made[0].calls)
    model(waveform, starts)
    assert len(made[0].calls) == calls  # the GPU is not asked again


def test_another_gpu_failure_moves_auto_to_the_cpu_and_fails_cuda(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    for choice in ("auto", "cuda"):
        broken = [False]
        fake_gpu(
            monkeypatch,
            lambda n, b=broken: RuntimeError("CUDA failure 700: illegal access") if b[0] else None,
        )
        model = open_models(tiny_bundle, device=choice).segment  # type: ignore[arg-type]
        broken[0] = True
        if choice == "auto":
            assert model(*tiny.example())[Target.QUADRANT].shape == (6, 4)
            assert model.device == "cpu"
        else:
            with pytest.raises(DeviceError, match="CUDA failure 700"):
                model(*tiny.example())
            with pytest.raises(DeviceError):
                model.check()


def test_a_failing_cpu_is_a_device_error(tiny_bundle: Bundle) -> None:
    model = open_models(tiny_bundle, device="cpu").segment
    model.session = FakeSession(model.session, sessions.CPU, out_of_memory)
    with pytest.raises(DeviceError, match="memory ran out"):
        model(*tiny.example())


def test_padding_to_a_shape_keeps_the_segments() -> None:
    waveform, starts = np.ones(1_000, np.float32), np.array([0, 3], np.int64)
    padded, more = pad_to_shape(waveform, starts, front_end=tiny.FRONT_END)
    assert len(padded) == 689 * 512
    assert padded[:1_000].all()
    assert not padded[1_000:].any()
    assert more[:2].tolist() == [0, 3]
    assert len(more) == 16


# ---- device memory, of GPUs that are sessions on the CPU in disguise


@pytest.fixture
def disguised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a session on the CPU pass for one on a GPU; memory is bound on the CPU."""

    def cuda_session(model: bytes, *, where: Path, probe: bytes) -> Any:
        return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(device, "cuda_session", cuda_session)
    monkeypatch.setattr(device, "BoundSession", lambda session, _: BoundSession(session, "cpu"))


def worse_by(monkeypatch: pytest.MonkeyPatch, kind: type, error: float, *, on: str = "run") -> None:
    """Let a kind of session answer wrongly."""
    right: Run = getattr(kind, on)
    monkeypatch.setattr(kind, on, lambda *args: [found + np.float32(error) for found in right(*args)])


@pytest.mark.usefixtures("disguised")
def test_memory_is_bound_if_that_gives_the_same(tiny_bundle: Bundle) -> None:
    session, precision, remark = device.open_gpu(tiny_bundle, asked=None)
    assert isinstance(session, BoundSession)
    assert (precision, remark) == (Precision.FP16, "")
    model = open_models(tiny_bundle, device="cuda").segment
    waveform, starts = tiny.example()
    expected = tiny.segment_probabilities(waveform, starts, Target.QUADRANT)
    np.testing.assert_allclose(model(waveform, starts)[Target.QUADRANT], expected, atol=1e-5)
    assert model.reason == "fp16: made for GPUs"


@pytest.mark.usefixtures("disguised")
def test_memory_that_is_bound_wrongly_is_not_bound(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    worse_by(monkeypatch, BoundSession, 0.01)
    session, _, remark = device.open_gpu(tiny_bundle, asked=None)
    assert isinstance(session, onnxruntime.InferenceSession)
    assert remark == "memory not bound (it gives other results)"
    reason = open_models(tiny_bundle, device="cuda").segment.reason
    assert reason == "fp16: made for GPUs; memory not bound (it gives other results)"


@pytest.mark.usefixtures("disguised")
def test_memory_that_cannot_be_bound_is_not_bound(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("no allocator")

    monkeypatch.setattr(BoundSession, "run", fails)
    assert device.open_gpu(tiny_bundle, asked=None)[2] == "memory not bound (no allocator)"


@pytest.mark.usefixtures("disguised")
def test_a_gpu_that_says_not_a_number_is_not_taken_for_one_that_works(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    worse_by(monkeypatch, BoundSession, float("nan"))
    assert "other results" in device.open_gpu(tiny_bundle, asked=None)[2]


# ---- inputs and outputs of the graphs


def rewrite(bundle: Bundle, folder: Path, name: str, model: onnx.ModelProto) -> Bundle:
    for path in bundle.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / name).write_bytes(model.SerializeToString())
    return write_bundle(folder, bundle.manifest)


def identity(name: str, kind: int, shape: list[Any], output: str, out_shape: list[Any]) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Identity", [name], [output])],
        "g",
        [helper.make_tensor_value_info(name, kind, shape)],
        [helper.make_tensor_value_info(output, kind, out_shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (identity("wave", TensorProto.FLOAT, ["n", 28], "probabilities", ["n", 4]), "its inputs are wave"),
        (identity("features", TensorProto.FLOAT, ["n", 28], "label", ["n", 28]), "no output 'probabilities'"),
        (
            identity("features", TensorProto.DOUBLE, ["n", 28], "probabilities", ["n", 28]),
            r"tensor\(double\)",
        ),
        (identity("features", TensorProto.FLOAT, ["n", 14], "probabilities", ["n", 14]), "'features'"),
        (identity("features", TensorProto.FLOAT, ["n", 28], "probabilities", ["n", 28]), "'probabilities'"),
        (identity("features", TensorProto.FLOAT, ["n", "m", 1], "probabilities", ["n", "m", 1]), "of shape"),
    ],
)
def test_a_song_graph_that_has_other_inputs_or_outputs_is_refused(
    tiny_bundle: Bundle, tmp_path: Path, model: onnx.ModelProto, words: str
) -> None:
    bundle = rewrite(tiny_bundle, tmp_path, "song.quadrant.onnx", model)
    with pytest.raises(BundleError, match=words):
        open_models(bundle, device="cpu")


def test_a_segment_graph_of_another_head_is_refused(tiny_bundle: Bundle, tmp_path: Path) -> None:
    model = tiny.segment_graph((Target.VALENCE, Target.AROUSAL))
    bundle = rewrite(tiny_bundle, tmp_path, "segment.int8.onnx", model)
    with pytest.raises(BundleError, match=r"segment\.int8\.onnx: it has no output 'probabilities_quadrant'"):
        open_models(bundle, device="cpu", precision="int8")


def test_a_graph_that_onnxruntime_cannot_load_names_its_file(tiny_bundle: Bundle, tmp_path: Path) -> None:
    model = tiny.segment_graph()
    model.graph.node[0].op_type = "NoSuchOperator"
    bundle = rewrite(tiny_bundle, tmp_path, "segment.int8.onnx", model)
    with pytest.raises(BundleError, match=r"segment\.int8\.onnx: onnxruntime .* cannot load it"):
        open_models(bundle, device="cpu", precision="int8")


def test_segment_model_is_what_open_models_returns(tiny_bundle: Bundle) -> None:
    assert isinstance(open_models(tiny_bundle, device="cpu").segment, SegmentModel)
