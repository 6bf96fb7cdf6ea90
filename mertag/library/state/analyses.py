"""What is remembered of songs: what was heard in their audio, and which files hold it and need nothing more.

An analysis belongs to the audio and to the model, with all settings that change its result: neither to the file, which
may be moved and renamed, nor to its tags, which may change. A file is recognised by path, size and time of change,
without opening it; if one of them differs, by the digest of its audio.

A state file that stops working in the middle of a run (a full disk, damage) costs the memory and nothing else: it is
said once, nothing is remembered meanwhile, and it is tried again after a while.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from mertag.errors import StateError
from mertag.library.state.claims import Claims, void_claims
from mertag.library.state.database import Database, Notify, default_path
from mertag.library.state.runs import Run

T = TypeVar("T")
Rows = list[tuple[object, ...]]

DURABLE_EVERY_S = 1.0
"""An analysis survives the end of the process at once, and a power cut after this time at most."""

REST_S = 30.0
"""How long a state file that failed is left alone."""

_ENTRY = """
SELECT files.size, files.mtime_ns, files.audio, files.settled, analyses.result, analyses.analysed_s
FROM files LEFT JOIN analyses ON analyses.audio = files.audio AND analyses.model = ? WHERE files.path = ?
"""
_REMEMBER_FILE = """
INSERT INTO files (path, size, mtime_ns, audio, settled) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (path) DO UPDATE SET
    settled = CASE WHEN excluded.settled = '' AND {same} THEN settled ELSE excluded.settled END,
    audio = CASE WHEN excluded.audio = x'' AND {same} THEN audio ELSE excluded.audio END,
    size = excluded.size, mtime_ns = excluded.mtime_ns
""".format(same="size = excluded.size AND mtime_ns = excluded.mtime_ns AND excluded.audio IN (audio, x'')")


@dataclass(frozen=True, slots=True)
class Entry:
    """What is remembered of a file.

    Attributes
    ----------
    size, mtime_ns : int
        Its size and time of change then; others now mean that it has changed.
    audio : bytes
        Digest of its audio; empty if it has no tag format and was not looked into any further.
    settled : str
        For which model and options nothing was left to do; empty: for none.
    result : str or None
        The analysis of its audio with the model that was asked for.
    analysed_s : float
        When, in seconds since 1970; 0 without a result.
    """

    size: int
    mtime_ns: int
    audio: bytes
    settled: str
    result: str | None
    analysed_s: float


class State:
    """The memory of one run. May be used from several threads; no method raises `StateError`.

    Parameters
    ----------
    run : Run
        The run, whose state file is used.

    Attributes
    ----------
    run : Run
        As given.
    troubles : queue of str
        What to tell the person: at most one sentence in a run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.troubles: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._claims = Claims(run)
        self._lock = threading.Lock()
        self._said = False
        self._resting_until_s = self._durable_s = 0.0
        self._attempt(lambda: void_claims(run.database), None)

    @property
    def works(self) -> bool:
        """Whether the file was usable when it was last tried."""
        return time.monotonic() >= self._resting_until_s

    def entry(self, path: bytes, model: str) -> Entry | None:
        """Return what is remembered of a file, None if nothing."""
        rows = self._rows(_ENTRY, (model, path))
        if not rows:
            return None
        size, mtime_ns, audio, settled, result, analysed_s = rows[0]
        return Entry(
            cast(int, size),
            cast(int, mtime_ns),
            cast(bytes, audio),
            str(settled),
            None if result is None else str(result),
            cast(float, analysed_s or 0.0),
        )

    def result(self, audio: bytes, model: str, *, since_s: float = 0.0) -> str | None:
        """Return the analysis of some audio with a model, if it was made after `since_s`."""
        query = "SELECT result FROM analyses WHERE audio = ? AND model = ? AND analysed_s >= ?"
        rows = self._rows(query, (audio, model, since_s))
        return str(rows[0][0]) if rows else None

    def models(self, audio: bytes) -> list[str]:
        """Return with which models some audio was analysed, the latest first."""
        query = "SELECT model FROM analyses WHERE audio = ? ORDER BY analysed_s DESC"
        return [str(model) for (model,) in self._rows(query, (audio,))]

    def remember_result(self, audio: bytes, model: str, result: str) -> None:
        """Keep an analysis, at once."""
        durable = time.monotonic() - self._durable_s >= DURABLE_EVERY_S

        def keep() -> None:
            with self.run.database.transaction(durable=durable) as connection:
                connection.execute(
                    "INSERT OR REPLACE INTO analyses (audio, model, result, analysed_s) VALUES (?, ?, ?, ?)",
                    (audio, model, result, time.time()),
                )
            if durable:
                self._durable_s = time.monotonic()

        self._attempt(keep, None)

    def remember_file(
        self, path: bytes, *, size: int, mtime_ns: int, audio: bytes, settled: str, release: Sequence[bytes] = ()
    ) -> None:
        """Keep what a file is, and give claims back.

        An empty `audio` or `settled` leaves what is known of a file that has not changed.
        """
        values = path, size, mtime_ns, audio, settled

        def keep() -> None:
            with self.run.database.transaction(durable=False) as connection:
                connection.execute(_REMEMBER_FILE, values)
                self._claims.release(connection, release)

        self._attempt(keep, None)

    def claim(self, what: bytes) -> bool:
        """Return whether this run may go on with something; false if another has it, or another thread."""
        return self._attempt(lambda: self._claims.take(what), True)

    def release(self, *what: bytes) -> None:
        """Give claims back."""

        def give_back() -> None:
            with self.run.database.transaction(durable=False) as connection:
                self._claims.release(connection, what)

        self._attempt(give_back, None)

    def release_all(self) -> None:
        """Give all claims of this run back: nothing is under way."""
        self._attempt(self._claims.release_all, None)

    def _rows(self, query: str, values: tuple[object, ...]) -> Rows:
        nothing: Rows = []
        return self._attempt(lambda: self.run.database.rows(query, values), nothing)

    def _attempt(self, action: Callable[[], T], otherwise: T) -> T:
        if time.monotonic() < self._resting_until_s:
            return otherwise
        try:
            return action()
        except StateError as error:
            with self._lock:
                self._resting_until_s = time.monotonic() + REST_S
                if not self._said:
                    self.troubles.put(f"{error}; the run goes on, and what it finds is not remembered meanwhile")
                self._said = True
            return otherwise


@contextlib.contextmanager
def open_state(path: Path | None = None, *, command: str, notify: Notify = lambda message: None) -> Iterator[State]:
    """Open a state file for one run that tags.

    Parameters
    ----------
    path : Path, optional
        The state file; if not given, the user's.
    command : str
        What was asked for, for a person who looks for a run.
    notify : callable
        Is told, in a sentence, when a damaged file was set aside.

    Raises
    ------
    ConfigError, StateError
        As `mertag.library.state.database.Database`.
    """
    with contextlib.ExitStack() as stack:
        place = path or default_path()
        database = stack.enter_context(Database(place, notify=notify))
        try:
            run = stack.enter_context(Run(database, kind="tag", command=command))
        except StateError:
            database.close()  # damage shows at the first use: opened again, the file is checked and set aside
            database = stack.enter_context(Database(place, notify=notify))
            run = stack.enter_context(Run(database, kind="tag", command=command))
        yield State(run)
