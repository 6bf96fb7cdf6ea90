"""Training from a saved store needs numpy, torch and scikit-learn, no audio library and no terminal; a report, less."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mertag

pytestmark = pytest.mark.command

ROOT = Path(mertag.__file__).resolve().parents[1]
BLOCKED = (
    "librosa",
    "typer",
    "click",
    "rich",
    "soundfile",
    "soxr",
    "av",
    "mutagen",
    "platformdirs",
    "onnxruntime",
    "safetensors",
    "msgspec",
)
PACKAGES = ("learn", "networks", "measure")


def test_training_from_a_store_needs_no_audio_library_and_no_command_line() -> None:
    code = (
        f"import sys\nfor name in {BLOCKED!r}: sys.modules[name] = None\n"
        "import importlib, pkgutil\n"
        f"for package in {PACKAGES!r}:\n"
        "    package = importlib.import_module(f'mertag_train.{package}')\n"
        "    for module in pkgutil.walk_packages(package.__path__, f'{package.__name__}.'):\n"
        "        importlib.import_module(module.name)\n"
        "import mertag_train.data.store, mertag_train.runs.experiment\n"
    )
    in_a_new_process(code)


def test_a_report_needs_no_torch() -> None:
    in_a_new_process(
        "import sys\n"
        "import mertag_train.commands.evaluate, mertag_train.commands.progress\n"
        "import mertag_train.evaluation.output, mertag_train.evaluation.tables\n"
        "assert 'torch' not in sys.modules\n"
    )


def in_a_new_process(code: str) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'train'}"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
