"""Only N windows of a long song, spread evenly over it, instead of all: what ``--windows N`` hears.

The windows are N of those that the bundle's rule cuts (`mertag.listen.windows.windows`), and each of their segments is
cut as in the whole song: so the result is a mean over fewer windows, and otherwise the same. A song that has no more
than N windows is heard whole.

How long a song is shows only at its end, and its audio must not pile up until then. So of a song with many windows,
every second one is forgotten, then every second one of the rest, and so on: at any time at most `MOST_WINDOWS` (or
4 N) are kept, and the N are chosen among those at the end. What is kept depends on how much audio came, not on the
chunks in which it came.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from mertag.listen.blocks import BlockPacker, Excerpts, Float32Array, Probabilities, SongSegments
from mertag.listen.windows import FrontEnd, Segmentation, WindowRule, window_samples, windows

MOST_WINDOWS = 16
"""How many windows of a song are kept, at most, until N of them are chosen: 42 MB of 30-second windows."""

Piece = tuple[int, Float32Array]
"""A stretch of a song: its first sample, and the audio."""


@dataclass(slots=True)
class _Held:
    """What is kept of a song whose end has not come."""

    pieces: list[Piece] = field(default_factory=list)
    n_samples: int = 0


@dataclass(slots=True, kw_only=True)
class _Chosen:
    """A song whose windows are chosen; the result of each run of segments, by its number, None until it is there."""

    n_samples: int
    excerpts: Excerpts | None
    runs: dict[int, SongSegments | None] = field(default_factory=dict)


class ExcerptPacker:
    """A `BlockPacker` that passes on no more than N windows of each song. It is used like one.

    Parameters
    ----------
    packer : BlockPacker
        What runs the segments; it is not to be used otherwise.
    n_windows : int
        N.
    rule : WindowRule
        The rule of the bundle.
    front_end, segmentation
        Those of the packer.
    """

    def __init__(
        self,
        packer: BlockPacker,
        *,
        n_windows: int,
        rule: WindowRule,
        front_end: FrontEnd,
        segmentation: Segmentation,
    ) -> None:
        self._packer, self._n_windows = packer, n_windows
        self._rule, self._front_end, self._segmentation = rule, front_end, segmentation
        self._segment = segmentation.segment_samples(front_end)
        self._single_max = round(rule.single_max_s * front_end.sample_rate)
        self._window, self._hop = window_samples(rule, segment_samples=self._segment, sample_rate=front_end.sample_rate)
        self._most = max(MOST_WINDOWS, 4 * n_windows)
        self._held: dict[int, _Held] = {}
        self._chosen: dict[int, _Chosen] = {}
        self._song_of: dict[int, int] = {}  # a run's number -> its song
        self._n_runs = 0

    def feed(self, key: int, chunk: Float32Array) -> None:
        """Take the next samples of a song, shape (n,); the array must not change afterwards."""
        held = self._held.setdefault(key, _Held())
        held.pieces.append((held.n_samples, chunk))
        held.n_samples += len(chunk)
        self._thin_out(held)

    def end(self, key: int) -> None:
        """No more samples of this song will come: choose, and pass on."""
        held = self._held.pop(key, _Held())
        starts = self._segmentation.start_samples(held.n_samples, self._front_end)
        if len(starts) == 0:
            self._chosen[key] = _Chosen(n_samples=held.n_samples, excerpts=None)
            return
        found = windows(
            starts,
            segment_samples=self._segment,
            n_samples=held.n_samples,
            sample_rate=self._front_end.sample_rate,
            rule=self._rule,
        )
        stretches = _joined(held.pieces)
        picked = _evenly(self._candidates(found, stretches, held.n_samples), self._n_windows)
        runs = _union(picked)
        whole = len(picked) == len(found) and runs == [slice(0, len(starts))]
        chosen = _Chosen(n_samples=held.n_samples, excerpts=None if whole else self._excerpts(picked, runs))
        self._chosen[key] = chosen
        for run in runs:
            audio = _audio(stretches, *self._span(run))
            assert audio is not None  # its windows are held, and share segments
            number, self._n_runs = self._n_runs, self._n_runs + 1
            self._song_of[number] = key
            chosen.runs[number] = None
            self._packer.begin(number, first_segment=run.start)
            self._packer.feed(number, audio.copy())  # a view would keep the whole song
            self._packer.end(number)

    def drop(self, key: int) -> None:
        """Forget a song, whatever is there of it."""
        self._held.pop(key, None)
        chosen = self._chosen.pop(key, None)
        for number in chosen.runs if chosen else ():
            self._song_of.pop(number, None)
            self._packer.drop(number)

    def flush(self) -> None:
        """Run all segments that wait."""
        self._packer.flush()

    def close(self) -> None:
        """Give up all songs."""
        self._packer.close()

    def ready(self) -> Iterator[SongSegments]:
        """Give back, and forget, the songs that have ended and whose chosen segments are classified."""
        for result in self._packer.ready():
            self._chosen[self._song_of.pop(result.key)].runs[result.key] = result
        for key, chosen in list(self._chosen.items()):
            results = [result for result in chosen.runs.values() if result is not None]
            if len(results) == len(chosen.runs):
                del self._chosen[key]
                yield _joint(key, chosen, results)

    def _thin_out(self, held: _Held) -> None:
        """Let go of the audio between the windows that are kept."""
        if held.n_samples <= self._single_max:  # one window so far, which needs everything
            return
        period = self._period(held.n_samples)
        lead = self._front_end.hop_length  # a segment's first frame may begin so much before the window
        if period <= lead + self._window:
            return
        # The last window ends at the last segment, which may end a hop before the song does.
        tail = self._window + self._segmentation.hop_samples(self._front_end) + lead
        kept: list[Piece] = []
        for first, audio in held.pieces:
            last = first + len(audio)
            wanted = self._kept_spans(period, first, last)
            wanted.append((held.n_samples - tail, held.n_samples))  # should the song end here
            for lo, hi in _within(first, last, wanted):
                part = audio[lo - first : hi - first]
                kept.append((lo, audio if len(part) == len(audio) else part.copy()))
        held.pieces = kept

    def _period(self, n_samples: int) -> int:
        """Return how far apart the windows lie that are kept of a song, in samples."""
        period = self._hop
        while n_samples // period + 1 > self._most:
            period *= 2
        return period

    def _kept_spans(self, period: int, first: int, last: int) -> list[tuple[int, int]]:
        """Return the spans, `period` samples apart, that are kept of a song, of those near [first, last)."""
        lead = self._front_end.hop_length  # a segment's first frame may begin so much before the window
        numbers = range(max(0, (first - self._window) // period), (last + lead) // period + 1)
        return [(number * period - lead, number * period + self._window) for number in numbers]

    def _candidates(self, found: list[slice], stretches: list[Piece], n_samples: int) -> list[slice]:
        """Return the windows that are held; those at the end only where the evenly spread ones are too few."""
        held = [w for w in found if _audio(stretches, *self._span(w)) is not None]
        period = self._period(n_samples)
        if len(held) == len(found):
            return held

        def in_step(window: slice) -> bool:
            lo, hi = self._span(window)
            return any(start <= lo and hi <= stop for start, stop in self._kept_spans(period, lo, hi))

        spread = [window for window in held if in_step(window)]
        return spread if len(spread) >= self._n_windows else held

    def _span(self, segments: slice) -> tuple[int, int]:
        """Return the first sample that a run of segments needs, and the one after the last."""
        hop, frame = self._segmentation.hop_samples(self._front_end), self._front_end.hop_length
        return segments.start * hop // frame * frame, (segments.stop - 1) * hop + self._segment

    def _excerpts(self, picked: list[slice], runs: list[slice]) -> Excerpts:
        order = np.concatenate([np.arange(run.start, run.stop, dtype=np.int64) for run in runs])
        hop = self._segmentation.hop_samples(self._front_end)
        covered, end = 0, 0  # runs that share no segment may share audio, which counts once
        for run in runs:
            first, last = run.start * hop, (run.stop - 1) * hop + self._segment
            covered, end = covered + last - max(first, end), last
        places = [(int(np.searchsorted(order, w.start)), w.stop - w.start) for w in picked]
        windows_ = tuple(slice(place, place + length) for place, length in places)
        return Excerpts(order=order, windows=windows_, n_samples=covered)


def _within(first: int, last: int, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what spans cover of [first, last), as spans that do not touch."""
    found: list[tuple[int, int]] = []
    for lo, hi in sorted((max(first, lo), min(last, hi)) for lo, hi in spans):
        if lo >= hi:
            continue
        if found and lo <= found[-1][1]:
            found[-1] = found[-1][0], max(hi, found[-1][1])
        else:
            found.append((lo, hi))
    return found


