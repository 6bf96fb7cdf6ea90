"""M3U8, read again by a strict reader, and by mpv where it is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from file_names import named
from remembered_library import emotion

from mertag.library.overview.facts import Facts
from mertag.library.overview.songs import Song
from mertag.library.playlists.m3u8 import listable, m3u8

NAMES = ["plain.wav", "#1 100%.wav", " spaces .wav", named("Ödland – 東京.wav"), "http:x.wav", "a:b.wav"]


def songs_in(folder: Path, names: list[str]) -> list[Song]:
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for name in names:
        path = folder / name
        soundfile.write(os.fsencode(path), np.sin(np.arange(800) * 0.3) * 0.1, 8000, format="WAV")
        facts = Facts(title="a title\x85of two lines", artist="Zoë")
        found.append(
            Song(
                place=os.fsencode(path),
                audio=os.fsencode(path),
                emotion=emotion(0.9, 0.9),
                course=b"",
                facts=facts,
            )
        )
    return found


def entries(playlist: bytes) -> list[tuple[int, str, bytes]]:
    """Read a playlist strictly: each file has its duration and its title, in the line before."""
    first, *lines = playlist.split(b"\n")
    assert first == b"#EXTM3U"
    assert lines.pop() == b""
    found = []
    while lines and lines[0].startswith((b"# ", b"#PLAYLIST:")):
        lines.pop(0)
    for info, path in zip(lines[::2], lines[1::2], strict=True):
        match = re.fullmatch(rb"#EXTINF:(\d+),(.*)", info)
        assert match, info
        assert not path.startswith(b"#")
        found.append((int(match[1]), match[2].decode(), path))
    return found


def test_relative_paths_lead_from_the_playlist_to_the_songs(tmp_path: Path) -> None:
    songs = songs_in(tmp_path / "music" / "A", NAMES)
    folder = tmp_path / "lists"
    folder.mkdir()
    read = entries(m3u8("Happy", songs, folder=folder))
    assert [(s, title) for s, title, _ in read] == [(200, "Zoë - a title of two lines")] * len(songs)
    for (_, _, path), song in zip(read, songs, strict=True):
        assert os.path.samefile(os.path.join(os.fsencode(folder), path), song.place)  # noqa: PTH118, PTH121  bytes


def test_a_playlist_beside_its_songs_has_no_name_that_reads_as_a_comment_or_an_address(tmp_path: Path) -> None:
    songs = songs_in(tmp_path, NAMES)
    paths = [path for _, _, path in entries(m3u8("Happy", songs, folder=tmp_path))]
    assert all(path.startswith(b"./") for path in paths)


def test_absolute_paths_are_the_songs_own(tmp_path: Path) -> None:
    songs = songs_in(tmp_path, NAMES)
    assert [path for _, _, path in entries(m3u8("Happy", songs, folder=None))] == [song.place for song in songs]


@pytest.mark.skipif(sys.platform != "linux", reason="file names that are no text")
def test_names_are_the_bytes_that_they_are_and_a_line_break_cannot_stand_in_a_playlist(tmp_path: Path) -> None:
    odd, broken = songs_in(tmp_path, [os.fsdecode(b"caf\xe9.wav"), "two\nlines.wav"])
    assert listable(odd)
    assert not listable(broken)
    read = entries(m3u8("Happy", [odd, broken], folder=None))
    assert [path for _, _, path in read] == [odd.place]


@pytest.mark.command
@pytest.mark.skipif(shutil.which("mpv") is None, reason="no mpv on this machine")
@pytest.mark.parametrize("absolute", [False, True])
def test_mpv_plays_the_songs_in_their_order(tmp_path: Path, absolute: bool) -> None:
    songs = songs_in(tmp_path / "music", NAMES)
    place = tmp_path / "happy.m3u8"
    place.write_bytes(m3u8("Happy", songs, folder=None if absolute else tmp_path))
    quiet = ["--no-config", "--ao=null", "--vo=null", "--length=0.01", "--msg-level=all=no", "--term-status-msg="]
    said = subprocess.run(
        ["mpv", *quiet, "--msg-level=term-msg=info", "--term-playing-msg=>${filename}", str(place)],
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert re.findall(r">(.*)", os.fsdecode(said.stdout + said.stderr)) == NAMES
