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

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeAlias

from mertag import library, sidecar, tags
from mertag.emotion import SongEmotion
from mertag.errors import FileError, UnsupportedFormatError
from mertag.interrupt import Interruptible
from mertag.outcomes import Failed, Outcome, Skipped, Tagged
from mertag.tags import TagChange, TagOptions

NO_TAG_FORMAT = "no tag format that mertag writes"
UP_TO_DATE = "already up to date"


class Status(StrEnum):
    """How a file ended."""

    TAGGED = "tagged"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """What to do with each song, and with which.

    Attributes
    ----------
    write_tags, sidecar : bool
        Write the container's own tags; write ``<name>.mertag.json`` beside the song.
    dry_run : bool
        Analyse and say what would be written, write nothing.
    tag : TagOptions
        How tags are written.
    include, exclude : tuple of str
        Globs that narrow what is found; see `mertag.library.find_audio`.
    fail_fast : bool
        Stop at the first file that failed; the rest counts as skipped.
    missing_fails : bool
        A path that does not exist is a failed file, and the others are tagged: for a list of files that may
        be a little out of date. Otherwise it is a ConfigError.
    """

    write_tags: bool = False
    sidecar: bool = False
    dry_run: bool = False
    tag: TagOptions = field(default_factory=TagOptions)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    fail_fast: bool = False
    missing_fails: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The search is over: `n` songs will be accounted for."""

    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDone:
    """One file is finished, and nothing more will happen to it.

    Attributes
    ----------
    index : int
        Its position among the files that were found.
    emotion : SongEmotion or None
        None if it could not be analysed. A failed write has an emotion.
    change : TagChange or None
        Old and new tags, where tags were to be written.
    sidecar_changed : bool or None
        Whether the sidecar was written (in a dry run: would be); None if none was asked for, or it failed.
    reason : str
        Why it was not tagged; for a tagged file, empty or a note.
    """

    index: int
    path: Path
    status: Status
    emotion: SongEmotion | None = None
    change: TagChange | None = None
    sidecar_changed: bool | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTagged:
    """Files that ended the same way for the same reason.

    `reached` is False for those that the run did not come to.
    """

    status: Status
    reason: str
    paths: tuple[Path, ...]
    reached: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What became of every file. ``found == tagged + unchanged + skipped + failed``, always.

    Attributes
    ----------
    not_reached : int
        How many of the skipped files the run did not come to.
    elapsed_s : float
        Seconds since the search ended.
    reasons : tuple of NotTagged
        All files that were not tagged, by reason, the largest groups first.
    """

    found: int
    tagged: int
    unchanged: int
    skipped: int
    failed: int
    not_reached: int
    elapsed_s: float
    reasons: tuple[NotTagged, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The run is over. It comes last, and also before an interruption or an error is raised on."""

    summary: Summary


Event: TypeAlias = Found | FileDone | Finished


class SongTagger(Protocol):
    """What a run needs of `mertag.tagger.Tagger`."""

    def tag_many(self, paths: Iterable[Path]) -> Iterator[Outcome]:
        """Yield one outcome a path, in any order, with the path's position as its index."""
        ...


def tag_library(
    paths: Iterable[Path], *, tagger: SongTagger, options: BatchOptions
) -> Generator[Event, None, None]:
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
    feed = _Feed(songs, _before_analysis(options, unreadable))
    outcomes = tagger.tag_many(feed)
    try:
        with Interruptible() as interruptible:
            while (outcome := interruptible.next(outcomes)) is not None:
                index = feed.index_of(outcome)
                ready = [*feed.settled(), _finish(index, outcome, options)]
                for done in ready:
                    account.add(done)
                    yield done
                if options.fail_fast and any(done.status is Status.FAILED for done in ready):
                    stopped_by = "stopped at the first failure"
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
        unreadable = {path: "no such file or folder" for path in roots if not path.exists()}
        roots = [path for path in roots if path not in unreadable]
    found = library.find_audio(
        roots, include=options.include, exclude=options.exclude, on_error=unreadable.__setitem__
    )
    songs = list(found)
    reasons = dict(enumerate(unreadable.values(), start=len(songs)))
    return [*songs, *unreadable], reasons


def _before_analysis(
    options: BatchOptions, unreadable: Mapping[int, str]
) -> Callable[[int, Path], FileDone | None]:
    """Return what settles a file without an analysis whose result could not be written anyway."""
    folders: dict[Path, bool] = {}  # writable? the last folder only: files come folder by folder

    def folder_is_writable(folder: Path) -> bool:
        if folder not in folders:
            folders.clear()
            folders[folder] = os.access(folder, os.W_OK | os.X_OK)
            if options.write_tags and not options.dry_run:
                tags.remove_leftovers(folder)  # of a run that was killed
        return folders[folder]

    def refusal(index: int, path: Path) -> tuple[Status, str] | None:
        if index in unreadable:
            return Status.FAILED, unreadable[index]
        if not (options.write_tags or options.sidecar):
            return None
        real = path.resolve()
        if options.write_tags and not options.sidecar:
            if not tags.taggable(path):
                return Status.SKIPPED, NO_TAG_FORMAT
            n_links = real.stat().st_nlink
            if n_links > 1 and not options.tag.break_hard_links:
                return Status.FAILED, f"it has {n_links} hard links, and writing would separate them"
        if not folder_is_writable(real.parent):
            return Status.FAILED, "its folder cannot be written to; check its permissions"
        return None

    def before(index: int, path: Path) -> FileDone | None:
        try:
            refused = refusal(index, path)
        except Exception as error:  # noqa: BLE001  whatever a strange file does to the parsers, the run goes on
            refused = Status.FAILED, _reason(error)
        return (
            None
            if refused is None
            else FileDone(index=index, path=path, status=refused[0], reason=refused[1])
        )

    return before


def _finish(index: int, outcome: Outcome, options: BatchOptions) -> FileDone:
    """Write what was asked for, and say what became of the file."""
    if isinstance(outcome, Skipped):
        return FileDone(index=index, path=outcome.path, status=Status.SKIPPED, reason=outcome.reason)
    if isinstance(outcome, Failed):
        return FileDone(index=index, path=outcome.path, status=Status.FAILED, reason=outcome.reason)
    assert isinstance(outcome, Tagged)
    path, emotion = outcome.path, outcome.emotion
    change: TagChange | None = None
    sidecar_changed: bool | None = None
    failures: list[str] = []
    note = ""
    if options.write_tags:
        try:
            change = (tags.plan_tags if options.dry_run else tags.write_tags)(path, emotion, options.tag)
        except UnsupportedFormatError as error:
            note = error.reason
        except Exception as error:  # noqa: BLE001  one file that cannot be written must not stop the others
            failures.append(_reason(error))
    if options.sidecar:  # also after failed tags: the analysis is not lost then
        try:
            write = sidecar.plan_sidecar if options.dry_run else sidecar.write_sidecar
            sidecar_changed = write(path, emotion)
        except Exception as error:  # noqa: BLE001  as above
            failures.append(_reason(error))
    if failures:
        status, reason = Status.FAILED, "; ".join(failures)
    elif options.write_tags and change is None and sidecar_changed is None:
        status, reason = Status.SKIPPED, note
    elif not (options.write_tags or options.sidecar) or sidecar_changed or (change and change.changed):
        status, reason = Status.TAGGED, note
    else:
        status, reason = Status.UNCHANGED, UP_TO_DATE
    return FileDone(
        index=index,
        path=path,
        status=status,
        emotion=emotion,
        change=change,
        sidecar_changed=sidecar_changed,
        reason=reason,
    )


def _reason(error: Exception) -> str:
    """Return why, for the owner of the file; an error that no one foresaw names its type."""
    if isinstance(error, FileError):
        return error.reason
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"unexpected {type(error).__name__}: {error}"
