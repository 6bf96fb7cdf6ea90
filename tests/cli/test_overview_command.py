"""`mertag overview`: text, JSON and the page; and the short form at the end of a run that tags."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Run
from distinct_songs import song
from json_schemas import valid
from remembered_library import MadeLibrary, made_library


@pytest.fixture
def library(tmp_path: Path) -> MadeLibrary:
    return made_library(tmp_path / "music", tmp_path / "s", 60)


def test_the_text_is_on_stdout_and_analyses_nothing(mertag: Run, library: MadeLibrary) -> None:
    result = mertag("overview", library.folder, "--state", library.state)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("60 songs with an emotion, heard by made@1+00000000\n")


def test_the_folder_that_all_lie_in_is_said_once(mertag: Run, library: MadeLibrary) -> None:
    lines = mertag("overview", library.folder, "--state", library.state, "--top", 500).stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("folder "))
    assert lines[at - 1] == f"under {library.folder.resolve()}"
    names = [line[:34].rstrip() for line in lines[at + 1 : lines.index("", at)]]
    assert len(names) > 1
    for name in names:
        assert "…" in name or (library.folder / name).is_dir()
    assert sum(str(library.folder) in line for line in lines) == 1


def test_json_has_all_of_it(mertag: Run, library: MadeLibrary) -> None:
    result = mertag("overview", library.folder, "--state", library.state, "--json")
    found = json.loads(result.stdout)
    assert valid(found, "overview")
    assert sum(group["songs"] for group in found["by_artist"]) == found["songs"] == 60


def test_the_page_replaces_a_page_and_nothing_else(mertag: Run, library: MadeLibrary, tmp_path: Path) -> None:
    place = tmp_path / "library.html"
    assert mertag("overview", "--state", library.state, "--html", place).exit_code == 0
    first = place.read_bytes()
    again = mertag("overview", "--state", library.state, "--html", place)
    assert (again.exit_code, again.stdout, place.read_bytes()) == (0, "", first)
    for other in ("<!DOCTYPE html><p>mine</p>", "ID3"):
        place.write_text(other)
        refused = mertag("overview", "--state", library.state, "--html", place)
        assert refused.exit_code == 2
        assert "no page of mertag's" in refused.stderr
        assert place.read_text() == other
    assert mertag("overview", "--html", tmp_path).exit_code == 2
    assert mertag("overview", "--html", tmp_path / "none" / "x.html").exit_code == 2


def test_where_nothing_is_remembered_that_is_said(mertag: Run, tmp_path: Path) -> None:
    result = mertag("overview", tmp_path, "--json")
    assert result.exit_code == 0
    assert "no song is remembered of these" in result.stderr
    assert json.loads(result.stdout)["songs"] == 0
    assert not list(Path(tmp_path).iterdir())


def test_what_does_not_exist_is_a_mistake(mertag: Run, tmp_path: Path) -> None:
    assert mertag("overview", tmp_path / "none").exit_code == 2
    result = mertag("overview", "--state", tmp_path / "none")
    assert result.exit_code == 2
    assert not (tmp_path / "none").exists()
    flac = song(tmp_path / "a.flac")
    assert "this is a song" in mertag("overview", "--state", flac).stderr


@pytest.mark.command
def test_a_run_that_tags_ends_with_the_short_form_and_its_report_has_all(mertag: Run, tmp_path: Path) -> None:
    for name in ("q1_a.flac", "q2_b.flac", "short_c.flac"):
        song(tmp_path / "music" / name)
    report = tmp_path / "report.json"
    result = mertag("tag", tmp_path / "music", "--write-id3", "--report", report)
    assert "`mertag overview` says more of it" in result.stderr
    found = json.loads(report.read_text())
    assert valid(found, "report")
    assert found["overview"]["songs"] == 2
    assert found["overview"]["without"][0]["reason"] == "too short"
    assert valid(found["overview"], "overview")
    later = json.loads(mertag("overview", tmp_path / "music", "--json").stdout)
    assert later == found["overview"]
    mertag("tag", tmp_path / "music", "--no-state", "--report", report)
    assert json.loads(report.read_text())["overview"] is None


@pytest.mark.command
def test_the_facts_of_tagged_songs_are_known_without_opening_them(
    mertag: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    song(tmp_path / "q1_a.flac")
    mertag("tag", tmp_path, "--write-id3")

    def never(path: Path) -> None:
        raise AssertionError(f"{path} was opened")

    monkeypatch.setattr("mertag.library.overview.songs.read_facts", never)
    assert mertag("overview", tmp_path).stdout.startswith("1 song with an emotion")
