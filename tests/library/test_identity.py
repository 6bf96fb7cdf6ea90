"""Which song a file holds: tags do not count, every sample and the format do."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from distinct_songs import song
from fake_tagger import emotion

from mertag.errors import FileError
from mertag.library import tags
from mertag.library.state.identity import Places, song_digest


@pytest.mark.parametrize("name", ["a.flac", "a.wav", "a.mp3", "a.ogg"])
def test_tags_do_not_change_the_digest_and_audio_does(tmp_path: Path, name: str) -> None:
    path = song(tmp_path / name)
    before, digest = song_digest(path)
    assert (before.st_size, before.st_mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns)
    tags.write_tags(path, emotion())
    assert song_digest(path)[1] == digest == bytes.fromhex(tags.audio_digest(path))
    assert song_digest(song(tmp_path / f"other {name}"))[1] != digest


def test_a_file_without_a_tag_format_is_known_by_all_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.mka"
    path.write_bytes(b"no container that mertag tags")
    _, digest = song_digest(path)
    path.write_bytes(b"no container that mertag tagz")
    assert song_digest(path)[1] != digest


@pytest.mark.parametrize("kind", ["WAV", "AIFF"])
def test_the_same_samples_at_another_rate_are_another_song(tmp_path: Path, kind: str) -> None:
    digests = set()
    for rate in (8000, 44_100):
        path = tmp_path / f"{rate}"
        soundfile.write(path, np.zeros(800, np.float32), rate, format=kind)
        digests.add(song_digest(path)[1])
    assert len(digests) == 2


def test_a_file_that_changes_while_it_is_read_is_no_known_song(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = song(tmp_path / "a.flac")
    real = tags.audio_digest

    def changed_meanwhile(path: Path) -> str:
        found = real(path)
        song(path, like="other")
        os.utime(path, ns=(1, 1))
        return found

    monkeypatch.setattr(tags, "audio_digest", changed_meanwhile)
    with pytest.raises(FileError, match="is changing it"):
        song_digest(path)


@pytest.mark.parametrize("name", ["gone.flac", ""])
def test_a_file_that_cannot_be_read_is_an_error_of_that_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        song_digest(tmp_path / name)


def test_places_are_real_paths_whatever_leads_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = song(tmp_path / "music" / "a.flac")
    (tmp_path / "link").symlink_to(tmp_path / "music")
    (tmp_path / "music" / "b.flac").symlink_to(path)
    monkeypatch.chdir(path.parent)
    places = Places()
    ways = [path, tmp_path / "link" / "a.flac", tmp_path / "music" / "b.flac", Path("a.flac"), Path("../music/a.flac")]
    for way in (*ways, *reversed(ways)):
        place, status = places.look(way)
        assert place == os.fsencode(os.path.realpath(path))
        assert status.st_size == path.stat().st_size
    with pytest.raises(OSError, match="gone"):
        places.look(path.parent / "gone.flac")


@pytest.mark.skipif(os.name != "posix", reason="roots of POSIX")
def test_a_song_at_the_root_of_everything_has_a_place() -> None:
    assert Places().look(Path("/tmp"))[0] == os.fsencode(os.path.realpath("/tmp"))
