"""Only N windows of a long song, spread evenly over it, instead of all: what ``--windows N`` analyses.

The windows are N of those that the bundle's rule cuts (`mertag.listen.windows.windows`), and each of their segments is
cut as in the whole song: so the result is a mean over fewer windows, and otherwise the same. A song that has no more
than N windows is analysed whole.

How long a song is shows only at its end, and its audio must not pile up until then. So of many windows every second
one is dropped, then every second one of the rest, and so on: at most `MOST_WINDOWS` (or 4 N) are kept at any time, and
the N are chosen among them. What is kept depends on how much audio came, not on the chunks in which it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from mertag.listen.blocks import BlockPacker, Excerpts, Probabilities, SongSegments
from mertag.listen.silence import LEAST_SOUNDING, BoolArray
from mertag.listen.windows import Float32Array, FrontEnd, Segmentation, WindowRule, window_samples, windows

MOST_WINDOWS = 16
"""How many windows of a song are kept, at most, until N of them are chosen: 42 MB of 30-second windows."""

Piece = tuple[int, Float32Array]
"""A stretch of a song: its first sample, and the audio."""

Span = tuple[int, int]
"""The first sample or segment, and the one after the last."""


@dataclass(slots=True, kw_only=True)
class _Chosen:
    """A song whose windows are chosen; the result of each run of segments, by its number, None until it is there."""

    n_samples: int
    excerpts: Excerpts | None = None
    runs: dict[int, SongSegments | None] = field(default_factory=dict)


class ExcerptPacker:
    """A `BlockPacker` that passes on no more than `n_windows` windows of each song, and is used like one.

    `packer`, which is not to be used otherwise, has the same front end and segmentation; `rule` is that of the bundle.
    """

    def __init__(
        self, packer: BlockPacker, *, n_windows: int, rule: WindowRule, front_end: FrontEnd, segmentation: Segmentation
    ) -> None:
        self._packer, self._n_windows = packer, n_windows
        self._rule, self._front_end, self._segmentation = rule, front_end, segmentation
        self._segment, self._segment_hop = segmentation.segment_samples(front_end), segmentation.hop_samples(front_end)
        self._single_max = round(rule.single_max_s * front_end.sample_rate)
        self._window, self._hop = window_samples(rule, segment_samples=self._segment, sample_rate=front_end.sample_rate)
        self._lead = front_end.hop_length  # a segment's first frame may begin so much before the window
        self._most = max(MOST_WINDOWS, 4 * n_windows)
        self._held: dict[int, list[Piece]] = {}  # what is kept of the songs whose end has not come
        self._chosen: dict[int, _Chosen] = {}
        self._song_of: dict[int, int] = {}  # a run's number -> its song
        self._numbers = count()

    def feed(self, key: int, chunk: Float32Array) -> None:
        """Take the next samples of a song, shape (n,); the array must not change afterwards."""
        pieces = self._held.get(key, [])
        self._held[key] = self._thinned_out([*pieces, (_end(pieces), chunk)])

    def end(self, key: int, sounding: BoolArray | None = None) -> None:
        """No more samples of this song will come: choose among the windows that sound, and pass on."""
        pieces = self._held.pop(key, [])
        chosen = self._chosen[key] = _Chosen(n_samples=_end(pieces))
        starts = self._segmentation.start_samples(chosen.n_samples, self._front_end)
        if len(starts) == 0:
            return
        found = windows(
            starts,
            segment_samples=self._segment,
            n_samples=chosen.n_samples,
            sample_rate=self._front_end.sample_rate,
            rule=self._rule,
        )
        candidates = self._candidates(found, pieces)
        if sounding is not None:
            candidates = [w for w in candidates if sounding[w].mean() >= LEAST_SOUNDING] or candidates
        picked = _evenly(candidates, self._n_windows)
        runs = _merged((window.start, window.stop) for window in picked)
        if len(picked) < len(found) or runs != [(0, len(starts))]:
            chosen.excerpts = self._excerpts(picked, runs)
        for run in runs:
            number = next(self._numbers)
            self._song_of[number] = key
            chosen.runs[number] = None
            self._packer.begin(number, first_segment=run[0])
            self._packer.feed(number, np.concatenate(_within(pieces, self._samples(run))))  # its windows are all held
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
            if len(results) < len(chosen.runs):
                continue
            del self._chosen[key]
            error = next((result.error for result in results if result.error is not None), None)
            probabilities: Probabilities = {}
            if results and error is None:
                parts = [result.probabilities for result in results]
                probabilities = {target: np.concatenate([part[target] for part in parts]) for target in parts[0]}
            yield SongSegments(
                key=key,
                n_samples=chosen.n_samples,
                n_segments=sum(result.n_segments for result in results),
                probabilities=probabilities,
                error=error,
                excerpts=chosen.excerpts,
            )

    def _thinned_out(self, pieces: list[Piece]) -> list[Piece]:
        """Return the pieces of a song without the audio between the windows that are kept."""
        n_samples = _end(pieces)
        period = self._period(n_samples)
        # Up to `single_max_s` the song is one window, which needs everything.
        if n_samples <= self._single_max or period <= self._lead + self._window:
            return pieces
        # The last window ends at the last segment, which may end a hop before the song does, should it end here.
        tail = (n_samples - self._window - self._segment_hop - self._lead, n_samples)
        kept: list[Piece] = []
        for first, audio in pieces:
            last = first + len(audio)
            numbers = range(max(0, (first - self._window) // period), (last + self._lead) // period + 1)
            wanted = [(number * period - self._lead, number * period + self._window) for number in numbers]
            inside = sorted((max(first, lo), min(last, hi)) for lo, hi in [*wanted, tail])
            for lo, hi in _merged(span for span in inside if span[0] < span[1]):
                kept.append((lo, audio if hi - lo == len(audio) else audio[lo - first : hi - first].copy()))
        return kept

    def _period(self, n_samples: int) -> int:
        """Return how far apart the windows lie that are kept of a song, in samples."""
        period = self._hop
        while n_samples // period + 1 > self._most:
            period *= 2
        return period

    def _candidates(self, found: list[slice], pieces: list[Piece]) -> list[slice]:
        """Return the windows that are held; those at the end only where the evenly spread ones are too few."""
        held, spread = [], []
        period = self._period(_end(pieces))
        for window in found:
            lo, hi = self._samples((window.start, window.stop))
            if sum(map(len, _within(pieces, (lo, hi)))) == hi - lo:
                held.append(window)
                if hi <= (lo + self._lead) // period * period + self._window:
                    spread.append(window)
        return held if len(held) == len(found) or len(spread) < self._n_windows else spread

    def _samples(self, segments: Span) -> Span:
        """Return the samples that a run of segments needs."""
        frame = self._front_end.hop_length
        return segments[0] * self._segment_hop // frame * frame, (segments[1] - 1) * self._segment_hop + self._segment

    def _excerpts(self, picked: list[slice], runs: list[Span]) -> Excerpts:
        order = np.concatenate([np.arange(start, stop, dtype=np.int64) for start, stop in runs])
        places = [(int(np.searchsorted(order, w.start)), w.stop - w.start) for w in picked]
        hop, segment = self._segment_hop, self._segment
        # Runs that share no segment may share audio, which counts once.
        covered = _merged((start * hop, (stop - 1) * hop + segment) for start, stop in runs)
        return Excerpts(
            order=order,
            windows=tuple(slice(place, place + length) for place, length in places),
            n_samples=sum(stop - start for start, stop in covered),
        )


def _end(pieces: list[Piece]) -> int:
    """Return how many samples of a song have come; its last ones are always kept."""
    return pieces[-1][0] + len(pieces[-1][1]) if pieces else 0


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Return spans, given in the order of their beginnings, with those joined that overlap."""
    found: list[Span] = []
    for lo, hi in spans:
        if found and lo < found[-1][1]:
            found[-1] = found[-1][0], max(hi, found[-1][1])
        else:
            found.append((lo, hi))
    return found


def _evenly(found: list[slice], n: int) -> list[slice]:
    """Return `n` of the windows, each from the middle of one of `n` equal parts of the list; all if there are fewer."""
    if len(found) <= n:
        return found
    return [found[(2 * i + 1) * len(found) // (2 * n)] for i in range(n)]


def _within(pieces: list[Piece], span: Span) -> list[Float32Array]:
    """Return what is there of a span of samples, in parts."""
    lo, hi = span
    return [audio[max(0, lo - at) : hi - at] for at, audio in pieces if at < hi and lo < at + len(audio)]
