"""What importing mertag loads: nothing that its user has not asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import mertag

ROOT = Path(mertag.__file__).resolve().parents[1]
TRAINING = {"torch", "librosa", "sklearn", "skl2onnx", "onnx", "onnxscript", "matplotlib", "scipy", "numba"}


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after running some code."""
    report = f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stdout.split())


def test_import_mertag_loads_next_to_nothing() -> None:
    loaded = loaded_by("import mertag; mertag.__version__; dir(mertag)")
    assert not loaded & (TRAINING | {"numpy", "onnxruntime", "av", "soundfile", "soxr", "mutagen", "typer", "rich"})


def test_the_tagger_loads_no_training_stack_and_no_runtime_before_it_is_made() -> None:
    loaded = loaded_by("import mertag; mertag.Tagger; mertag.SongEmotion; mertag.load_bundle")
    assert not loaded & (TRAINING | {"onnxruntime"})


def test_a_working_tagger_loads_no_training_stack(tiny_bundle: object) -> None:
    folder = tiny_bundle.folder  # type: ignore[attr-defined]
    code = f"import mertag; tagger = mertag.Tagger({str(folder)!r}, device='cpu')"
    loaded = loaded_by(code)
    assert "onnxruntime" in loaded
    assert not loaded & TRAINING


def test_errors_come_with_the_package() -> None:
    assert loaded_by("import mertag; mertag.errors.BundleError") & TRAINING == set()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        mertag.nonsense  # type: ignore[attr-defined]  # noqa: B018
    assert "Tagger" in dir(mertag)
