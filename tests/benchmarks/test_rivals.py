"""The benchmark of rivals: its rules on made-up answers, what counts as right, and what is left out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mertag.emotion import Quadrant, Target

ROOT = Path(__file__).resolve().parents[2]
Q1, Q2, Q3, Q4 = Quadrant
FOUR = {"a": Q1, "b": Q2, "c": Q3, "d": Q4}
VIBENET = """path,acousticness,danceability,energy,instrumentalness,liveness,speechiness,valence
/music/a.mp3,0.1,0.5,0.9,0.1,0.1,0.1,0.8
/music/b.mp3,0.1,0.5,0.8,0.1,0.1,0.1,0.7
"/music, and more/c.mp3",0.1,0.5,0.7,0.1,0.1,0.1,0.1
/music/d.mp3,0.1,0.5,0.2,0.1,0.1,0.1,0.75
"""
MERTAG = """path,status,reason,quadrant,label,confidence,valence,arousal
/music/a.mp3,tagged,,Q1,Happy,0.7,0.8,0.9
/music/b.mp3,skipped,silent,,,,,
"""


@pytest.fixture
def rivals(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import rivals

    return rivals


@pytest.fixture
def rules(rivals: Any) -> Any:
    import rival_rules

    return rival_rules


def test_vibenet_is_placed_by_valence_and_energy_at_half_and_at_its_medians(rules: Any) -> None:
    placed = rules.of_vibenet(rules.read_csv(VIBENET))
    assert placed["VibeNet, at 0.5"] == {"a": Q1, "b": Q1, "c": Q2, "d": Q4}
    assert placed["VibeNet, at its medians"] == {"a": Q1, "b": Q2, "c": Q3, "d": Q4}  # 0.725 and 0.75


def test_a_song_that_mertag_skipped_is_in_no_quadrant(rules: Any) -> None:
    assert rules.of_mertag(rules.read_csv(MERTAG)) == {"mertag": {"a": Q1}}


def test_sonara_is_placed_by_its_axes_and_by_the_largest_of_its_moods(rules: Any) -> None:
    moods = {"mood_happy": 0.2, "mood_aggressive": 0.1, "mood_sad": 0.3, "mood_relaxed": 0.9}
    said = rules.by_id({"/music/a.mp3": {"valence": 0.6, "energy": 0.3, **moods}, "/b.mp3": {**MOODS_OF_B}})
    placed = rules.of_sonara(said)
    assert placed["sonara, at 0.5"] == {"a": Q4, "b": Q2}
    assert placed["sonara, at its medians"] == {"a": Q4, "b": Q2}
    assert placed["sonara, its own moods"] == {"a": Q4, "b": Q3}


MOODS_OF_B = {
    "valence": 0.5,
    "energy": 0.9,  # 0.5 is not above 0.5
    "mood_happy": 0.2,
    "mood_aggressive": 0.1,
    "mood_sad": 0.3,
    "mood_relaxed": 0.1,
}


def tags(rules: Any, *scores: float) -> dict[str, float]:
    """Return a clip's tags: those of each quadrant have its score, all others are likelier than any."""
    from musicnn_tags import TAGS

    of = {tag: score for names, score in zip(rules.TAGS, scores, strict=True) for tag in names}
    return {tag: of.get(tag, 0.99) for tag in TAGS}


def test_musicnn_is_placed_by_the_mean_of_the_tags_of_a_quadrant(rules: Any) -> None:
    said = {
        "a": tags(rules, 0.2, 0.4, 0.05, 0.1),
        "b": tags(rules, 0.01, 0.4, 0.05, 0.3),
        "c": tags(rules, 0.1, 0.4, 0.1, 0.2),
    }
    placed = rules.of_musicnn(said)
    assert set(placed["musicnn, zero shot"].values()) == {Q2}  # however rare or many the tags of a quadrant are
    assert placed["musicnn, at its medians"] == {"a": Q1, "b": Q4, "c": Q3}


def test_each_tag_of_a_rule_is_one_that_musicnn_knows_and_stands_for_one_quadrant(rules: Any) -> None:
    from musicnn_tags import TAGS

    named = [tag for names in rules.TAGS for tag in names]
    assert set(named) <= set(TAGS)
    assert len(set(named)) == len(named)
    assert len(set(TAGS)) == 50


def test_the_probability_of_a_tag_is_the_mean_over_the_windows(rivals: Any) -> None:
    from musicnn_tags import probabilities

    logits = np.zeros((2, 50), dtype=np.float32)
    logits[:, 0] = (-100, 100)
    logits[:, 49] = np.log(3)
    found = probabilities(logits)
    assert found["rock"] == pytest.approx(0.5)
    assert found["happy"] == pytest.approx(0.75)


def test_a_clip_without_an_answer_is_wrong_and_the_axes_follow_from_the_quadrant(rivals: Any) -> None:
    row = rivals.judged("one", "all", {"a": Q1, "b": Q1, "c": Q2, "elsewhere": Q4}, FOUR)
    assert row.clips == 4
    assert row.right == {"quadrant": 1, "valence": 2, "arousal": 2}
    assert row.cells()[0] == "0.25 (0.05 to 0.70)"
    assert row.as_json()["valence"]["accuracy"] == 0.5


def test_mertags_cross_validation_comes_from_its_manifest(rivals: Any) -> None:
    def figures(accuracy: float) -> dict[str, Any]:
        return {"song_classifier": {"n": 40, "accuracy": accuracy}}

    views = {"quadrant": figures(0.7), "valence": figures(0.8), "arousal": figures(0.9)}
    row = rivals.cross_validated({"metrics": {"cross_validation": views}})
    assert (row.clips, dict(row.right)) == (40, {"quadrant": 28, "valence": 32, "arousal": 36})


