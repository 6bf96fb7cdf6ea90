"""Which runs wrote something, and what their entries in the journal take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from mertag.library.state.database import Database
from mertag.library.state.runs import is_under_way


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """A run that wrote something.

    Attributes
    ----------
    id : int
        Its number.
    kind, command : str
        ``"tag"`` or ``"remove"``; what was asked for.
    started_s : float
        Seconds since 1970.
    ended : str
        ``"finished"``, ``"under way"`` or ``"killed"``.
    files, standing : int
        How many files it wrote, and how many of these writes were not undone.
    journal_bytes, written_bytes : int
        The size of its entries in the journal (all that they hold, not the deltas alone), and of the files.
    """

    id: int
    kind: str
    command: str
    started_s: float
    ended: str
    files: int
    standing: int
    journal_bytes: int
    written_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSize:
    """What the journal takes, beside the files that it can give back; each of these counts once."""

    journal_bytes: int
    written_bytes: int

    @property
    def share(self) -> float:
        """The journal's share of the files, 0..1; 0 if there are none."""
        return self.journal_bytes / self.written_bytes if self.written_bytes else 0.0


# A path stands in an index, too; six numbers take some bytes each, and sqlite's own part is small.
_ENTRY_BYTES = "(length(delta) + 2 * length(path) + ifnull(length(old_digest), 0) + length(new_digest) + 40)"


def past_runs(database: Database) -> list[PastRun]:
    """Return the runs that wrote something, newest first.

    Raises
    ------
    StateError
        If the state file cannot be read.
    """
    query = f"""
        SELECT runs.id, runs.kind, command, started_s, finished_s, owner,
            count(*), sum(undone = 0), sum({_ENTRY_BYTES}), sum(new_size)
        FROM writes JOIN runs ON runs.id = writes.run GROUP BY runs.id ORDER BY runs.id DESC
    """
    found = []
    for row in database.rows(query):
        number, kind, command, started_s, finished_s, owner, files, standing, journal, written = row
        ended = "finished"
        if finished_s is None:
            ended = "under way" if is_under_way(database, str(owner)) else "killed"
        found.append(
            PastRun(
                id=cast(int, number),
                kind=str(kind),
                command=str(command),
                started_s=cast(float, started_s),
                ended=ended,
                files=cast(int, files),
                standing=cast(int, standing),
                journal_bytes=cast(int, journal),
                written_bytes=cast(int, written),
            )
        )
    return found


def journal_size(database: Database) -> JournalSize:
    """Return what the whole journal takes.

    Raises
    ------
    StateError
        If the state file cannot be read.
    """
    [(journal,)] = database.rows(f"SELECT total({_ENTRY_BYTES}) FROM writes")
    newest = "SELECT new_size, max(id) FROM writes GROUP BY path"
    [(written,)] = database.rows(f"SELECT total(new_size) FROM ({newest})")
    return JournalSize(journal_bytes=int(cast(float, journal)), written_bytes=int(cast(float, written)))
