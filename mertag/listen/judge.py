"""From a song's segments to its emotion: windows, the seven statistics, the song model, the decision."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from mertag.emotion import SongEmotion, Target, decide
from mertag.errors import DeviceError, SilentError, TooShortError
from mertag.listen.blocks import SongSegments
from mertag.listen.bundle import Bundle
from mertag.listen.device import SongModel
from mertag.listen.windows import Segmentation, song_features, windows

SILENCE_DBFS = -90.0
"""A song whose largest sample lies below this is silent: one step of 16-bit audio is -90.3 dBFS."""


def judge(
    segments: SongSegments,
    *,
    bundle: Bundle,
    segmentation: Segmentation,
    song_model: SongModel,
    path: Path,
    peak: float,
) -> SongEmotion:
    """Return the emotion of one song.

    Parameters
    ----------
    segments : SongSegments
        Its classified segments.
    bundle : Bundle
        The model, with its window rule.
    segmentation : Segmentation
        How the song was cut.
    song_model : SongModel
        Judges each window; the windows' probabilities are averaged.
    path : Path
        The file, for the errors.
    peak : float
        Its largest sample, without sign; 1.0 is full scale.

    Raises
    ------
    TooShortError
        If it has no full segment.
    SilentError
        If its peak lies below `SILENCE_DBFS`.
    DeviceError
        If the model gave NaN, or fails.
    """
    manifest = bundle.manifest
    rate, n_samples = manifest.front_end.sample_rate, segments.n_samples
    if segments.n_segments == 0:
        # Rounded down and up, so that too little never reads as enough.
        length_s = math.floor(10 * n_samples / rate) / 10
        needed_s = math.ceil(10 * segmentation.duration_s) / 10
        raise TooShortError(path, f"{length_s:.1f} s of audio; at least {needed_s:.1f} s are needed")
    if peak < 10 ** (SILENCE_DBFS / 20):
        raise SilentError(path, "nothing but digital silence")
    excerpts = segments.excerpts
    if excerpts is not None:
        found = list(excerpts.windows)
    else:
        found = windows(
            segmentation.start_samples(n_samples, manifest.front_end),
            segment_samples=segmentation.segment_samples(manifest.front_end),
            n_samples=n_samples,
            sample_rate=rate,
            rule=manifest.window_rule,
        )
    means: dict[Target, list[float]] = {}
    for target, p in segments.probabilities.items():
        features = np.stack([song_features(p[window]) for window in found])  # (n_windows, 7 * n_classes)
        mean = song_model(target, features).mean(axis=0)  # (n_classes,)
        if not (np.isfinite(p).all() and np.isfinite(mean).all()):
            raise DeviceError(
                f"the model gave {target} probabilities that are no numbers; try --device cpu, or another --model"
            )
        means[target] = mean.tolist()
    decision = decide(means)
    return SongEmotion(
        quadrant=decision.quadrant,
        confidence=decision.confidence,
        valence=decision.valence,
        arousal=decision.arousal,
        quadrant_probabilities=decision.quadrant_probabilities,
        duration_s=n_samples / rate,
        n_segments=segments.n_segments,
        n_windows=len(found),
        model=bundle.id,
        analysed_s=None if excerpts is None else excerpts.n_samples / rate,
    )
