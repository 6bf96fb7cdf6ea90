"""One song of a run: whether it can be written at all, the steps it takes, and what is written in the end."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from mertag.batch.options import BatchOptions
from mertag.emotion import SongEmotion
from mertag.errors import StateError, UnsupportedFormatError, reason_of
from mertag.files import remove_leftovers
from mertag.formats import ByteSource, sniff
from mertag.library import sidecar, tags
from mertag.library.accounting import FileDone, Mood, Note, Status
from mertag.library.state.analyses import size_and_time
from mertag.library.state.journal import Journal, Kind
from mertag.library.tags import TagChange
from mertag.library.tags.fields import mood_is_ours
from mertag.library.tags.options import MOOD
from mertag.outcomes import Outcome, Skipped, Tagged

NO_TAG_FORMAT = "no tag format that mertag writes"
UP_TO_DATE = "already up to date"


@dataclass(frozen=True, slots=True, kw_only=True)
class Song:
    """A file that is to be analysed or written: position and path as it was found, and what it is remembered by."""

    index: int
    path: Path
    place: bytes = b""  # its real path; empty without a memory
    audio: bytes = b""  # the digest of its audio; empty if the file is not to be remembered
    size: int = 0  # with the time of change: the state of the file for which `audio` is right
    mtime_ns: int = 0
    claims: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A song whose analysis is remembered."""

    song: Song
    outcome: Tagged | Skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """A song that another run has under way, or this one under another name."""

    index: int


Ready: TypeAlias = FileDone | Known | Later
"""What needs no analysis now."""

Prepared: TypeAlias = Ready | Song


