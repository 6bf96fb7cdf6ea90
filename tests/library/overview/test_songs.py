"""The songs that are remembered: which files, with which emotion, and what their tags say by now."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import mutagen
import pytest
from distinct_songs import song
from remembered_library import KEY, MadeLibrary, course_of, emotion, made_library

from mertag.library.overview import songs as module
from mertag.library.overview.facts import Facts
from mertag.library.overview.songs import Remembered, remembered
from mertag.library.state.analyses import encode
from mertag.library.state.database import Database
from mertag.outcomes import Tagged

HAPPY, SAD = emotion(0.9, 0.9), emotion(0.2, 0.2)


@pytest.fixture
def library(tmp_path: Path) -> MadeLibrary:
    return MadeLibrary(tmp_path / "music", tmp_path / "state" / "s")


def found(library: MadeLibrary, *paths: Path, read: bool = False) -> Remembered:
    with Database(library.state) as database:
        return remembered(database, paths, read=read)


def test_songs_come_with_emotion_course_and_facts(library: MadeLibrary) -> None:
    facts = Facts(title="T", artist="A", genres=("G",), year=1999)
    path = library.add("a.flac", HAPPY, facts=facts, course=course_of(HAPPY))
    (only,) = found(library).songs
    assert (only.path, only.emotion, only.facts, only.course) == (path, HAPPY, facts, course_of(HAPPY))


def test_folders_choose_and_a_name_that_only_begins_alike_is_another_folder(library: MadeLibrary) -> None:
    for name in ("Live/a.flac", "Live 2/b.flac", "Live/sub/c.flac", "d.flac"):
        library.add(name, HAPPY)
    names = [only.path.name for only in found(library, library.folder / "Live").songs]
    assert names == ["a.flac", "c.flac"]
    assert [s.path.name for s in found(library, library.folder / "d.flac").songs] == ["d.flac"]
    twice = found(library, library.folder, library.folder / "Live", library.folder / "d.flac")
    assert len(twice.songs) == 4


def test_a_link_to_a_folder_leads_to_its_songs(library: MadeLibrary, tmp_path: Path) -> None:
    library.add("a.flac", HAPPY)
    (tmp_path / "link").symlink_to(library.folder, target_is_directory=True)
    assert len(found(library, tmp_path / "link").songs) == 1


def test_files_that_are_gone_or_changed_are_counted(library: MadeLibrary) -> None:
    library.add("gone.flac", HAPPY).unlink()
    library.add("changed.flac", SAD).write_bytes(b"longer")
    there = found(library)
    assert (there.gone, there.changed, [s.path.name for s in there.songs]) == (1, 1, ["changed.flac"])


def test_files_without_an_emotion_are_listed_with_their_reason(library: MadeLibrary) -> None:
    library.add("short.flac", None)
    library.add("bad.mp3", None, reason="failed: damaged after 3.0 s")
    library.add("odd.mka", None, reason="0123456789abcdef")
    assert {reason: len(files) for reason, files in found(library).without.items()} == {
        "too short": 1,
        "failed: damaged after 3.0 s": 1,
        "no tag format that mertag writes": 1,
    }


def test_of_several_models_the_one_that_heard_a_song_last_counts(library: MadeLibrary) -> None:
    path = library.add("a.flac", HAPPY)
    with Database(library.state) as database, database.transaction() as connection:
        later = encode(Tagged(index=0, path=path, emotion=SAD))
        (audio,) = connection.execute("SELECT audio FROM files").fetchone()
        connection.execute("INSERT INTO analyses VALUES (?, ?, ?, ?)", (audio, f"{KEY} windows=3", later, 1e9))
    assert [only.emotion for only in found(library).songs] == [SAD]


@pytest.mark.skipif(sys.platform != "linux", reason="file names that are no text")
def test_a_name_that_is_not_text_is_a_song_as_any_other(library: MadeLibrary) -> None:
    library.add(b"caf\xe9.flac", HAPPY)
    (only,) = found(library).songs
    assert os.fsencode(only.path.name) == b"caf\xe9.flac"


def test_facts_are_read_once_and_again_when_the_file_has_changed(
    library: MadeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = library.add("a.flac", HAPPY)
    opened: list[Path] = []

    def read(path: Path) -> Facts:
        opened.append(path)
        return Facts(title=f"{len(opened)}")

    monkeypatch.setattr(module, "read_facts", read)
    assert [found(library).songs[0].title, opened] == ["a", []]
    assert [found(library, read=True).songs[0].title for _ in range(2)] == ["1", "1"]
    path.write_bytes(b"other tags")
    assert found(library, read=True).songs[0].title == "2"
    assert opened == [path, path]


@pytest.mark.command
def test_facts_of_real_files_are_read_and_kept(library: MadeLibrary) -> None:
    path = song(library.folder / "a.flac")
    library.add("a.flac", HAPPY)
    file = mutagen.File(path)
    file["TITLE"] = "Real"
    file.save()
    assert found(library, read=True).songs[0].facts == Facts(title="Real")
    assert found(library, read=False).songs[0].facts == Facts(title="Real")


# Linux counts the memory of who starts a process as that process's own: it is started by a small one.
MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)  # forty thousand files
@pytest.mark.command
def test_forty_thousand_songs_take_seconds_and_little_memory(tmp_path: Path) -> None:
    library = made_library(tmp_path / "music", tmp_path / "s", 40_000)
    page = tmp_path / "library.html"
    for options in (["--json"], [], ["--html", str(page)]):
        words = [sys.executable, "-m", "mertag", "overview", "--state", str(library.state), *options]
        done = subprocess.run([sys.executable, "-c", MEASURED, *words], capture_output=True, text=True, check=True)
        assert "40000" in done.stdout + done.stderr
        of_processor_s, memory_kib = map(float, done.stdout.splitlines()[-1].split())
        assert of_processor_s < 5, options  # of one core: what else the machine does says nothing
        assert memory_kib < 300 * 1024, options
    assert page.stat().st_size < 12e6
