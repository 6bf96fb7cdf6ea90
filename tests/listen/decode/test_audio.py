"""Decoding equals training's, survives what real libraries hold, and says what is wrong with the rest."""

from __future__ import annotations

import fractions
import functools
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import librosa
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from mertag.errors import DecodeError, FileError, UnsupportedFormatError
from mertag.listen.decode.audio import _Resampler, decode, decode_all
from mertag.listen.windows import FrontEnd

pytestmark = pytest.mark.command

RATE = FrontEnd().sample_rate
Floats = npt.NDArray[np.float32]


def music(seconds: float, rate: int, channels: int = 2) -> Floats:
    """Return a chord with a beat and some noise, shape (n, channels)."""
    t = np.arange(round(seconds * rate)) / rate
    chord = sum(np.sin(2 * np.pi * f * t) for f in (220.0, 277.2, 329.6, 1760.0)) / 8
    beat = np.exp(-8 * (t % 0.5))
    noise = np.random.default_rng(0).standard_normal((len(t), channels)) * 0.02
    left_to_right = np.linspace(0.5, 1.0, channels)
    return ((chord * beat)[:, None] * left_to_right + noise).astype(np.float32)


def write(path: Path, samples: Floats, rate: int, **options: str) -> Path:
    soundfile.write(path, samples, rate, **options)
    return path


def encode(path: Path, codec: str, samples: Floats, rate: int, container: str | None = None) -> Path:
    """Encode with PyAV."""
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.bit_rate = 192_000
        layout = {1: "mono", 2: "stereo", 8: "7.1"}[samples.shape[1]]
        stream.codec_context.layout = layout
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.time_base = rate, fractions.Fraction(1, rate)
        frame.pts = 0
        resampler = av.AudioResampler(
            format=stream.codec_context.format,
            layout=layout,
            rate=rate,
            frame_size=stream.codec_context.frame_size,
        )
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return path


def by_librosa(path: Path) -> Floats:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        samples, _ = librosa.load(path, sr=RATE, mono=True)
    return np.asarray(samples)


@pytest.mark.parametrize("rate", [8000, 22050, 32000, 44100, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_chunks_joined_are_what_librosa_loads(tmp_path: Path, rate: int, channels: int) -> None:
    path = write(tmp_path / "a.wav", music(3.21, rate, channels), rate, subtype="PCM_24")
    expected = by_librosa(path)
    for chunk_s in (30.0, 1.0, 0.0317):
        samples = np.concatenate(list(decode(path, chunk_s=chunk_s)))
        assert samples.shape == expected.shape
        np.testing.assert_allclose(samples, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".wav", {"subtype": "PCM_16"}),
        (".wav", {"subtype": "PCM_U8"}),
        (".wav", {"subtype": "FLOAT"}),
        (".wav", {"subtype": "DOUBLE"}),
        (".wav", {"subtype": "ULAW"}),
        (".rf64", {"format": "RF64", "subtype": "PCM_16"}),
        (".w64", {"format": "W64", "subtype": "PCM_16"}),
        (".aiff", {"subtype": "PCM_24"}),
        (".aifc", {"format": "AIFF", "subtype": "FLOAT"}),
        (".caf", {"format": "CAF", "subtype": "PCM_16"}),
        (".au", {"subtype": "PCM_16"}),
        (".flac", {"subtype": "PCM_16"}),
        (".ogg", {"subtype": "VORBIS"}),
        (".mp3", {"subtype": "MPEG_LAYER_III"}),
    ],
)
def test_what_libsndfile_reads_equals_librosa(tmp_path: Path, suffix: str, options: dict[str, str]) -> None:
    path = write(tmp_path / f"a{suffix}", music(40.0, 44100), 44100, **options)
    samples, expected = decode_all(path), by_librosa(path)
    assert samples.dtype == np.float32
    assert samples.flags.c_contiguous
    assert samples.shape == expected.shape
    np.testing.assert_allclose(samples, expected, atol=1e-5)


READ_BY_FFMPEG = [
    ("a.m4a", "aac", "ipod"),
    ("a.aac", "aac", "adts"),
    ("alac.m4a", "alac", "ipod"),
    ("a.tta", "tta", None),
    ("a.wv", "wavpack", None),
    ("a.ac3", "ac3", None),
    ("a.mka", "flac", "matroska"),
    ("a.oga", "flac", "ogg"),
    ("a.opus", "libopus", "ogg"),
    ("a.wma", "wmav2", "asf"),
    ("a.mp2", "mp2", None),
]


