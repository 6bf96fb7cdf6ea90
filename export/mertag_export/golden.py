"""Golden inputs and outputs: what a bundle answers to a sound that anyone can make, so that an installation can be checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mertag.aggregate import song_features
from mertag.bundle import GOLDEN_NAME
from mertag.emotion import Target
from mertag.frontend import FrontEnd, Segmentation
from mertag.manifest import Precision

from .parity import Clip, run_graph, session

DURATION_S = 6.0
SEED = 2026


def golden_waveform(front_end: FrontEnd) -> npt.NDArray[np.float32]:
    """Return six seconds of a made-up tune: struck notes with harmonics over a little noise, rounded to 16 bits."""
    rng = np.random.default_rng(SEED)
    rate = front_end.sample_rate
    time_s = np.arange(round(DURATION_S * rate)) / rate
    sound = 0.003 * rng.standard_normal(len(time_s))
    for onset_s, midi in zip(
        np.arange(0, DURATION_S, 0.375), rng.choice([48, 52, 55, 60, 64, 67, 72], 16), strict=True
    ):
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
    targets: Sequence[Target],
) -> None:
    """Write ``golden.npz`` for the graphs in a folder.

    ``waveform`` int16 (divide by 32768), ``starts`` int64; ``<precision>.<target>`` segment probabilities;
    ``features.<target>`` and ``song.<target>``: the features of the first precision, and what the song graph says.
    """
    waveform = golden_waveform(front_end)
    clip = Clip(id="golden", waveform=waveform, starts=segmentation.start_frames(len(waveform), front_end))
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "waveform": np.round(waveform * 32768).astype(np.int16),
        "starts": clip.starts,
    }
    for precision, name in segment.items():
        found = run_graph(session(folder / name), clip, targets)
        for target, probabilities in found.items():
            arrays[f"{precision}.{target}"] = probabilities
            if f"features.{target}" not in arrays:
                features = song_features(probabilities)[None].astype(np.float32)
                arrays[f"features.{target}"] = features
                arrays[f"song.{target}"] = session(folder / song[target]).run(None, {"features": features})[0]
    np.savez_compressed(folder / GOLDEN_NAME, **arrays)  # type: ignore[arg-type]
