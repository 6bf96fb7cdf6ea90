"""`mertag playlists`: files by mood, formats, ways over the map, and second runs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from file_names import named
from remembered_library import MadeLibrary, made_library
from typer.testing import CliRunner, Result

from mertag.cli.app import app

Run = Callable[..., Result]


@pytest.fixture
def library(tmp_path: Path) -> MadeLibrary:
    return made_library(tmp_path / "music", tmp_path / "s", 120)


@pytest.fixture
def mertag(monkeypatch: pytest.MonkeyPatch, library: MadeLibrary, tmp_path: Path) -> Run:
    monkeypatch.setenv("MERTAG_CONFIG", "")
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_: Path("/nowhere"))
    fixed = ["playlists", "--state", str(library.state), "--out", str(tmp_path / "lists")]
    return lambda *args: CliRunner().invoke(app, [*fixed, *map(str, args)])


def entries(path: Path) -> list[Path]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(path.parent / line).resolve() for line in lines if not line.startswith("#")]


def states(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return which file each path is, and when it was changed."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_each_mood_has_a_playlist_and_each_song_is_in_one(mertag: Run, library: MadeLibrary, tmp_path: Path) -> None:
    result = mertag(library.folder)
    assert (result.exit_code, result.stderr) == (0, "")
    lists = sorted((tmp_path / "lists").iterdir())
    assert [path.name for path in lists] == ["Angry.m3u8", "Happy.m3u8", "Relaxed.m3u8", "Sad.m3u8"]
    listed = [song for path in lists for song in entries(path)]
    assert sorted(listed) == sorted(path.resolve() for path in library.folder.rglob("*.flac"))


def test_a_second_run_changes_nothing(mertag: Run, tmp_path: Path) -> None:
    assert mertag("--format", "all").exit_code == 0
    before = states(tmp_path / "lists")
    assert len(before) == 4 + 4 + 4 + 3
    again = mertag("--format", "all")
    assert {line.rpartition(", ")[2] for line in again.stdout.splitlines()} == {"unchanged"}
    assert states(tmp_path / "lists") == before


def test_a_dry_run_writes_nothing(mertag: Run, tmp_path: Path) -> None:
    result = mertag("--dry-run", "--limit", 3)
    assert result.stdout.splitlines()[0].endswith("Happy.m3u8: 3 songs, would be written")
    assert not (tmp_path / "lists").exists()


def test_paths_may_be_absolute_and_moods_have_names_of_their_own(
    mertag: Run, library: MadeLibrary, tmp_path: Path
) -> None:
    names = tmp_path / "names.toml"
    names.write_text('Q1 = "Fröhlich"\n', encoding="utf-8")
    assert mertag("--absolute", "--labels", names, "--format", "m3u8,nsp").exit_code == 0
    text = (tmp_path / "lists" / named("Fröhlich.m3u8")).read_text(encoding="utf-8")
    assert f"\n{library.folder.resolve()}/" in text
    assert (tmp_path / "lists" / named("Fröhlich.nsp")).exists()


def test_playlists_follow_how_tags_were_written(mertag: Run, tmp_path: Path) -> None:
    result = mertag("--balanced", "So So", "--scale", 100, "--format", "m3u8,nsp,foobar2000", "--valence", "0.3..")
    assert result.exit_code == 0
    assert len(entries(tmp_path / "lists" / "So So.m3u8")) > 0
    assert '"gt": {\n        "mertag_valence": 29.5' in (tmp_path / "lists" / "So So.nsp").read_text()
    assert "%mertag_valence% GREATER 29" in (tmp_path / "lists" / "foobar2000.txt").read_text()
    assert mertag("--scale", 10).exit_code == 2


def test_a_way_over_the_map_is_one_playlist(mertag: Run, tmp_path: Path) -> None:
    result = mertag("--from", "calm", "--to", "lively", "--limit", 12)
    assert result.exit_code == 0
    (path,) = (tmp_path / "lists").iterdir()
    assert path.name == "calm to lively.m3u8"
    artists = [song.parts[-3] for song in entries(path)]
    assert len(artists) == 12
    assert all(a != b for a, b in pairwise(artists))
    short = mertag("--from", "calm", "--to", "lively", "--limit", 999)
    assert "of 999 songs" in short.stderr


def test_what_a_format_cannot_say_is_said(mertag: Run) -> None:
    result = mertag("--format", "xsp,beets", "--min-confidence", 0.6, "--limit", 5)
    assert "xsp: its player knows the mood alone" in result.stderr
    assert "beets: its rules cannot say how many" in result.stderr
    assert "xsp" not in mertag("--format", "xsp").stderr


@pytest.mark.parametrize(
    "args",
    [
        ["--from", "calm"],
        ["--from", "calm", "--to", "nowhere"],
        ["--from", "calm", "--to", "lively", "--format", "nsp"],
        ["--valence", "high"],
        ["--format", "wpl"],
        ["--min-confidence", "60"],
        ["/does/not/exist"],
    ],
)
def test_what_cannot_be_is_a_mistake_of_usage_and_writes_nothing(mertag: Run, tmp_path: Path, args: list[str]) -> None:
    assert mertag(*args).exit_code == 2
    assert not (tmp_path / "lists").exists()


def test_someone_elses_playlist_is_left_alone(mertag: Run, tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "Happy.m3u8").write_text("#EXTM3U\nmine.mp3\n")
    result = mertag()
    assert result.exit_code == 2
    assert "mertag did not make it" in result.stderr
    assert (tmp_path / "lists" / "Happy.m3u8").read_text() == "#EXTM3U\nmine.mp3\n"


def test_the_folder_must_be_named_and_be_a_folder(mertag: Run, tmp_path: Path) -> None:
    (tmp_path / "lists").write_text("a file")
    assert mertag().exit_code == 2
    assert CliRunner().invoke(app, ["playlists"]).exit_code == 2


def test_a_playlist_that_cannot_be_written_is_no_mistake_of_usage(mertag: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mertag.library.playlists.write.write_whole", full)
    result = mertag()
    assert result.exit_code == 3
    assert "Happy.m3u8: could not be written: No space left on device" in result.stderr