def by_ffmpeg(path: Path) -> Floats:
    """Return ffmpeg's own float samples, the mean of the channels, through soxr HQ in one piece."""
    with av.open(str(path)) as container:
        to_float = av.AudioResampler(format="fltp")
        frames = [f for frame in container.decode(audio=0) for f in to_float.resample(frame)]
    samples = np.concatenate([frame.to_ndarray() for frame in frames], axis=1).mean(axis=0, dtype=np.float32)
    found = librosa.resample(samples, orig_sr=frames[0].sample_rate, target_sr=RATE, res_type="soxr_hq")
    return np.asarray(found)


@pytest.mark.parametrize(("name", "codec", "container"), [case for case in READ_BY_FFMPEG if case[1] != "mp2"])
@pytest.mark.parametrize(("channels", "rate"), [(1, 48000), (2, 48000), (2, 32000)])
def test_what_ffmpeg_reads_equals_its_float_samples_resampled(
    tmp_path: Path, name: str, codec: str, container: str | None, channels: int, rate: int
) -> None:
    if codec == "libopus" and rate == 32000:
        rate = 24000  # Opus knows its own rates only
    path = encode(tmp_path / name, codec, music(12.0, rate, channels), rate, container)
    samples, expected = decode_all(path), by_ffmpeg(path)
    assert samples.shape == expected.shape
    np.testing.assert_allclose(samples, expected, atol=1e-5)


def test_mp2_equals_librosa(tmp_path: Path) -> None:  # libsndfile reads it; ffmpeg rounds it to 16 bits
    path = encode(tmp_path / "a.mp2", "mp2", music(12.0, 48000), 48000, None)
    samples, expected = decode_all(path), by_librosa(path)
    assert samples.shape == expected.shape
    np.testing.assert_allclose(samples, expected, atol=1e-5)


@pytest.mark.parametrize(("name", "codec", "container"), READ_BY_FFMPEG)
@pytest.mark.parametrize("channels", [1, 2])
def test_what_ffmpeg_reads_is_heard_as_it_was_written(
    tmp_path: Path, name: str, codec: str, container: str | None, channels: int
) -> None:
    rate = 48000
    original = music(5.0, rate, channels)
    samples = decode_all(encode(tmp_path / name, codec, original, rate, container))
    expected = librosa.resample(original.mean(axis=1), orig_sr=rate, target_sr=RATE, res_type="soxr_hq")
    assert abs(len(samples) - len(expected)) <= 0.1 * RATE  # codecs pad to whole frames
    n = min(len(samples), len(expected))
    size = 2 * n
    cross = np.fft.irfft(np.fft.rfft(samples[:n], size) * np.fft.rfft(expected[:n], size).conj())
    lag = int(np.argmax(cross))
    assert min(lag, size - lag) <= 0.05 * RATE  # raw streams keep the encoder's delay
    likeness = cross[lag] / np.sqrt((samples[:n] ** 2).sum() * (expected[:n] ** 2).sum())
    assert likeness > 0.9  # 1 but for what lossy codecs take away
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(np.sqrt(np.mean(expected**2)), rel=0.1)


@given(
    rate=st.sampled_from([8000, 11025, 12345, 16000, 22050, 32000, 44100, 48000, 192000]),
    n=st.integers(1, 40000),
    cuts=st.lists(st.integers(0, 40000), max_size=5),
)
@settings(max_examples=80, deadline=None)
def test_resampling_in_blocks_equals_librosa_in_one(rate: int, n: int, cuts: list[int]) -> None:
    signal = np.random.default_rng(n).standard_normal(n).astype(np.float32)
    expected = librosa.resample(signal, orig_sr=rate, target_sr=RATE, res_type="soxr_hq")
    resampler = _Resampler(rate, RATE)
    edges = [0, *sorted(min(cut, n) for cut in cuts), n]
    blocks = [resampler.push(signal[a:b]) for a, b in pairwise(edges)]
    joined = np.concatenate([*blocks, resampler.finish()])
    assert joined.shape == expected.shape
    np.testing.assert_allclose(joined, expected, atol=1e-6)


def test_chunks_have_the_length_that_was_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", music(10.3, 44100, 1), 44100)
    lengths = [len(chunk) for chunk in decode(path, chunk_s=2.0)]
    assert lengths[:-1] == [2 * RATE] * 5
    assert 0 < lengths[-1] < 2 * RATE
    with pytest.raises(ValueError, match="chunk_s"):
        next(decode(path, chunk_s=0.0))


def test_the_rate_is_the_front_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", music(2.0, 44100), 44100)
    assert len(decode_all(path, front_end=FrontEnd(sample_rate=16000))) == 32000


def test_memory_does_not_grow_with_the_track(tmp_path: Path) -> None:
    def peak(seconds: float) -> int:
        path = write(tmp_path / f"{seconds}.wav", np.zeros((round(seconds * 44100), 2), np.int16), 44100)
        tracemalloc.start()
        for _ in decode(path, chunk_s=5.0):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(600.0) < 1.2 * peak(60.0)


