"""One run over a library: find the songs, analyse them, write what was asked for, account for every file.

What ``mertag tag`` renders, and what any program can call::

    options = BatchOptions(write_tags=True)
    with Tagger() as tagger:
        for event in tag_library([Path("/music")], tagger=tagger, options=options):
            ...

Nothing is printed. One bad file never stops a run. Every file that was found ends as exactly one of tagged,
unchanged, skipped or failed, also when the run is interrupted::

    found = tagged + unchanged + skipped + failed

- *tagged*: something was written for it, or, in a dry run, would be; or it was analysed and nothing but the
  analysis was asked for.
- *unchanged*: its tags and its sidecar say so already.
- *skipped*: it cannot have an emotion (too short, silent), or has no tag format and no sidecar was asked
  for, or was not reached. A file without a tag format whose sidecar was asked for is tagged, by its sidecar.
- *failed*: damaged audio, or a write that did not work.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from array import array
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

from mertag.batch.memory import Memory
from mertag.batch.one_song import Later, Ready, Song, Steps
from mertag.batch.options import BatchOptions
from mertag.batch.threads import Lookahead, Writers
from mertag.errors import ConfigError, StateError, reason_of
from mertag.interrupt import Interruptible
from mertag.library import find as library
from mertag.library.accounting import Account, Event, FileDone, FileGroup, Finished, Found, Note, Status, Summary
from mertag.library.state.analyses import State
from mertag.library.state.journal import Journal
from mertag.outcomes import Outcome

__all__ = [
    "BatchOptions",
    "Event",
    "FileDone",
    "FileGroup",
    "Finished",
    "Found",
    "Note",
    "SongTagger",
    "Status",
    "Summary",
    "tag_library",
]

STATUSES = (Status.TAGGED, Status.UNCHANGED, Status.SKIPPED, Status.FAILED)

LOOKING_THREADS = 4

POLL_S = 0.25
"""How often is looked whether another run has finished a song that this one waits for."""

MOST_UNNOTED = 10
"""So many songs in a row may fail while the state does not work: then a night's analyses would be for nothing."""

_Write: TypeAlias = tuple[Song, Outcome, bool]  # the last: whether the outcome was remembered


class SongTagger(Protocol):
    """What a run needs of `mertag.listen.tagger.Tagger`."""

    @property
    def model_key(self) -> str:
        """All that a result depends on beside the audio; asked for only if there is a memory."""
        ...

    def tag_many(self, paths: Iterable[Path]) -> Iterator[Outcome]:
        """Yield one outcome a path, in any order, with the path's position as its index."""
        ...


def tag_library(
    paths: Iterable[Path],
    *,
    tagger: SongTagger,
    options: BatchOptions,
    state: State | None = None,
    journal: Journal | None = None,
) -> Generator[Event, None, None]:
    """Analyse the songs under `paths` and write what `options` ask for.

    Parameters
    ----------
    paths : iterable of Path
        Files and folders.
    tagger : Tagger
        An open `mertag.listen.tagger.Tagger`.
    options : BatchOptions
        What to write.
    state : State, optional
        What earlier runs remember, and this one shall; see `mertag.library.state.analyses.open_state`. Without one,
        every song is analysed.
    journal : Journal, optional
        Notes how to take each write back; what it cannot note is not written. If not given, the state's.

    Yields
    ------
    Event
        One `Found`, one `FileDone` for each file that was reached (in completion order), one `Finished`, and now and
        then a `Note`.

    Raises
    ------
    ConfigError
        If a path does not exist, before anything else (unless `BatchOptions.missing_fails`); if only what is
        remembered is to be written, and there is no state.
    KeyboardInterrupt
        After `Finished`, if the run is interrupted (Ctrl-C, SIGTERM) on the main thread: a song that is being
        written is finished and reported first, one that is still analysed is given up.
    MertagError
        After `Finished`, what stops the tagger altogether (such as a device that is lost), and StateError if the
        state has stopped working and one song after the other fails because its write cannot be noted.

    Notes
    -----
    A program that cannot go on (its own output is full) may ``throw`` its error into the iterator: it answers with
    `Finished`, and the summary still adds up.
    """
    if options.retag and state is None:
        raise ConfigError("--retag writes what is remembered, and there is no state; leave out --no-state")
    if journal is None and state is not None:
        journal = Journal(state.run.database, state.run.id)
    songs, unreadable, ignored = _find(paths, options)
    yield Found(n=len(songs))
    if ignored:
        yield Note(text=library.ignored_note(len(ignored)))
    account = Account(len(songs), STATUSES, run=None if state is None or options.dry_run else state.run.id)
    steps = Steps(options, unreadable, journal)
    if state is not None:
        steps = Memory(options, unreadable, journal, state=state, model=tagger.model_key)
    writers = _writers(options, steps)
    stopped_by = ""
    failures_in_a_row = 0
    caller_failed = False  # one that has thrown an error into the iterator wants the summary only
    try:
        with Interruptible() as interruptible:
            stages = _stages(songs, steps, tagger, writers, state, interruptible)
            try:
                with contextlib.closing(_with_troubles(stages, state)) as events:
                    for event in events:
                        if isinstance(event, FileDone):
                            event = steps.compared(event)
                            account.add(event)
                            failures_in_a_row = failures_in_a_row + 1 if event.status is Status.FAILED else 0
                        caller_failed = True
                        yield event
                        caller_failed = False
                        if failures_in_a_row >= MOST_UNNOTED and journal is not None:
                            _require_working(state)
                        limit = options.stop_at_failures
                        if limit is not None and account.failed >= limit:
                            after = f"after {limit} failures" if limit > 1 else "at the first failure"
                            stopped_by = f"stopped {after}"
                            break
            finally:  # what is being written is finished and counted, however the run ends
                writers.stop()
                late = [steps.compared(done) for done in writers.rest()]
                for done in late:
                    account.add(done)
                if state is not None:
                    state.release_all()
                if not caller_failed:
                    yield from late
    except (Exception, KeyboardInterrupt) as error:
        reason = "interrupted" if isinstance(error, KeyboardInterrupt) else "stopped by an error"
        yield Finished(summary=account.summary(songs, not_reached_because=reason))
        raise
    yield Finished(summary=account.summary(songs, not_reached_because=stopped_by))


