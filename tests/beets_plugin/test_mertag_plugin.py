"""The plugin in a real beets, called as a user calls it, on real files, with a small real model."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile
import tiny_bundle
from mutagen.easyid3 import EasyID3
from mutagen.id3 import ID3, TMOO

from mertag.library.tags import read_tags

pytest.importorskip("beets")
pytestmark = pytest.mark.command

Beet = Callable[..., subprocess.CompletedProcess[str]]
SETTINGS = """
directory: {music}
library: {folder}/library.db
plugins: [mertag]
import: {{copy: yes, write: yes, autotag: no, quiet: yes, resume: no, log: null}}
paths: {{default: "$artist/$title", singleton: "$artist/$title", comp: "$artist/$title"}}
mertag: {{model: {model}, state: {folder}/state.sqlite, device: cpu, threads: 1{more}}}
"""


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_bundle.build(folder / "tiny")
    return folder / "tiny"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where each test has its library: one place, for a library of beets knows its songs by their paths."""
    return tmp_path_factory.mktemp("beets") / "home"


@pytest.fixture(scope="module")
def any_beet(home: Path, model: Path) -> Beet:
    """Return a function that calls beets with the library that is there."""

    def call(*args: str, more: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        settings = SETTINGS.format(music=home / "music", folder=home, model=model, more=more)
        (home / "config.yaml").write_text(settings)
        result = subprocess.run(
            [sys.executable, "-m", "beets", *args],
            env={**os.environ, "BEETSDIR": str(home)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert result.returncode == code, result.stdout + result.stderr
        assert "Traceback" not in result.stderr
        return result

    return call


@pytest.fixture
def beet(home: Path, any_beet: Beet) -> Beet:
    """Return `any_beet`, with an empty library."""
    shutil.rmtree(home, ignore_errors=True)
    (home / "music").mkdir(parents=True)
    return any_beet


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where libraries are kept, as they are when the songs have arrived."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def imported(beet: Beet, arriving: Path, home: Path, kept: Path) -> None:
    """Have a library of the songs that arrived, heard on import."""
    arrived(beet, arriving, home, kept / "heard")


@pytest.fixture
def unheard(beet: Beet, arriving: Path, home: Path, kept: Path) -> None:
    """Have a library of the songs that arrived, and no moods."""
    arrived(beet, arriving, home, kept / "unheard", more=", auto: no")


def arrived(beet: Beet, arriving: Path, home: Path, kept: Path, **settings: str) -> None:
    """Import the songs, or lay the same library there once more."""
    if kept.exists():
        shutil.rmtree(home)
        shutil.copytree(kept, home)
    else:
        beet("import", str(arriving), **settings)
        shutil.copytree(home, kept)


@pytest.fixture
def arriving(tmp_path: Path) -> Path:
    """Return a folder with an MP3, a FLAC and a file too short to have a mood."""
    folder = tmp_path / "arriving"
    folder.mkdir()
    noise = np.random.default_rng(0).normal(0, 0.1, 22_050 * 3).astype(np.float32)
    soundfile.write(folder / "one.mp3", noise, 22_050, format="MP3")
    soundfile.write(folder / "two.flac", np.sin(np.arange(66_150) / 9).astype(np.float32) / 2, 22_050)
    soundfile.write(folder / "short.flac", noise[:4000], 22_050)
    for number, path in enumerate(sorted(folder.iterdir())):
        tags = EasyID3() if path.suffix == ".mp3" else mutagen.File(path)
        tags["title"], tags["artist"], tags["album"] = path.stem, "Somebody", "Album"
        tags["tracknumber"] = str(number + 1)
        tags.save(path)
    return folder


def fields(beet: Beet, query: str = "") -> dict[str, list[str]]:
    lines = beet("ls", "-f", "$title|$mood|$valence|$arousal|$mood_confidence", *query.split()).stdout.splitlines()
    return {line.split("|")[0]: line.split("|")[1:] for line in lines}


def test_an_import_hears_and_tags_what_it_copies_and_leaves_the_originals(
    beet: Beet, arriving: Path, home: Path
) -> None:
    before = {path.name: path.read_bytes() for path in arriving.iterdir()}
    beet("import", str(arriving))
    found = fields(beet)
    assert found["short"][0] in ("", "$mood")
    for title, name in (("one", "one.mp3"), ("two", "two.flac")):
        tags = read_tags(home / "music" / "Somebody" / name)
        assert tags["MOOD"] == (found[title][0],)
        assert float(tags["MERTAG_VALENCE"][0]) == pytest.approx(float(found[title][1]), abs=0.002)
    assert {path.name: path.read_bytes() for path in arriving.iterdir()} == before


@pytest.mark.usefixtures("imported")
def test_queries_know_the_types_of_the_fields(beet: Beet) -> None:
    found = {title: values for title, values in fields(beet).items() if title != "short"}
    for title, (mood, valence, _, confidence) in found.items():
        low, high = float(valence) - 0.01, float(valence) + 0.01
        assert title in fields(beet, f"mood:{mood} valence:{low:.3f}..{high:.3f}")
        assert title not in fields(beet, f"valence:{high:.3f}..")
        assert title in fields(beet, f"mood_confidence:..{float(confidence) + 0.01:.3f}")
    order = [line for line in beet("ls", "-f", "$title", "valence:0..", "valence+").stdout.splitlines() if line]
    assert order == sorted(found, key=lambda title: float(found[title][1]))


@pytest.mark.usefixtures("unheard")
def test_the_command_goes_through_the_library_once_and_then_has_nothing_to_do(beet: Beet, home: Path) -> None:
    path = home / "music" / "Somebody" / "one.mp3"
    assert read_tags(path) == {}
    assert "sure" in beet("mertag", "-p", "title:one", more=", auto: no").stdout
    assert read_tags(path) == {}
    assert fields(beet)["one"][0] in ("", "$mood")
    beet("mertag", "-W", "title:one")
    assert read_tags(path) == {}
    assert fields(beet)["one"][0] not in ("", "$mood")
    beet("mertag", "title:one")
    assert read_tags(path)["MOOD"] == (fields(beet)["one"][0],)
    written = path.stat().st_mtime_ns
    beet("mertag")
    assert path.stat().st_mtime_ns == written
    assert beet("mertag", "-W", "title:one").stdout == ""  # it has its fields
    assert "one" in beet("mertag", "-W", "-f", "title:one").stdout


@pytest.mark.usefixtures("imported")
def test_the_fields_outlive_update_move_and_modify(beet: Beet, home: Path) -> None:
    before = fields(beet)
    assert beet("update").stdout == ""  # mertag's own write is no change for beets
    beet("modify", "-y", "title:one", "artist=Somebody Else")
    moved = home / "music" / "Somebody Else" / "one.mp3"
    beet("move")
    assert moved.exists()
    assert read_tags(moved)["MOOD"] == (before["one"][0],)
    os.utime(moved)
    beet("update")
    beet("write", "-f")
    assert fields(beet) == before
    assert read_tags(moved)["MERTAG_MODEL"]
    beet("mertag")
    assert fields(beet) == before


def test_a_mood_of_the_owners_stays_in_the_file_and_is_what_beets_shows(beet: Beet, arriving: Path) -> None:
    tags = ID3(arriving / "one.mp3")
    tags.add(TMOO(encoding=3, text="Dreamy"))
    tags.save()
    beet("import", str(arriving))
    assert fields(beet)["one"][0] == "Dreamy"
    beet("modify", "-y", "title:two", "mood=Wistful")
    beet("mertag")
    assert fields(beet)["two"][0] == "Wistful"
    beet("mertag", "-f", "title:two")
    assert fields(beet)["two"][0] != "Wistful"


@pytest.mark.usefixtures("unheard")
def test_a_damaged_song_is_named_and_the_others_are_tagged(beet: Beet, home: Path) -> None:
    broken = home / "music" / "Somebody" / "two.flac"
    broken.write_bytes(broken.read_bytes()[:200])
    result = beet("mertag", code=1)
    assert "two: failed" in result.stdout
    assert fields(beet)["one"][0] not in ("", "$mood")


def test_every_option_of_the_tags_reaches_the_file(beet: Beet, arriving: Path, home: Path) -> None:
    beet("import", str(arriving), more=", scale: 100, comment_field: yes")
    tags = read_tags(home / "music" / "Somebody" / "one.mp3")
    assert tags["MERTAG_VALENCE"][0].isdigit()
    assert tags["COMMENT"] == tags["MOOD"]


@pytest.mark.usefixtures("unheard")
def test_a_setting_that_cannot_be_is_an_error_and_no_traceback(beet: Beet) -> None:
    assert "give 1 or 100" in beet("mertag", more=", scale: 3", code=1).stderr
    assert "mertag" in beet("mertag", more=", model: /nowhere/else", code=1).stderr


@pytest.mark.usefixtures("unheard")
def test_undo_takes_the_writes_of_beets_back(beet: Beet, home: Path) -> None:
    path = home / "music" / "Somebody" / "one.mp3"
    old = path.read_bytes()
    beet("mertag")
    assert path.read_bytes() != old
    mertag = shutil.which("mertag") or str(Path(sys.executable).with_name("mertag"))
    subprocess.run([mertag, "undo", "--yes", "--state", str(home / "state.sqlite")], check=True)
    assert path.read_bytes() == old
