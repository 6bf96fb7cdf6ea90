"""mertag sends nothing anywhere, and leaves nothing of a third party in its user's home."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import tiny_bundle as tiny

from mertag.listen.bundle import Bundle
from mertag.listen.manifest import Precision
from mertag.listen.windows import Segmentation

pytestmark = pytest.mark.command

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "onnx.md").read_text(encoding="utf-8")
SNIPPET = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0]


def as_a_stranger(command: list[str], home: Path) -> None:
    """Run a command as someone whose home is empty, and whose environment does not say that this is CI."""
    home.mkdir(exist_ok=True)
    path = os.pathsep.join([str(ROOT), str(ROOT / "train"), str(ROOT / "export")])
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=home.parent, check=False)
    assert done.returncode == 0, done.stderr


def folders_of_others(home: Path) -> list[str]:
    return [str(p.relative_to(home)) for p in home.rglob("*") if p.is_file() and "mertag" not in p.parts]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("privacy") / "default"
    return tiny.build(folder, precisions=(Precision.INT8,), segmentation=Segmentation(duration_s=3.0, hop_s=1.0))


@pytest.fixture
def song(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "song.flac", tiny.music(512 * 240), 22_050)
    return tmp_path / "song.flac"


def test_a_run_leaves_nothing_of_a_third_party_at_home(bundle: Bundle, song: Path, tmp_path: Path) -> None:
    mertag = [sys.executable, "-m", "mertag"]
    as_a_stranger([*mertag, "tag", "--model", str(bundle.folder), str(song)], tmp_path / "home")
    as_a_stranger([*mertag, "info", "--model", str(bundle.folder)], tmp_path / "home")
    assert folders_of_others(tmp_path / "home") == []


# Each module in a process of its own, for none may profit from what another has set; they are forked from one that has
# loaded what takes seconds, and has not met onnxruntime.
EACH = """
import importlib, os, sys
import sklearn.svm, torch
assert "onnxruntime" not in sys.modules
for module in ("mertag_export.quantise", "mertag_export.song", "mertag_train.runs.experiment"):
    child = os.fork()
    if not child:
        importlib.import_module(module)
        from mertag.listen.sessions import onnxruntime
        onnxruntime()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, module
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_training_and_export_leave_nothing_of_a_third_party_at_home(tmp_path: Path) -> None:
    as_a_stranger([sys.executable, "-c", EACH], tmp_path / "home")
    assert [found for found in folders_of_others(tmp_path / "home") if "onnxruntime" in found] == []


def test_the_ways_without_mertag_leave_nothing_of_a_third_party_at_home(
    bundle: Bundle, song: Path, tmp_path: Path
) -> None:
    example = str(ROOT / "examples" / "plain_onnx.py")
    as_a_stranger([sys.executable, example, str(bundle.folder), str(song)], tmp_path / "home")
    code = SNIPPET.replace('"mertag/models/default"', repr(str(bundle.folder)))
    as_a_stranger([sys.executable, "-c", code], tmp_path / "home")
    assert folders_of_others(tmp_path / "home") == []


def test_a_run_opens_no_connection_and_looks_nothing_up(bundle: Bundle, song: Path, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None or subprocess.run([strace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace is not here, or may not trace")
    trace = tmp_path / "trace"
    mertag = [sys.executable, "-m", "mertag", "tag", "--model", str(bundle.folder), str(song)]
    as_a_stranger([strace, "-f", "-e", "trace=network", "-o", str(trace), *mertag], tmp_path / "home")
    reached = re.compile(r"\b(connect|sendto|sendmsg|AF_INET)")
    assert [line for line in trace.read_text().splitlines() if reached.search(line)] == []
