"""Proof that the exported graphs do what was trained: torch, librosa and scikit-learn against ONNX, on real audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import librosa
import numpy as np
import numpy.typing as npt
import torch
from sklearn.pipeline import Pipeline

from mertag.emotion import Target, decide
from mertag.errors import DatasetError, ExportError, FileError
from mertag.listen.decode.audio import decode_all
from mertag.listen.manifest import Precision
from mertag.listen.sessions import Session
from mertag.listen.windows import FrontEnd, Segmentation
from mertag_export.graphs import Clip, Probabilities, run_song_graph
from mertag_export.segment import SegmentGraph
from mertag_train.data.datasets import Dataset, read
from mertag_train.learn.config import TrainConfig
from mertag_train.learn.song import window_features
from mertag_train.networks.vgg import SegmentNetwork
from mertag_train.runs.run import Run

Part = Literal["train", "validation", "test"]
Example = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]
"""Waveform (n_samples,) and starts (n_segments,): the inputs of a segment graph."""


def dataset_of(run: Run, data_dir: Path | None) -> Dataset:
    """Read a run's data set again, from `data_dir` or else from where it lay when the run was trained.

    If it is not there, the message of the DatasetError says how to name its place.
    """
    try:
        return read(run.dataset["name"], data_dir or Path(run.dataset["root"]), **run.dataset.get("options", {}))
    except DatasetError as error:
        if data_dir is not None:
            raise
        raise DatasetError(
            f"{error} The export is proved on songs of the run's data set; if it has moved, say where it lies now "
            "with --data-dir."
        ) from error


def clips_of(run: Run, dataset: Dataset, part: Part, count: int) -> list[Clip]:
    """Return `count` decoded songs of one part of a run, spread evenly over it; all, if it has fewer.

    Songs that cannot be decoded, or are shorter than one segment, are left out. If none is left, ExportError is raised.
    """
    songs = sorted((s for s in dataset.songs if run.fold_of.get(s.id) == part and s.path), key=lambda s: s.id)
    if len(songs) > count:
        songs = [songs[i] for i in np.linspace(0, len(songs) - 1, count).round().astype(int)]
    front_end, segmentation = run.config.front_end, run.config.segmentation
    clips: list[Clip] = []
    trouble = ""
    for song in songs:
        assert song.path is not None
        try:
            waveform = decode_all(song.path, front_end=front_end)
        except FileError as error:
            trouble = f" ({error})"
            continue
        starts = segmentation.start_frames(len(waveform), front_end)
        if len(starts):
            clips.append(Clip(id=song.id, waveform=waveform, starts=starts))
    if not clips:
        raise ExportError(
            f"the export is proved on the audio of {run.dataset['name']}, and none of the run's {part} songs can be "
            f"read below {dataset.root}{trouble}; say where the data set lies with --data-dir"
        )
    return clips


def calibration(clips: list[Clip], n_segments: int) -> list[Example]:
    """Return up to `n_segments` segments of each clip, spread evenly over it, as the inputs of a graph."""
    chosen = [np.linspace(0, len(c.starts) - 1, min(n_segments, len(c.starts))).round().astype(int) for c in clips]
    return [(clip.waveform, clip.starts[index]) for clip, index in zip(clips, chosen, strict=True)]


SEGMENT_LIMIT = 1e-4
"""How far an fp32 segment probability may be from torch, and from librosa and torch."""
SONG_LIMIT = 1e-6
"""How far a song probability may be from scikit-learn, which works in float64 (4e-7 was measured on 80,000 songs)."""
MEAN_LIMIT: Mapping[Precision, float] = MappingProxyType({Precision.FP16: 2e-3, Precision.INT8: 0.02})
"""How far the segment probabilities of the smaller graphs may be from fp32, in the mean over all of them."""
AGREEMENT_LIMIT = 0.97
"""Share of songs on which fp16 and int8 must decide as fp32 does; one song may always differ, of however few.

