"""Who is at which song: so that two runs at once analyse each song once, and never write one file together.

A claim is a row that names what is under way and the run that has it. The claim of a run that is over is void: a run
that was killed blocks nobody.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from mertag.library.state.database import Database
from mertag.library.state.runs import Run, is_under_way

_HOLDER = "SELECT runs.id, runs.owner FROM claims JOIN runs ON runs.id = claims.run WHERE claims.what = ?"


class Claims:
    """What one run has claimed.

    Parameters
    ----------
    run : Run
        The run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def take(self, what: bytes) -> bool:
        """Claim something; return whether that worked. What this run itself has already cannot be had again.

        Raises
        ------
        StateError
            If the state file does not work.
        """
        database = self._run.database
        with database.transaction(durable=False) as connection:
            found = connection.execute(_HOLDER, (what,)).fetchone()
            if found is not None and (found[0] == self._run.id or is_under_way(database, found[1])):
                return False
            connection.execute("INSERT OR REPLACE INTO claims (what, run) VALUES (?, ?)", (what, self._run.id))
        return True

    def release(self, connection: sqlite3.Connection, what: Iterable[bytes]) -> None:
        """Give back claims of this run, in a transaction of the caller's; those it does not have are left alone."""
        connection.executemany("DELETE FROM claims WHERE what = ? AND run = ?", [(one, self._run.id) for one in what])

    def release_all(self) -> None:
        """Give back all claims of this run.

        Raises
        ------
        StateError
            If the state file does not work.
        """
        with self._run.database.transaction(durable=False) as connection:
            connection.execute("DELETE FROM claims WHERE run = ?", (self._run.id,))


def void_claims(database: Database) -> None:
    """Take back what runs have claimed that were killed.

    Raises
    ------
    StateError
        If the state file does not work.
    """
    found = database.rows("SELECT DISTINCT runs.id, runs.owner FROM claims JOIN runs ON runs.id = claims.run")
    dead = [(run,) for run, owner in found if not is_under_way(database, str(owner))]
    if dead:
        with database.transaction(durable=False) as connection:
            connection.executemany("DELETE FROM claims WHERE run = ?", dead)
