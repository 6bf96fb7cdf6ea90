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
from collections.abc import Generator, Iterable
from pathlib import Path

from mertag.batch.account import Account
from mertag.batch.events import BatchOptions, Event, FileDone, Finished, Found, Note, NotTagged, Status, Summary
from mertag.batch.one_song import WriteJournal, before_analysis
from mertag.batch.pipeline import Pipeline, SongTagger
from mertag.errors import ConfigError, StateError
from mertag.interrupt import Interruptible
from mertag.library import find as library
from mertag.library.state.analyses import State
from mertag.library.state.journal import Journal

__all__ = [
    "BatchOptions",
    "Event",
    "FileDone",
    "Finished",
    "Found",
    "NotTagged",
    "Note",
    "SongTagger",
    "Status",
    "Summary",
    "tag_library",
]


MOST_UNNOTED = 10
"""So many songs in a row may fail while the state does not work: then a night's analyses would be for nothing."""


def tag_library(
    paths: Iterable[Path],
    *,
    tagger: SongTagger,
    options: BatchOptions,
    state: State | None = None,
    journal: WriteJournal | None = None,
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
    songs, unreadable = _find(paths, options)
    account = Account(songs, run=None if state is None else state.run.id)
    yield Found(n=len(songs))
    account.start()
    pipeline = Pipeline(
        songs,
        tagger=tagger,
        options=options,
        before=before_analysis(options, unreadable),
        state=state,
        journal=journal,
    )
    stopped_by = ""
    in_a_row = 0  # failures
    heeded = True  # whether the caller takes events: one that has thrown an error wants the summary only
    try:
        with Interruptible() as interruptible:
            try:
                with contextlib.closing(pipeline.events(interruptible)) as events:
                    for event in events:
                        if isinstance(event, FileDone):
                            account.add(event, dry_run=options.dry_run)
                            in_a_row = in_a_row + 1 if event.status is Status.FAILED else 0
                        heeded = False
                        yield event
                        heeded = True
                        if in_a_row >= MOST_UNNOTED and journal is not None and state is not None and not state.works:
                            raise StateError(
                                f"{state.run.database.path}: the state file does not work, so that no write can be "
                                "noted and nothing is written; mend that (is its disk full?), and run the same "
                                "command again"
                            )
                        limit = options.stop_at_failures
                        if limit is not None and account.failed >= limit:
                            stopped_by = (
                                f"stopped after {limit} failures" if limit > 1 else "stopped at the first failure"
                            )
                            break
            finally:
                late = list(pipeline.leftovers())
                for done in late:
                    account.add(done, dry_run=options.dry_run)
                pipeline.close()
                if heeded:
                    yield from late
    except (Exception, KeyboardInterrupt) as error:
        reason = "interrupted" if isinstance(error, KeyboardInterrupt) else "stopped by an error"
        yield Finished(summary=account.summary(reason))
        raise
    yield Finished(summary=account.summary(stopped_by))


def _find(paths: Iterable[Path], options: BatchOptions) -> tuple[list[Path], dict[int, str]]:
    """Return all files to account for, and why those that cannot be read cannot, by index.

    A folder that cannot be read counts as one file: what it holds is not known, but it is not passed over.
    """
    roots, unreadable = list(paths), dict[Path, str]()
    if options.missing_fails:
        troubles = {path: library.trouble_with(path) for path in roots}
        roots = [path for path, trouble in troubles.items() if not trouble]
        here = options.shard
        unreadable = {p: t for p, t in troubles.items() if t and (here is None or here.holds(p.name))}
    found = library.find_audio(
        roots,
        include=options.include,
        exclude=options.exclude,
        shard=options.shard,
        on_error=unreadable.__setitem__,
    )
    songs = list(found)
    reasons = dict(enumerate(unreadable.values(), start=len(songs)))
    return [*songs, *unreadable], reasons
