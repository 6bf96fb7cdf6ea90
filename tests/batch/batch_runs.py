"""Songs for runs of `tag_library`, and what their events say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
from fake_tagger import FakeTagger

from mertag.batch import BatchOptions, Event, FileDone, Finished, Summary
from mertag.outcomes import Outcome

NOTHING_WRITTEN = BatchOptions()
TAGS = BatchOptions(write_tags=True)


def audio(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(800, np.float32), 8000)
    return path


def done(events: Iterable[Event]) -> dict[str, FileDone]:
    return {e.path.name: e for e in events if isinstance(e, FileDone)}


def summary(events: Iterable[Event]) -> Summary:
    (found,) = [e.summary for e in events if isinstance(e, Finished)]
    return found


def adds_up(s: Summary) -> bool:
    listed = sum(len(group.paths) for group in s.reasons)
    return s.found == s.tagged + s.unchanged + s.skipped + s.failed == s.tagged + listed


class StopsAfter(FakeTagger):
    def __init__(self, n: int, error: BaseException | None) -> None:
        super().__init__()
        self.n, self.error = n, error

    def tag_many(self, paths: Iterable[Path]) -> Iterator[Outcome]:
        for i, outcome in enumerate(super().tag_many(paths)):
            if i == self.n:
                if self.error is not None:
                    raise self.error
                return
            yield outcome


def iter_into(events: list[Event], source: Iterator[Event]) -> list[Event]:
    for event in source:
        events.append(event)  # noqa: PERF402  so that those before an error are kept
    return []
