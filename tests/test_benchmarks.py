"""The benchmarks run, and say what they measured."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mertag.listen.bundle import Bundle

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
SCRIPTS = sorted(p.name for p in BENCHMARKS.glob("*.py") if "ArgumentParser" in p.read_text(encoding="utf-8"))


@pytest.mark.command
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_benchmark_finds_what_it_imports_and_says_how_to_use_it(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(BENCHMARKS / script), run_name="__main__")
    assert ended.value.code == 0
    assert script in capsys.readouterr().out


@pytest.mark.slow
def test_the_training_benchmark_compares_with_the_bare_pass_and_with_a_plain_script(tmp_path: Path) -> None:
    out = tmp_path / "train.json"
    small = {"--width": 1 / 32, "--segment": 1, "--clips": 4, "--repeats": 1, "--threads": 1, "--workers": 1}
    options = [word for name, value in small.items() for word in (name, str(value))]
    root = BENCHMARKS.parent
    paths = os.pathsep.join(str(root / name) for name in (".", "train", "export"))
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "train.py"), *options, "--device", "cpu", "--json", str(out)],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "mertag to bare:" in done.stdout
    found = json.loads(out.read_text())
    assert set(found["segments_per_s"]) == {"bare", "mertag", "mertag, sssl", "plain"}
    assert all(rate > 0 for rate in found["segments_per_s"].values())
    assert 0.05 < found["to_bare"] < 20


def run(script: str, *options: str | Path) -> tuple[str, dict[str, Any]]:
    """Run a benchmark; return what it printed, and what it wrote as JSON."""
    out = Path(options[-1])
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *map(str, options)],
        env=os.environ | {"PYTHONPATH": str(BENCHMARKS.parent), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(out.read_text())


@pytest.mark.slow
def test_the_tagging_benchmark_compares_with_the_session_and_with_decoding(tiny_bundle: Bundle, tmp_path: Path) -> None:
    words = [
        "--make",
        "flac",
        "m4a",
        "--minutes",
        "0.1",
        "--copies",
        "2",
        "--repeats",
        "1",
        "--threads",
        "1",
        "--no-plain",
    ]
    printed, found = run("tag.py", *words, "--model", tiny_bundle.folder, "--json", tmp_path / "tag.json")
    assert "mertag to bare:" in printed
    for group in ("flac", "m4a"):
        result = found[group]
        assert result["files"] == 2
        assert result["audio_s"] == pytest.approx(12, abs=0.2)
        assert set(result["seconds"]) == {"mertag", "mertag+tags", "idle", "bare", "decode"}
        ratios = {"mertag to bare", "mertag+tags to bare", "decode to mertag", "decode to idle"}
        assert set(result["ratios"]) == ratios
        assert all(ratio > 0 for ratio in result["ratios"].values())
        assert result["shares"].keys() == {"own", "busy", "waiting"}
        assert all(0 <= share <= 1.05 for share in result["shares"].values())  # clocks differ by a tick
        if sys.platform == "linux":
            assert all(20 < peak < 3_000 for peak in result["peak_mb"].values())


@pytest.mark.slow
def test_the_tagging_benchmark_measures_memory(tiny_bundle: Bundle, tmp_path: Path) -> None:
    words = ["--library", "2", "4", "--lengths", "60", "--threads", "1"]
    _, found = run("tag.py", *words, "--model", tiny_bundle.folder, "--json", tmp_path / "memory.json")
    assert set(found["memory_by_library"]["peak_mb"]) == {"2 files", "4 files"}
    assert set(found["memory_by_length"]["peak_mb"]) == {"mp3, 60 s", "flac, 60 s", "m4a, 60 s"}


@pytest.mark.slow
def test_the_benchmark_of_the_start_has_what_cannot_be_avoided_beside_it(tiny_bundle: Bundle, tmp_path: Path) -> None:
    words = ["--repeats", "1", "--threads", "1"]
    printed, found = run("startup.py", *words, "--model", tiny_bundle.folder, "--json", tmp_path / "start.json")
    assert "mertag --help" in printed
    medians = found["medians"]
    assert set(medians) == {"python", "mertag --help", "session", "one clip", "bare session on it"}
    assert medians["python"] < medians["one clip"]


@pytest.mark.slow
def test_the_benchmark_of_ways_on_a_gpu_runs_without_one(tmp_path: Path) -> None:
    words = ["--device", "cpu", "--segments", "2", "--blocks", "1", "--repeats", "1", "--threads", "1"]
    printed, found = run("gpu.py", *words, "--json", tmp_path / "gpu.json")
    assert set(found["ms_per_segment"]) == {"plain", "bound", "two"}
    assert found["left_out"] == {"nhwc": "needs a GPU"}
    assert max(found["largest_difference"].values()) < 1e-6
    assert max(found["log_mel_db"].values()) == 0
    assert "nhwc left out: needs a GPU" in printed