def _stages(
    songs: Sequence[Path],
    steps: Steps,
    tagger: SongTagger,
    writers: Writers[_Write, FileDone],
    state: State | None,
    interruptible: Interruptible,
) -> Generator[FileDone | Note, None, None]:
    """Yield what becomes of each file, as it takes the stages of a run: recall, look, listen, keep, write."""
    todo = array("L")
    for item in interruptible.each(steps.recall(i, path) or i for i, path in enumerate(songs)):  # recall
        if isinstance(item, FileDone):
            yield item
        else:
            todo.append(item)
    yield from steps.notes()

    waits, threads = False, 0 if state is None else LOOKING_THREADS
    while todo:
        later = array("L")  # what another run has under way
        with contextlib.closing(Lookahead(todo, lambda i: steps.look(i, songs[i]), threads=threads)) as ahead:
            while True:
                for ready in interruptible.each(ahead.ready()):  # look
                    yield from _take(ready, later, writers)
                if ahead.exhausted:
                    break
                with _closed(tagger.tag_many(ahead.round())) as outcomes:  # listen
                    for outcome in interruptible.each(outcomes):
                        song = ahead.song_of(outcome)
                        steps.keep(song, outcome)  # keep
                        writers.submit((song, outcome, False))  # write
                        yield from writers.finished()
                        for ready in ahead.passed_by():
                            yield from _take(ready, later, writers)
                for song in ahead.forgotten():
                    steps.give_back(song)
                    reason = "the tagger ended without a result for it"
                    yield FileDone(index=song.index, path=song.path, status=Status.FAILED, reason=reason)
        for done in writers.rest():
            yield done
            interruptible.check()
        if state is not None:
            state.release_all()  # nothing is under way, so nothing of ours may keep us waiting
        if len(later) == len(todo):
            if not waits:
                n = "1 song is" if len(later) == 1 else f"{len(later)} songs are"
                yield Note(text=f"{n} under way in another run of mertag; waiting for its results")
            waits = True
            with interruptible.waiting():
                time.sleep(POLL_S)
        todo = later


def _take(ready: Ready, later: array[int], writers: Writers[_Write, FileDone]) -> Iterator[FileDone]:
    """Pass on a song that needs no analysis now, and yield what has been written meanwhile."""
    if isinstance(ready, FileDone):
        yield ready
    elif isinstance(ready, Later):
        later.append(ready.index)
    else:
        writers.submit((ready.song, ready.outcome, True))
    yield from writers.finished()


def _writers(options: BatchOptions, steps: Steps) -> Writers[_Write, FileDone]:
    def write(job: _Write) -> FileDone:
        song, outcome, remembered = job
        try:
            return steps.write(song, outcome, remembered=remembered)
        except Exception as error:  # noqa: BLE001  a mistake of ours must cost its song only, and must not go unsaid
            return FileDone(index=song.index, path=song.path, status=Status.FAILED, reason=reason_of(error))

    # Two names of one file must not be written at once: the second write would take the first for another program's.
    threads = min(options.writers, 1) if options.tag.break_hard_links else options.writers
    return Writers(threads if options.writes else 0, write)


def _with_troubles(
    events: Generator[FileDone | Note, None, None], state: State | None
) -> Generator[FileDone | Note, None, None]:
    """Yield the events, and after each, and at the end, what the state file has trouble with."""
    with contextlib.closing(events):
        for event in itertools.chain(events, [None]):
            if event is not None:
                yield event
            while state is not None and not state.troubles.empty():
                yield Note(text=state.troubles.get(), warning=True)


def _require_working(state: State | None) -> None:
    if state is not None and not state.works:
        raise StateError(
            f"{state.run.database.path}: the state file does not work, so that no write can be noted and nothing is "
            "written; mend that (is its disk full?), and run the same command again"
        )


@contextlib.contextmanager
def _closed(outcomes: Iterator[Outcome]) -> Iterator[Iterator[Outcome]]:
    """Close what the tagger gave at the end, so that decoding ends, too; a plain iterator has nothing to close."""
    try:
        yield outcomes
    finally:
        getattr(outcomes, "close", lambda: None)()


def _find(paths: Iterable[Path], options: BatchOptions) -> tuple[list[Path], dict[int, str], list[Path]]:
    """Return all files to account for, why those that cannot be read cannot, by index, and what ignore files leave out.

    A folder that cannot be read counts as one file: what it holds is not known, but it is not passed over.
    """
    roots, unreadable, ignored = list(paths), dict[Path, str](), list[Path]()
    if options.missing_fails:
        troubles = {path: library.trouble_with(path) for path in roots}
        roots = [path for path, trouble in troubles.items() if not trouble]
        here = options.shard
        unreadable = {p: t for p, t in troubles.items() if t and (here is None or here.holds(p.name))}
    songs = list(
        library.find_audio(
            roots,
            include=options.include,
            exclude=options.exclude,
            shard=options.shard,
            on_error=unreadable.__setitem__,
            on_ignored=ignored.append,
        )
    )
    reasons = dict(enumerate(unreadable.values(), start=len(songs)))
    return [*songs, *unreadable], reasons, ignored
