"""The jobs in `examples/ci` do what they say: their shell lines, run as GitHub and GitLab run them.

`pip` is one that notes what it is to install: mertag is here already, from this checkout.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tiny_bundle
import yaml
from json_schemas import valid

from mertag.library.tags import read_tags

pytestmark = pytest.mark.command

ROOT = Path(__file__).resolve().parents[2]
CI = ROOT / "examples" / "ci"
Job = Callable[[], "list[subprocess.CompletedProcess[str]]"]


def song(path: Path) -> Path:
    """Write four seconds of noise, another for each name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(sum(path.name.encode())).normal(0, 0.1, 88_200)
    soundfile.write(path, noise.astype(np.float32), 22_050)
    return path


def github() -> tuple[list[str], dict[str, str]]:
    """Return the scripts of the steps that have one, and the job's variables."""
    (job,) = yaml.safe_load((CI / "github-workflow.yml").read_text())["jobs"].values()
    return [step["run"] for step in job["steps"] if "run" in step], job["env"]


def gitlab() -> tuple[list[str], dict[str, str]]:
    """Return the script of the job, and its variables."""
    (job,) = yaml.safe_load((CI / "gitlab-ci.yml").read_text()).values()
    return ["\n".join(job["script"])], job["variables"]


@pytest.fixture(params=[github, gitlab], ids=["github", "gitlab"])
def job(request: pytest.FixtureRequest, tmp_path: Path) -> Job:
    """Return a function that runs a job in a folder with the model of the tests; it gives each step as it ended."""
    scripts, variables = request.param()
    tiny_bundle.build(tmp_path / "model")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {
        "mertag": f'exec "{sys.executable}" -m mertag "$@"',
        "python": f'exec "{sys.executable}" "$@"',
        "pip": f'echo "$@" >> "{tmp_path / "installed"}"',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    (tmp_path / "checkout").mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MERTAG_")},
        **variables,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "MERTAG_BUNDLE": str(tmp_path / "model"),
        "MERTAG_CONFIG": "",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }
    bash = shutil.which("bash")
    assert bash

    def run() -> list[subprocess.CompletedProcess[str]]:
        words = [bash, "--noprofile", "--norc", "-eo", "pipefail", "-c"]
        return [
            subprocess.run(
                [*words, script],
                cwd=tmp_path / "checkout",
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            for script in scripts
        ]

    return run


def codes(steps: list[subprocess.CompletedProcess[str]]) -> list[int]:
    return [step.returncode for step in steps]


def moods(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "moods.json").read_text())
    assert valid(found, "report")
    return found


def test_the_job_tags_the_music_and_the_next_one_hears_only_what_is_new(job: Job, tmp_path: Path) -> None:
    folder = tmp_path / "checkout"
    song(folder / "music" / "one.flac")
    song(folder / "music" / "two.flac")
    steps = job()
    assert set(codes(steps)) == {0}, steps
    assert (tmp_path / "installed").read_text() == "install mertag\n"
    found = moods(folder)
    assert (found["summary"]["found"], found["summary"]["tagged"]) == (2, 2)
    for one in found["files"]:
        assert read_tags(folder / one["path"])["MOOD"] == (one["emotion"]["label"],)
    with (folder / "moods.csv").open() as file:
        labels = {row["path"]: row["label"] for row in csv.DictReader(file)}
    assert labels == {one["path"]: one["emotion"]["label"] for one in found["files"]}

    song(folder / "music" / "three.flac")
    assert set(codes(job())) == {0}
    assert (moods(folder)["summary"]["tagged"], moods(folder)["summary"]["unchanged"]) == (1, 2)


def test_a_song_that_fails_makes_the_job_fail_and_the_results_are_there(job: Job, tmp_path: Path) -> None:
    folder = tmp_path / "checkout"
    whole = song(folder / "music" / "good.flac").read_bytes()
    (folder / "music" / "damaged.flac").write_bytes(whole[: len(whole) // 3])
    steps = job()
    (tags,) = (step for step in steps if "mertag tag" in step.args[-1])
    assert tags.returncode == 1
    assert [step.returncode for step in steps if step is not tags] == [0] * (len(steps) - 1)
    assert (moods(folder)["summary"]["tagged"], moods(folder)["summary"]["failed"]) == (1, 1)
    if len(steps) > 1:  # GitHub's page of the run
        assert "| failed | 1 |" in (tmp_path / "summary.md").read_text()


def test_what_comes_after_a_failure_is_said_to() -> None:
    (job,) = yaml.safe_load((CI / "github-workflow.yml").read_text())["jobs"].values()
    tagging = next(i for i, step in enumerate(job["steps"]) if "mertag tag" in step.get("run", ""))
    assert {step.get("if") for step in job["steps"][tagging + 1 :]} == {"always()"}
    # `actions/cache` by itself saves nothing after a failure.
    (restore,) = (step for step in job["steps"][:tagging] if "actions/cache/restore@" in step.get("uses", ""))
    (save,) = (step for step in job["steps"][tagging:] if "actions/cache/save@" in step.get("uses", ""))
    assert all(save["with"][word] == restore["with"][word] for word in ("path", "key"))
    (job,) = yaml.safe_load((CI / "gitlab-ci.yml").read_text()).values()
    assert job["artifacts"]["when"] == job["cache"]["when"] == "always"


def test_a_job_that_hears_nothing_is_not_taken_for_one_that_does(job: Job, tmp_path: Path) -> None:
    steps = job()  # there is no folder music
    (tags,) = (step for step in steps if "mertag tag" in step.args[-1])
    assert tags.returncode == 2
    assert "no such file or folder" in tags.stderr
