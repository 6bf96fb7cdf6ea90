"""`mertag` starts fast, loads nothing it does not need, and knows its settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from mertag._version import __version__
from mertag.cli.app import COMMANDS, LazyCommand, app
from mertag.extras import install_command

HEAVY = ("numpy", "onnxruntime", "soundfile", "soxr", "av", "mutagen", "torch", "librosa", "sklearn", "rich")


@pytest.fixture
def probe(no_settings: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A command `train` that records what it was given."""
    given: dict[str, object] = {}

    def train(
        epochs: Annotated[int, typer.Option(min=1)] = 30,
        device: Annotated[str, typer.Option()] = "auto",
        tag: Annotated[list[str] | None, typer.Option()] = None,
    ) -> None:
        """Train, in a test."""
        given.update(epochs=epochs, device=device, tag=tag)
        if device == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

    module = ModuleType("mertag_train.commands.train")
    module.train = train  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mertag_train.commands.train", module)
    return given


def run(*args: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, args)
    return result.exit_code, result.stdout, result.stderr


def test_help_imports_nothing_heavy_and_starts_fast() -> None:
    code = (
        "import sys; sys.argv=['mertag','--help']\n"
        "from mertag.cli import main\n"
        "try: main()\n"
        f"finally: print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    taken_s = []
    for _ in range(3):
        start_s = _cpu_of_children_s()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        taken_s.append(_cpu_of_children_s() - start_s)
    assert done.stderr.strip() == "[]"
    assert all(name in done.stdout for name in COMMANDS)
    assert min(taken_s) < 0.5  # of CPU time, about 0.1 s: a busy machine must not fail the test


def _cpu_of_children_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


def test_version_is_one_line_on_stdout() -> None:
    assert run("--version") == (0, f"mertag {__version__}\n", "")


def test_no_command_shows_the_help_and_an_unknown_one_a_suggestion() -> None:
    assert run()[0] == 2
    code, out, err = run("tga")
    assert (code, out) == (2, "")
    assert "'tag'" in err


def test_a_lazy_command_has_its_own_options_and_help(probe: dict[str, object]) -> None:
    assert run("train", "--epochs", "3", "--tag", "a", "--tag", "b")[0] == 0
    assert probe == {"epochs": 3, "device": "auto", "tag": ["a", "b"]}
    assert run("train", "--epochs", "0")[0] == 2
    code, out, _ = run("train", "--help")
    assert code == 0
    assert "Train, in a test." in out
    assert "--epochs" in out


@pytest.mark.parametrize("when", ["at import", "when it runs"])
def test_a_missing_extra_says_what_to_install(
    when: str, probe: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ["train", "--device", "torch"]
    if when == "at import":
        monkeypatch.setitem(sys.modules, "mertag_train.commands.train", None)
        monkeypatch.setattr(
            "importlib.import_module",
            lambda name: (_ for _ in ()).throw(ModuleNotFoundError("no torch", name="torch")),
        )
    code, out, err = run(*args)
    assert (code, out) == (3, "")
    assert f"Install them with: {install_command('train')}" in " ".join(err.split())


def test_a_module_of_ours_that_is_missing_is_our_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = LazyCommand(target="mertag.no_such_module:f", help="lost", extra="train")
    monkeypatch.setattr("mertag.cli.app.COMMANDS", {"lost": lost})
    assert run("lost")[0] == 70


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    probe: dict[str, object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "config.toml"
    file.write_text('device = "cpu"\n[train]\nepochs = 4\ntag = ["x", "y"]\n')
    monkeypatch.setenv("MERTAG_CONFIG", str(file))
    assert run("train")[0] == 0
    assert probe == {"epochs": 4, "device": "cpu", "tag": ["x", "y"]}
    monkeypatch.setenv("MERTAG_TRAIN_EPOCHS", "5")
    run("train")
    assert probe["epochs"] == 5
    run("train", "--epochs", "6")
    assert probe["epochs"] == 6


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[train]\nepoch = 3", "epoch"),
        ("epochs = 3", "epochs"),
        ("[trian]", "trian"),
        ("train = 3", "train"),
        ("[train", "not valid TOML"),
        ("[train]\nhelp = true", "help"),
    ],
)
def test_a_setting_that_cannot_be_is_a_usage_error_that_names_it(
    probe: dict[str, object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, says: str
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(content)
    monkeypatch.setenv("MERTAG_CONFIG", str(file))
    code, out, err = run("train")
    assert (code, out) == (2, "")
    assert says in err
    assert "config.toml" in err


def test_a_version_in_the_environment_is_not_an_option(
    probe: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERTAG_VERSION", "0.1.0")  # as images often set it
    assert run("train")[0] == 0


def test_info_shows_the_decoders_even_without_a_model_and_then_ends_with_3(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MERTAG_CONFIG", "")
    code, out, err = run("info", "--json", "--model", str(tmp_path / "none"))
    facts = json.loads(out)
    assert code == 3
    assert "no such bundle" in facts["model"]["error"]
    assert "no such bundle" in err
    assert facts["decoders"]["libsndfile"]
    assert facts["mertag"] == __version__
    assert facts["onnxruntime"]["providers_available"]


def test_info_lists_the_data_sets_and_what_of_them_is_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MERTAG_CONFIG", "")
    monkeypatch.setenv("MERTAG_DATA", str(tmp_path))
    for quadrant in ("Q1", "Q2", "Q3", "Q4"):
        (tmp_path / "folder" / quadrant).mkdir(parents=True)
        for name in ("a.mp3", "b.mp3"):
            (tmp_path / "folder" / quadrant / name).write_bytes(b"")
    code, out, _ = run("info", "--datasets", "--json")
    found = {entry["name"]: entry for entry in json.loads(out)["datasets"]}
    assert code == 0
    assert (found["folder"]["songs"], found["folder"]["with_audio"]) == (8, 8)
    assert (found["deam"]["found"], found["deam"]["licence"] != "") == (None, True)
    code, out, _ = run("info", "--datasets")
    assert code == 0
    assert f"  here: {tmp_path / 'folder'}: 8 of 8 labelled songs have audio\n" in out
    assert f"  here: no: there is no {tmp_path / 'deam'}\n" in out
