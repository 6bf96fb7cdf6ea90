"""Taking our own fields out of songs: the mood that mertag wrote, and the figures behind it; nothing else changes.

Each write is noted in the journal first, as a run of its own, and so can be undone.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from pathlib import Path

from mertag.errors import StateError, UnsupportedFormatError, reason_of
from mertag.files import remove_leftovers
from mertag.library.accounting import Event, FileDone, Status, handle_all
from mertag.library.state.journal import Journal
from mertag.library.tags import TagChange, TagOptions, plan_removal, remove_tags

_log = logging.getLogger(__name__)
STATUSES = (Status.REMOVED, Status.UNCHANGED, Status.SKIPPED, Status.FAILED)
_DEFAULTS = TagOptions()


def remove_from(
    songs: Sequence[Path],
    *,
    journal: Journal | None,
    options: TagOptions = _DEFAULTS,
    dry_run: bool = False,
    unreadable: Sequence[tuple[Path, str]] = (),
) -> Generator[Event, None, None]:
    """Take our fields out of songs.

    Parameters
    ----------
    songs : sequence of Path
        The files.
    journal : Journal or None
        Where it is noted how to take that back. None: nowhere, it cannot be undone.
    options : TagOptions
        How files are written: ``preserve_mtime``, ``break_hard_links``.
    dry_run : bool
        Say what would be done, and do nothing.
    unreadable : sequence of (Path, reason)
        What could not be looked at when the songs were searched for: failed.

    Yields
    ------
    Event
        See `mertag.library.accounting`; the statuses are `STATUSES`.

    Raises
    ------
    KeyboardInterrupt
        After `Finished`; the file at hand is finished first.
    """
    reasons = dict(unreadable)
    tidied = Path()

    def one(index: int, path: Path) -> FileDone:
        nonlocal tidied
        if path in reasons:
            return FileDone(index=index, path=path, status=Status.FAILED, reason=reasons[path])
        try:
            folder = path.resolve().parent
            if folder != tidied and not dry_run:  # files come folder by folder
                tidied = folder
                remove_leftovers(folder)  # of a run that was killed
            change = plan_removal(path) if dry_run else _remove(path, options, journal)
        except UnsupportedFormatError as error:
            return FileDone(index=index, path=path, status=Status.SKIPPED, reason=error.reason)
        except Exception as error:  # noqa: BLE001  whatever a strange file does to the parsers, the run goes on
            return FileDone(index=index, path=path, status=Status.FAILED, reason=reason_of(error))
        if not change.changed:
            return FileDone(index=index, path=path, status=Status.UNCHANGED, reason="it holds nothing of mertag's")
        return FileDone(index=index, path=path, status=Status.REMOVED, change=change)

    return handle_all([*reasons, *songs], one, statuses=STATUSES)


def _remove(path: Path, options: TagOptions, journal: Journal | None) -> TagChange:
    entry = None if journal is None else journal.before_replace("tags")
    try:
        return remove_tags(path, options, before_replace=entry)
    except BaseException:
        try:
            if entry is not None:
                entry.withdraw()
        except StateError as error:  # the note stays, and an undo finds the file as it was
            _log.warning("%s", error)
        raise
