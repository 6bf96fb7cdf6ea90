"""What is remembered of songs: what was analysed in their audio, and which files hold it and need nothing more.

An analysis belongs to the audio and to the model, with all settings that change its result: neither to the file, which
may be moved and renamed, nor to its tags, which may change. A file is recognised by path, size and time of change,
without opening it; if one of them differs, by the digest of its audio.

Results are kept as JSON, figures to the last digit, so that tags written from memory are those written after the
analysis. A text that is damaged, or that a later mertag wrote, is no result: the song is analysed again.

A state file that stops working in the middle of a run (a full disk, damage) costs the memory and nothing else: one
warning is given, nothing is remembered meanwhile, and it is tried again after a while.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import queue
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from mertag.emotion import Quadrant, SongEmotion
from mertag.errors import FileError, StateError
from mertag.library import tags
from mertag.library.state.database import Database, Notify, default_path
from mertag.library.state.runs import Run, remove_stale_claims
from mertag.outcomes import COURSE_NOTHING, COURSE_STEPS, Outcome, Skipped, Tagged

T = TypeVar("T")

DURABLE_EVERY_S = 1.0
"""An analysis survives the end of the process at once, and a power cut after this time at most."""

REST_S = 30.0
"""How long a state file that failed is left alone."""

_ENTRY = """
SELECT files.size, files.mtime_ns, files.audio, files.settled, analyses.result
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
    """What is remembered of a file."""

    size: int  # its size and time of change then; others now mean that it has changed
    mtime_ns: int
    audio: bytes  # digest of its audio; empty if it has no tag format and was not looked into any further
    settled: str  # for which model and options nothing was left to do; empty: for none
    result: str | None  # the analysis of its audio with the model that was asked for


class State:
    """The memory of one run. May be used from several threads; no method raises `StateError`.

    Parameters
    ----------
    run : Run
        The run, whose state file is used.

    Attributes
    ----------
    troubles : queue of str
        Warnings for the user: at most one in a run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.troubles: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._said = False
        self._resting_until_s = self._durable_s = 0.0
        self._attempt(lambda: remove_stale_claims(run.database), None)

    @property
    def works(self) -> bool:
        """Whether the file was usable when it was last tried."""
        return time.monotonic() >= self._resting_until_s

    def entry(self, path: bytes, model: str) -> Entry | None:
        """Return what is remembered of a file, None if nothing."""
        rows = self._rows(_ENTRY, (model, path))
        return Entry(*rows[0]) if rows else None

    def result(self, audio: bytes, model: str, *, since_s: float = 0.0) -> str | None:
        """Return the analysis of some audio with a model, if it was made after `since_s`."""
        query = "SELECT result FROM analyses WHERE audio = ? AND model = ? AND analysed_s >= ?"
        rows = self._rows(query, (audio, model, since_s))
        return rows[0][0] if rows else None

    def models(self, audio: bytes) -> list[str]:
        """Return with which models some audio was analysed, the latest first."""
        query = "SELECT model FROM analyses WHERE audio = ? ORDER BY analysed_s DESC"
        return [model for (model,) in self._rows(query, (audio,))]

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
        """Keep what a file is, and release claims.

        An empty `audio` or `settled` leaves what is known of a file that has not changed.
        """
        values = path, size, mtime_ns, audio, settled

        def keep() -> None:
            with self.run.database.transaction(durable=False) as connection:
                connection.execute(_REMEMBER_FILE, values)
                self.run.release(connection, release)

        self._attempt(keep, None)

    def remember_facts(self, path: bytes, *, size: int, mtime_ns: int, facts: str) -> None:
        """Keep what the tags of a file say, as it is now."""

        def keep() -> None:
            with self.run.database.transaction(durable=False) as connection:
                connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)", (path, size, mtime_ns, facts))

        self._attempt(keep, None)

    def claim(self, what: bytes) -> bool:
        """Claim a song (or some audio and a model); return false if another run or thread holds it."""
        return self._attempt(lambda: self.run.claim(what), True)

    def release(self, *what: bytes) -> None:
        """Release claims."""

        def release() -> None:
            with self.run.database.transaction(durable=False) as connection:
                self.run.release(connection, what)

        self._attempt(release, None)

    def release_all(self) -> None:
        """Release all claims of this run."""
        self._attempt(self.run.release_all, None)

    def _rows(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        nothing: list[tuple[Any, ...]] = []
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
        The command line, for the list of runs.
    notify : callable
        Gets a sentence when a damaged file was set aside.

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


_Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Emotion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An emotion in the state file, in the order of writing."""

    quadrant: Quadrant
    model: str
    confidence: _Probability
    valence: _Probability
    arousal: _Probability
    duration_s: Annotated[float, msgspec.Meta(ge=0)]
    n_segments: int
    n_windows: int
    quadrant_probabilities: tuple[_Probability, _Probability, _Probability, _Probability]
    analysed_s: Annotated[float, msgspec.Meta(ge=0)] | None = None
    silent_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    damage: str = ""
    course: str = ""  # in base64


