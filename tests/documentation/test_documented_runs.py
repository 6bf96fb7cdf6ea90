"""The commands of each page, run from top to bottom in a home of its own, on music that is made here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import mutagen
import pytest
import soundfile
import tiny_bundle
from documented import ROOT, fences, lines_of

from mertag.listen.bundle import Bundle

pytestmark = pytest.mark.command

RATE_HZ, DURATION_S = 22_050, 6.0
SONGS = {
    "Abba/Waterloo.flac": ("ABBA", "Pop"),
    "Abba/Dancing Queen.ogg": ("ABBA", "Pop"),
    "Nina Simone/Sinnerman.mp3": ("Nina Simone", "Jazz"),
    "Nina Simone/Feeling Good.flac": ("Nina Simone", "Jazz"),
    "Live/Encore.flac": ("Nick Drake", "Folk"),
    "Live/River Man.wav": ("Nick Drake", "Folk"),
}
NOT_MERTAG = ("python", "pip ", "pytest ", "ray ", "just", "MERTAG_TEST_KILLS", "pre-commit")
"""What is not mertag's to run here: installers, benchmarks and tests, which have tests of their own."""
ELSEWHERE = {
    "mertag watch ~/Music --write-tags": "it never ends: tests/cli/test_watch_command.py",
    "mertag learn ~/Music --out ~/my-model": "it needs twenty corrections: tests/export/corrections",
    "mertag export": "it needs a training: tests/export/test_export_command.py",
    "mertag export runs/4q --out ~/my-model": "as above",
    "mertag tag ~/Music --model ~/my-model": "as above",
    "mertag import results.parquet": "it needs results of another machine: tests/cli/test_import_command.py",
    "mertag train --dataset 4q": "it needs the data set: tests/train/commands/test_train_command.py",
    "mertag evaluate --table 3 --group artist": "it needs results of a data set: tests/train/evaluation",
}
NEEDS = {
    "--data-dir DIR": "the data set",
    "s3://": "a store",
    "runs/ours": "a training of hours",
    "train --dataset folder": "a training of minutes (tests/train/commands/test_train_command.py)",
    "--out benchmarks/results": "results in the source tree (tests/benchmarks/test_committed_results.py)",
}
BEFORE = {
    "docs/undo.md": ["mertag tag ~/Music --write-tags"],
    "docs/evenings.md": ["mertag tag ~/Music"],
    "docs/scale.md": ["mertag tag ~/Music"],
    "docs/beets.md": ["beet import -qA ~/Music"],
}
"""What a page takes for granted."""


def shown(page: str) -> list[str]:
    return [line for fence in fences("sh") if fence.page == page for line in lines_of(fence)]


def is_run(line: str) -> bool:
    return not line.startswith(NOT_MERTAG) and line not in ELSEWHERE and not any(need in line for need in NEEDS)


PAGES = {page: list(filter(is_run, shown(page))) for page in dict.fromkeys(fence.page for fence in fences("sh"))}
RUN = {page: lines for page, lines in PAGES.items() if lines}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle.build(tmp_path_factory.mktemp("documented") / "tiny")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home with what the pages name: ~/Music, ~/Music/Live, song.flac, labelled songs, programs."""
    for seed, (name, (artist, genre)) in enumerate(SONGS.items()):
        song = tmp_path / "Music" / name
        song.parent.mkdir(parents=True, exist_ok=True)
        sound(song, seed)
        tags = mutagen.File(song, easy=True)
        if song.suffix != ".wav":
            tags["artist"], tags["title"], tags["genre"] = artist, song.stem, genre
            tags.save()
    shutil.copy(tmp_path / "Music" / "Abba" / "Waterloo.flac", tmp_path / "song.flac")
    for seed in range(12):
        song = tmp_path / "labelled" / f"Q{1 + seed % 4}" / f"{seed}.wav"
        song.parent.mkdir(parents=True, exist_ok=True)
        sound(song, 100 + seed)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, module in {"mertag": "mertag", "beet": "beets"}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
        (programs / name).chmod(0o755)
    settings = "".join(fence.text for fence in fences("yaml") if fence.page == "docs/beets.md")
    (tmp_path / "beets").mkdir()
    (tmp_path / "beets" / "config.yaml").write_text(f"{settings}\ndirectory: {tmp_path / 'Imported'}\n")
    return tmp_path


def sound(path: Path, seed: int) -> None:
    soundfile.write(path, tiny_bundle.music(int(RATE_HZ * DURATION_S), seed), RATE_HZ)


def run(line: str, home: Path, bundle: Bundle) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(str(ROOT / source) for source in (".", "train", "export"))
    ours = {
        "HOME": str(home),
        "PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": paths,
        "MERTAG_BUNDLE": str(bundle.folder),
        "BEETSDIR": str(home / "beets"),
        **{f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("STATE", "CONFIG", "CACHE", "DATA")},
    }
    command = ["bash", "-euo", "pipefail", "-c", line]
    return subprocess.run(command, cwd=home, env=os.environ | ours, capture_output=True, text=True, check=False)


@pytest.mark.skipif(shutil.which("bash") is None, reason="the commands are written for a shell")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_run_one_after_the_other(page: str, home: Path, bundle: Bundle) -> None:
    if page == "docs/beets.md":
        pytest.importorskip("beets")
    for line in [*BEFORE.get(page, []), *RUN[page]]:
        done = run(line, home, bundle)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def test_what_is_not_run_is_said_and_shown() -> None:
    lines = [line for page in PAGES for line in shown(page)]
    assert [line for line in ELSEWHERE if line not in lines] == []
    assert [need for need in NEEDS if not any(need in line for line in lines)] == []
    assert sum(map(len, RUN.values())) > 20
