"""From a song's segments to its emotion: windows, the seven statistics, the song model, the decision.

The model's key is all that a result depends on beside the song's audio:
``name@version+sha8 manifest=<SHA-256> hop_s=1.0``. The manifest holds the checksums of the networks, the front end and
the window rule. What changes no result to speak of is left out: the device, the precision, the number of processes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mertag.emotion import CLASS_NAMES, SongEmotion, Target, decide
from mertag.errors import DeviceError, SilentError, TooShortError
from mertag.listen.blocks import SongSegments
from mertag.listen.bundle import Bundle
from mertag.listen.silence import SILENT_DBFS, BoolArray, covered, heard
from mertag.listen.windows import Float32Array, Float64Array, Int64Array, Segmentation, judged, windows

SILENCE_DBFS = -90.0
"""A song whose largest sample lies below this is silent: one step of 16-bit audio is -90.3 dBFS."""


def song_emotion(
    segments: SongSegments,
    *,
    bundle: Bundle,
    segmentation: Segmentation,
    song_model: Callable[[Target, npt.ArrayLike], Float64Array],
    path: Path | str,
    peak: float,
    sounding: BoolArray | None = None,
) -> SongEmotion:
    """Return the emotion of one song.

    Parameters
    ----------
    segments, segmentation
        The song's classified segments, and how it was cut into them.
    bundle : Bundle
        The model, with its window rule.
    song_model : callable
        A `mertag.listen.device.SongModel`: judges each window; the windows' probabilities are averaged.
    path : Path or str
        What the errors call it.
    peak : float
        Its largest sample, without sign; 1.0 is full scale.
    sounding : bool array, optional
        Which of all its segments sound; the others are left out. If not given, all.

    Raises
    ------
    TooShortError
        If it has no full segment.
    SilentError
        If its peak lies below `SILENCE_DBFS`, or none of its segments sounds.
    DeviceError
        If the model gave NaN, or fails.
    """
    manifest = bundle.manifest
    rate, n_samples = manifest.front_end.sample_rate, segments.n_samples
    length = segmentation.segment_samples(manifest.front_end)
    if segments.n_segments == 0:
        # Rounded down and up, so that too little never reads as enough.
        length_s = math.floor(10 * n_samples / rate) / 10
        needed_s = math.ceil(10 * segmentation.duration_s) / 10
        raise TooShortError(path, f"{length_s:.1f} s of audio; at least {needed_s:.1f} s are needed")
    if peak < 10 ** (SILENCE_DBFS / 20):
        raise SilentError(path, "nothing but digital silence")
    excerpts = segments.excerpts
    starts, sounds, found = _cut(segments, bundle=bundle, segmentation=segmentation, sounding=sounding)
    if not sounds.any():
        raise SilentError(path, f"nothing in it is louder than {SILENT_DBFS:.0f} dBFS: silence, or noise near it")
    kept = heard(found, sounds)
    silent = covered(starts, length) - covered(starts[sounds], length)
    means: dict[Target, list[float]] = {}
    for target, p in segments.probabilities.items():
        features = _features(p, kept, len(CLASS_NAMES[target]))
        mean = song_model(target, features).mean(axis=0)  # (n_classes,)
        if not (np.isfinite(p).all() and np.isfinite(mean).all()):
            raise DeviceError(
                f"the model gave {target} probabilities that are no numbers; try --device cpu, or another --model"
            )
        means[target] = mean.tolist()
    return SongEmotion(
        **dataclasses.asdict(decide(means)),
        duration_s=n_samples / rate,
        n_segments=int(sounds.sum()),
        n_windows=len(kept),
        model=bundle.id,
        analysed_s=None if excerpts is None else excerpts.n_samples / rate,
        silent_s=silent / rate,
    )


def window_features(
    segments: SongSegments, *, bundle: Bundle, segmentation: Segmentation, sounding: BoolArray
) -> dict[Target, Float64Array]:
    """Return what the song model judges in a song that has an emotion, by head: (n_windows, `Head.n_features`)."""
    _, sounds, found = _cut(segments, bundle=bundle, segmentation=segmentation, sounding=sounding)
    kept = heard(found, sounds)
    return {t: _features(p, kept, len(CLASS_NAMES[t])) for t, p in segments.probabilities.items()}


def _features(outputs: Float32Array, kept: Sequence[Int64Array], n_classes: int) -> Float64Array:
    """Return what the song model judges of each window, whose segments are given."""
    return np.stack([judged(outputs[window], n_classes) for window in kept])


def _cut(
    segments: SongSegments, *, bundle: Bundle, segmentation: Segmentation, sounding: BoolArray | None
) -> tuple[Int64Array, BoolArray, list[slice]]:
    """Return the first sample of each segment that was heard, whether it sounds, and the segments of each window."""
    manifest, n_samples, excerpts = bundle.manifest, segments.n_samples, segments.excerpts
    starts = segmentation.start_samples(n_samples, manifest.front_end)
    if excerpts is not None:
        starts, found = starts[excerpts.order], list(excerpts.windows)
    else:
        found = windows(
            starts,
            segment_samples=segmentation.segment_samples(manifest.front_end),
            n_samples=n_samples,
            sample_rate=manifest.front_end.sample_rate,
            rule=manifest.window_rule,
        )
    sounds = np.ones(len(starts), np.bool_) if sounding is None else sounding
    if excerpts is not None and sounding is not None:
        sounds = sounding[excerpts.order]
    return starts, sounds, found


def model_key(bundle: Bundle, *, segmentation: Segmentation, windows: int | None = None) -> str:
    """Return the key of a model: its bundle, how songs are cut, and how many windows are analysed (None: all)."""
    key = f"{bundle.id} manifest={bundle.digest} hop_s={segmentation.hop_s!r}"
    return key if windows is None else f"{key} windows={windows}"


def model_of(key: str) -> str:
    """Return the bundle's id in a key."""
    return key.partition(" ")[0]


def difference(old: str, new: str) -> str:
    """Return in words what sets the key `old` apart from `new`: another model, or other settings."""
    (old_id, *old_parts), (new_id, *new_parts) = old.split(" "), new.split(" ")
    if old_id != new_id:
        return f"with the model {old_id}, and this run uses {new_id}"
    before = ", ".join(part for part in old_parts if part not in new_parts) or "the defaults"
    now = ", ".join(part for part in new_parts if part not in old_parts) or "the defaults"
    return f"with other settings ({before}), and this run uses {now}"
