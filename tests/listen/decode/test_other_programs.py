"""Files as other programs leave them are heard to their end, and nothing in them is called damage that is none."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import numpy as np
import pytest
from mutagen.flac import Picture
from mutagen.oggopus import OggOpus
from sound_files import RATE, encode, mp3, music, reason, write

from mertag.library.tags.ogg import render_page
from mertag.listen.decode.audio import decode, decode_all
from mertag.listen.decode.damage import Losses
from mertag.listen.decode.returning import Returning

pytestmark = pytest.mark.command

ID3 = b"ID3\3\0\0\0\1\x10\0" + b"TIT2\0\0\0\5\0\0\0Song" + bytes(128 * 0x90 - 15)  # 18 KB, as of a tag with a picture
ID3V1 = b"TAG" + b"Song".ljust(125, b"\0")
APE = b"APETAGEX" + struct.pack("<4I8x", 2000, 32, 0, 0)


def heard(path: Path) -> tuple[float, str]:
    """Return how many seconds are heard, and what is said of damage."""
    chunks = Returning(decode(path))
    return sum(map(len, chunks)) / RATE, chunks.value


def frames(path: Path, seconds: float, bit_rate: int) -> bytes:
    """Return MP3 frames of one bit rate, without the header that counts them."""
    data = encode(path, "libmp3lame", music(seconds, 44100), 44100, "mp3", bit_rate=bit_rate).read_bytes()
    return data[data.index(b"\xff\xfb", data.index(b"\xff\xfb") + 4) :]


def pages(data: bytes) -> list[bytes]:
    return [b"OggS" + page for page in data.split(b"OggS")[1:]]


def test_an_mp3_without_a_header_whose_first_frames_are_its_longest_is_heard_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(frames(path, 0.5, 320_000) + frames(path, 3.0, 96_000))
    seconds, damage = heard(path)
    assert (seconds, damage) == (pytest.approx(3.5, abs=0.2), "")


def test_an_mp3_in_a_wav_is_heard_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    data = frames(path, 0.5, 320_000) + frames(path, 3.0, 96_000)
    fmt = struct.pack("<HHIIHHHHIHHH", 0x55, 2, 44100, 16000, 1, 0, 12, 1, 2, 1152, 1, 1393)
    chunks = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
    assert heard(path) == (pytest.approx(3.5, abs=0.2), "")


def test_a_short_song_chained_behind_another_is_heard(tmp_path: Path) -> None:
    parts = [write(tmp_path / "1.ogg", music(s, 44100), 44100, subtype="VORBIS").read_bytes() for s in (4.0, 1.5)]
    path = tmp_path / "chain.ogg"
    path.write_bytes(b"".join(parts))
    assert heard(path) == (pytest.approx(5.5, abs=0.1), "")


def test_the_headers_of_a_chained_ogg_flac_are_no_sound_that_is_lost(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.oga", "flac", music(3.0, 44100), 44100, "ogg")
    song = pages(path.read_bytes())
    serial = int.from_bytes(song[0][14:18], "little")
    padding = b"\1\0\0\x64" + bytes(100)
    page = render_page(flags=0, granule=0, serial=serial, number=2, lacing=bytes((len(padding),)), body=padding)
    path.write_bytes(b"".join([*song, *song[:2], page, *song[2:]]))
    assert heard(path) == (pytest.approx(6.0, abs=0.2), "")


def test_of_two_streams_side_by_side_the_first_is_heard(tmp_path: Path) -> None:
    first, second = (
        pages(write(tmp_path / "1.ogg", music(8.0, 48000), 48000, subtype=kind).read_bytes())
        for kind in ("VORBIS", "OPUS")
    )
    path = tmp_path / "both.ogg"
    path.write_bytes(b"".join([first[0], second[0], *first[1:], *second[1:]]))
    assert heard(path) == (pytest.approx(8.0, abs=0.1), "")


@pytest.mark.parametrize("tail", [ID3V1, APE, APE + ID3V1, b"other bytes" * 30])
def test_tags_and_other_bytes_behind_a_flac_stream_are_no_damage(tmp_path: Path, tail: bytes) -> None:
    path = write(tmp_path / "a.flac", music(3.0, 44100), 44100)
    path.write_bytes(path.read_bytes() + tail)
    assert heard(path) == (pytest.approx(3.0, abs=0.001), "")


def test_joined_flac_files_are_heard_to_the_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", music(3.0, 44100), 44100)
    path.write_bytes(path.read_bytes() * 2)
    assert heard(path)[0] == pytest.approx(6.0, abs=0.2)


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "FLAC", "CAF", "AU", "W64", "RF64"])
def test_behind_an_id3_tag_a_song_is_heard_as_without_it(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.file", music(1.0, 44100), 44100, format=kind, subtype="PCM_16")
    plain, data = decode_all(path), path.read_bytes()
    path.write_bytes(ID3 + data)
    np.testing.assert_array_equal(decode_all(path), plain)
    assert heard(path)[1] == ""


@pytest.mark.parametrize("kind", ["WAV", "AIFF"])
def test_behind_an_id3_tag_a_song_that_is_cut_off_is_called_so(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.file", music(10.0, 44100), 44100, format=kind, subtype="PCM_16")
    data = path.read_bytes()
    path.write_bytes(ID3 + data[: len(data) // 2])
    assert reason(path) == "the file is incomplete: it holds 5.0 s of 10.0 s of sound"


def test_a_picture_in_the_tags_of_a_wma_is_not_taken_for_sound_that_is_missing(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.wma", "wmav2", music(3.0, 44100), 44100, "asf")
    data = path.read_bytes()
    length, count = struct.unpack_from("<QI", data, 16)
    picture = bytes.fromhex("74d40618dfca0945a4ba9aabcb96aae8") + struct.pack("<Q", 24 + len(data)) + bytes(len(data))
    head = data[:16] + struct.pack("<QI", length + len(picture), count + 1) + data[28:length]
    path.write_bytes(head + picture + data[length:])  # the size of the file in its properties is the old one
    assert heard(path) == (pytest.approx(3.0, abs=0.1), "")


def test_the_header_of_a_song_that_was_joined_to_another_is_no_sound_that_is_lost() -> None:
    losses = Losses(raw=True)
    losses.good(bytes(417))
    losses.bad(b"3000\xff\xfb\x90d" + bytes(32) + b"Info" + bytes(377), 0.026, "invalid data")
    losses.good(bytes(417))
    losses.frame(0.052, None)
    assert losses.found(None) == ("", False)


def test_the_pictures_of_mp3s_that_were_joined_are_no_sound_that_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    song = mp3(3.0)  # with a header, at the end of whose frames soundfile stops
    song = song[song.index(b"\xff\xfb") :]
    picture = b"\0image/jpeg\0\3\0" + np.random.default_rng(3).bytes(200_000)
    frame = b"APIC" + struct.pack(">IH", len(picture), 0) + picture
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    path.write_bytes((b"ID3\3\0\0" + size + frame + song) * 3)
    assert heard(path) == (pytest.approx(9.0, abs=0.3), "")


def test_a_song_that_is_chained_behind_another_and_has_a_picture_is_heard(tmp_path: Path) -> None:
    path = write(tmp_path / "a.opus", music(3.0, 48000), 48000, format="OGG", subtype="OPUS")
    plain = path.read_bytes()
    tagged = OggOpus(path)
    picture = Picture()
    picture.data, picture.mime = b"\x89PNG\r\n\x1a\n" + bytes(100), "image/png"
    tagged["METADATA_BLOCK_PICTURE"] = [base64.b64encode(picture.write()).decode()]
    tagged.save()
    path.write_bytes(plain + path.read_bytes())
    assert heard(path)[0] == pytest.approx(6.0, abs=0.2)
