"""A release: the same sources give the same bytes, the version is stated once, and its notes and parts are complete."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import mertag

ROOT = Path(__file__).resolve().parents[1]
NOTES = runpy.run_path(str(ROOT / ".ci" / "notes.py"))
BILL = runpy.run_path(str(ROOT / ".ci" / "bill_of_materials.py"))
WHEN_S = 1_700_000_000


def build(source: Path, folder: Path) -> dict[str, bytes]:
    """Return the sdist and the wheel of some sources, by their names."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(WHEN_S)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.command
def test_two_builds_of_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="building needs the extra dev")
    first = build(ROOT, tmp_path / "first")
    (sdist,) = (tmp_path / "first").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "sources", filter="data")
    (source,) = (tmp_path / "sources").iterdir()
    for path in source.rglob("*.py"):  # what differs between machines: who may read it, and when it was written
        path.chmod(0o600)
        os.utime(path, (1, 1))
    assert build(source, tmp_path / "second") == first
    (wheel,) = (tmp_path / "first").glob("*.whl")
    times = {entry.date_time for entry in zipfile.ZipFile(wheel).infolist()}
    assert times == {(2023, 11, 14, 22, 13, 20)}


def test_no_file_but_one_states_the_version() -> None:
    stated = re.compile(rf"(?<![\w.]){re.escape(mertag.__version__)}(?![\w.])")
    page = (ROOT / "share/man/man1/mertag.1").read_text(encoding="utf-8")  # made, with the version in it
    assert len(stated.findall(page)) == 1
    assert not stated.search((ROOT / "container/Dockerfile").read_text(encoding="utf-8"))
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_changelog_has_notes_of_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text.index("## [Unreleased]") < text.index(f"## [{mertag.__version__}]")
    assert NOTES["notes"](text, mertag.__version__)


@pytest.mark.parametrize(
    "changelog", ["", "## [1.2.3]\n\nwords\n", "## [1.2.3] - 2026-01-01\n\n## [1.2.2] - 2025-01-01\n"]
)
def test_a_version_without_notes_or_date_is_refused(changelog: str) -> None:
    with pytest.raises(ValueError, match=r"1\.2\.3"):
        NOTES["notes"](changelog, "1.2.3")


def test_notes_end_where_the_next_version_begins() -> None:
    text = "# C\n\n## [1.2.3] - 2026-01-01\n\n### Added\n\n- this\n\n## [1.2.2] - 2025-01-01\n\n- that\n"
    assert NOTES["notes"](text, "1.2.3") == "### Added\n\n- this\n"


def test_the_bill_of_materials_names_what_is_no_python_package() -> None:
    given = {"metadata": {"component": {"name": "mertag"}}, "components": [{"name": "numpy"}]}
    bill = BILL["complete"](given)
    assert bill["metadata"]["component"] == {"name": "mertag", "version": mertag.__version__}
    numpy, plot, model = json.loads(json.dumps(bill))["components"]
    assert (numpy["name"], plot["purl"], model["type"]) == ("numpy", "pkg:npm/uplot@1.6.32", "machine-learning-model")
    names = {path.name for path in (ROOT / "mertag/models/default").iterdir()}
    assert {part["name"] for part in model["components"]} == names
    assert all(len(part["hashes"][0]["content"]) == 64 for part in model["components"])


@pytest.mark.command
def test_a_tag_of_another_version_is_no_release(tmp_path: Path) -> None:
    if sys.platform == "win32" or shutil.which("bash") is None:
        pytest.skip("needs bash")
    done = subprocess.run(
        [str(ROOT / ".ci/release"), str(tmp_path / "dist"), str(tmp_path / "venv")],
        capture_output=True,
        text=True,
        env=os.environ | {"RELEASE_TAG": "v0.0.0"},
        check=False,
    )
    assert done.returncode == 1
    assert f"the tag v0.0.0 is not that of version {mertag.__version__}" in done.stderr
    assert list((tmp_path / "dist").iterdir()) == []