def test_the_content_counts_and_not_the_name(tmp_path: Path) -> None:
    flac = write(tmp_path / "a.flac", music(2.0, 44100), 44100)
    m4a = encode(tmp_path / "b.m4a", "aac", music(2.0, 44100), 44100, "ipod")
    expected = [decode_all(flac), decode_all(m4a)]
    liars = [flac.rename(tmp_path / "a.mp3"), m4a.rename(tmp_path / "b.flac")]
    for liar, samples in zip(liars, expected, strict=True):
        np.testing.assert_array_equal(decode_all(liar), samples)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
@pytest.mark.parametrize("codec", ["flac", "aac"])
def test_names_that_are_no_text_or_look_like_addresses_work(
    tmp_path: Path, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "made"
    if codec == "flac":
        write(made, music(1.0, 44100), 44100, format="FLAC")
    else:
        encode(made, "aac", music(1.0, 44100), 44100, "ipod")
    odd = Path(str(tmp_path) + "/caf\udce9 %41 \n.mp3")
    odd.write_bytes(made.read_bytes())
    (tmp_path / "http:song").write_bytes(made.read_bytes())
    monkeypatch.chdir(tmp_path)
    for path in (odd, Path("http:song")):
        assert len(decode_all(path)) >= RATE


def test_a_file_without_a_sample_gives_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.zeros((0, 2), np.float32), 44100)
    assert list(decode(path)) == []
    assert decode_all(path).shape == (0,)


# What a player plays


@functools.cache
def mp3(seconds: float) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return encode(Path(folder, "a.mp3"), "libmp3lame", music(seconds, 44100), 44100).read_bytes()


def reason(path: Path) -> str:
    with pytest.raises(DecodeError) as caught:
        decode_all(path)
    assert caught.value.path == path
    return caught.value.reason


