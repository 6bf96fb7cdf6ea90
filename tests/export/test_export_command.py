"""The words `mertag train`, `mertag export`, `mertag tag`, one after the other, and what stops them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import Made
from small_run import RATE_HZ, mertag, music_folder, small_networks, sound

import mertag as package
from mertag.emotion import QUADRANTS, Target
from mertag.listen.bundle import load_bundle
from mertag.listen.manifest import Precision
from mertag_export import run as export_steps
from mertag_train.runs import run as runs

pytestmark = pytest.mark.command

ROOT = Path(package.__file__).resolve().parents[1]


def test_the_bundle_lies_in_its_run_and_says_what_it_is(made: Made) -> None:
    manifest = made.bundle.manifest
    assert (manifest.name, manifest.version) == ("folder-ours", "1")
    assert manifest.dataset == "folder, 56 songs"
    assert manifest.segmentation.duration_s == 1.0
    assert [head.target for head in manifest.heads] == [Target.QUADRANT]
    assert set(manifest.segment) == set(Precision)
    assert manifest.shared == ()  # segments of 1 s, 1 s apart
    assert "mertag train --dataset folder" in manifest.training_command
    assert str(made.music) not in (made.bundle.folder / "manifest.json").read_text()
    measured = json.loads((made.run / "metrics.json").read_text())
    told = {key: measured[key] for key in ("cross_validation", "confidence")}
    assert manifest.metrics == {**measured["figures"], **told}


def test_the_weights_of_ones_own_music_are_not_called_research_only(made: Made) -> None:
    text = (made.bundle.folder / "LICENSE-WEIGHTS").read_text()
    assert "mertag claims no right in them" in text
    assert "research" not in text + made.bundle.manifest.licence


def test_every_comparison_is_printed_and_stands_in_the_card(made: Made) -> None:
    card = made.bundle.card()
    for what in ("fp32 against torch", "fp32 against librosa and torch", "ONNX against scikit-learn (quadrant)"):
        (line,) = (line for line in made.stderr.splitlines() if what in line)
        assert line.strip() in card
    for precision in ("int8", "fp16"):
        assert f"segments, {precision} against fp32, mean" in card
        assert re.search(rf"song decisions on \d+ songs, {precision} against fp32", card)
    assert "None" not in card
    assert "nan" not in card.split()


def test_nothing_but_the_line_to_go_on_with_is_printed_on_stdout(made: Made) -> None:
    (line,) = made.stdout.splitlines()
    words = shlex.split(line)
    assert words[:3] == ["mertag", "tag", "--model"]
    assert Path(words[3]).name == "bundle"


@pytest.mark.usefixtures("ready_graphs")
def test_json_is_the_bundle_and_every_comparison(made: Made, tmp_path: Path) -> None:
    code, out, err = mertag("export", made.run, "--out", tmp_path / "again", "--precision", "int8", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["path"], found["id"].partition("+")[0]) == (str(tmp_path / "again"), "folder-ours@1")
    assert f"bundle: {tmp_path / 'again'} ({found['id']})" in err
    assert len(found["checks"]) >= 4
    assert all(
        one["value"] >= one["limit"] if one["agreement"] else one["value"] <= one["limit"] for one in found["checks"]
    )
    assert shlex.split(found["next"])[:4] == ["mertag", "tag", "--model", str(tmp_path / "again")]


@pytest.mark.usefixtures("ready_graphs")
def test_int8_is_made_of_the_graph_that_shares_where_segments_overlap(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, shared = export_steps.export_segment, []

    def export_segment(graph: export_steps.SegmentGraph, *others: Any) -> None:
        shared.append(graph.shared_groups)
        ready(graph, *others)

    monkeypatch.setattr(export_steps, "export_segment", export_segment)
    monkeypatch.setattr(export_steps, "shared_groups", lambda segmentation: 2)
    code, _, err = mertag("export", made.run, "--out", tmp_path / "again", "--precision", "int8")
    assert code == 0, err
    assert shared == [0, 2]
    assert load_bundle(tmp_path / "again").manifest.shared == (Precision.INT8,)


def test_the_printed_line_tags_a_song(made: Made, tmp_path: Path) -> None:
    song = tmp_path / "song.flac"
    soundfile.write(song, sound(0, 999), RATE_HZ)
    words = shlex.split(made.stdout)[1:-1]
    done = subprocess.run(
        [sys.executable, "-m", "mertag", *words, str(song), "--device", "cpu", "--jsonl", "-"],
        capture_output=True,
        text=True,
        cwd=made.run.parents[1],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (record,) = map(json.loads, done.stdout.splitlines())
    assert record["status"] == "tagged"


def test_tagger_says_of_a_song_what_the_trained_run_says(made: Made) -> None:
    run = runs.load(made.run)
    unseen = sorted(i for i, fold in run.fold_of.items() if fold == "test")
    rows = (made.run / "predictions.quadrant.csv").read_text().splitlines()
    columns = [rows[0].split(",").index(f"song_classifier:{quadrant}") for quadrant in QUADRANTS]
    expected = {r.split(",")[0]: [float(r.split(",")[c]) for c in columns] for r in rows[1:]}
    assert set(expected) == set(unseen)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MERTAG_PRECISION", "fp32")
        with package.Tagger(made.bundle, device="cpu", workers=0) as tagger:
            for i in unseen:
                found = tagger.tag(made.music / i)
                np.testing.assert_allclose(found.quadrant_probabilities, expected[i], atol=1e-4)


def test_a_bundle_that_is_there_is_not_replaced_unasked(made: Made) -> None:
    before = (made.bundle.folder / "manifest.json").read_bytes()
    code, out, err = mertag("export", made.run)
    assert (code, out) == (2, "")
    assert "--overwrite" in err
    assert (made.bundle.folder / "manifest.json").read_bytes() == before


def test_an_unfinished_run_is_refused_with_the_way_to_finish_it(made: Made, tmp_path: Path) -> None:
    unfinished = tmp_path / "run"
    shutil.copytree(made.run, unfinished, ignore=shutil.ignore_patterns("metrics.json", "bundle"))
    code, _, err = mertag("export", unfinished)
    assert code == 3
    assert f"mertag train --resume {unfinished}" in err


def test_without_a_run_it_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = mertag("export")
    assert code == 2
    assert "mertag train" in err


@pytest.mark.usefixtures("ready_graphs")
def test_a_model_at_chance_is_exported_only_by_force(made: Made, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(made.run, run, ignore=shutil.ignore_patterns("bundle"))
    found = json.loads((run / "metrics.json").read_text())
    for judged in (found["figures"], found["cross_validation"]):
        if "quadrant" in judged:
            one = judged["quadrant"]["song_classifier"]
            one |= {"accuracy": 0.3, "accuracy_interval": [0.15, 0.5], "confusion": [[5, 0, 0, 0]] * 4, "n": 20}
    (run / "metrics.json").write_text(json.dumps(found))
    code, out, err = mertag("export", run)
    assert (code, out) == (3, "")
    assert f"{run}: quadrant: accuracy 0.300 (0.150–0.500) on 20 songs cannot be told from chance: always" in err
    assert "--force" in err
    assert not (run / "bundle").exists()
    with small_networks():
        code, _, err = mertag("export", run, "--force", "--precision", "int8")
    assert code == 0, err
    assert "mertag: warning: quadrant: accuracy 0.300" in err
    assert (run / "bundle" / "manifest.json").exists()


def moved_run(made: Made, folder: Path) -> Path:
    """Return a copy of the run that remembers a data set that is gone."""
    shutil.copytree(made.run, folder, ignore=shutil.ignore_patterns("bundle"))
    about = json.loads((folder / "run.json").read_text())
    about["dataset"]["root"] = str(folder / "gone")
    (folder / "run.json").write_text(json.dumps(about))
    return folder


def test_a_data_set_that_has_moved_is_asked_for(made: Made, tmp_path: Path) -> None:
    run = moved_run(made, tmp_path / "run")
    code, _, err = mertag("export", run)
    assert code == 3
    assert "--data-dir" in err
    assert str(run / "gone") in err
    assert sorted(p.name for p in run.iterdir()) == sorted(p.name for p in made.run.iterdir() if p.name != "bundle")


def test_other_music_in_its_place_is_not_taken_for_the_data_set(made: Made, tmp_path: Path) -> None:
    run = moved_run(made, tmp_path / "run")
    other = music_folder(tmp_path / "other", per_class=2)
    for path in sorted(other.rglob("*.flac")):
        path.rename(path.with_stem(f"other-{path.stem}"))
    code, _, err = mertag("export", run, "--data-dir", other)
    assert code == 3
    assert "none of the run's test songs" in err
    assert not (run / "bundle").exists()


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--precision", "int4", "int8, fp16, fp32"),
        ("--name", "my/model", "unsafe name"),
        ("--model-version", "1 beta", "unsafe name"),
        ("--licence", "/nowhere", "cannot be read"),
    ],
)
def test_a_wrong_option_is_said_before_anything_is_made(made: Made, option: str, value: str, says: str) -> None:
    code, out, err = mertag("export", made.run, "--out", made.run / "new", option, value)
    assert (code, out) == (2, "")
    assert says in err
    assert not (made.run / "new").exists()