@pytest.mark.parametrize("trained_on", ["4q, 719 songs", "pmemo, 3 songs", "4q"])
def test_mertag_is_not_judged_where_it_is_unknown_which_clips_it_has_learnt(rivals: Any, trained_on: str) -> None:
    songs = [SimpleNamespace(id=i, path=Path(i)) for i in ("a", "b", "c")]
    manifest = {"dataset": trained_on, "metrics": {"quadrant": {"song_classifier": {"n": 1}}}}
    assert "which were set aside?" in rivals.set_aside(SimpleNamespace(songs=songs), FOUR, manifest)


def test_the_clips_set_aside_are_the_last_part_of_the_recipes_split(rivals: Any) -> None:
    from mertag_train.data.datasets import Song

    songs = [
        Song(id=f"{i}", path=Path(f"{i}"), group=i, artist=f"artist {i // 2}", targets={Target.QUADRANT: i // 2 % 4})
        for i in range(160)
    ]
    labels = {song.id: list(Quadrant)[song.targets[Target.QUADRANT]] for song in songs}
    dataset = SimpleNamespace(songs=songs)
    manifest: dict[str, Any] = {"dataset": "4q, 160 songs", "metrics": {"quadrant": {"song_classifier": {"n": 16}}}}
    aside = rivals.set_aside(dataset, labels, manifest)
    assert len(aside) == 16
    assert aside.items() <= labels.items()
    assert all(str(int(clip) ^ 1) in aside for clip in aside)  # the other song of its artist
    some = dict(list(labels.items())[::3])
    assert rivals.set_aside(dataset, some, manifest) == {clip: aside[clip] for clip in aside if clip in some}
    manifest["metrics"]["quadrant"]["song_classifier"]["n"] = 17
    assert "trained by another one" in rivals.set_aside(dataset, labels, manifest)


def a_tool(rivals: Any, code: str, *, version: str = "1") -> Any:
    return rivals.Tool(
        name="tool",
        version=version,
        command=[sys.executable, "-c", code],
        answer=lambda done: rivals.read_csv(done.out),
        rows=lambda said: {"tool": {}},
    )


SPIN = "import time\nwhile time.process_time() < 0.4: pass\n"


@pytest.mark.command
def test_what_a_command_said_and_took_is_kept_for_these_clips_and_this_version(rivals: Any, tmp_path: Path) -> None:
    speak = SPIN + "print('path,valence'); print('/music/a.mp3,0.5')"
    said, cost = rivals.heard(a_tool(rivals, speak), FOUR, tmp_path)
    assert said == {"a": {"path": "/music/a.mp3", "valence": "0.5"}}
    assert 0.3 <= cost["cpu_s"] < 10
    assert cost["wall_s"] >= 0.3
    broken = a_tool(rivals, "raise SystemExit(1)")
    assert rivals.heard(broken, FOUR, tmp_path) == (said, cost)
    with pytest.raises(SystemExit, match="ended with 1"):
        rivals.heard(broken, {"a": Q1}, tmp_path)
    with pytest.raises(SystemExit, match="ended with 1"):
        rivals.heard(a_tool(rivals, "raise SystemExit(1)", version="2"), FOUR, tmp_path)


@pytest.mark.command
def test_processor_time_is_that_of_children_too(rivals: Any) -> None:
    from processes import measure

    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SPIN!r}], check=True)"
    assert measure([sys.executable, "-c", code], speaks=False).cpu_s >= 0.3


def test_a_rival_that_is_not_where_it_is_said_to_be_is_named(rivals: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no virtual environment .* holds vibenet"):
        rivals.version_in(tmp_path, "vibenet")


def test_rivals_without_an_environment_are_no_commands(rivals: Any, tmp_path: Path) -> None:
    given = argparse.Namespace(vibenet=None, sonara=None, data_dir=tmp_path, processors=1, every=1)
    names = [tool.name for tool in rivals.tools_of(given, tmp_path, [], tmp_path / "out.csv", "m 1")]
    assert names == ["mertag", "musicnn"]


def test_the_tables_show_each_method_once_and_name_who_is_left_out(rivals: Any) -> None:
    rows = [
        rivals.judged("mertag", rivals.ASIDE, {"d": Q4}, {"d": Q4}),
        rivals.judged("VibeNet", "all", {"a": Q1}, FOUR),
        rivals.judged("VibeNet", rivals.ASIDE, {"a": Q1}, {"d": Q4}),
    ]
    cost = {"version": "9", "cpu_s_per_clip": 0.25, "wall_s_per_clip": 0.5, "without_answer": 3}
    result = {"machine": "it", "clips": 4, "costs": {"VibeNet": cost}, "left_out": {"sonara": "no environment"}}
    text = rivals.as_markdown(result, rows)
    [mertag] = [line for line in text.splitlines() if line.startswith("| mertag")]
    [vibenet, costs] = [line for line in text.splitlines() if line.startswith("| VibeNet")]
    assert mertag.startswith("| mertag | 1 | 1.00 ")
    assert vibenet.startswith("| VibeNet | 4 | 0.25 ")
    assert vibenet.endswith("| 0.00 (0.00 to 0.79) |")
    assert costs == "| VibeNet | 9 | 0.250 | 0.500 | 3 of 4 |"
    assert "sonara is left out: no environment." in text
