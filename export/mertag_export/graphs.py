"""Graphs of a bundle, run as `mertag tag` runs them on the CPU, and their golden outputs.

Golden outputs are what a bundle answers to a sound that anyone can make: they check an installation, without torch.
``golden.npz`` holds ``waveform`` int16 (divide by 32768) and ``starts`` int64; ``<precision>.<target>``, the segment
probabilities of each graph; ``features.<target>``, the song features of the first precision; and ``song.<target>``,
what the song graph says of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from mertag.emotion import Target
from mertag.errors import ParityError
from mertag.listen.bundle import GOLDEN_NAME, Bundle
from mertag.listen.manifest import Precision
from mertag.listen.sessions import Session, cpu_session, usable_cores
from mertag.listen.windows import FrontEnd, Segmentation, song_features

Floats = npt.NDArray[np.float32]
Probabilities = Mapping[Target, Floats]
"""Segment probabilities of one clip by target, each of shape (n_segments, n_classes)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A decoded song: id, mono waveform (n_samples,), and the first frame of each segment (n_segments,)."""

    id: str
    waveform: Floats
    starts: npt.NDArray[np.int64]


def session(path: Path) -> Session:
    """Return a CPU session of a graph, with the runtime's own options."""
    return cpu_session(path.read_bytes(), threads=usable_cores(), where=path)


def run_segment_graph(opened: Session, clip: Clip, targets: Sequence[Target]) -> Probabilities:
    """Return the segment probabilities of a clip."""
    names = [f"probabilities_{target}" for target in targets]
    found = opened.run(names, {"waveform": clip.waveform, "starts": clip.starts})
    return dict(zip(targets, found, strict=True))


def run_song_graph(opened: Session, features: npt.NDArray[np.float32]) -> Floats:
    """Return the probabilities, shape (n_windows, n_classes), of features (n_windows, n_features)."""
    (found,) = opened.run(["probabilities"], {"features": features})
    return found


DURATION_S = 6.0
SEED = 2026

TOLERANCE: Mapping[Precision, float] = MappingProxyType(
    {Precision.FP32: 1e-4, Precision.FP16: 2e-3, Precision.INT8: 0.02}
)
"""By how much a segment probability may differ on another machine, or under another onnxruntime.

Sums are taken in another order there. int8 rounds to steps, and a value at the edge of one falls to the other side:
0.006 was measured between onnxruntime's int8 kernels and the same graph in floating point.
"""
SONG_TOLERANCE = 1e-5


def golden_waveform(front_end: FrontEnd, duration_s: float = DURATION_S) -> npt.NDArray[np.float32]:
    """Return a made-up tune: struck notes with harmonics over a little noise, rounded to 16 bits."""
    rng = np.random.default_rng(SEED)
    rate = front_end.sample_rate
    time_s = np.arange(round(duration_s * rate)) / rate
    sound = 0.003 * rng.standard_normal(len(time_s))
    onsets_s = np.arange(0, duration_s, 0.375)
    for onset_s, midi in zip(onsets_s, rng.choice([48, 52, 55, 60, 64, 67, 72], len(onsets_s)), strict=True):
        since_s = np.maximum(time_s - onset_s, 0)
        hz = 440 * 2 ** ((midi - 69) / 12)
        tone = sum(np.sin(2 * np.pi * hz * k * since_s) / k**1.5 for k in range(1, 8))
        sound += 0.15 * tone * np.exp(-3 * since_s) * (time_s >= onset_s)
    return (np.round(np.clip(sound, -1, 1) * 32767) / 32768).astype(np.float32)


def write_golden(
    folder: Path,
    *,
    segment: Mapping[Precision, str],
    song: Mapping[Target, str],
    front_end: FrontEnd,
    segmentation: Segmentation,
) -> None:
    """Write ``golden.npz`` for the graphs in a folder, named here. Segments longer than the tune prolong it."""
    waveform = golden_waveform(front_end, max(DURATION_S, segmentation.duration_s + 2 * segmentation.hop_s))
    clip = Clip(id="golden", waveform=waveform, starts=segmentation.start_frames(len(waveform), front_end))
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "waveform": np.round(waveform * 32768).astype(np.int16),
        "starts": clip.starts,
    }
    for precision, name in segment.items():
        for target, probabilities in run_segment_graph(session(folder / name), clip, tuple(song)).items():
            arrays[f"{precision}.{target}"] = probabilities
            if f"features.{target}" not in arrays:
                features = song_features(probabilities)[None].astype(np.float32)
                arrays[f"features.{target}"] = features
                arrays[f"song.{target}"] = run_song_graph(session(folder / song[target]), features)
    np.savez_compressed(folder / GOLDEN_NAME, **arrays)  # type: ignore[arg-type]


def check_golden(bundle: Bundle) -> dict[str, float]:
    """Run every graph of a bundle on its golden input.

    Returns
    -------
    dict of str to float
        The largest difference from each golden output, by its name, such as ``"int8.quadrant"``.

    Raises
    ------
    ParityError
        If one is larger than `TOLERANCE` or `SONG_TOLERANCE` allows.
    BundleError
        If there are no golden outputs, or a graph cannot be loaded.
    """
    golden = bundle.golden()
    clip = Clip(id="golden", waveform=(golden["waveform"] / 32768).astype(np.float32), starts=golden["starts"])
    targets = [head.target for head in bundle.manifest.heads]
    differences: dict[str, float] = {}

    def compare(name: str, found: npt.NDArray[np.float32], limit: float) -> None:
        differences[name] = float(np.abs(found - golden[name]).max())
        if not differences[name] <= limit:  # NaN does not pass either
            raise ParityError(
                f"{bundle.folder}: {name} differs by {differences[name]:.1e} from its golden output (at most "
                f"{limit:.0e}): this installation of onnxruntime computes something else"
            )

    for precision, name in bundle.manifest.segment.items():
        for target, found in run_segment_graph(session(bundle.path(name)), clip, targets).items():
            n_classes = golden[f"{precision}.{target}"].shape[1]  # an embedding behind them is no probability
            compare(f"{precision}.{target}", found[:, :n_classes], TOLERANCE[precision])
    for head in bundle.manifest.heads:
        features = golden[f"features.{head.target}"]
        compare(f"song.{head.target}", run_song_graph(session(bundle.path(head.song)), features), SONG_TOLERANCE)
    return differences
