"""The benchmark of second readers: a mistake is made, hurts a file, and is noticed."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.command

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("taglib")
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import second_readers

    return second_readers


def test_a_chunk_with_another_name_hurts_and_is_noticed(
    benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import mistakes

    tree = ast.parse((ROOT / "mertag" / "library" / "tags" / "iff.py").read_text(encoding="utf-8"))
    found = [ast.unparse(node) for node in mistakes.places(tree)]
    index = found.index("self.kind == 'WAV'", 1)  # which name the chunk of a new tag has
    music, right, wrong = (tmp_path / name for name in ("music", "right", "wrong"))
    for folder in (music, right, wrong):
        folder.mkdir()
    song = music / "a.aiff"
    soundfile.write(song, np.random.default_rng(0).normal(0, 0.1, 8000), 8000, format="AIFF", subtype="PCM_16")

    assert benchmark.child(music, right, None, None) == ""
    said = benchmark.child(music, wrong, right / "found.json", ("iff", index))

    assert "self.kind == 'WAV' -> self.kind != 'WAV'" in said
    assert list(json.loads((wrong / "found.json").read_text())) == ["0"]
    file = benchmark.File(song, right / "0.aiff")
    assert file.harm(right / "0.aiff") == []
    assert file.noticed(right / "0.aiff") == set()
    harm, noticed = file.harm(wrong / "0.aiff"), file.noticed(wrong / "0.aiff")
    assert {"FFmpeg: mood", "mutagen: mood"} <= set(harm)
    assert {"FFmpeg", "mutagen"} <= noticed
    benchmark.show([{"mistake": said, "file": song.name, "harm": harm, "noticed": sorted(noticed)}])
    assert "| FFmpeg | 1 of 1 | 1 of 1 |" in capsys.readouterr().out
