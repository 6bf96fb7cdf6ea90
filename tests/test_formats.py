"""What a file is, by its bytes, and where its tags lie: the same for who listens and for who writes tags."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mertag.formats import ByteSource, Format, audio_end, format_of, id3v1, id3v2_end, mpeg_frame_length, sniff
from mertag.library.tags.container import MalformedError, NoTagFormatError, Source
from mertag.library.tags.detect import kind_of
from mertag.listen.decode import by_pyav
from mertag.listen.decode.audio import decode_all

AUDIO = bytes(range(1, 64)) * 40
V1 = b"TAG" + bytes(125)
APE = b"APETAGEX" + (2000).to_bytes(4, "little") + (232).to_bytes(4, "little") + bytes(7) + b"\x80" + bytes(8)
APE = bytes(32) + bytes(200) + APE  # header, items, footer
LYRICS = b"LYRICSBEGIN" + b"LYR00010Oh my love" + b"000029LYRICS200"
FRAME = b"\xff\xfb\x90\x00".ljust(417, b"\0")


def id3(size: int, version: int = 4, flags: int = 0) -> bytes:
    head = bytes((version, 0, flags, size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127))
    return b"ID3" + head + bytes(size) + (b"3DI" + head if flags & 0x10 else b"")


def source(data: bytes) -> ByteSource:
    return ByteSource(io.BytesIO(data))


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (b"RIFF\0\0\0\0WAVEfmt ", Format.WAV),
        (b"RIFX\0\0\0\0WAVEfmt ", Format.RIFX),
        (b"RF64\xff\xff\xff\xffWAVEds64", Format.RF64),
        (b"RIFF\0\0\0\0AVI LIST", Format.UNKNOWN),
        (b"FORM\0\0\0\0AIFCCOMM", Format.AIFF),
        (b"OggS" + bytes(24) + b"\x01vorbis", Format.OGG_VORBIS),
        (b"OggS" + bytes(24) + b"OpusHead", Format.OGG_OPUS),
        (b"OggS" + bytes(24) + b"theora", Format.OGG),
        (b"\0\0\0\x20ftypM4A ", Format.MP4),
        (b"\0\0\0\x08free", Format.MP4),
        (b"fLaC\0\0\0\x22", Format.FLAC),
        (b"MPCK", Format.MUSEPACK),
        (b"\x0b\x77\x01\x02", Format.AC3),
        (b"\xff\xf1\x50\x80", Format.AAC),
        (b"\xff\xfb\x90\x00", Format.MP3),
        (b"\xff\xfb\x00\x00", Format.MP3),  # of free format
        (b"\xff\xfb\xf0\x00", Format.UNKNOWN),
        (b"\xff\xfeT\0e\0x\0t\0", Format.TEXT),
        (b"PK\x03\x04", Format.ZIP),
        (b"", Format.UNKNOWN),
    ],
)
def test_the_first_bytes_tell_the_format(head: bytes, form: Format) -> None:
    assert format_of(head) is form
    assert sniff(source(head)) is form
    if form is not Format.UNKNOWN:
        assert sniff(source(2 * id3(300) + id3(5, flags=0x10) + head)) is form


def test_behind_an_id3_tag_zeros_may_come_before_the_frames() -> None:
    assert sniff(source(id3(100) + bytes(50) + b"\xff\xe3")) is Format.MP3
    assert sniff(source(bytes(50) + b"\xff\xe3")) is Format.UNKNOWN


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"fLaC", 0),
        (id3(100) + AUDIO, 110),
        (id3(100) + id3(300, 3) + AUDIO, 420),
        (id3(100, 4, 0x10) + AUDIO, 120),
        (id3(100) + b"ID3\xff\0\0\0\0\0\0" + AUDIO, 110),
        (id3(100) + b"ID3\x04\0\0\x80\0\0\0" + AUDIO, 110),  # the letters, but no tag
    ],
)
def test_tags_at_the_head_end_where_they_say(data: bytes, end: int) -> None:
    assert id3v2_end(source(data)) == end


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"ID3\x04\0\0\x80\0\0\0" + AUDIO, "not a valid number"),
        (id3(10_000)[:5_000], "ends inside its ID3 tag"),
        (id3(1) * 17 + AUDIO, "more than 16 ID3 tags"),
    ],
)
def test_damaged_tags_at_the_head_have_no_end(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        id3v2_end(source(data))
    with pytest.raises(MalformedError, match=reason):
        kind_of(Source(io.BytesIO(data)))
    assert sniff(source(data)) is Format.UNKNOWN


@pytest.mark.parametrize("last", [b"", V1])
@pytest.mark.parametrize("tails", [(), (APE,), (LYRICS,), (id3(500, flags=0x10),), (LYRICS, APE), (APE, LYRICS)])
def test_tags_behind_the_audio_are_not_audio(tails: tuple[bytes, ...], last: bytes) -> None:
    found = source(AUDIO + b"".join(tails) + last)
    assert audio_end(found, 0) == len(AUDIO)
    assert id3v1(found) == last


def test_a_tag_that_claims_more_than_there_is_ends_nothing() -> None:
    assert audio_end(source(AUDIO + APE), len(AUDIO) + 1) == len(AUDIO + APE)


@pytest.mark.parametrize("magic", [b"PK\x03\x04", b"\x89PNG", b"%PDF"])
def test_an_archive_or_a_picture_is_no_mp3_whatever_lies_in_it(magic: bytes) -> None:
    with pytest.raises(NoTagFormatError, match="no audio format"):
        kind_of(Source(io.BytesIO(magic + bytes(60) + 3 * FRAME)))
    assert kind_of(Source(io.BytesIO(b"junk" + bytes(60) + 3 * FRAME))) is Format.MP3


def test_an_mp4_that_begins_with_free_space_can_be_tagged() -> None:
    assert kind_of(Source(io.BytesIO(b"\0\0\0\x08free\0\0\0\x08moov"))) is Format.MP4


def test_a_frame_of_free_format_has_no_length() -> None:
    assert mpeg_frame_length(FRAME) == 417
    assert mpeg_frame_length(b"\xff\xfb\x00\x00") == 0


@pytest.mark.parametrize("tail", [id3(400_000, flags=0x10), b"LYRICSBEGIN" + bytes(399_989) + b"400000LYRICS200" + V1])
def test_a_long_tag_behind_an_mp3_is_not_taken_for_sound_that_was_not_decoded(
    tail: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, np.random.default_rng(0).standard_normal(4 * 44_100) * 0.1, 44_100, format="MP3")
    expected = decode_all(path)
    path.write_bytes(path.read_bytes() + tail)

    def takes_over(_: Path) -> None:
        raise AssertionError("the first decoder gave all there is")

    monkeypatch.setattr(by_pyav, "pyav_blocks", takes_over)
    np.testing.assert_array_equal(decode_all(path)[: len(expected)], expected)