Two dozen songs cannot tell 95 % from 90 %, and f7 (eq. 15) counts segments on one side of a threshold: where a weakly
trained model's probabilities lie about it, a difference of 0.004 moves the song's. A wrong graph agrees by chance, on a
quarter to a half of the songs, and fails the limit of the mean difference as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One comparison: what was compared, what was found, and what is allowed.

    Attributes
    ----------
    value, limit : float
        A difference, which must not exceed the limit; or a share of agreement, which must reach it.
    agreement : bool
        Which of the two.
    """

    what: str
    value: float
    limit: float
    agreement: bool = False

    @property
    def passed(self) -> bool:
        """Whether the comparison holds."""
        return self.value >= self.limit if self.agreement else self.value <= self.limit

    def __str__(self) -> str:
        if self.agreement:
            return f"{self.what}: {self.value:.1%} agree (at least {self.limit:.0%})"
        return f"{self.what}: {self.value:.1e} (at most {self.limit:.0e})"


def run_torch(graph: SegmentGraph, clip: Clip) -> Probabilities:
    """Return the segment probabilities of a clip through the torch module."""
    with torch.inference_mode():
        found = graph(torch.from_numpy(clip.waveform), torch.from_numpy(clip.starts))
    return {target: p.numpy() for target, p in zip(graph.targets, found, strict=True)}


def run_librosa(
    networks: Mapping[Target, SegmentNetwork],
    clip: Clip,
    front_end: FrontEnd,
    segmentation: Segmentation,
) -> Probabilities:
    """Return the segment probabilities of a clip with librosa's mel spectrogram and the torch networks."""
    power = librosa.feature.melspectrogram(
        y=clip.waveform,
        sr=front_end.sample_rate,
        n_fft=front_end.n_fft,
        hop_length=front_end.hop_length,
        n_mels=front_end.n_mels,
        fmin=front_end.fmin_hz,
        fmax=front_end.fmax_hz,
        center=False,
        power=2.0,
    )
    log_mel = (10 * np.log10(np.maximum(power, front_end.amin))).T.astype(np.float32)
    n_frames = segmentation.segment_frames(front_end)
    segments = torch.from_numpy(np.stack([log_mel[start : start + n_frames] for start in clip.starts]))
    with torch.inference_mode():
        return {t: torch.softmax(n.eval()(segments), dim=1).numpy() for t, n in networks.items()}


def largest_difference(a: Sequence[Probabilities], b: Sequence[Probabilities]) -> float:
    """Return the largest difference between two results over the same clips."""
    return max(float(np.abs(x[t] - y[t]).max()) for x, y in zip(a, b, strict=True) for t in x)


def mean_difference(a: Sequence[Probabilities], b: Sequence[Probabilities]) -> float:
    """Return the mean difference between two results over all segments, classes and targets."""
    return float(np.concatenate([np.abs(x[t] - y[t]).ravel() for x, y in zip(a, b, strict=True) for t in x]).mean())


def song_difference(opened: Session, classifier: Pipeline, features: npt.NDArray[np.float32]) -> float:
    """Return the largest difference between a song graph and scikit-learn on real features."""
    return float(np.abs(run_song_graph(opened, features) - classifier.predict_proba(features)).max())


def agreement_limit(n_songs: int) -> float:
    """Return the share of songs that must agree: `AGREEMENT_LIMIT`, or all but one."""
    return min(AGREEMENT_LIMIT, 1 - 1 / n_songs)


def decision_agreement(
    a: Sequence[Probabilities],
    b: Sequence[Probabilities],
    clips: Sequence[Clip],
    classifiers: Mapping[Target, Pipeline],
    config: TrainConfig,
) -> float:
    """Return the share of songs whose quadrant is the same after the song classifier."""

    def quadrant(found: Probabilities, clip: Clip) -> str:
        songs = {
            target: classifiers[target]
            .predict_proba(window_features(p, len(clip.waveform), config).astype(np.float32))
            .mean(0)
            .tolist()
            for target, p in found.items()
        }
        return decide(songs).quadrant

    same = [quadrant(x, clip) == quadrant(y, clip) for x, y, clip in zip(a, b, clips, strict=True)]
    return float(np.mean(same))
