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

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from mertag import library
from mertag.events import BatchOptions, Event, FileDone, Finished, Found, NotTagged, Status, Summary
from mertag.interrupt import Interruptible
from mertag.one_file import before_analysis, finish
from mertag.outcomes import Outcome

__all__ = [
    "BatchOptions",
    "Event",
    "FileDone",
    "Finished",
    "Found",
    "NotTagged",
    "SongTagger",
    "Status",
    "Summary",
    "tag_library",
]


class SongTagger(Protocol):
    """What a run needs of `mertag.tagger.Tagger`."""

    def tag_many(self, paths: Iterable[Path]) -> Iterator[Outcome]:
        """Yield one outcome a path, in any order, with the path's position as its index."""
        ...


def tag_library(paths: Iterable[Path], *, tagger: SongTagger, options: BatchOptions) -> Generator[Event, None, None]:
    """Analyse the songs under `paths` and write what `options` ask for.

    Parameters
    ----------
    paths : iterable of Path
        Files and folders.
    tagger : Tagger
        An open `mertag.tagger.Tagger`.
    options : BatchOptions
        What to write.

    Yields
    ------
    Event
        One `Found`, one `FileDone` for each file that was reached (in completion order), one `Finished`.

    Raises
    ------
    ConfigError
        If a path does not exist, before anything else (unless `BatchOptions.missing_fails`).
    KeyboardInterrupt
        After `Finished`, if the run is interrupted (Ctrl-C, SIGTERM) on the main thread: a song that is being
        written is finished and reported first, one that is still analysed is given up.
    MertagError
        After `Finished`, what stops the tagger altogether (such as a device that is lost).

    Notes ----- A program that cannot go on (its own output is full) may ``throw`` its error into the
    iterator: it answers with `Finished`, and the summary still adds up.
    """
    songs, unreadable = _find(paths, options)
    account = _Account(songs)
    yield Found(n=len(songs))
    account.start()
    stopped_by = ""
    feed = _Feed(songs, before_analysis(options, unreadable))
    outcomes = tagger.tag_many(feed)
    try:
        with Interruptible() as interruptible:
            while (outcome := interruptible.next(outcomes)) is not None:
                index = feed.index_of(outcome)
                ready = [*feed.settled(), finish(index, outcome, options)]
                for done in ready:
                    account.add(done)
                    yield done
                limit = options.stop_at_failures
                if limit is not None and account.failed >= limit:
                    stopped_by = f"stopped after {limit} failures" if limit > 1 else "stopped at the first failure"
                    break
            else:
                for done in feed.leftover():
                    account.add(done)
                    yield done
    except (Exception, KeyboardInterrupt) as error:
        reason = "interrupted" if isinstance(error, KeyboardInterrupt) else "stopped by an error"
        yield Finished(summary=account.summary(reason))
        raise
    finally:
        close = getattr(outcomes, "close", None)
        if close is not None:
            close()
    yield Finished(summary=account.summary(stopped_by))


class _Feed:
    """The paths that the tagger shall analyse, and what is settled without an analysis.

    The tagger counts the paths it gets; a file that is settled beforehand has no number there. It may pull
    from a thread of its own: the two sides meet only in a deque and a dict, whose single steps are atomic.
    """

    def __init__(self, songs: list[Path], before: Callable[[int, Path], FileDone | None]) -> None:
        self._songs, self._before = songs, before
        self._settled: deque[FileDone] = deque()
        self._under_way: dict[int, int] = {}  # the tagger's number -> ours

    def __iter__(self) -> Iterator[Path]:
        sent = 0
        for index, path in enumerate(self._songs):
            done = self._before(index, path)
            if done is not None:
                self._settled.append(done)
                continue
            self._under_way[sent] = index
            sent += 1
            yield path

    def index_of(self, outcome: Outcome) -> int:
        return self._under_way.pop(outcome.index)

    def settled(self) -> Iterator[FileDone]:
        while self._settled:
            yield self._settled.popleft()

    def leftover(self) -> Iterator[FileDone]:
        """Yield what is still open when the tagger has ended: the settled, and songs that got no outcome."""
        yield from self.settled()
        for index in sorted(self._under_way.values()):
            reason = "the tagger ended without a result for it"
            yield FileDone(index=index, path=self._songs[index], status=Status.FAILED, reason=reason)


class _Account:
    """Counts what became of every file."""

    def __init__(self, songs: list[Path]) -> None:
        self._songs, self._done = songs, bytearray(len(songs))
        self._counts = dict.fromkeys(Status, 0)
        self._reasons: dict[tuple[Status, str], list[Path]] = {}
        self._started_s = time.monotonic()

    def start(self) -> None:
        self._started_s = time.monotonic()

    @property
    def failed(self) -> int:
        return self._counts[Status.FAILED]

    def add(self, done: FileDone) -> None:
        self._done[done.index] = 1
        self._counts[done.status] += 1
        if done.status is not Status.TAGGED:
            self._reasons.setdefault((done.status, done.reason), []).append(done.path)

    def summary(self, not_reached_because: str) -> Summary:
        not_reached = [path for path, done in zip(self._songs, self._done, strict=True) if not done]
        groups = [NotTagged(status=s, reason=r, paths=tuple(p)) for (s, r), p in self._reasons.items()]
        if not_reached:
            because, paths = f"not reached ({not_reached_because})", tuple(not_reached)
            groups.append(NotTagged(status=Status.SKIPPED, reason=because, paths=paths, reached=False))
        groups.sort(key=lambda group: (group.status, -len(group.paths), group.reason))
        return Summary(
            found=len(self._songs),
            tagged=self._counts[Status.TAGGED],
            unchanged=self._counts[Status.UNCHANGED],
            skipped=self._counts[Status.SKIPPED] + len(not_reached),
            failed=self._counts[Status.FAILED],
            not_reached=len(not_reached),
            elapsed_s=time.monotonic() - self._started_s,
            reasons=tuple(groups),
        )


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
