"""Results on a terminal: a line a song, by folder, 80 columns; an overview of many; and tab-separated in a pipe."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_tagger import emotion

from mertag.cli.results import elided, show_results
from mertag.emotion import Quadrant


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mertag.cli.console.stream_is_terminal", lambda name: True)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.usefixtures("terminal")
def test_one_line_a_song_grouped_by_folder(capsys: pytest.CaptureFixture[str]) -> None:
    long = "01 - " + "a very long title " * 6 + "(live).flac"
    songs = [Path("music/a/1.mp3"), Path("music/a") / long, Path("music/b/曲" + "名" * 40 + ".mp3")]
    show_results([(song, emotion(confidence=0.94)) for song in songs])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["music/a", "music/b"]
    assert len(lines) == 5
    assert all(len(line) <= 80 for line in lines)
    assert lines[1].endswith("Happy      94%  V 0.96  A 0.96")
    assert "…" in lines[2]
    assert "(live).flac" in lines[2]


@pytest.mark.usefixtures("terminal")
def test_more_than_200_songs_get_an_overview(capsys: pytest.CaptureFixture[str]) -> None:
    moods = [Quadrant.Q3] * 150 + [Quadrant.Q1] * 51
    show_results([(Path(f"{i}.mp3"), emotion(mood)) for i, mood in enumerate(moods)])
    said = capsys.readouterr()
    assert [line.split() for line in said.out.splitlines()] == [
        ["Sad", "150", "74.6%"],
        ["Happy", "51", "25.4%"],
        ["Angry", "0", "0.0%"],
        ["Relaxed", "0", "0.0%"],
    ]
    assert "--csv FILE" in said.err


def test_a_pipe_gets_every_song(capsys: pytest.CaptureFixture[str]) -> None:
    show_results([(Path(f"{i}.mp3"), emotion()) for i in range(300)])
    assert len(capsys.readouterr().out.splitlines()) == 301


def test_the_middle_is_left_out() -> None:
    assert elided("abcdefghij", 7) == "abc…hij"
    assert elided("abc", 7) == "abc"
    assert elided("abc", 5, pad=True) == "abc  "
