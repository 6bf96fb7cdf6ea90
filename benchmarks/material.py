"""Music to measure with: tracks of a given length and container, made from real recordings, or from noise.

Real music matters little for the speed of the network, and much for that of the decoders, whose bit rates follow it.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

RATE = 44_100
FORMATS = {
    "mp3": ("libmp3lame", "mp3", 192_000),
    "flac": ("flac", "flac", None),
    "opus": ("libopus", "ogg", 128_000),
    "m4a": ("aac", "ipod", 192_000),
}


def stereo(sources: list[Path], seconds: float) -> npt.NDArray[np.float32]:
    """Return stereo at 44.1 kHz, shape (2, n): the sources laid end to end and repeated, or noise if there are none."""
    wanted = round(seconds * RATE)
    if not sources:
        rng = np.random.default_rng(0)
        loudness = np.interp(
            np.arange(wanted),
            np.arange(0, wanted + RATE, RATE),
            rng.uniform(0.01, 0.3, wanted // RATE + 2)[: -(-(wanted + RATE) // RATE)],
        )
        return (rng.standard_normal((2, wanted)) * loudness / 3).astype(np.float32)
    parts: list[npt.NDArray[np.float32]] = []
    while sum(part.shape[1] for part in parts) < wanted:
        parts += map(read, sources)
    return np.concatenate(parts, axis=1)[:, :wanted]


def read(path: Path) -> npt.NDArray[np.float32]:
    """Return a recording as stereo at 44.1 kHz, shape (2, n)."""
    with av.open(str(path)) as container:
        to_stereo = av.AudioResampler(format="fltp", layout="stereo", rate=RATE)
        frames = [f.to_ndarray() for frame in container.decode(audio=0) for f in to_stereo.resample(frame)]
    return np.concatenate(frames, axis=1)


def write(path: Path, samples: npt.NDArray[np.float32], *, copies: int = 1, bit_rate: int | None = None) -> Path:
    """Encode samples, shape (2, n), `copies` times one after the other; the suffix names the format.

    FLAC states its length and numbers its frames: it is encoded `copies` times. Packets of the others are repeated.
    """
    codec, container, usual = FORMATS[path.suffix[1:]]
    bit_rate = bit_rate or usual
    rate = 48_000 if codec == "libopus" else RATE
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, layout="stereo")
        if bit_rate:
            stream.bit_rate = bit_rate
        stream.codec_context.open()
        if codec == "flac":
            for packet in _packets(stream, samples, copies):
                out.mux(packet)
            return path
        packets = [bytes(packet) for packet in _packets(stream, samples, 1) if packet.size]
        duration = stream.codec_context.frame_size  # samples
        for number, data in enumerate(packets * copies):
            packet = av.Packet(data)
            packet.pts = packet.dts = number * duration
            packet.duration, packet.stream, packet.is_keyframe = duration, stream, True
            packet.time_base = Fraction(1, rate)
            out.mux(packet)
    return path


def _packets(stream: Any, samples: npt.NDArray[np.float32], copies: int) -> Iterator[Any]:
    """Yield what an encoder makes of samples, given `copies` times."""
    context = stream.codec_context
    fit = av.AudioResampler(
        format=context.format, layout="stereo", rate=context.sample_rate, frame_size=context.frame_size
    )
    for _ in range(copies):
        for start in range(0, samples.shape[1], RATE):
            part = np.ascontiguousarray(samples[:, start : start + RATE])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
            frame.sample_rate = RATE
            for piece in fit.resample(frame):
                yield from stream.encode(piece)
    for piece in fit.resample(None):
        yield from stream.encode(piece)
    yield from stream.encode(None)
