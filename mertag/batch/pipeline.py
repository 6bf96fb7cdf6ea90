"""The songs of a run on their way: recalled, looked at, analysed, written. `mertag.batch` accounts for what comes out.

Everything here happens on the caller's thread, but for looking at songs (`mertag.batch.feed`) and writing
(`mertag.batch.writers`).
"""

from __future__ import annotations

import contextlib
import time
from array import array
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from mertag.batch.events import BatchOptions, FileDone, Note, Status
from mertag.batch.feed import Feed, Later, Prepared, Ready, Song
from mertag.batch.memory import Memory
from mertag.batch.one_song import WriteJournal, finish
from mertag.batch.writers import Writers
from mertag.errors import reason_of
from mertag.interrupt import Interruptible
from mertag.library.state.analyses import State
from mertag.outcomes import Outcome

LOOKING_THREADS = 4
POLL_S = 0.25
"""How often is looked whether another run has finished a song that this one waits for."""


class SongTagger(Protocol):
    """What a run needs of `mertag.listen.tagger.Tagger`."""

    @property
    def model_key(self) -> str:
        """All that a result depends on beside the audio; asked for only if there is a memory."""
        ...

    def tag_many(self, paths: Iterable[Path]) -> Iterator[Outcome]:
        """Yield one outcome a path, in any order, with the path's position as its index."""
        ...


class Pipeline:
    """One run.

    Parameters
    ----------
    songs : sequence of Path
        What was found.
    tagger : SongTagger
        Analyses.
    options : BatchOptions
        What to do.
    before : callable
        Says what settles a file without an analysis.
    state : State, optional
        What is remembered.
    journal : WriteJournal, optional
        Notes how to take each write back.
    """

    def __init__(
        self,
        songs: Sequence[Path],
        *,
        tagger: SongTagger,
        options: BatchOptions,
        before: Callable[[int, Path], FileDone | None],
        state: State | None,
        journal: WriteJournal | None,
    ) -> None:
        self._songs, self._tagger, self._options, self._state = songs, tagger, options, state
        self._before, self._journal = before, journal
        self._memory: Memory | None = None
        if state is not None:
            self._memory = Memory(state, model=tagger.model_key, options=options, before=before, journal=journal)
        # Two names of one file must not be written at once: the second write would take the first for a stranger's.
        threads = min(options.writers, 1) if options.tag.break_hard_links else options.writers
        self._writers: Writers[tuple[Song, Outcome, bool], FileDone] = Writers(
            threads if options.writes else 0, self._finish
        )
        self._feed: Feed | None = None

    def events(self, interruptible: Interruptible) -> Generator[FileDone | Note, None, None]:
        """Yield what becomes of each file, as it comes.

        Raises
        ------
        KeyboardInterrupt
            If an interrupt came; `leftovers` then has what was being written.
        """
        for event in self._events(interruptible):
            yield event
            yield from self._troubles()
        yield from self._troubles()

    def leftovers(self) -> Iterator[FileDone]:
        """Finish what is being written, drop what waits for its turn, and yield the former."""
        self._writers.stop()
        yield from self._writers.rest()

    def close(self) -> None:
        """Wait for what is being written, and give back what is claimed. May be called twice."""
        if self._feed is not None:
            self._feed.close()
        self._writers.stop()
        if self._state is not None:
            self._state.release_all()

    def _events(self, interruptible: Interruptible) -> Iterator[FileDone | Note]:
        todo = array("L", range(len(self._songs)))
        if self._memory is not None:
            todo = yield from self._recalled(self._memory, interruptible)
        waiting = False
        while todo:
            later = yield from self._pass(todo, interruptible)
            if self._state is not None:
                self._state.release_all()  # nothing is under way, so nothing of ours may keep us waiting
            if len(later) == len(todo):
                if not waiting:
                    songs = "1 song is" if len(later) == 1 else f"{len(later)} songs are"
                    yield Note(text=f"{songs} under way in another run of mertag; waiting for its results")
                waiting = True
                interruptible.next(_pause())
            todo = later

    def _recalled(self, memory: Memory, interruptible: Interruptible) -> Generator[FileDone | Note, None, array[int]]:
        """Yield what is settled; return the indices of the rest."""
        rest = array("L")
        recalled = (memory.recall(index, path) or index for index, path in enumerate(self._songs))
        while (done := interruptible.next(recalled)) is not None:
            if isinstance(done, FileDone):
                yield done
            else:
                rest.append(done)
        for text in memory.notes():
            yield Note(text=text)
        return rest

    def _pass(self, todo: Sequence[int], interruptible: Interruptible) -> Generator[FileDone, None, array[int]]:
        """Take songs all the way; return the indices of those that someone else has under way."""
        later = array("L")
        feed = self._feed = Feed(todo, self._prepare, threads=LOOKING_THREADS if self._memory else 0)
        while True:
            ready = feed.ready()
            while (item := interruptible.next(ready)) is not None:
                yield from self._take(item, later)
            if feed.exhausted:
                break
            outcomes = self._tagger.tag_many(feed.round())
            with _closed(outcomes):
                while (outcome := interruptible.next(outcomes)) is not None:
                    yield from self._heard(feed.song_of(outcome), outcome)
                    while feed.waiting:
                        yield from self._take(feed.waiting.popleft(), later)
            for song in feed.forgotten():
                if self._memory is not None:
                    self._memory.give_back(song)
                reason = "the tagger ended without a result for it"
                yield FileDone(index=song.index, path=song.path, status=Status.FAILED, reason=reason)
        feed.close()
        for done in self._writers.rest():
            yield done
            interruptible.check()
        return later

    def _prepare(self, index: int) -> Prepared:
        path = self._songs[index]
        if self._memory is not None:
            return self._memory.prepare(index, path)
        return self._before(index, path) or Song(index=index, path=path)

    def _heard(self, song: Song, outcome: Outcome) -> Iterator[FileDone]:
        """Keep an analysis, and have it written."""
        if self._memory is not None:
            self._memory.heard(song, outcome)
        self._writers.submit((song, outcome, False))
        yield from self._writers.finished()

    def _take(self, item: Ready, later: array[int]) -> Iterator[FileDone]:
        if isinstance(item, FileDone):
            yield item
        elif isinstance(item, Later):
            later.append(item.index)
        else:
            self._writers.submit((item.song, item.outcome, True))
        yield from self._writers.finished()

    def _finish(self, job: tuple[Song, Outcome, bool]) -> FileDone:
        song, outcome, remembered = job
        try:
            if self._memory is not None:
                return self._memory.finish(song, outcome, remembered=remembered)
            return finish(song.index, outcome, self._options, journal=self._journal)
        except Exception as error:  # noqa: BLE001  a mistake of ours must cost its song only, and must not go unsaid
            return FileDone(index=song.index, path=song.path, status=Status.FAILED, reason=reason_of(error))

    def _troubles(self) -> Iterator[Note]:
        while self._state is not None and not self._state.troubles.empty():
            yield Note(text=self._state.troubles.get(), warning=True)


@contextlib.contextmanager
def _closed(outcomes: Iterator[Outcome]) -> Iterator[None]:
    """Close what the tagger gave at the end, so that decoding ends, too; a plain iterator has nothing to close."""
    try:
        yield
    finally:
        close = getattr(outcomes, "close", None)
        if close is not None:
            close()


def _pause() -> Iterator[None]:
    time.sleep(POLL_S)
    yield None
