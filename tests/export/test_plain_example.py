"""The example without mertag says what mertag says."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import Made
from small_run import RATE_HZ, sound

import mertag
from mertag.emotion import QUADRANT_LABELS, Target, decide

pytestmark = pytest.mark.command

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "plain_onnx.py"


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 44_100])
def test_the_plain_example_gives_what_mertag_gives(
    made: Made, tmp_path: Path, rate_hz: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = tmp_path / "song.flac"
    stereo = np.stack([sound(0, 77, 20.3), sound(3, 78, 20.3)], axis=1)
    soundfile.write(song, stereo, rate_hz)
    command = [sys.executable, str(EXAMPLE), str(made.bundle.folder), str(song)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("MERTAG_PRECISION", "int8")
    with mertag.Tagger(made.bundle, device="cpu", workers=0) as tagger:
        emotion = tagger.tag(song)
    found = ast.literal_eval(done.stdout)
    np.testing.assert_allclose(list(found.values()), emotion.quadrant_probabilities, atol=1e-5)
    assert list(found) == list(QUADRANT_LABELS.values())
    assert decide({Target.QUADRANT: list(found.values())}).quadrant == emotion.quadrant


def test_the_plain_example_knows_nothing_of_mertag() -> None:
    imported = {
        name.name.partition(".")[0]
        for node in ast.walk(ast.parse(EXAMPLE.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    assert imported == {"json", "os", "sys", "Path", "numpy", "onnxruntime", "soundfile", "soxr"}
