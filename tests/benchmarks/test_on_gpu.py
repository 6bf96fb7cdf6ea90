"""What is prepared for a GPU passes on the CPU, in a tiny case; and what it packs is what was there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_training import planted, toy_config

from mertag.emotion import Target
from mertag.errors import DatasetError
from mertag.listen.bundle import Bundle
from mertag.listen.silence import hop_sums
from mertag_train.data.datasets.base import Dataset, Song
from mertag_train.data.heard import segment_starts
from mertag_train.data.store import LogMelStore
from mertag_train.data.teacher import TeacherTargets
from mertag_train.learn.config import NetworkConfig
from mertag_train.learn.predict import predict
from mertag_train.learn.trainer import train_network

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
TEACHER_DIM = 5
BLOCKED = ("librosa", "onnx", "onnxruntime", "typer", "click", "rich", "soundfile", "soxr", "av", "mutagen", "msgspec")


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


def a_dataset(store: LogMelStore, labels: np.ndarray) -> Dataset:
    songs = tuple(
        Song(id=i, path=None, group=i, artist=f"artist {n}", targets={Target.QUADRANT: int(label)})
        for n, (i, label) in enumerate(zip(store.ids, labels, strict=True))
    )
    return Dataset(
        name="planted",
        root=Path(),
        songs=songs,
        missing_audio=(),
        unlabelled=(),
        targets=(Target.QUADRANT,),
        labelling="by level",
    )


def a_teacher(n_clips: int, *, n_windows: int = 3) -> TeacherTargets:
    values = np.random.default_rng(0).normal(size=(n_clips * n_windows, TEACHER_DIM)).astype(np.float32)
    offsets = np.arange(n_clips + 1, dtype=np.int64) * n_windows
    return TeacherTargets(values=values, offsets=offsets, window_s=1.0, hop_s=0.5)


def with_power(store: LogMelStore) -> LogMelStore:
    """Return a store that knows how loud it is: noise, of which every third clip is silent in its first half."""
    rng, powers = np.random.default_rng(0), []
    for i, n in enumerate(store.n_samples.tolist()):
        waveform = rng.normal(0, 0.1, n).astype(np.float32)
        waveform[: n // 2 if i % 3 == 0 else 0] = 0
        powers.append(hop_sums(waveform, store.front_end))
    return replace(store, power=np.concatenate(powers, axis=1))


def test_a_pack_gives_back_the_data_set_and_what_the_teacher_says(benchmarks: None, tmp_path: Path) -> None:
    from packed import read_pack, write_pack

    store, _, clips = planted(6, n_classes=4)
    store, teacher = with_power(store), a_teacher(6)
    dataset = a_dataset(store, clips.label)
    files = write_pack(tmp_path / "pack", dataset, store, teacher, piece_bytes=50_000)
    assert len(files) == 1 + 3  # two clips a piece
    found = read_pack(tmp_path / "pack")
    assert found.dataset.songs == dataset.songs
    assert found.store.ids == store.ids
    assert np.array_equal(found.store.offsets, store.offsets)
    assert found.teacher is not None
    assert np.array_equal(found.teacher.offsets, teacher.offsets)
    assert np.abs(found.teacher.values - teacher.values).max() < 2e-3  # float16
    cut = toy_config().segmentation
    starts = [segment_starts(store, i, cut) for i in range(6)]
    assert len({len(s) for s in starts}) == 2  # some begin in silence
    for i, expected in enumerate(starts):
        assert np.array_equal(segment_starts(found.store, i, cut), expected)


def test_packing_moves_log_mels_by_half_a_step_and_probabilities_hardly(benchmarks: None, tmp_path: Path) -> None:
    from packed import read_pack, write_pack

    store, frames, clips = planted(8, n_classes=4)
    config = toy_config(epochs=3, network=NetworkConfig(width=1 / 32))
    write_pack(tmp_path / "pack", a_dataset(store, clips.label), store, None)
    found = read_pack(tmp_path / "pack").store
    step_db = (float(store.frames.max()) - float(store.frames.min())) / 255
    assert 0.1 < step_db < 0.6
    assert np.abs(found.frames - store.frames).max() <= step_db / 2 + 1e-4
    network = train_network(store, frames, clips, None, config, class_names=tuple("abcd"))
    before = predict(network, store, frames, clips.index, config.segmentation)
    after = predict(network, found, torch.from_numpy(np.array(found.frames)), clips.index, config.segmentation)
    apart = np.abs(np.concatenate(before) - np.concatenate(after))
    assert 0 < apart.mean() < 0.003
    assert apart.max() < 0.03


def test_a_pack_that_lacks_a_piece_or_has_a_damaged_one_is_refused(benchmarks: None, tmp_path: Path) -> None:
    from packed import read_pack, write_pack

    store, _, clips = planted(4, n_classes=4)
    _, piece = write_pack(tmp_path / "pack", a_dataset(store, clips.label), store, None)
    whole = piece.read_bytes()
    piece.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DatasetError, match=r"piece-0\.npz is damaged"):
        read_pack(tmp_path / "pack")
    piece.unlink()
    with pytest.raises(DatasetError, match="copy all its files there"):
        read_pack(tmp_path / "pack")


@pytest.mark.command
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="steps are forked")
def test_a_step_that_fails_hangs_or_crashes_costs_no_other(
    benchmarks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import guarded

    monkeypatch.setattr(guarded, "LEAST_S", 0.1)

    def fails(told: guarded.Told) -> None:
        told.say(half=1)
        raise ValueError("no such thing")

    def hangs(told: guarded.Told) -> None:
        told.say(begun=True)
        subprocess.run(["sleep", "60"], check=False)

    def works(told: guarded.Told) -> None:
        print("at work")
        told.say(left=told.left_s() > 0)

    work = {
        "fails": fails,
        "crashes": lambda told: os.kill(os.getpid(), signal.SIGKILL),
        "hangs": hangs,
        "works": works,
    }
    steps = [guarded.Step(name=n, work=w, most_s=0.5 if n == "hangs" else 20) for n, w in work.items()]
    record, log = guarded.Record(tmp_path / "found.json"), tmp_path / "log"
    began = time.monotonic()
    assert not guarded.run_steps(steps, record, log, budget_s=60)
    assert time.monotonic() - began < 20
    found = record.read()["steps"]
    assert {name: step["state"] for name, step in found.items()} == {
        "fails": "failed",
        "crashes": "failed",
        "hangs": "stopped",
        "works": "done",
    }
    assert found["fails"]["half"] == 1
    assert found["fails"]["reason"] == "ValueError: no such thing"
    assert "-9" in found["crashes"]["reason"]
    assert found["hangs"]["begun"] is True
    assert found["works"]["left"] is True
    assert "at work" in log.read_text(encoding="utf-8")
    assert "no such thing" in capsys.readouterr().out
    assert not guarded.run_steps(steps[-1:], record, log, budget_s=0)
    assert record.read()["steps"]["works"]["state"] == "not begun"


def on_gpu(part: str, out: Path, *words: str | Path, blocked: tuple[str, ...] = ()) -> dict[str, Any]:
    """Run a part on the CPU, small, without some packages; return what it found of each step."""
    script = str(BENCHMARKS / "on_gpu.py")
    arguments = [script, part, "--out", str(out), "--device", "cpu", "--small", "--budget", "900", *map(str, words)]
    code = (
        f"import runpy, sys\nfor name in {blocked!r}: sys.modules[name] = None\n"
        f"sys.path.insert(0, {str(BENCHMARKS)!r}); sys.argv = {arguments!r}\n"
        f"runpy.run_path({script!r}, run_name='__main__')\n"
    )
    paths = os.pathsep.join(str(ROOT / name) for name in (".", "train"))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (out / f"{part}.log").stat().st_size > 0
    steps: dict[str, Any] = json.loads((out / f"{part}.json").read_text(encoding="utf-8"))["steps"]
    assert {step["state"] for name, step in steps.items() if name != "command"} == {"done"}
    return steps


@pytest.mark.command
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="steps are forked")
def test_training_passes_in_a_tiny_case_without_audio_libraries(benchmarks: None, tmp_path: Path) -> None:
    from packed import write_pack

    store, _, clips = planted(24, n_classes=4, duration_s=2.5)
    write_pack(tmp_path / "pack", a_dataset(store, clips.label), store, a_teacher(24))
    out = tmp_path / "out"
    steps = ("machine", "rate-ours", "rate-paper", "folds-ours", "folds-paper")
    words = ("--pack", tmp_path / "pack", "--n-folds", "3", "--folds", "0", "1", "--steps", *steps)
    found = on_gpu("train", out, *words, blocked=BLOCKED)
    for name in ("ours", "paper"):
        of_rate = found[f"rate-{name}"]
        assert set(of_rate["segments_per_s"]) == {"bare", "mertag", "mertag, sssl"}
        assert all(rate > 0 for rate in of_rate["segments_per_s"].values())
        assert of_rate["to_bare"] > 0
        judged = found[f"folds-{name}"]["judged"]
        assert set(judged) == {"0", "1"}
        assert all(set(of) == {"songs", "mean_probability", "song_classifier"} for of in judged.values())
        with np.load(out / f"{name}.npz") as kept:
            songs = np.concatenate([kept["0.songs"], kept["1.songs"]])
            assert len(set(songs.tolist())) == len(songs) == 16
            assert kept["0.segments"].shape == (kept["0.counts"].sum(), 4)
            for method in ("mean_probability", "song_classifier"):
                assert kept[f"1.{method}"].sum(1) == pytest.approx(1, abs=1e-3)


@pytest.mark.command
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="steps are forked")
def test_tagging_passes_in_a_tiny_case(tiny_bundle: Bundle, tmp_path: Path) -> None:
    steps = ("provider", "clips", "out-of-memory", "tf32", "parity-fp32", "memory", "speed-flac")
    found = on_gpu("tag", tmp_path, "--model", tiny_bundle.folder, "--steps", *steps)
    assert found["provider"]["provider"] == "CPUExecutionProvider"
    assert found["clips"]["same_decisions"] == found["clips"]["tagged"] == 2
    assert found["clips"]["largest_difference"] == 0
    assert found["out-of-memory"]["left_out"] == found["tf32"]["left_out"] == "needs a GPU"
    assert "has no fp32" in found["parity-fp32"]["left_out"]
    assert found["memory"]["peak_mb"] > 20
    assert all(rate > 0 for rate in found["speed-flac"]["songs_per_s"].values())
