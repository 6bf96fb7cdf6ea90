"""What is noted at the moment of a write: how to go back (the journal), and what the new file is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from mertag.batch.one_song import WriteJournal, WriteNote
from mertag.library.state.analyses import size_and_time


class Noting:
    """Passes on to the journal, and notes size and time of change of the file that becomes the song.

    Taken from the new file before it has its name: looked up afterwards, they could be those of another program's.

    Attributes
    ----------
    tagged : (int, int) or None
        Size and time of change, in ns, of the file that was written; None if none was.
    """

    def __init__(self, journal: WriteJournal | None) -> None:
        self._journal = journal
        self.tagged: tuple[int, int] | None = None

    def before_replace(self, kind: Literal["tags", "sidecar"]) -> WriteNote:
        """Return what notes one write."""
        return _Note(self, kind, None if self._journal is None else self._journal.before_replace(kind))


class _Note:
    def __init__(self, noting: Noting, kind: str, note: WriteNote | None) -> None:
        self._noting, self._kind, self._note = noting, kind, note

    def __call__(self, old: Path, new: Path, /) -> None:
        if self._note is not None:
            self._note(old, new)
        if self._kind == "tags":
            self._noting.tagged = size_and_time(os.fsencode(new))

    def withdraw(self) -> None:
        if self._kind == "tags":
            self._noting.tagged = None
        if self._note is not None:
            self._note.withdraw()
