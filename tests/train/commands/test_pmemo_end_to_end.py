"""From a folder of PMEmo's layout to tagged files: train, export, tag, each as its own process."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mertag.emotion import Target
from mertag.library.tags import read_tags
from mertag_train.data.datasets import read

N = 60
RATE = 44_100
SOURCES = [str(Path(__file__).parents[3] / part) for part in ("", "train", "export")]


def write_pmemo(root: Path, *, n: int = N, duration_s: float = 8.0) -> Path:
    """Write clips whose level tells arousal and whose pitch tells valence, with PMEmo's tables beside them."""
    place = root / "PMEmo2019"
    (place / "annotations").mkdir(parents=True)
    (place / "chorus").mkdir()
    rng = np.random.default_rng(0)
    t = np.arange(round(duration_s * RATE)) / RATE
    ratings, songs = [], []
    for i in range(n):
        pleasant, lively = i % 2, i // 2 % 2
        tone = np.sign(np.sin(2 * np.pi * (880 if pleasant else 110) * t + i)) * (0.3 if lively else 0.01)
        noise = rng.normal(0, 0.05 if lively else 0.001, size=len(t))
        soundfile.write(place / "chorus" / f"{i + 1}.mp3", (tone + noise).astype(np.float32), RATE, format="MP3")
        valence, arousal = (0.3 + 0.5 * x + 0.1 * rng.random() for x in (pleasant, lively))
        ratings.append((i + 1, f"{arousal:.4f}", f"{valence:.4f}"))
        songs.append((i + 1, f"{i + 1}.mp3", f"Song {i}", f"Artist {i}"))
    for name, head, rows in (
        ("annotations/static_annotations.csv", ("musicId", "Arousal(mean)", "Valence(mean)"), ratings),
        ("metadata.csv", ("musicId", "fileName", "title", "artist"), songs),
    ):
        with (place / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([head, *rows])
    return root


def mertag(*args: object, here: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(SOURCES), "MERTAG_CONFIG": ""}
    environment.update(XDG_CACHE_HOME=str(here / "cache"), XDG_STATE_HOME=str(here / "state"))
    done = subprocess.run(
        [sys.executable, "-m", "mertag", *map(str, args)],
        cwd=here,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_the_generated_tables_are_read_as_pmemos(tmp_path: Path) -> None:
    dataset = read("pmemo", write_pmemo(tmp_path, n=8, duration_s=0.2))
    assert len(dataset.with_audio().songs) == 8
    assert dataset.counts(Target.VALENCE) == {"V-": 4, "V+": 4}
    assert dataset.counts(Target.QUADRANT) == {"Q1": 2, "Q2": 2, "Q3": 2, "Q4": 2}
    loud = dataset.songs[2]
    assert loud.targets[Target.AROUSAL] == 1
    assert loud.targets[Target.VALENCE] == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_pmemo_is_trained_exported_evaluated_and_tags_files(tmp_path: Path) -> None:
    data = write_pmemo(tmp_path / "data")
    options = ["--dataset", "pmemo", "--data-dir", data, "--budget", "small", "--log-mels", "log-mels"]
    mertag("train", *options, "--epochs", 5, "--out", "run", here=tmp_path)
    figures = json.loads((tmp_path / "run" / "metrics.json").read_text())["figures"]
    assert set(figures) >= {"valence", "arousal"}

    mertag("export", "run", "--out", "bundle", here=tmp_path)
    assert (tmp_path / "bundle" / "manifest.json").exists()

    library = tmp_path / "library"
    library.mkdir()
    for i in range(1, 7):
        shutil.copy(data / "PMEmo2019" / "chorus" / f"{i}.mp3", library)
    said = mertag("tag", library, "--model", "bundle", "--write-id3", "--jsonl", "-", here=tmp_path)
    assert len([json.loads(line) for line in said.stdout.splitlines()]) == 6
    for file in library.iterdir():
        tags = read_tags(file)
        assert tags["MERTAG_QUADRANT"][0] in ("Q1", "Q2", "Q3", "Q4")
        assert 0 <= float(tags["MERTAG_VALENCE"][0]) <= 1
        assert tags["MOOD"]

    cheap = ["--folds", 2, "--epochs", 1, "--segment", 1, "--target", "arousal", "--no-figures"]
    said = mertag("evaluate", *options, *cheap, "--method", "majority,features-svm,inherited-svm", here=tmp_path)
    rows = [line.split("\t") for line in said.stdout.splitlines()]
    accuracy = {row[1]: float(row[5]) for row in rows[1:]}
    assert list(accuracy) == ["majority", "features-svm", "inherited-svm"]
    assert accuracy["majority"] == pytest.approx(0.5, abs=0.05)
    assert accuracy["features-svm"] > 0.9
