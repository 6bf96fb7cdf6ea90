"""The awkward files that were reported: outcome, and what three readers see before, after a write and taken back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from three_readers import assert_nothing_hidden, three_readers

from mertag.emotion import SongEmotion
from mertag.library.state.delta import make_delta, old_pieces, read_pieces
from mertag.library.tags import audio_digest, read_tags, remove_tags, write_tags
from mertag.listen.decode.audio import decode_all
from mertag.listen.windows import FrontEnd

pytestmark = [pytest.mark.realdata, pytest.mark.command]

FILES = {  # the container in which each is written, and how many tags of others TagLib, FFmpeg and mutagen see before
    "audacity-crc.mp3": ("MP3 (ID3v2.4)", 5, 5, 5),
    "dts-in.wav": ("WAV (ID3v2.4)", 0, 0, 0),
    "free-format.mp3": ("MP3 (ID3v2.4)", 0, 1, 0),
    "id3-after-form-end.aiff": ("AIFF (ID3v2.3)", 5, 0, 0),
    "id3v1-only.mpc": ("Musepack (APEv2)", 7, 0, 0),
    "id3v2-front-and-no-ape.ape": ("Monkey's Audio (APEv2)", 0, None, 0),  # FFmpeg 8.0 sees three, 8.1 none
    "junk-before-id3.mp3": ("MP3 (ID3v2.4)", 5, 0, 0),
    "mp3ext-padding.mp3": ("MP3 (ID3v2.3)", 5, 5, 5),
    "one-nan.wav": ("WAV (ID3v2.4)", 0, 0, 0),
    "phase-inverted.wav": ("WAV (ID3v2.4)", 0, 0, 0),
    "realjukebox.mp3": ("MP3 (ID3v2.3)", 0, 0, 0),
    "riff-size-8-too-small.wav": ("WAV (ID3v2.4)", 0, 0, 0),
    "riff-size-is-file-size.wav": ("WAV (ID3v2.4)", 0, 0, 0),
}


@pytest.mark.parametrize("name", FILES)
def test_an_awkward_file_is_heard_written_and_given_back(
    name: str, real_data: Path, tmp_path: Path, happy: SongEmotion
) -> None:
    path = Path(shutil.copyfile(real_data / "awkward-files" / name, tmp_path / name))
    container, *counts = FILES[name]
    old, before, fields, digest = path.read_bytes(), three_readers(path), dict(read_tags(path)), audio_digest(path)
    for reader, count in zip(("TagLib", "FFmpeg", "mutagen"), counts, strict=True):
        assert count is None or len(before[reader]) == count
    heard = decode_all(path)
    assert 3 < len(heard) / FrontEnd().sample_rate < 4.2
    deltas: list[bytes] = []

    def note(one: Path, other: Path) -> None:
        with one.open("rb") as a, other.open("rb") as b:
            deltas.append(make_delta(a, b))

    assert write_tags(path, happy, before_replace=note).container == container
    assert_nothing_hidden(before, three_readers(path))
    assert audio_digest(path) == digest
    assert len(decode_all(path)) == pytest.approx(len(heard), abs=600)  # FFmpeg takes ID3v1 for a last frame of an MPC

    with path.open("rb") as new:
        assert b"".join(read_pieces(old_pieces(deltas[0], new), new)) == old  # what undo gives back

    remove_tags(path)
    assert_nothing_hidden(before, three_readers(path))
    assert read_tags(path) == fields


def test_no_awkward_file_is_left_out_here(real_data: Path) -> None:
    assert {path.name for path in (real_data / "awkward-files").iterdir() if path.is_file()} == set(FILES)
