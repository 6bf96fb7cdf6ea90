"""A library over which runs with a memory are made, and a journal that says what it was told."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from distinct_songs import song
from fake_tagger import FakeTagger

from mertag.batch import BatchOptions, Event, FileDone, Finished, Note, Summary, tag_library
from mertag.errors import TagWriteError
from mertag.library.state.analyses import open_state

TAGS = BatchOptions(write_tags=True)
BOTH = BatchOptions(write_tags=True, sidecar=True)
OTHER_MODEL = "other@2+11111111"


class Library:
    """A folder of music with a state file beside it, over which runs are made."""

    def __init__(self, folder: Path) -> None:
        self.music, self.state = folder / "music", folder / "state" / "s"
        self.music.mkdir()
        self.analysed: list[str] = []
        self.events: list[Event] = []

    def add(self, *names: str) -> list[Path]:
        return [song(self.music / name) for name in names]

    def run(self, options: BatchOptions = TAGS, *, tagger: FakeTagger | None = None, **more: object) -> Summary:
        tagger = tagger or FakeTagger()
        self.events = []
        try:
            with open_state(self.state, command="test") as state:
                for event in tag_library([self.music], tagger=tagger, options=options, state=state, **more):  # type: ignore[arg-type]
                    self.events.append(event)
        finally:
            self.analysed = sorted(path.name for path in tagger.analysed)
        (found,) = [e.summary for e in self.events if isinstance(e, Finished)]
        assert found.found == found.tagged + found.unchanged + found.skipped + found.failed
        return found

    @property
    def results(self) -> dict[str, FileDone]:
        return {e.path.name: e for e in self.events if isinstance(e, FileDone)}

    @property
    def notes(self) -> list[str]:
        return [e.text for e in self.events if isinstance(e, Note)]


def counts(s: Summary) -> tuple[int, int, int, int]:
    return s.tagged, s.unchanged, s.skipped, s.failed


class NotedBy:
    """A journal that says what it was told, or refuses."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses = refuses
        self.told: list[tuple[str, str, bool]] = []
        self.withdrawn: list[str] = []

    def before_replace(self, kind: Literal["tags", "sidecar"]) -> Noted:
        return Noted(self, kind)


class Noted:
    def __init__(self, journal: NotedBy, kind: str) -> None:
        self.journal, self.kind = journal, kind

    def __call__(self, old: Path, new: Path, /) -> None:
        if self.journal.refuses:
            raise TagWriteError(old, "the journal could not be written; the file is untouched")
        assert new.exists()
        self.journal.told.append((self.kind, old.name, old.exists()))

    def withdraw(self) -> None:
        self.journal.withdrawn.append(self.kind)
