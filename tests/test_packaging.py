"""The wheel: what is in it, what it says of itself, and that all places name the same commands and versions."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import mertag

pytestmark = pytest.mark.command

ROOT = Path(__file__).resolve().parents[1]
SOURCES = {"mertag": ROOT, "mertag_train": ROOT / "train", "mertag_export": ROOT / "export"}
INSTALL_FOR_DEVELOPMENT = "install -c constraints.txt -e '.[dev]'"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Return the wheel, built from this checkout."""
    pytest.importorskip("hatchling", reason="building the wheel needs the extra dev")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("mertag-*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


@pytest.fixture(scope="module")
def project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_wheel_installs_three_packages_and_a_plugin_of_beets_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith((".dist-info", ".data"))} == {*SOURCES, "beetsplug"}
    assert len(tops) == len(SOURCES) + 3
    # In the namespace package of beets no file of ours may make a package of it: it would hide beets' own plugins.
    assert [name for name in wheel.namelist() if name.startswith("beetsplug/")] == ["beetsplug/mertag.py"]


@pytest.mark.parametrize("package", SOURCES)
def test_the_wheel_holds_every_file_of_a_package(wheel: zipfile.ZipFile, package: str) -> None:
    root = SOURCES[package]
    listed = subprocess.run(["git", "ls-files", package], capture_output=True, text=True, cwd=root, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: which files belong to it is not known")
    wanted = set(listed.stdout.splitlines())
    assert f"{package}/py.typed" in wanted
    assert wanted <= set(wheel.namelist())


def test_the_wheel_holds_the_schemas_and_no_litter(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert {"mertag/schemas/record.json", "mertag/schemas/report.json", "mertag/schemas/sidecar.json"} <= set(names)
    assert not [n for n in names if "__pycache__" in n or n.endswith(".pyc") or "test_" in n]


def test_both_licences_are_stated_and_enclosed(wheel: zipfile.ZipFile, metadata: Message) -> None:
    assert metadata["License-Expression"] == "MIT AND LicenseRef-mertag-weights-research-only"
    assert set(metadata.get_all("License-File", [])) == {"LICENSE", "mertag/models/LICENSE-WEIGHTS"}
    enclosed = {n.partition(".dist-info/licenses/")[2] for n in wheel.namelist() if "/licenses/" in n}
    assert enclosed == {"LICENSE", "mertag/models/LICENSE-WEIGHTS"}
    assert "LicenseRef-mertag-weights-research-only" in (ROOT / "mertag/models/LICENSE-WEIGHTS").read_text()


def test_the_bundled_model_carries_the_licence_of_its_weights() -> None:
    folder = ROOT / "mertag" / "models" / "default"
    if not folder.is_dir():
        pytest.skip("no bundled model in this checkout")
    assert (folder / "LICENSE-WEIGHTS").read_bytes() == (ROOT / "mertag/models/LICENSE-WEIGHTS").read_bytes()


def test_the_version_is_stated_once(metadata: Message) -> None:
    assert metadata["Version"] == mertag.__version__


def test_the_command_is_installed(wheel: zipfile.ZipFile) -> None:
    (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/entry_points.txt"))
    assert "mertag = mertag.cli:main" in wheel.read(name).decode()


def test_the_core_needs_no_training_stack(metadata: Message) -> None:
    requirements = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    core = {canonicalize_name(r.name) for r in requirements if "extra" not in str(r.marker)}
    assert core == {
        *("numpy", "onnxruntime", "onnxruntime-gpu", "soundfile", "soxr", "av", "msgspec"),
        *("typer", "rich", "platformdirs"),
    }


@pytest.mark.parametrize(
    ("system", "machine", "wanted"),
    [
        ("linux", "x86_64", {"onnxruntime-gpu"}),
        ("win32", "AMD64", {"onnxruntime-gpu"}),
        ("linux", "aarch64", {"onnxruntime"}),
        ("darwin", "x86_64", {"onnxruntime"}),
        ("darwin", "arm64", {"onnxruntime"}),
        ("win32", "ARM64", {"onnxruntime"}),
    ],
)
def test_each_system_gets_exactly_one_onnxruntime(
    metadata: Message, system: str, machine: str, wanted: set[str]
) -> None:
    here = {"sys_platform": system, "platform_machine": machine, "extra": ""}
    requirements = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    found = {
        r.name for r in requirements if r.name.startswith("onnxruntime") and (not r.marker or r.marker.evaluate(here))
    }
    assert found == wanted


def test_the_extras_are_those_that_messages_name(metadata: Message) -> None:
    from mertag.cli.app import COMMANDS

    extras = set(metadata.get_all("Provides-Extra", []))
    every = "cuda plot url parquet ray beets watch train export mutagen docs dev"
    assert extras == set(every.split())
    assert {entry.extra for entry in COMMANDS.values() if entry.extra} <= extras


def test_the_constraints_pin_every_direct_dependency_within_its_range(project: dict[str, object]) -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    optional = project["optional-dependencies"]
    assert isinstance(optional, dict)
    direct = [*project["dependencies"], *(text for texts in optional.values() for text in texts)]  # type: ignore[misc]
    for requirement in map(Requirement, direct):
        if requirement.name != "mertag":
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement
    assert pins["torch"] == "2.13.0"


def test_the_oldest_constraints_are_the_lower_bounds_with_every_tool() -> None:
    found = runpy.run_path(str(ROOT / ".ci" / "oldest.py"))
    bounds = found["oldest"]()
    lines = (ROOT / "constraints-oldest.txt").read_text().splitlines()
    pins = {canonicalize_name(n): Version(v) for n, v in (line.split("==") for line in lines if line[:1] != "#")}
    assert len(bounds) > 20
    for name, bound in bounds.items():
        assert pins[canonicalize_name(Requirement(name).name)] == Version(bound), name
    for tool in map(Requirement, found["tools"]()):
        assert tool.specifier.contains(pins[canonicalize_name(tool.name)]), tool


@pytest.mark.parametrize("place", ["README.md", "CONTRIBUTING.md", ".ci/run", ".github/workflows/ci.yml"])
def test_every_place_installs_for_development_in_the_same_way(place: str) -> None:
    text = (ROOT / place).read_text(encoding="utf-8").replace("-qq ", "")
    assert INSTALL_FOR_DEVELOPMENT in text


def test_every_command_that_is_told_to_contributors_is_a_recipe() -> None:
    recipes = set(re.findall(r"^([\w-]+).*:$", (ROOT / "justfile").read_text(encoding="utf-8"), re.MULTILINE))
    for place in ("CONTRIBUTING.md", ".ci/run", ".pre-commit-config.yaml"):
        named = set(re.findall(r"(?:`| )just ([\w-]+)`?", (ROOT / place).read_text(encoding="utf-8")))
        assert named, place
        assert named <= recipes, place
