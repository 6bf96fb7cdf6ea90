"""ONNX graphs of a bundle, run as `mertag tag` runs them on the CPU. No torch: it also checks installed bundles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mertag.emotion import Target
from mertag.listen.sessions import Session, cpu_session, usable_cores

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
    """Return the probabilities, shape (n_windows, n_classes), of features (n_windows, 7 * n_classes)."""
    (found,) = opened.run(["probabilities"], {"features": features})
    return found
