"""Decoding equals training's, whatever the codec, the rate and the length of a chunk."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from itertools import pairwise
from pathlib import Path

import av
import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sound_files import RATE, Floats, by_librosa, encode, music, write

from mertag.listen.decode.audio import _Resampler, decode, decode_all
from mertag.listen.windows import FrontEnd

pytestmark = pytest.mark.command


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
    path = write(tmp_path / f"a{suffix}", music(32.0, 44100), 44100, **options)
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

    assert peak(300.0) < 1.2 * peak(30.0)


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


def test_the_module_imports_without_pyav() -> None:
    code = "import sys, mertag.listen.decode.audio; sys.exit('av' in sys.modules or 'librosa' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


# Real files


@pytest.mark.realdata
def test_real_music_equals_librosa(real_data: Path) -> None:
    clips = sorted((real_data / "4q").rglob("*.mp3"))[::40]
    clips += sorted((real_data / "eim").rglob("*.mp3"))[:5] + sorted((real_data / "pmemo").rglob("*.mp3"))
    clips += sorted((real_data / "music").glob("*.ogg"))
    assert len(clips) > 30
    for clip in clips:
        samples, expected = decode_all(clip), by_librosa(clip)
        assert samples.shape == expected.shape, clip
        np.testing.assert_allclose(samples, expected, atol=1e-5, err_msg=str(clip))
