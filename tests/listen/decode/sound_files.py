"""A chord in files of any codec, and what decoding one gives."""

from __future__ import annotations

import fractions
import functools
import tempfile
import warnings
from pathlib import Path

import av
import librosa
import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from mertag.errors import DecodeError, FileError
from mertag.listen.decode.audio import decode_all
from mertag.listen.windows import FrontEnd

RATE = FrontEnd().sample_rate


Floats = npt.NDArray[np.float32]


@functools.lru_cache(maxsize=16)
def music(seconds: float, rate: int, channels: int = 2) -> Floats:
    """Return a chord with a beat and some noise, shape (n, channels); not to be written to."""
    t = np.arange(round(seconds * rate)) / rate
    chord = sum(np.sin(2 * np.pi * f * t) for f in (220.0, 277.2, 329.6, 1760.0)) / 8
    beat = np.exp(-8 * (t % 0.5))
    noise = np.random.default_rng(0).standard_normal((len(t), channels)) * 0.02
    left_to_right = np.linspace(0.5, 1.0, channels)
    made = ((chord * beat)[:, None] * left_to_right + noise).astype(np.float32)
    made.flags.writeable = False  # it is made once for all tests
    return made


def write(path: Path, samples: Floats, rate: int, **options: str) -> Path:
    soundfile.write(path, samples, rate, **options)
    return path


# These two take most of the time; sound as good as theirs is not needed.
QUICK = {
    "aac": {"aac_coder": "fast"},
    "mp3": {"compression_level": "9"},
    "libmp3lame": {"compression_level": "9"},
}


def encode(
    path: Path, codec: str, samples: Floats, rate: int, container: str | None = None, *, bit_rate: int = 192_000
) -> Path:
    """Encode with PyAV."""
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, options=QUICK.get(codec))
        stream.bit_rate = bit_rate
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
