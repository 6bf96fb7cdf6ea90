"""Whether a model's decisions stand what a library does to audio, and how sure it is of what is no music.

    python benchmarks/robustness.py CLIPS... --tracks TRACKS... --json robustness.json

Each clip is tagged as it is, and again encoded at low rates, louder and softer, resampled, in mono, after a second of
silence, and cut to six seconds; each track whole, and its middle 30 seconds. Printed is the share of songs whose
quadrant stays, of all and of those that the model was at least 60 % sure of, and the mean change of the confidence. A
gain of +12 dB is applied in floating point: nothing is clipped. At the end, the confidence for noise, tones, clicks
and, with --speech, recordings of speech.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from material import RATE, read, write

from mertag import SongEmotion, Tagger
from mertag.library.find import find_audio
from mertag.outcomes import Tagged

Stereo = npt.NDArray[np.float32]
SURE = 0.6


def main() -> None:
    """Tag everything; print the table, and write it as JSON where asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path, help="clips of about 30 s, and folders of them")
    parser.add_argument("--tracks", nargs="*", type=Path, default=[], help="whole tracks")
    parser.add_argument("--speech", nargs="*", type=Path, default=[], help="recordings of speech")
    parser.add_argument("--only", type=Path, help="a file of names, one a line: only the clips that are so called")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    clips = list(find_audio(options.clips))
    if options.only:
        names = set(options.only.read_text(encoding="utf-8").split())
        clips = [path for path in clips if path.stem in names]
    with (
        tempfile.TemporaryDirectory(prefix="mertag-robust-") as folder,
        Tagger(options.model, device="cpu", threads=options.threads) as tagger,
    ):
        result: dict[str, Any] = {"model": tagger.bundle.id, "clips": len(clips)}
        original = tagged(tagger, clips)
        print(f"{tagger.bundle.id}: {len(original)} clips")
        for name, change in CHANGES.items():
            made = {path: change(read(path), Path(folder) / f"{n}") for n, path in enumerate(original)}
            result[name] = compared(name, original, tagged_as(tagger, made))
            for path in made.values():
                path.unlink()
        if options.tracks:
            tracks = tagged(tagger, list(find_audio(options.tracks)))
            middles = {path: excerpt(read(path), Path(folder) / f"{n}", 30.0) for n, path in enumerate(tracks)}
            result["30 s of a track"] = compared("30 s of a track", tracks, tagged_as(tagger, middles))
        noises = dict(no_music(Path(folder))) | {f"speech: {path.name}": path for path in options.speech}
        result["no music"] = {}
        for name, path in noises.items():
            found = tagged(tagger, [path]).get(path)
            said = f"{found.quadrant} {found.confidence:.2f}" if found else "skipped"
            result["no music"][name] = said
            print(f"{name:>24}: {said}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def tagged(tagger: Tagger, paths: list[Path]) -> dict[Path, SongEmotion]:
    """Return the emotion of each song that has one."""
    return {done.path: done.emotion for done in tagger.tag_many(paths) if isinstance(done, Tagged)}


def tagged_as(tagger: Tagger, made: Mapping[Path, Path]) -> dict[Path, SongEmotion]:
    """Return the emotion of what was made, by what it was made of."""
    found = tagged(tagger, list(made.values()))
    return {source: found[path] for source, path in made.items() if path in found}


def compared(name: str, one: Mapping[Path, SongEmotion], other: Mapping[Path, SongEmotion]) -> dict[str, Any]:
    """Print and return how far two results agree."""
    both = [(one[path], other[path]) for path in one if path in other]
    sure = [pair for pair in both if pair[0].confidence >= SURE]
    same = [a.quadrant == b.quadrant for a, b in both]
    same_sure = [a.quadrant == b.quadrant for a, b in sure]
    change = float(np.mean([b.confidence - a.confidence for a, b in both]))
    print(
        f"{name:>24}: {np.mean(same):6.1%} of {len(both)}, {np.mean(same_sure) if sure else float('nan'):6.1%} of the "
        f"{len(sure)} sure ones; confidence {change:+.3f}",
        flush=True,
    )
    return {"songs": len(both), "same": sum(same), "sure": len(sure), "same_sure": sum(same_sure), "change": change}


def encoded(suffix: str, bit_rate: int | None = None) -> Callable[[Stereo, Path], Path]:
    """Return a change that encodes."""
    return lambda samples, path: write(path.with_suffix(f".{suffix}"), samples, bit_rate=bit_rate)


def as_wav(change: Callable[[Stereo], Stereo], rate: int = RATE) -> Callable[[Stereo, Path], Path]:
    """Return a change of the samples, kept as floating point."""

    def made(samples: Stereo, path: Path) -> Path:
        out = path.with_suffix(".wav")
        soundfile.write(out, change(samples).T, rate, subtype="FLOAT")
        return out

    return made


def excerpt(samples: Stereo, path: Path, seconds: float) -> Path:
    """Write the middle of a recording."""
    length = min(samples.shape[1], round(seconds * RATE))
    first = (samples.shape[1] - length) // 2
    return as_wav(lambda x: x[:, first : first + length])(samples, path)


def at_rate(rate: int) -> Callable[[Stereo, Path], Path]:
    """Return a change of the sample rate."""
    return as_wav(lambda x: soxr.resample(x.T, RATE, rate, quality="HQ").T, rate)


CHANGES: Mapping[str, Callable[[Stereo, Path], Path]] = {
    "MP3 64 kbit/s": encoded("mp3", 64_000),
    "MP3 128 kbit/s": encoded("mp3", 128_000),
    "MP3 320 kbit/s": encoded("mp3", 320_000),
    "Opus 48 kbit/s": encoded("opus", 48_000),
    "Opus 128 kbit/s": encoded("opus", 128_000),
    "gain -12 dB": as_wav(lambda x: x * np.float32(10 ** (-12 / 20))),
    "gain +12 dB": as_wav(lambda x: x * np.float32(10 ** (12 / 20))),
    "gain -6 dB": as_wav(lambda x: x * np.float32(10 ** (-6 / 20))),
    "gain +6 dB": as_wav(lambda x: x * np.float32(10 ** (6 / 20))),
    "44.1 kHz": at_rate(44_100),
    "48 kHz": at_rate(48_000),
    "mono": as_wav(lambda x: x.mean(0, keepdims=True)),
    "a second of silence first": as_wav(lambda x: np.pad(x, ((0, 0), (RATE, 0)))),
    "6 s of the clip": lambda samples, path: excerpt(samples, path, 6.0),
    "15 s of the clip": lambda samples, path: excerpt(samples, path, 15.0),
}


def no_music(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield sounds of 20 s that are no music."""
    rng = np.random.default_rng(0)
    n = 20 * RATE
    white = rng.standard_normal(n)
    spectrum = np.fft.rfft(white)
    frequency = np.maximum(np.fft.rfftfreq(n, 1 / RATE), 20)
    time_s = np.arange(n) / RATE
    sounds = {
        "silence": np.zeros(n),
        "white noise": 0.1 * white,
        "pink noise": np.fft.irfft(spectrum / np.sqrt(frequency), n),
        "brown noise": np.fft.irfft(spectrum / frequency, n),
        "hum, 50 Hz": sum(np.sin(2 * np.pi * 50 * k * time_s) / k for k in (1, 2, 3)),
        "tone, 1 kHz": np.sin(2 * np.pi * 1000 * time_s),
        "clicks": (time_s % 0.5 < 0.001).astype(float),
    }
    for name, sound in sounds.items():
        loudest = np.abs(sound).max()
        path = folder / f"{name.replace(',', '').replace(' ', '-')}.wav"
        soundfile.write(path, (0.3 * sound / loudest if loudest else sound).astype(np.float32), RATE, subtype="FLOAT")
        yield name, path


if __name__ == "__main__":
    main()
