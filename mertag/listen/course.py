"""A song's emotion over time: every segment, and its course, in few enough parts that it can be remembered."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mertag.emotion import CLASS_NAMES, SongEmotion, Target
from mertag.listen.blocks import SongSegments
from mertag.listen.bundle import Bundle
from mertag.listen.silence import BoolArray
from mertag.listen.windows import Float64Array, Segmentation
from mertag.outcomes import COURSE_NOTHING, COURSE_PARTS, COURSE_STEPS, SegmentTimeline


def course(
    segments: SongSegments, *, bundle: Bundle, segmentation: Segmentation, sounding: BoolArray | None = None
) -> bytes:
    """Return valence and arousal of equal parts of a song, each the mean over the segments whose centre lies in it.

    Parameters
    ----------
    segments, segmentation
        The song's classified segments, and how it was cut into them.
    bundle : Bundle
        The model.
    sounding : bool array, optional
        Which of all its segments sound; the others are left out. If not given, all.

    Returns
    -------
    bytes
        As of `mertag.outcomes.Tagged`; no more parts than there are segments.
    """
    front_end = bundle.manifest.front_end
    starts = segmentation.start_samples(segments.n_samples, front_end)
    n_parts = min(COURSE_PARTS, len(starts))
    sounds = np.ones(len(starts), np.bool_) if sounding is None else sounding
    if segments.excerpts is not None:
        starts, sounds = starts[segments.excerpts.order], sounds[segments.excerpts.order]
    centres = starts + segmentation.segment_samples(front_end) // 2
    part_of = (centres * n_parts // segments.n_samples)[sounds]
    heard = np.bincount(part_of, minlength=n_parts)
    sums = [np.bincount(part_of, side[sounds], minlength=n_parts) for side in _sides(segments)]
    means = np.stack(sums, axis=1) / np.maximum(heard, 1)[:, None]  # (n_parts, 2)
    steps = np.where(heard[:, None] > 0, np.rint(COURSE_STEPS * np.clip(means, 0, 1)), COURSE_NOTHING)
    return steps.astype(np.uint8).tobytes()


def timeline(
    segments: SongSegments, *, bundle: Bundle, segmentation: Segmentation, sounding: BoolArray, emotion: SongEmotion
) -> SegmentTimeline:
    """Return the segments of a song that has an emotion; for the parameters see `course`."""
    front_end = bundle.manifest.front_end
    starts = segmentation.start_samples(segments.n_samples, front_end)
    if segments.excerpts is not None:
        starts, sounding = starts[segments.excerpts.order], sounding[segments.excerpts.order]
    return SegmentTimeline(
        times_s=starts[sounding] / front_end.sample_rate,
        segment_s=segmentation.duration_s,
        probabilities={t: p[sounding, : len(CLASS_NAMES[t])] for t, p in segments.probabilities.items()},
        emotion=emotion,
        silent_times_s=starts[~sounding] / front_end.sample_rate,
    )


def _sides(segments: SongSegments) -> tuple[Float64Array, Float64Array]:
    """Return P(V+) and P(A+) of each segment, shape (n_segments,)."""
    found: dict[Target, npt.NDArray[np.float64]] = {
        target: np.asarray(p[:, : len(CLASS_NAMES[target])], np.float64) for target, p in segments.probabilities.items()
    }
    if Target.QUADRANT in found:
        p1, p2, _, p4 = found[Target.QUADRANT].T
        return p1 + p4, p1 + p2
    return found[Target.VALENCE][:, 1], found[Target.AROUSAL][:, 1]