class _Skipped(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a song has none. Not "unsupported": the next version of a decoder may read it."""

    skipped: Literal["too_short", "silent"]
    reason: str


_NO_STEPS = frozenset(range(COURSE_STEPS + 1, COURSE_NOTHING))
_decode_emotion = msgspec.json.Decoder(_Emotion).decode
_decode_skipped = msgspec.json.Decoder(_Skipped).decode


def encode(outcome: Outcome) -> str | None:
    """Return an outcome as text; None if it is not to be remembered, such as a failure."""
    if isinstance(outcome, Tagged):
        found = {name: getattr(outcome.emotion, name) for name in _Emotion.__struct_fields__ if name != "course"}
        found["course"] = base64.b64encode(outcome.course).decode("ascii")
        left_out = (("analysed_s", None), ("silent_s", 0), ("damage", ""), ("course", ""))
        found = {name: value for name, value in found.items() if (name, value) not in left_out}
    elif isinstance(outcome, Skipped) and outcome.kind != "unsupported":
        found = {"skipped": outcome.kind, "reason": outcome.reason}
    else:
        return None
    return json.dumps(found, separators=(",", ":"), allow_nan=False)


def decode(text: str, *, index: int, path: Path) -> Tagged | Skipped | None:
    """Return the outcome that a text stands for, as that of a song; None if it is no result."""
    try:
        if text.startswith('{"skipped"'):
            skipped = _decode_skipped(text)
            return Skipped(index=index, path=path, kind=skipped.skipped, reason=skipped.reason)
        found = _decode_emotion(text)
        course = base64.b64decode(found.course, validate=True)
    except (ValueError, RecursionError):
        return None
    if found.analysed_s is not None and found.analysed_s > found.duration_s:
        return None
    if len(course) % 2 or not _NO_STEPS.isdisjoint(course):
        return None
    values = msgspec.structs.asdict(found)
    del values["course"]
    return Tagged(index=index, path=path, emotion=SongEmotion(**values), course=course)


class Places:
    """Real paths as the state file knows them: absolute, no symbolic link on the way, as bytes.

    The last folder is remembered: files come folder by folder, and `os.path.realpath` looks at every folder on the
    way. Not for several threads.
    """

    def __init__(self) -> None:
        self._folder, self._real = "", ""

    def look(self, path: Path) -> tuple[bytes, os.stat_result]:
        """Return the real path of a file and its status; raise `OSError` if it is not there."""
        text = os.fspath(path)
        status = os.lstat(text)
        if stat.S_ISLNK(status.st_mode):
            real = os.path.realpath(text, strict=True)
            return os.fsencode(real), os.stat(real)  # noqa: PTH116  here and below, a Path costs more than the call
        folder, slash, name = text.rpartition(os.sep)
        folder = folder + slash or os.curdir
        if folder != self._folder:
            self._folder, self._real = folder, os.path.join(os.path.realpath(folder, strict=True), "")  # noqa: PTH118
        return os.fsencode(self._real + name), status


def song_digest(path: Path) -> tuple[os.stat_result, bytes]:
    """Return a file's status and the digest of its audio, which tags do not change.

    Of a file in whose container mertag writes no tags, or that is too damaged for that, it is the digest of the whole.

    Raises
    ------
    FileError
        If the file changes meanwhile, or cannot be read.
    """
    try:
        before = path.stat()
        try:
            digest = bytes.fromhex(tags.audio_digest(path))
        except FileError as error:
            if isinstance(error.__cause__, OSError):
                raise
            digest = _whole(path)
        after = path.stat()
    except OSError as error:
        raise FileError(path, f"it cannot be read ({error.strerror or error})") from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise FileError(path, "another program is changing it")
    return after, digest


def size_and_time(place: bytes) -> tuple[int, int] | None:
    """Return size and time of change of a file, None if it cannot be looked at."""
    try:
        status = os.stat(place)  # noqa: PTH116  bytes, and a Path costs more than the call
    except OSError:
        return None
    return status.st_size, kept_time(status)


def kept_time(status: os.stat_result) -> int:
    """Return the time of change in nanoseconds, as a state file can hold it: no later than the year 2262."""
    return max(-(2**63), min(status.st_mtime_ns, 2**63 - 1))


def _whole(path: Path) -> bytes:
    with path.open("rb", buffering=0) as file:  # the person: it is never the digest of some audio
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32, person=b"whole file")).digest()
