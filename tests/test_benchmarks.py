"""The benchmarks run, and say what they measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


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
