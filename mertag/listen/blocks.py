"""Packs the waveforms of songs into blocks for the session, and hands the results back to their songs.

A block is one call: pieces of songs laid end to end, together at most `max_segments` segments. A piece is cut at
multiples of `hop_length` samples on its song's own grid, so that its segments see the frames that they would see in a
call with the whole song: how a song was chunked, and what lies beside it, changes nothing. Of each song only the audio
that later segments need is kept, so that memory does not grow with its length.

Where segments see their neighbours (`mertag.listen.manifest.Manifest.shared`), a block is one song's, and a song is cut
at fixed places, every `max_segments` segments: so nothing depends on chunks or on other songs there either.

With an executor, calls run beside what feeds them; no call depends on another, and results are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from dataclasses import dataclass, field

import numpy as np

from mertag.emotion import Target
from mertag.errors import MertagError
from mertag.listen.silence import BoolArray
from mertag.listen.windows import Float32Array, FrontEnd, Int64Array, Segmentation

Probabilities = Mapping[Target, Float32Array]
RunBlock = Callable[[Float32Array, Int64Array], Probabilities]
"""``(waveform, starts)`` -> of each head the probabilities, and behind them its embedding if it has one, shape
(n_segments, `mertag.listen.manifest.Head.n_outputs`)."""

_LOOK_AGAIN_S = 0.5
_CLOSED = "the tagger was closed while songs were under way; open another one"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Excerpts:
    """Which part of a song was classified, where it was not the whole.

    Attributes
    ----------
    order : int64 array, shape (n_segments,)
        Which of the song's segments, ascending.
    windows : tuple of slice
        Which of these make up each window.
    n_samples : int
        How much audio they cover.
    """

    order: Int64Array
    windows: tuple[slice, ...]
    n_samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SongSegments:
    """The segments of one song, classified.

    Attributes
    ----------
    key : int
        The song.
    n_samples : int
        Its length, in samples.
    n_segments : int
        How many full segments it has, or were chosen; may be 0.
    probabilities : mapping of Target to float32 array, shape (n_segments, n_outputs)
        In the order of the segments, see `Network`; empty if there is no segment, or after an error.
    error : MertagError or None
        Why the song could not be classified.
    excerpts : Excerpts or None
        Which segments these are; None: all.
    """

    key: int
    n_samples: int
    n_segments: int
    probabilities: Probabilities
    error: MertagError | None = None
    excerpts: Excerpts | None = None


@dataclass(slots=True, kw_only=True)
class _Song:
    """A song that is on its way: the audio still needed, and the results so far."""

    chunks: list[Float32Array] = field(default_factory=list)
    first_sample: int = 0  # of chunks, on the song's grid
    n_samples: int = 0
    first_segment: int = 0
    n_taken: int = 0  # segments already cut out, and those before the first
    results: dict[int, Probabilities] = field(default_factory=dict)  # by the first segment, in the order of arrival
    n_under_way: int = 0  # calls that hold segments of it
    ended: bool = False
    dropped: bool = False
    error: MertagError | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Piece:
    song: _Song
    first_segment: int
    waveform: Float32Array  # a multiple of hop_length long
    starts: Int64Array  # frames, relative to the piece


_Call = tuple[list[_Piece], Future[Probabilities]]


class BlockPacker:
    """Feeds a session with blocks of many songs.

    Parameters
    ----------
    run : callable
        Runs one block; see `RunBlock`.
    front_end, segmentation
        The constants of the bundle, the segment hop perhaps changed.
    max_segments : int
        Segments of a block, at most.
    one_song : callable
        Says whether a block may hold segments of one song only. It is asked each time, since a GPU that fails may
        leave the rest to another graph.
    executor : Executor, optional
        Where calls run; if not given, in the thread that feeds.
    most_calls : int
        Of an executor: how many calls may run or wait for their turn, before `feed` waits for one of them.

    Raises
    ------
    MertagError
        By `feed`, `end`, `flush` and `ready`, if the executor was shut down meanwhile.

    Notes
    -----
    `feed` and `end` take what the decoders give, chunk by chunk; once `max_segments` segments are there, they
    run. `ready` gives the songs that are done; `flush` runs what is left when no more audio comes. All of this is for
    one thread.
    """

    def __init__(
        self,
        run: RunBlock,
        *,
        front_end: FrontEnd,
        segmentation: Segmentation,
        max_segments: int,
        one_song: Callable[[], bool] = lambda: False,
        executor: Executor | None = None,
        most_calls: int = 1,
    ) -> None:
        if max_segments < 1 or most_calls < 1:
            raise ValueError(f"max_segments is {max_segments}, most_calls {most_calls}; they must be 1 or more")
        self._run, self._front_end, self._segmentation = run, front_end, segmentation
        self._one_song = one_song
        self._executor, self._most_calls = executor, most_calls
        self._calls: list[_Call] = []  # those under way
        self._max_segments = max_segments
        self._hop_samples = segmentation.hop_samples(front_end)
        frames_end = (segmentation.segment_frames(front_end) - 1) * front_end.hop_length + front_end.n_fft
        self._span = frames_end + -frames_end % front_end.hop_length  # samples under one segment's frames
        self._songs: dict[int, _Song] = {}  # oldest first
        self._waiting = 0  # segments that are complete and have not been run

    def begin(self, key: int, *, first_segment: int) -> None:
        """Say that a song's audio will begin only where the first frame of `first_segment` does."""
        hop_length = self._front_end.hop_length
        first_sample = first_segment * self._hop_samples // hop_length * hop_length
        self._songs[key] = _Song(
            first_sample=first_sample, n_samples=first_sample, first_segment=first_segment, n_taken=first_segment
        )

    def feed(self, key: int, chunk: Float32Array) -> None:
        """Take the next samples of a song, shape (n,); the array must not change afterwards."""
        song = self._songs.setdefault(key, _Song())
        if song.error is not None or len(chunk) == 0:
            return
        before = self._available(song)
        song.chunks.append(chunk)
        song.n_samples += len(chunk)
        self._waiting += self._available(song) - before
        if self._one_song():
            self._run_song(song, to_the_end=False)
            # Since when was it so? Songs that ended before may still wait for a block that now never fills.
            for other in self._songs.values():
                if other.ended:
                    self._run_song(other, to_the_end=True)
        while self._waiting >= self._max_segments and not self._one_song():
            self._run_block()

    def end(self, key: int, sounding: BoolArray | None = None) -> None:
        """No more samples of this song will come. Which of its segments sound changes nothing here."""
        song = self._songs.setdefault(key, _Song())
        song.ended = True
        if self._one_song():
            self._run_song(song, to_the_end=True)

    def drop(self, key: int) -> None:
        """Forget a song, whatever is there of it."""
        song = self._songs.pop(key, None)
        if song is not None:
            self._waiting -= self._available(song)
            song.dropped = True

    def flush(self) -> None:
        """Run all segments that wait, and wait for all calls."""
        if self._one_song():
            for song in self._songs.values():
                self._run_song(song, to_the_end=True)
        while self._waiting:
            self._run_block()
        while self._calls:
            self._wait()

    def close(self) -> None:
        """Give up the calls that have not begun, with all songs."""
        for _, future in self._calls:
            future.cancel()
        self._calls.clear()
        self._songs.clear()
        self._waiting = 0

    def ready(self) -> Iterator[SongSegments]:
        """Give back, and forget, the songs that have ended and are classified whole.

        Raises
        ------
        Exception
            What a call raised that is no MertagError: a bug, or a lack of memory.
        """
        self._collect()
        for key, song in list(self._songs.items()):
            if song.ended and self._available(song) == 0 and song.n_under_way == 0:
                del self._songs[key]
                yield self._result(key, song)

    def _available(self, song: _Song) -> int:
        """Return how many segments are complete and not yet taken."""
        if song.error is not None or song.dropped:
            return 0
        return max(0, self._segmentation.n_segments(song.n_samples, self._front_end) - song.n_taken)

    def _run_song(self, song: _Song, *, to_the_end: bool) -> None:
        """Run one song's segments up to the last place where it is cut, or up to where its audio ends."""
        # Segments that lie apart have nothing in common, and one stretch with the audio between them would be long.
        apart = self._hop_samples > self._span
        while count := self._available(song):
            room = 1 if apart else self._max_segments - song.n_taken % self._max_segments
            if count < room and not to_the_end:
                return
            # The last stretch of a song goes to its end, as in one call with the whole song.
            piece = self._take(song, min(count, room), to_the_end=to_the_end and count < room)
            self._waiting -= len(piece.starts)
            self._start([piece])

    def _run_block(self) -> None:
        """Run the oldest segments that wait, as many as one block takes."""
        pieces, room = [], self._max_segments
        for song in self._songs.values():
            count = min(room, self._available(song))
            if count:
                pieces.append(self._take(song, count))
                room -= count
            if not room:
                break
        self._waiting -= self._max_segments - room
        self._start(pieces)

    def _take(self, song: _Song, count: int, *, to_the_end: bool = False) -> _Piece:
        """Cut the next segments out of a song, and let go of the audio before those that follow."""
        hop_length = self._front_end.hop_length
        order = np.arange(song.n_taken, song.n_taken + count + 1, dtype=np.int64)
        frames = order * self._hop_samples // hop_length
        starts, following = frames[:-1], int(frames[-1]) * hop_length
        audio = song.chunks[0] if len(song.chunks) == 1 else np.concatenate(song.chunks)
        first, last = int(starts[0]) * hop_length, int(starts[-1]) * hop_length + self._span
        if to_the_end:
            last = max(last, song.n_samples // hop_length * hop_length)
        waveform = audio[first - song.first_sample : last - song.first_sample]
        # Where n_fft is no multiple of hop_length, the last hop may reach past the audio; no frame reads it.
        if len(waveform) < last - first:
            waveform = np.pad(waveform, (0, last - first - len(waveform)))
        first_segment, song.n_taken = song.n_taken, song.n_taken + count
        song.first_sample = min(following, song.n_samples)  # past the end if the hop is longer than a segment
        song.chunks = [_tail(audio, song.n_samples - song.first_sample)]
        return _Piece(song=song, first_segment=first_segment, waveform=waveform, starts=starts - starts[0])

    def _start(self, pieces: list[_Piece]) -> None:
        """Make one call of pieces; if too many are under way, wait for one of them first."""
        for piece in pieces:
            piece.song.n_under_way += 1
        if self._executor is None:
            future: Future[Probabilities] = Future()
            try:
                future.set_result(self._call(pieces))
            except MertagError as error:
                future.set_exception(error)
            self._calls.append((pieces, future))
            self._collect()
            return
        while len(self._calls) >= self._most_calls:
            self._wait()
        try:
            future = self._executor.submit(self._call, pieces)
        except RuntimeError as error:
            if "shutdown" not in str(error):  # no thread may be started
                raise
            raise MertagError(_CLOSED) from error
        self._calls.append((pieces, future))

    def _call(self, pieces: list[_Piece]) -> Probabilities:
        """Run pieces, perhaps in a thread of their own: in one call, if they may share one when it is made."""
        if len(pieces) > 1 and self._one_song():
            return self._one_by_one(pieces)
        found = self._run(*self._joined(pieces))
        if len(pieces) > 1 and self._one_song():  # it has become so within the call: a GPU failed, and another graph
            return self._one_by_one(pieces)  # has answered, in which songs that lie beside each other matter
        return found

    def _one_by_one(self, pieces: list[_Piece]) -> Probabilities:
        rows = [self._run(piece.waveform, piece.starts) for piece in pieces]
        return {target: np.concatenate([row[target] for row in rows]) for target in rows[0]}

    def _joined(self, pieces: list[_Piece]) -> tuple[Float32Array, Int64Array]:
        """Return pieces end to end, and where their segments start then."""
        if len(pieces) == 1:
            return pieces[0].waveform, pieces[0].starts
        hop_length = self._front_end.hop_length
        offsets = np.cumsum([0, *(len(piece.waveform) // hop_length for piece in pieces)])
        starts = [piece.starts + offset for piece, offset in zip(pieces, offsets, strict=False)]
        return np.concatenate([piece.waveform for piece in pieces]), np.concatenate(starts)

    def _wait(self) -> None:
        """Wait until a call is done, and give each song its rows."""
        # `wait` does not return for calls that are cancelled when the executor is shut down: hence the time limit.
        wait([future for _, future in self._calls], timeout=_LOOK_AGAIN_S, return_when=FIRST_COMPLETED)
        self._collect()

    def _collect(self) -> None:
        """Give each song its rows of the calls that are done."""
        done = [call for call in self._calls if call[1].done()]
        self._calls = [call for call in self._calls if call not in done]
        for pieces, future in done:
            for piece in pieces:
                piece.song.n_under_way -= 1
            try:
                found = future.result()
            except CancelledError as error:
                raise MertagError(_CLOSED) from error
            except MertagError as error:
                if len(pieces) == 1:
                    song = pieces[0].song
                    self._waiting -= self._available(song)
                    song.error, song.chunks, song.results = error, [], {}
                else:  # one by one: what is wrong with one song must not cost the others their result
                    for piece in pieces:
                        self._start([piece])
                continue
            at = 0
            for piece in pieces:
                n = len(piece.starts)
                piece.song.results[piece.first_segment] = {t: p[at : at + n] for t, p in found.items()}
                at += n

    def _result(self, key: int, song: _Song) -> SongSegments:
        probabilities: Probabilities = {}
        if song.results and song.error is None:
            rows = [found for _, found in sorted(song.results.items(), key=lambda item: item[0])]
            probabilities = {t: np.concatenate([row[t] for row in rows]) for t in rows[0]}
        return SongSegments(
            key=key,
            n_samples=song.n_samples,
            n_segments=song.n_taken - song.first_segment,
            probabilities=probabilities,
            error=song.error,
        )


def _tail(audio: Float32Array, n: int) -> Float32Array:
    """Return the last n samples, copied where a view would keep far more than itself in memory."""
    tail = audio[len(audio) - n :]
    owner = audio.base if isinstance(audio.base, np.ndarray) else audio
    return tail.copy() if 2 * n < owner.size else tail
