"""One file of a run: what is settled before its analysis, and what is written after it; see `mertag.batch`."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Protocol

from mertag.batch.events import BatchOptions, FileDone, Status
from mertag.errors import StateError, UnsupportedFormatError, reason_of
from mertag.files import remove_leftovers
from mertag.library import sidecar, tags
from mertag.library.tags import TagChange
from mertag.outcomes import Failed, Outcome, Skipped, Tagged

NO_TAG_FORMAT = "no tag format that mertag writes"
UP_TO_DATE = "already up to date"


class WriteNote(Protocol):
    """What notes one write: gets the old and the new file just before the one becomes the other."""

    def __call__(self, old: Path, new: Path, /) -> None:
        """Note how to go back; raise if that does not work, and nothing is written."""
        ...

    def withdraw(self) -> None:
        """Take the note back: the write did not happen after all."""
        ...


class WriteJournal(Protocol):
    """What a run needs of `mertag.library.state.journal.Journal`."""

    def before_replace(self, kind: Literal["tags", "sidecar"]) -> WriteNote:
        """Return what notes one write."""
        ...


def before_analysis(options: BatchOptions, unreadable: Mapping[int, str]) -> Callable[[int, Path], FileDone | None]:
    """Return what settles a file without an analysis whose result could not be written anyway.

    It may be called from several threads.
    """
    folders: dict[Path, bool] = {}  # writable? the last folder only: files come folder by folder
    lock = threading.Lock()

    def folder_is_writable(folder: Path) -> bool:
        with lock:
            if folder not in folders:
                folders.clear()
                folders[folder] = os.access(folder, os.W_OK | os.X_OK)
                if options.write_tags and not options.dry_run:
                    remove_leftovers(folder)  # of a run that was killed
            return folders[folder]

    def refusal(index: int, path: Path) -> tuple[Status, str] | None:
        if index in unreadable:
            return Status.FAILED, unreadable[index]
        if not options.writes:
            return None
        real = path.resolve()
        if options.write_tags and not options.sidecar:
            status = real.stat()
            if status.st_size == 0:  # damaged, whatever it was: not a format of which nothing is expected
                return Status.FAILED, "the file is empty"
            if not tags.taggable(path):
                return Status.SKIPPED, NO_TAG_FORMAT
            if not status.st_mode & 0o222 or not os.access(real, os.W_OK):
                return Status.FAILED, "it is read-only; give yourself write permission first"
            if status.st_nlink > 1 and not options.tag.break_hard_links:
                links = f"it has {status.st_nlink} hard links, which writing would separate"
                return Status.FAILED, f"{links} (allow that with --break-hard-links)"
        if not folder_is_writable(real.parent):
            return Status.FAILED, "its folder cannot be written to; check its permissions"
        return None

    def before(index: int, path: Path) -> FileDone | None:
        try:
            refused = refusal(index, path)
        except Exception as error:  # noqa: BLE001  whatever a strange file does to the parsers, the run goes on
            refused = Status.FAILED, reason_of(error)
        return None if refused is None else FileDone(index=index, path=path, status=refused[0], reason=refused[1])

    return before


def finish(
    index: int,
    outcome: Outcome,
    options: BatchOptions,
    *,
    journal: WriteJournal | None = None,
    remembered: bool = False,
) -> FileDone:
    """Write what was asked for, and say what became of the file.

    Parameters
    ----------
    index : int
        Its position among the files that were found.
    outcome : Tagged, Skipped or Failed
        What was heard.
    options : BatchOptions
        What to write.
    journal : WriteJournal, optional
        Is told of each replacement beforehand; what it cannot note is not written.
    remembered : bool
        Whether the outcome comes from memory.
    """
    if isinstance(outcome, Skipped):
        return FileDone(
            index=index, path=outcome.path, status=Status.SKIPPED, reason=outcome.reason, remembered=remembered
        )
    if isinstance(outcome, Failed):
        return FileDone(index=index, path=outcome.path, status=Status.FAILED, reason=outcome.reason)
    assert isinstance(outcome, Tagged)
    path, emotion = outcome.path, outcome.emotion
    change: TagChange | None = None
    sidecar_changed: bool | None = None
    failures: list[str] = []
    note = ""
    if options.write_tags:
        noted = None if journal is None or options.dry_run else journal.before_replace("tags")
        try:
            if options.dry_run:
                change = tags.plan_tags(path, emotion, options.tag)
            else:
                change = tags.write_tags(path, emotion, options.tag, before_replace=noted)
        except UnsupportedFormatError as error:
            note = error.reason
        except Exception as error:  # noqa: BLE001  one file that cannot be written must not stop the others
            failures.append(reason_of(error))
            _withdraw(noted)
    if options.sidecar:  # also after failed tags: the analysis is not lost then
        noted = None if journal is None or options.dry_run else journal.before_replace("sidecar")
        try:
            if options.dry_run:
                sidecar_changed = sidecar.plan_sidecar(path, emotion)
            else:
                sidecar_changed = sidecar.write_sidecar(path, emotion, before_replace=noted)
        except Exception as error:  # noqa: BLE001  as above
            failures.append(reason_of(error))
            _withdraw(noted)
    if failures:
        status, reason = Status.FAILED, "; ".join(failures)
    elif options.write_tags and change is None and sidecar_changed is None:
        status, reason = Status.SKIPPED, note
    elif not options.writes or sidecar_changed or (change and change.changed):
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
        remembered=remembered,
    )


def _withdraw(noted: WriteNote | None) -> None:
    if noted is not None:
        with contextlib.suppress(StateError):  # a note that stays behind does no harm: nothing matches it
            noted.withdraw()
