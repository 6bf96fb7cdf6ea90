"""The Python of the README runs as it stands, and both ways that it shows agree."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny_bundle

import mertag
from mertag.library.tags import read_tags
from mertag.listen.bundle import Bundle
from mertag.listen.manifest import Precision
from mertag.listen.windows import Segmentation

pytestmark = pytest.mark.command

ROOT = Path(__file__).resolve().parents[1]
RATE_HZ, DURATION_S = 32_000, 20.0
WITH_MERTAG, WITHOUT_MERTAG = re.findall(
    r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return a bundle with the segments that the README speaks of: 3 s, 1 s apart."""
    folder = tmp_path_factory.mktemp("readme") / "default"
    return tiny_bundle.build(folder, precisions=(Precision.INT8,), segmentation=Segmentation(duration_s=3.0, hop_s=1.0))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a folder with what the examples name: song.flac, and a folder music."""
    noise = tiny_bundle.music(2 * int(RATE_HZ * DURATION_S)).reshape(-1, 2)
    soundfile.write(tmp_path / "song.flac", noise, RATE_HZ)
    (tmp_path / "music").mkdir()
    soundfile.write(tmp_path / "music" / "other.flac", noise[::-1], RATE_HZ)
    return tmp_path


def run(code: str, folder: Path, bundle: Bundle) -> str:
    """Return what a fresh interpreter prints when it runs some code in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "MERTAG_BUNDLE": str(bundle.folder), "XDG_CACHE_HOME": str(folder)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_api_tags_as_the_readme_says(home: Path, bundle: Bundle) -> None:
    first, *events = run(WITH_MERTAG, home, bundle).splitlines()
    assert first.split()[0] in ("Happy", "Angry", "Sad", "Relaxed")
    assert [line.split()[:2] for line in events] == [["tagged", "music/other.flac"]]
    assert read_tags(home / "song.flac")["MOOD"] == (first.split()[0],)
    assert read_tags(home / "music" / "other.flac")["MERTAG_MODEL"] == (bundle.id,)


def test_plain_onnxruntime_gives_what_mertag_gives(home: Path, bundle: Bundle) -> None:
    assert '"mertag/models/default"' in WITHOUT_MERTAG
    code = WITHOUT_MERTAG.replace('"mertag/models/default"', repr(str(bundle.folder)))
    printed = run(code, home, bundle)
    with mertag.Tagger(bundle, device="cpu", workers=0) as tagger:
        emotion = tagger.tag(home / "song.flac")
    found = np.array(printed.strip("[]\n ").split(), dtype=float)
    np.testing.assert_allclose(found, emotion.quadrant_probabilities, atol=1e-4)