def samples_or_reason(path: Path) -> Floats | str:
    try:
        return decode_all(path)
    except FileError as error:
        return error.reason


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("an ID3v1 tag", lambda d: d + b"TAG" + bytes(125)),
        ("other bytes at the end", lambda d: d + b"TAG" + bytes(125) + b"\xa5garbage\x01" * 400),
        ("a truncated last frame", lambda d: d[:-150]),
        ("half of it, as cut by a splitter", lambda d: d[: len(d) // 2 + 33]),
        ("zeros before the first frame", lambda d: bytes(3000) + d),
        ("an empty ID3v2 tag and padding", lambda d: b"ID3\4\0\0\0\0\x07\x76" + bytes(1014) + d),
        (
            "100 wrong bytes in the middle",
            lambda d: d[: len(d) // 2] + b"\x5a" * 100 + d[len(d) // 2 + 100 :],
        ),
        ("3,000 bytes missing", lambda d: d[: len(d) // 2] + d[len(d) // 2 + 3000 :]),
        ("a hole of 10,000 zeros", lambda d: d[: len(d) // 2] + bytes(10000) + d[len(d) // 2 + 10000 :]),
    ],
)
def test_an_mp3_that_a_player_plays_is_no_error(tmp_path: Path, what: str, change: Callable[[bytes], bytes]) -> None:
    data = change(mp3(20.0))
    whole_s = 10.0 if what.startswith("half") else 20.0
    path = tmp_path / "a.mp3"
    path.write_bytes(data)
    assert len(decode_all(path)) / RATE == pytest.approx(whole_s, abs=1.3), what


def test_an_mp3_without_an_info_header_is_read_to_its_end(tmp_path: Path) -> None:
    loud = mp3(3.0)
    frames = loud[loud.index(b"\xff\xfb", 10) :]  # without the ID3v2 tag
    frames = frames[frames.index(b"\xff\xfb", 4) :]  # without the Info frame
    path = tmp_path / "b.mp3"
    path.write_bytes(frames)
    assert len(decode_all(path)) / RATE == pytest.approx(3.0, abs=0.15)


def test_joined_mp3_files_are_played_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "joined.mp3"
    path.write_bytes(mp3(8.0) + mp3(12.0))
    assert len(decode_all(path)) / RATE == pytest.approx(20.0, abs=0.2)


def test_an_mp3_with_seconds_of_garbage_inside_is_damaged(tmp_path: Path) -> None:
    data = mp3(20.0)
    half = len(data) // 2
    path = tmp_path / "bad.mp3"
    path.write_bytes(data[:half] + np.random.default_rng(1).bytes(len(data) // 4) + data[half + len(data) // 4 :])
    assert reason(path).startswith("damaged after 10.")


def test_a_chained_ogg_is_played_to_the_end(tmp_path: Path) -> None:
    one = write(tmp_path / "1.ogg", music(8.0, 44100), 44100, subtype="VORBIS").read_bytes()
    path = tmp_path / "chain.ogg"
    path.write_bytes(one + one)
    assert len(decode_all(path)) / RATE == pytest.approx(16.0, abs=0.1)


def test_a_chained_ogg_that_changes_its_rate_is_played_or_refused_with_a_reason(tmp_path: Path) -> None:
    one = write(tmp_path / "1.ogg", music(8.0, 44100), 44100, subtype="VORBIS").read_bytes()
    two = write(tmp_path / "2.ogg", music(8.0, 22050, 1), 22050, subtype="VORBIS").read_bytes()
    path = tmp_path / "chain.ogg"
    path.write_bytes(one + two)
    found = samples_or_reason(path)
    if isinstance(found, str):
        assert "damaged after 8." in found
    else:
        assert len(found) / RATE == pytest.approx(16.0, abs=0.1)


def test_a_stream_that_changes_its_rate_is_joined(tmp_path: Path) -> None:
    path = tmp_path / "a.aac"
    one = encode(tmp_path / "1.aac", "aac", music(4.0, 44100), 44100, "adts").read_bytes()
    two = encode(tmp_path / "2.aac", "aac", music(4.0, 32000), 32000, "adts").read_bytes()
    path.write_bytes(one + two)
    assert len(decode_all(path)) / RATE == pytest.approx(8.0, abs=0.2)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_a_stream_that_changes_its_channels_is_joined(tmp_path: Path, order: tuple[int, int]) -> None:
    sound = music(4.0, 44100)
    parts = [sound if channels == 2 else sound.mean(axis=1, keepdims=True) for channels in order]
    files = [encode(tmp_path / f"{i}.aac", "aac", part, 44100, "adts") for i, part in enumerate(parts)]
    path = tmp_path / "a.aac"
    path.write_bytes(b"".join(file.read_bytes() for file in files))
    found = decode_all(path)
    assert len(found) / RATE == pytest.approx(8.0, abs=0.2)
    levels = [np.sqrt(np.mean(np.square(half))) for half in np.array_split(found, 2)]
    assert levels[0] == pytest.approx(levels[1], rel=0.05)


@pytest.mark.parametrize(("codec", "container"), [("aac", "ipod"), ("libopus", "ogg"), ("wavpack", "wv")])
def test_eight_channels_are_one_mean(tmp_path: Path, codec: str, container: str) -> None:
    sound = np.repeat(music(4.0, 48000).mean(axis=1, keepdims=True), 8, axis=1)
    path = encode(tmp_path / "a.file", codec, sound, 48000, container)
    found = decode_all(path)
    assert len(found) / RATE == pytest.approx(4.0, abs=0.1)
    level, expected = (np.sqrt(np.mean(np.square(samples))) for samples in (found, sound))
    assert level == pytest.approx(expected, rel=0.15)  # the channel of low frequencies holds little of it


def test_a_wav_that_states_no_length_is_read_to_its_end(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "a.wav", music(4.0, 44100), 44100, subtype="PCM_16").read_bytes())
    at = data.index(b"data") + 4
    for size in (0xFFFFFFFF, 0):
        data[4:8] = data[at : at + 4] = struct.pack("<I", size)
        path = tmp_path / f"{size}.wav"
        path.write_bytes(data)
        assert len(decode_all(path)) == 4 * RATE


# What is wrong


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
    monkeypatch.setattr(audio, "SoundFileReader", lambda file, form: real(Failing(file), form))  # type: ignore[arg-type]
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


def test_the_module_imports_without_pyav() -> None:
    code = "import sys, mertag.listen.decode.audio; sys.exit('av' in sys.modules or 'librosa' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


# Real files


@pytest.mark.realdata
def test_real_music_equals_librosa(real_data: Path) -> None:
    clips = sorted((real_data / "4q").rglob("*.mp3"))[::24]
    clips += sorted((real_data / "eim").rglob("*.mp3"))[:5] + sorted((real_data / "pmemo").rglob("*.mp3"))
    clips += sorted((real_data / "music").glob("*.ogg"))
    assert len(clips) > 30
    for clip in clips:
        samples, expected = decode_all(clip), by_librosa(clip)
        assert samples.shape == expected.shape, clip
        np.testing.assert_allclose(samples, expected, atol=1e-5, err_msg=str(clip))


@pytest.mark.realdata
@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_real_mp3_files_cut_short_are_shorter_songs(real_data: Path, tmp_path: Path, share: float) -> None:
    for clip in sorted((real_data / "4q").rglob("*.mp3"))[::40]:
        data = clip.read_bytes()
        path = tmp_path / "cut.mp3"
        path.write_bytes(data[: round(len(data) * share)])
        assert len(decode_all(path)) == pytest.approx(share * len(decode_all(clip)), rel=0.15)


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