def _joint(key: int, chosen: _Chosen, results: list[SongSegments]) -> SongSegments:
    """Return the result of a song from those of its runs."""
    error = next((result.error for result in results if result.error is not None), None)
    probabilities: Probabilities = {}
    if results and error is None:
        probabilities = {t: np.concatenate([r.probabilities[t] for r in results]) for t in results[0].probabilities}
    return SongSegments(
        key=key,
        n_samples=chosen.n_samples,
        n_segments=sum(result.n_segments for result in results),
        probabilities=probabilities,
        error=error,
        excerpts=chosen.excerpts,
    )


def _evenly(found: list[slice], n: int) -> list[slice]:
    """Return `n` of the windows, each from the middle of one of `n` equal parts of the list; all if there are fewer."""
    if len(found) <= n:
        return found
    return [found[(2 * i + 1) * len(found) // (2 * n)] for i in range(n)]


def _union(found: list[slice]) -> list[slice]:
    """Return windows, in their order, with those joined that share segments."""
    runs: list[slice] = []
    for window in found:
        if runs and window.start < runs[-1].stop:
            runs[-1] = slice(runs[-1].start, window.stop)
        else:
            runs.append(window)
    return runs


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Return pieces, in their order, with those joined that follow each other."""
    groups: list[list[Piece]] = []
    for first, audio in pieces:
        if groups and groups[-1][-1][0] + len(groups[-1][-1][1]) == first:
            groups[-1].append((first, audio))
        else:
            groups.append([(first, audio)])
    return [(group[0][0], np.concatenate([audio for _, audio in group])) for group in groups]


def _audio(stretches: list[Piece], first: int, end: int) -> Float32Array | None:
    """Return the samples from `first` to `end`; None if they are not all there."""
    for start, audio in stretches:
        if start <= first and end <= start + len(audio):
            return audio[first - start : end - start]
    return None
