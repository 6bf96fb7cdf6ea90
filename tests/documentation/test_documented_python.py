"""The Python of the documentation runs as it stands, both ways that it shows agree, and its settings can be read."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny_bundle
import yaml
from documented import ROOT, Fence, fences

import mertag
from mertag.library.tags import read_tags
from mertag.listen.bundle import Bundle
from mertag.listen.manifest import Precision
from mertag.listen.windows import Segmentation

pytestmark = pytest.mark.command

RATE_HZ, DURATION_S = 32_000, 20.0
EXAMPLES = {fence.page: fence.text for fence in reversed(fences("python"))}
WITH_MERTAG, WITHOUT_MERTAG = EXAMPLES["docs/python.md"], EXAMPLES["docs/onnx.md"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return a bundle with the segments that the examples speak of: 3 s, 1 s apart."""
    folder = tmp_path_factory.mktemp("documented") / "default"
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


def test_the_python_api_tags_as_the_documentation_says(home: Path, bundle: Bundle) -> None:
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


@pytest.mark.parametrize("fence", fences("python"), ids=str)
def test_every_name_that_is_imported_exists(fence: Fence) -> None:
    if "mertag_train" in fence.text:
        pytest.importorskip("torch")
    imports = [node for node in ast.parse(fence.text).body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert imports
    for node in imports:
        exec(compile(ast.Module(body=[node], type_ignores=[]), str(fence), "exec"), {})


READERS = {"toml": tomllib.loads, "yaml": yaml.safe_load, "json": json.loads}


@pytest.mark.parametrize("fence", fences(*READERS), ids=str)
def test_every_file_of_settings_can_be_read(fence: Fence) -> None:
    assert READERS[fence.language](fence.text)
