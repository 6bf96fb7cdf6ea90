"""What is no audio, or damaged: the reason that is given."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sound_files import RATE, encode, music, reason, samples_or_reason, write

from mertag.errors import UnsupportedFormatError
from mertag.listen.decode.audio import decode_all

pytestmark = pytest.mark.command


def test_a_missing_an_unreadable_and_an_empty_file_are_told_apart(tmp_path: Path) -> None:
    assert reason(tmp_path / "missing.mp3") == "cannot be read: No such file or directory"
    (tmp_path / "empty.mp3").touch()
    assert reason(tmp_path / "empty.mp3") == "the file is empty"
    assert reason(tmp_path) == "is not a regular file"
    (tmp_path / "zeros.flac").write_bytes(bytes(50_000))
    assert reason(tmp_path / "zeros.flac") == "no audio was found in it: it holds only zeros"
    (tmp_path / "noise.mp3").write_bytes(np.random.default_rng(0).bytes(50_000))
    assert "no audio was found" in reason(tmp_path / "noise.mp3")


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("song.mp3", b"Lyrics of a song\nla la la\n" * 40, "a text file"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.mp3\n", "a text file"),
        ("utf16.mp3", ("ein Text mit Umlauten äöü\n" * 30).encode("utf-16"), "a text file"),
        ("cut.txt", ("ä" * 511).encode(), "a text file"),
        ("tune.mid", b"MThd\0\0\0\6\0\1\0\6" + bytes(90), "MIDI"),
        ("cover.mp3", b"\x89PNG\r\n\x1a\n" + bytes(90), "a PNG image"),
        ("cover.jpg", b"\xff\xd8\xff\xe0" + bytes(90), "a JPEG image"),
        ("old.ofr", b"OFR \x0f\0\0\0" + bytes(90), "OptimFROG"),
    ],
)
def test_what_is_no_audio_is_unsupported(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(UnsupportedFormatError) as caught:
        decode_all(path)
    assert says in caught.value.reason


@pytest.mark.parametrize("suffix", [".flac", ".wav", ".aiff"])
def test_a_file_that_holds_less_than_it_states_is_damaged(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", music(20.0, 44100), 44100, subtype="PCM_16")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert "of 20.0 s of sound" in reason(path)
    path.write_bytes(data[:-100])  # but the last frame is no loss
    assert len(decode_all(path)) / RATE == pytest.approx(20.0, abs=0.2)


@pytest.mark.parametrize(("codec", "container"), [("aac", "ipod"), ("tta", "tta"), ("wavpack", "wv")])
def test_damage_that_ffmpeg_finds_is_told(tmp_path: Path, codec: str, container: str) -> None:
    path = encode(tmp_path / "a", codec, music(20.0, 44100), 44100, container)
    data = path.read_bytes()
    half, quarter = len(data) // 2, len(data) // 4
    path.write_bytes(data[:half] + np.random.default_rng(1).bytes(quarter) + data[half + quarter :])
    assert "of 20.0 s of sound could not be decoded" in reason(path)


def test_a_video_without_sound_has_no_audio_stream(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        for _ in range(5):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        out.mux(stream.encode(None))
    assert "no audio stream" in reason(path)


def test_a_disk_error_is_told_for_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.flac", music(10.0, 44100), 44100)
    from mertag.listen.decode import audio

    class Failing:
        def __init__(self, file: object) -> None:
            self.file = file

        def readinto(self, buffer: memoryview) -> int:
            if self.file.tell() > 100_000:  # type: ignore[attr-defined]
                raise OSError(5, "Input/output error")
            return self.file.readinto(buffer)  # type: ignore[attr-defined,no-any-return]

        def __getattr__(self, name: str) -> object:
            return getattr(self.file, name)

    real = audio.SoundFileReader
    monkeypatch.setattr(audio, "SoundFileReader", lambda file, form, start: real(Failing(file), form, start))  # type: ignore[arg-type]
    assert reason(path) == "cannot be read: Input/output error"


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_bytes_give_samples_or_a_file_error(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    folder.mkdir(exist_ok=True)
    seed = folder / "seed.flac"
    if not seed.exists():
        write(seed, music(1.0, 16000, 1), 16000)
    content = bytearray(seed.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, min(len(content) - 1, 200)) | st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path = folder / "a.flac"
    path.write_bytes(content)
    found = samples_or_reason(path)
    assert found if isinstance(found, str) else np.isfinite(found).all()


@pytest.mark.realdata
def test_every_odd_file_gives_samples_or_a_reason(real_data: Path) -> None:
    files = [path for path in sorted((real_data / "tagged-files").rglob("*")) if path.is_file()]
    good = 0
    for path in files:
        found = samples_or_reason(path)
        if isinstance(found, str):
            assert found, path
            assert str(path) not in found, path
        else:
            good += 1
            assert np.isfinite(found).all(), path
    assert good >= 110
