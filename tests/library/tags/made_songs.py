"""Containers and codecs that songs are encoded in when the tests run, and emotions to write into them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from crafted_songs import FROM_MP3, WHOLE

from mertag.emotion import Quadrant, SongEmotion

SOUNDFILE = {  # name: format, subtype
    "a.wav": ("WAV", "PCM_16"),
    "a.aiff": ("AIFF", "PCM_16"),
    "a.flac": ("FLAC", "PCM_16"),
    "a.ogg": ("OGG", "VORBIS"),
    "a.opus": ("OGG", "OPUS"),
    "a.aifc": ("AIFF", "ULAW"),
    "bare.mp3": ("MP3", "MPEG_LAYER_III"),
}
PYAV: dict[str, tuple[str, str, dict[str, str]]] = {  # name: format, codec, options
    "a.m4a": ("ipod", "aac", {}),
    "fast.m4a": ("ipod", "aac", {"movflags": "faststart"}),
    "fragmented.m4a": ("mp4", "aac", {"movflags": "frag_keyframe+empty_moov"}),
    "alac.m4a": ("ipod", "alac", {}),
    "a.wma": ("asf", "wmav2", {}),
    "a.wv": ("wv", "wavpack", {}),
    "a.oga": ("ogg", "flac", {}),
    "a.tta": ("tta", "tta", {}),
    "bare.tta": ("tta", "tta", {}),
    "v23.mp3": ("mp3", "libmp3lame", {"id3v2_version": "3", "write_id3v1": "1"}),
    "v24.mp3": ("mp3", "libmp3lame", {"id3v2_version": "4"}),
    "raw.aac": ("adts", "aac", {}),
    "a.mka": ("matroska", "aac", {}),
}
TAGGABLE = [n for n in (*SOUNDFILE, *PYAV, *FROM_MP3, *WHOLE) if n not in ("raw.aac", "a.mka", "fragmented.m4a")]


def samples(seconds: float = 2.0, rate: int = 48_000) -> np.ndarray:
    """Return a chord that fades, in float32."""
    t = np.arange(int(seconds * rate)) / rate
    chord = sum(np.sin(2 * np.pi * hz * t) for hz in (220.0, 277.2, 329.6))
    return (0.2 * chord * np.exp(-t)).astype(np.float32)


def encode(path: Path, container: str, codec: str, options: dict[str, str]) -> None:
    """Encode the chord with PyAV, with a title and an artist."""
    with av.open(str(path), "w", format=container, options=options) as output:
        output.metadata.update({"title": "Café del Mar", "artist": "Ünknown", "genre": "Ambient"})
        stream = output.add_stream(codec, rate=48_000)
        stream.layout = "stereo"
        stream.bit_rate = 96_000
        frame = av.AudioFrame.from_ndarray(samples()[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 0
        resampler = av.AudioResampler(
            format=stream.codec_context.codec.audio_formats[0].name,
            layout="stereo",
            rate=48_000,
            frame_size=stream.codec_context.frame_size or 1024,
        )
        for resampled in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(resampled))
        output.mux(stream.encode(None))


def emotion(*probabilities: float, model: str = "tiny@1.0.0+0123abcd", quadrant: Quadrant | None = None) -> SongEmotion:
    """Return an emotion as a quadrant head decides it, by default a happy one."""
    p1, p2, p3, p4 = probabilities or (0.6, 0.25, 0.05, 0.1)
    values = (p1, p2, p3, p4)
    chosen = quadrant or tuple(Quadrant)[values.index(max(values))]
    return SongEmotion(
        quadrant=chosen,
        confidence=values[tuple(Quadrant).index(chosen)],
        valence=p1 + p4,
        arousal=p1 + p2,
        quadrant_probabilities=values,
        duration_s=2.0,
        n_segments=1,
        n_windows=1,
        model=model,
    )
