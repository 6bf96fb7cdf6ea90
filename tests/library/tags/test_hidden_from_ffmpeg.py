"""Tags at the end of AAC and True Audio, which FFmpeg shows in place of an ID3v2 tag in front; and an ASF miscount."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from crafted_songs import ape_tag, id3v1, id3v22
from mutagen.asf import ASF
from three_readers import assert_nothing_hidden, three_readers

from mertag.emotion import SongEmotion
from mertag.library.tags import audio_digest, read_tags, remove_tags, write_tags

pytestmark = pytest.mark.usefixtures("fast_disk")
Song = Callable[[str], Path]


def written_and_removed(path: Path, happy: SongEmotion) -> None:
    before, digest = three_readers(path), audio_digest(path)
    assert write_tags(path, happy).changed
    assert_nothing_hidden(before, three_readers(path))
    assert audio_digest(path) == digest
    with pytest.importorskip("taglib").File(path) as file:
        assert file.tags["MOOD"] == ["Happy"]
    assert not write_tags(path, happy).changed
    remove_tags(path)
    assert_nothing_hidden(before, three_readers(path))
    assert read_tags(path) == {}


@pytest.mark.parametrize("name", ["bare.tta", "raw.aac"])
@pytest.mark.parametrize("tail", [id3v1("Song"), ape_tag(Title="Song"), ape_tag(Title="Song") + id3v1("Song")])
def test_an_id3v2_tag_before_tags_at_the_end_is_written(name: str, tail: bytes, song: Song, happy: SongEmotion) -> None:
    path = song(name)
    path.write_bytes(id3v22() + path.read_bytes() + tail)
    written_and_removed(path, happy)


@pytest.mark.parametrize(
    "ape",
    [ape_tag(title="Another", Album="One"), ape_tag(Title="Song"), ape_tag(Title="Song of thirty letters and more")],
)
def test_an_ape_tag_of_true_audio_that_an_id3v1_tag_hides_gets_no_mood(
    ape: bytes, song: Song, happy: SongEmotion
) -> None:
    path = song("bare.tta")
    path.write_bytes(path.read_bytes() + ape + id3v1("Song"))
    old = path.read_bytes()
    written_and_removed(path, happy)
    assert path.read_bytes() == old
    assert write_tags(path, happy).container == "True Audio (ID3v2.4)"


def test_an_asf_header_with_an_object_that_is_not_counted_is_written(song: Song, happy: SongEmotion) -> None:
    path = song("a.wma")
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data, 16)
    marker = bytes.fromhex("01cd87f451a9cf118ee600c00c205365") + struct.pack("<Q16xI6x", 50, 0)  # no chapters
    path.write_bytes(data[:16] + struct.pack("<Q", length + 50) + data[24:length] + marker + data[length:])
    written_and_removed(path, happy)
    write_tags(path, happy)
    assert ASF(path)["WM/Mood"] == ["Happy"]
    data = path.read_bytes()
    at, stop, count = 30, *struct.unpack_from("<QI", data, 16)
    for _ in range(count):
        at += struct.unpack_from("<Q", data, at + 16)[0]
    assert at == stop
