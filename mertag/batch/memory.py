"""What a run does with its memory: which songs need nothing, which need no analysis, and what is kept of the others.

`recall` goes by path, size and time of change and opens no file; `look` looks at what it left. `keep` keeps an
analysis before anything is written; `write` writes, and keeps what the file is from then on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

from mertag._version import __version__
from mertag.batch.one_song import NO_TAG_FORMAT, UP_TO_DATE, Known, Later, Prepared, Song, Steps
from mertag.batch.options import BatchOptions
from mertag.errors import FileError, reason_of
from mertag.library.accounting import FileDone, Mood, Note, Status
from mertag.library.overview.facts import encode as encode_facts
from mertag.library.overview.facts import read_facts
from mertag.library.sidecar import SUFFIX
from mertag.library.state.analyses import Entry, Places, State, decode, encode, kept_time, size_and_time, song_digest
from mertag.library.state.journal import Journal
from mertag.library.tags import plan_tags
from mertag.listen.song import difference, model_of
from mertag.outcomes import Outcome, Skipped, Tagged


class Memory(Steps):
    """The steps that a song takes where analyses are remembered, under a model's key (see `mertag.listen.song`)."""

    def __init__(
        self, options: BatchOptions, unreadable: Mapping[int, str], journal: Journal | None, *, state: State, model: str
    ) -> None:
        super().__init__(options, unreadable, journal)
        self._state, self._model = state, model
        self._places = Places()
        self._done_key = done_key(model, options)
        self._no_format = done_key("", options) if options.write_tags and not options.sidecar else ""
        self._since_s = state.run.started_s if options.force else 0.0
        self._again: Counter[str] = Counter()

    def recall(self, index: int, path: Path) -> FileDone | None:
        """As of `Steps`; to be called from one thread."""
        if self._options.force:
            return None
        try:
            place, status = self._places.look(path)
        except OSError:
            return None
        entry = self._state.entry(place, self._model)
        if entry is None:
            return None
        if entry.result is None and entry.audio:
            others = self._state.models(entry.audio)
            if others:
                self._again[difference(others[0], self._model)] += 1
        return self._nothing_to_do(index, path, (status.st_size, kept_time(status)), entry)

    def notes(self) -> Iterator[Note]:
        """Yield, once `recall` has seen all songs, which of them are to be analysed again, and why."""
        follows = "--retag analyses nothing, so they are skipped" if self._options.retag else "they are analysed again"
        for reason, n in self._again.items():
            songs = "1 song was" if n == 1 else f"{n} songs were"
            yield Note(text=f"{songs} analysed {reason}: {follows}")

    def look(self, index: int, path: Path) -> Prepared:
        """Look at a song and say what it needs; claim it, if it needs anything."""
        claimed: list[bytes] = []
        try:
            prepared = self._looked_at(index, path, claimed)
        except Exception as error:  # noqa: BLE001  whatever a strange file does to the parsers, the run goes on
            prepared = FileDone(index=index, path=path, status=Status.FAILED, reason=reason_of(error))
        if isinstance(prepared, FileDone | Later) and claimed:
            self._state.release(*claimed)
        return prepared

    def keep(self, song: Song, outcome: Outcome) -> None:
        """Keep an analysis, unless the file has changed since its audio was identified."""
        text = encode(outcome)
        if text is not None and song.audio and size_and_time(song.place) == (song.size, song.mtime_ns):
            self._state.remember_result(song.audio, self._model, text)

    def write(self, song: Song, outcome: Outcome, *, remembered: bool) -> FileDone:
        """Write what was asked for, keep what the file is now, and give the song back."""
        if isinstance(outcome, Tagged) and not self._is_still(song):
            self._state.release(*song.claims)
            reason = "another program changed its audio meanwhile; nothing was written, run again"
            return FileDone(index=song.index, path=song.path, status=Status.FAILED, reason=reason)
        done, new_file = self._written(song.index, outcome, remembered=remembered)
        size, mtime_ns = new_file or (song.size, song.mtime_ns)
        if song.audio and (new_file or size_and_time(song.place) == (size, mtime_ns)):
            complete = done.status in (Status.TAGGED, Status.UNCHANGED) and not self._options.dry_run
            self._state.remember_file(
                song.place,
                size=size,
                mtime_ns=mtime_ns,
                audio=song.audio,
                settled=self._mark(song.path, done.mood) if complete and self._options.writes else "",
                release=song.claims,
            )
            facts = encode_facts(read_facts(Path(os.fsdecode(song.place))))  # while the file is in the disk's cache
            self._state.remember_facts(song.place, size=size, mtime_ns=mtime_ns, facts=facts)
        else:
            self._state.release(*song.claims)
        return dataclasses.replace(done, audio=song.audio)

    def _is_still(self, song: Song) -> bool:
        """Return whether a file holds the audio that was identified: it may have been replaced since."""
        if not song.audio:
            return True
        if os.fsencode(os.path.realpath(song.path)) != song.place:  # a link that leads elsewhere by now
            return False
        if size_and_time(song.place) == (song.size, song.mtime_ns):
            return True
        try:
            return song_digest(Path(os.fsdecode(song.place)))[1] == song.audio  # only its tags are others
        except FileError:
            return False

    def give_back(self, song: Song) -> None:
        """Give back a song that got no outcome."""
        self._state.release(*song.claims)

    def _looked_at(self, index: int, path: Path, claimed: list[bytes]) -> Prepared:
        refused = self._refused(index, path)
        if refused is not None:
            if refused.reason == NO_TAG_FORMAT:
                self._remember_no_format(path)
            if refused.status is not Status.FAILED or not self._is_up_to_date(index, path):
                return refused
        try:
            place = os.fsencode(os.path.realpath(path, strict=True))
        except OSError as error:
            if self._options.retag:  # nothing will be decoded
                return FileDone(index=index, path=path, status=Status.FAILED, reason=reason_of(error))
            return Song(index=index, path=path)  # the decoder will say what is wrong with it
        if not self._state.claim(place):
            return Later(index=index)
        claimed.append(place)
        entry = None if self._options.force else self._state.entry(place, self._model)
        if entry is not None:
            done = self._nothing_to_do(index, path, size_and_time(place), entry)
            if done is not None:  # another run has just finished it
                return done
        song = self._identified(Song(index=index, path=path, place=place, claims=(place,)), entry)
        known = self._known(song)
        if known is not None:
            return known
        if self._options.retag:
            return FileDone(index=index, path=path, status=Status.SKIPPED, reason=self._why_unknown(song.audio))
        if not song.audio:
            return song
        analysis = b"\0" + song.audio + self._model.encode()  # no path begins with a zero
        if not self._state.claim(analysis):
            return Later(index=index)
        claimed.append(analysis)
        song = dataclasses.replace(song, claims=(place, analysis))
        return self._known(song) or song  # again: another run may have finished it in between

    def _is_up_to_date(self, index: int, path: Path) -> bool:
        """Return whether a file that cannot be written has its fields already: then nothing has to be written."""
        if not self._options.write_tags or self._options.sidecar or self._options.force:
            return False
        try:
            place = os.fsencode(os.path.realpath(path, strict=True))
            entry = self._state.entry(place, self._model)
            known = self._known(self._identified(Song(index=index, path=path, place=place), entry))
            if known is None or not isinstance(known.outcome, Tagged):
                return False
            return not plan_tags(path, known.outcome.emotion, self._options.tag).changed
        except Exception:  # noqa: BLE001  it is refused for a reason that is known already
            return False

    def _identified(self, song: Song, entry: Entry | None) -> Song:
        """Return the song with the digest of its audio, from memory if the file has not changed."""
        if entry is not None and entry.audio and size_and_time(song.place) == (entry.size, entry.mtime_ns):
            return dataclasses.replace(song, audio=entry.audio, size=entry.size, mtime_ns=entry.mtime_ns)
        try:
            status, audio = song_digest(Path(os.fsdecode(song.place)))
        except Exception:
            if self._options.retag:
                raise
            return song  # the decoder will say what is wrong with it; if nothing, it is analysed each time
        return dataclasses.replace(song, audio=audio, size=status.st_size, mtime_ns=kept_time(status))

    def _known(self, song: Song) -> Known | None:
        text = self._state.result(song.audio, self._model, since_s=self._since_s) if song.audio else None
        outcome = None if text is None else decode(text, index=song.index, path=song.path)
        return None if outcome is None else Known(song=song, outcome=outcome)

    def _nothing_to_do(self, index: int, path: Path, status: tuple[int, int] | None, entry: Entry) -> FileDone | None:
        """Return how a file ends for which all is done, by its size and time of change alone."""
        if status != (entry.size, entry.mtime_ns):
            return None
        done = self._all_done(index, path, entry)
        return None if done is None else dataclasses.replace(done, audio=entry.audio)

    def _all_done(self, index: int, path: Path, entry: Entry) -> FileDone | None:
        is_no_format = bool(self._no_format) and entry.settled == self._no_format
        outcome = None if entry.result is None else decode(entry.result, index=index, path=path)
        if outcome is None:
            if not is_no_format:
                return None
            return FileDone(index=index, path=path, status=Status.SKIPPED, reason=NO_TAG_FORMAT, remembered=True)
        is_refused = isinstance(outcome, Tagged) and self._options.strict and bool(outcome.emotion.damage)
        if isinstance(outcome, Skipped) or is_refused or not self._options.writes:
            return self._written(index, outcome, remembered=True)[0]
        for mood in (self._unsure(outcome.emotion), Mood.KEPT):
            if entry.settled and entry.settled == self._mark(path, mood):
                done = FileDone(index=index, path=path, status=Status.UNCHANGED, reason=UP_TO_DATE, remembered=True)
                return dataclasses.replace(done, emotion=outcome.emotion, mood=mood)
        return None

    def _mark(self, path: Path, mood: Mood | None) -> str:
        """Return what is kept of a file that is done: the key, the state of its sidecar, a mood that is not ours."""
        key = f"{self._done_key} {mood}" if mood is Mood.KEPT else self._done_key
        if not self._options.sidecar:
            return key
        status = size_and_time(os.fsencode(path) + SUFFIX.encode())
        return "" if status is None else f"{key} {status[0]} {status[1]}"

    def compared(self, done: FileDone) -> FileDone:
        """Return a finished file that knows whether it failed as in an earlier run; keep what is new."""
        place = os.fsencode(os.path.realpath(done.path))
        now = size_and_time(place)
        if done.status is not Status.FAILED or now is None:
            return done
        text = f"failed: {done.reason}".encode("ascii", "backslashreplace").decode()
        entry = self._state.entry(place, self._model)
        if entry is not None and (entry.size, entry.mtime_ns, entry.settled) == (*now, text):
            return dataclasses.replace(done, as_before=True)
        self._state.remember_file(place, size=now[0], mtime_ns=now[1], audio=b"", settled=text)
        return done

    def _remember_no_format(self, path: Path) -> None:
        place = os.fsencode(os.path.realpath(path))
        status = size_and_time(place)
        if status is not None and self._no_format:
            self._state.remember_file(place, size=status[0], mtime_ns=status[1], audio=b"", settled=self._no_format)

    def _why_unknown(self, audio: bytes) -> str:
        others = [key for key in self._state.models(audio) if key != self._model]
        if others:
            return f"remembered only {difference(others[0], self._model)}; run without --retag to analyse it"
        return f"never analysed with the model {model_of(self._model)}; run without --retag to analyse it"


def done_key(model: str, options: BatchOptions) -> str:
    """Return a fingerprint of the model and of every option that decides what is written.

    A new version of mertag may write something else, so that its number is in it; a file is then looked at again, and
    not analysed.
    """
    asked = (__version__, model, options.write_tags, options.sidecar, _plain(options.tag))
    return hashlib.blake2b(repr(asked).encode("utf-8", "backslashreplace"), digest_size=12).hexdigest()


def _plain(value: object) -> object:
    """Return a value as one whose `repr` is the same in every process."""
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return sorted((repr(_plain(key)), repr(_plain(one))) for key, one in value.items())
    if isinstance(value, Set):
        return sorted(repr(_plain(one)) for one in value)
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value