class Steps:
    """The steps that a song takes where nothing is remembered: `recall`, `look`, `keep`, `write`.

    All but `recall` may be called from several threads. `unreadable` says, by index, why files cannot be read; what the
    journal cannot note is not written.
    """

    def __init__(self, options: BatchOptions, unreadable: Mapping[int, str], journal: Journal | None) -> None:
        self._options, self._unreadable, self._journal = options, unreadable, journal
        self._folders: dict[Path, bool] = {}  # writable? the last folder only: files come folder by folder
        self._lock = threading.Lock()

    def recall(self, index: int, path: Path) -> FileDone | None:
        """Return how a file ends that needs nothing more; None if it has to be looked at. Opens no file."""
        return None

    def notes(self) -> Iterator[Note]:
        """Yield what the person should know before the first song is analysed."""
        return iter(())

    def look(self, index: int, path: Path) -> Prepared:
        """Look at a song and say what it needs; never raises."""
        return self._refused(index, path) or Song(index=index, path=path)

    def keep(self, song: Song, outcome: Outcome) -> None:
        """Keep an analysis, before anything is written: a night's work is never lost."""

    def write(self, song: Song, outcome: Outcome, *, remembered: bool) -> FileDone:
        """Write what was asked for, and say what became of the file."""
        return self._written(song.index, outcome, remembered=remembered)[0]

    def give_back(self, song: Song) -> None:
        """Give back a song that got no outcome."""

    def compared(self, done: FileDone) -> FileDone:
        """Return a finished file that knows whether it failed as in an earlier run."""
        return done

    def _unsure(self, emotion: SongEmotion) -> Mood | None:
        options = self._options
        asked = options.write_tags and MOOD in options.tag.fields
        return Mood.UNSURE if asked and emotion.confidence < options.tag.min_confidence else None

    def _mood(self, emotion: SongEmotion, change: TagChange | None) -> Mood | None:
        """Return why the mood was not written, if it was not."""
        if change is None or MOOD not in self._options.tag.fields:
            return None
        if MOOD in change.new:
            return None if mood_is_ours(change.new) else Mood.KEPT
        return self._unsure(emotion)

    def _refused(self, index: int, path: Path) -> FileDone | None:
        """Return how a file ends whose result could not be written anyway, without an analysis."""
        try:
            refusal = self._refusal(index, path)
        except Exception as error:  # noqa: BLE001  whatever a strange file does to the parsers, the run goes on
            refusal = Status.FAILED, reason_of(error)
        return None if refusal is None else FileDone(index=index, path=path, status=refusal[0], reason=refusal[1])

    def _refusal(self, index: int, path: Path) -> tuple[Status, str] | None:
        options = self._options
        if index in self._unreadable:
            return Status.FAILED, self._unreadable[index]
        if not options.writes:
            return None
        real = path.resolve()
        if options.write_tags and not options.sidecar:
            status = real.stat()
            if status.st_size == 0:  # damaged, whatever it was: not a format of which nothing is expected
                return Status.FAILED, "the file is empty"
            if not tags.taggable(path):
                with real.open("rb") as file:
                    known = sniff(ByteSource(file))
                # What nobody knows is heard all the same: random bytes fail, whether or not tags are written.
                return (Status.SKIPPED, NO_TAG_FORMAT) if known else None
            if not status.st_mode & 0o222 or not os.access(real, os.W_OK):
                return Status.FAILED, "it is read-only; give yourself write permission first"
            if status.st_nlink > 1 and not options.tag.break_hard_links:
                links = f"it has {status.st_nlink} hard links, which writing would separate"
                return Status.FAILED, f"{links} (allow that with --break-hard-links)"
        if not self._is_writable(real.parent):
            return Status.FAILED, "its folder cannot be written to; check its permissions"
        return None

    def _is_writable(self, folder: Path) -> bool:
        with self._lock:
            if folder not in self._folders:
                self._folders.clear()
                self._folders[folder] = os.access(folder, os.W_OK | os.X_OK)
                if self._options.write_tags and not self._options.dry_run:
                    remove_leftovers(folder)  # of a run that was killed
            return self._folders[folder]

    def _written(self, index: int, outcome: Outcome, *, remembered: bool) -> tuple[FileDone, tuple[int, int] | None]:
        """Return what became of a file, and size and time of change of the song that was written, if one was."""
        path, options = Path(outcome.path), self._options
        if not isinstance(outcome, Tagged):
            status = Status.SKIPPED if isinstance(outcome, Skipped) else Status.FAILED
            known = remembered and status is Status.SKIPPED
            done = FileDone(index=index, path=path, status=status, reason=outcome.reason, remembered=known)
            return done, None
        emotion = outcome.emotion
        if options.strict and emotion.damage:
            reason = f"{emotion.damage} (without --strict it is taken all the same)"
            done = FileDone(index=index, path=path, status=Status.FAILED, emotion=emotion, reason=reason)
            return dataclasses.replace(done, remembered=remembered), None
        change: TagChange | None = None
        sidecar_changed: bool | None = None
        failures: list[str] = []
        note = ""
        tagged = _BeforeReplace(self._journal, "tags")
        beside = _BeforeReplace(self._journal, "sidecar")
        if options.write_tags:
            try:
                if options.dry_run:
                    change = tags.plan_tags(path, emotion, options.tag)
                else:
                    change = tags.write_tags(path, emotion, options.tag, before_replace=tagged)
            except UnsupportedFormatError as error:
                note = error.reason
            except Exception as error:  # noqa: BLE001  one file that cannot be written must not stop the others
                failures.append(reason_of(error))
                tagged.withdraw()
        if options.sidecar:  # also after failed tags: the analysis is not lost then
            try:
                if options.dry_run:
                    sidecar_changed = sidecar.plan_sidecar(path, emotion)
                else:
                    sidecar_changed = sidecar.write_sidecar(path, emotion, before_replace=beside)
            except Exception as error:  # noqa: BLE001  as above
                failures.append(reason_of(error))
                beside.withdraw()
        if failures:
            status, reason = Status.FAILED, "; ".join(failures)
        elif options.write_tags and change is None and sidecar_changed is None:
            status, reason = Status.SKIPPED, note
        elif not options.writes or sidecar_changed or (change and change.changed):
            status, reason = Status.TAGGED, note
        else:
            status, reason = Status.UNCHANGED, UP_TO_DATE
        done = FileDone(
            index=index,
            path=path,
            status=status,
            emotion=emotion,
            change=change,
            sidecar_changed=sidecar_changed,
            reason=reason,
            remembered=remembered,
            mood=self._mood(emotion, change),
            timeline=outcome.timeline,
        )
        return done, tagged.new_file


class _BeforeReplace:
    """Has the journal note one write, and notes size and time of change, in ns, of the new file (None: no write).

    They are taken before it has its name: looked up afterwards, it could be another program's.
    """

    def __init__(self, journal: Journal | None, kind: Kind) -> None:
        self._entry = None if journal is None else journal.before_replace(kind)
        self.new_file: tuple[int, int] | None = None

    def __call__(self, old: Path, new: Path, /) -> None:
        if self._entry is not None:
            self._entry(old, new)
        self.new_file = size_and_time(os.fsencode(new))

    def withdraw(self) -> None:
        """Take the note back: the write did not happen after all."""
        self.new_file = None
        if self._entry is not None:
            with contextlib.suppress(StateError):  # a note that stays behind does no harm: nothing matches it
                self._entry.withdraw()
