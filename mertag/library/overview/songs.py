"""The songs that are remembered: each file's emotion, and what its tags say.

Nothing is analysed. A file is looked at (is it there, has it changed?), and opened only if its facts are not remembered
as they are now; they are then. Of several models that have heard a song, the one that did last counts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from mertag.emotion import SongEmotion
from mertag.library.overview.facts import Facts, decode, encode, read_facts
from mertag.library.state.analyses import decode as decode_outcome
from mertag.library.state.analyses import size_and_time
from mertag.library.state.database import Database
from mertag.outcomes import Tagged

UNSURE_BELOW = 0.5
"""A confidence below which another mood is as likely as the one that was chosen."""

_READERS = 4
_KEEP_EVERY = 500
_FAILED = "failed: "

_REMEMBERED = """
SELECT f.path, f.size, f.mtime_ns, f.audio, f.settled, a.result, max(a.analysed_s), t.size, t.mtime_ns, t.facts
FROM files f LEFT JOIN analyses a ON a.audio = f.audio LEFT JOIN facts t ON t.path = f.path
WHERE {where} GROUP BY f.path ORDER BY f.path
"""

OnRead = Callable[[int, int], None]
"""Gets how many files have been opened for what their tags say, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Song:
    """A file whose emotion is remembered.

    Attributes
    ----------
    place : bytes
        Its real path.
    audio : bytes
        The digest of its audio, by which copies are known.
    emotion : SongEmotion
        What was heard.
    course : bytes
        The same over time, where that is remembered; see `mertag.outcomes.Tagged`.
    facts : Facts
        What its tags say.
    """

    place: bytes
    audio: bytes
    emotion: SongEmotion
    course: bytes
    facts: Facts

    @property
    def path(self) -> Path:
        """The file."""
        return Path(os.fsdecode(self.place))

    @property
    def title(self) -> str:
        """The title that its tags give, else the name of the file."""
        return self.facts.title or self.path.stem


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What is remembered of some folders.

    Attributes
    ----------
    songs : list of Song
        Those with an emotion, by path.
    without : mapping of str to list of bytes
        Files without one, by reason.
    gone : int
        Files that are remembered and no longer there; they are in neither of these.
    changed : int
        Files whose size or time of change is another than when mertag looked at them last (a tag editor, or other
        audio); they count with what is remembered.
    """

    songs: list[Song] = field(default_factory=list)
    without: dict[str, list[bytes]] = field(default_factory=dict)
    gone: int = 0
    changed: int = 0


def remembered(
    database: Database, paths: Sequence[Path] = (), *, read: bool = True, on_read: OnRead | None = None
) -> Remembered:
    """Return what is remembered of the files under `paths`, of all if there are none.

    Parameters
    ----------
    database : Database
        The state file.
    paths : sequence of Path
        Files and folders; links in them are followed.
    read : bool
        Open files whose facts are not remembered, and remember them. Otherwise, their facts are those that are known.
    on_read : callable, optional
        See `OnRead`.

    Raises
    ------
    StateError
        If the state file does not work.
    """
    present: list[tuple[bytes, tuple[int, int], Tagged | str, bytes]] = []
    facts: dict[bytes, Facts] = {}
    stale: list[tuple[bytes, tuple[int, int]]] = []
    gone = changed = 0
    without: dict[str, list[bytes]] = {}
    for row in _rows(database, paths):
        place, size, mtime_ns, audio, settled, result, _, facts_size, facts_mtime_ns, text = row
        assert isinstance(place, bytes)
        assert isinstance(audio, bytes)
        now = size_and_time(place)
        if now is None:
            gone += 1
            continue
        changed += now != (size, mtime_ns)
        outcome = _outcome(place, result)
        if not isinstance(outcome, Tagged):
            without.setdefault(outcome or _why(str(settled), audio), []).append(place)
            continue
        present.append((place, now, outcome, audio))
        known = decode(text) if isinstance(text, str) else None
        if known is not None:
            facts[place] = known
        if known is None or now != (facts_size, facts_mtime_ns):
            stale.append((place, now))
    if read and stale:
        facts |= _read(database, stale, on_read)
    songs = [
        Song(place=place, audio=audio, emotion=found.emotion, course=found.course, facts=facts.get(place, Facts()))
        for place, _, found, audio in present
        if isinstance(found, Tagged)
    ]
    return Remembered(songs=songs, without=without, gone=gone, changed=changed)


def _rows(database: Database, paths: Sequence[Path]) -> Iterator[tuple[object, ...]]:
    """Yield what is remembered of each file, once."""
    seen: set[object] = set()
    for where, values in _wheres(paths):
        for row in database.rows(_REMEMBERED.format(where=where), values):
            if len(paths) < 2 or row[0] not in seen:
                yield row
            if len(paths) > 1:
                seen.add(row[0])


def _wheres(paths: Sequence[Path]) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    """Yield what rows are wanted, as SQL."""
    if not paths:
        yield "true", ()
    for path in paths:
        place = os.fsencode(os.path.realpath(path))
        below = place.rstrip(os.fsencode(os.sep)) + os.fsencode(os.sep)
        yield "f.path = ? OR (f.path >= ? AND f.path < ?)", (place, below, below[:-1] + bytes([below[-1] + 1]))


def _outcome(place: bytes, result: object) -> Tagged | str:
    """Return what was heard, or why nothing; empty if that is not known."""
    outcome = decode_outcome(result, index=0, path=Path()) if isinstance(result, str) else None
    if outcome is None:
        return ""
    return outcome if isinstance(outcome, Tagged) else _KINDS[outcome.kind]


_KINDS = {"too_short": "too short", "silent": "silent", "unsupported": "a format that mertag does not read"}


def _why(settled: str, audio: bytes) -> str:
    """Return why a file has no emotion, from what is kept of how it ended."""
    if settled.startswith(_FAILED):
        return settled
    if settled and not audio:
        return "no tag format that mertag writes"
    return "not analysed yet"


def _read(database: Database, stale: list[tuple[bytes, tuple[int, int]]], on_read: OnRead | None) -> dict[bytes, Facts]:
    """Read the facts of files, and remember them."""
    found: dict[bytes, Facts] = {}
    fresh: list[tuple[bytes, int, int, str]] = []

    def keep() -> None:
        with database.transaction(durable=False) as connection:
            connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)", fresh)
        fresh.clear()

    pool = ThreadPoolExecutor(_READERS, thread_name_prefix="mertag-facts")
    try:
        places = (Path(os.fsdecode(place)) for place, _ in stale)
        for i, ((place, (size, mtime_ns)), facts) in enumerate(zip(stale, pool.map(read_facts, places), strict=True)):
            found[place] = facts
            fresh.append((place, size, mtime_ns, encode(facts)))
            if len(fresh) >= _KEEP_EVERY:
                keep()
            if on_read is not None:
                on_read(i + 1, len(stale))
    finally:  # an interruption waits for no file that has not begun, and keeps what is known by now
        pool.shutdown(cancel_futures=True)
        keep()
    return found
