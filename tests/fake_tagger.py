"""A tagger that takes a song's emotion from its file name: ``q3_x.flac``, ``short_x.flac``, ``bad_x.flac``.

``q3_cut_x.flac`` is damaged.

Run as a program (``python tests/fake_tagger.py tag ...``), it is mertag with this tagger in place of the
model: ``$FAKE_DELAY_S`` is how long each song takes, ``$FAKE_LOG`` a file that gets the name of each.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import numpy as np

from mertag.emotion import QUADRANTS, Quadrant, SongEmotion, Target
from mertag.errors import DecodeError
from mertag.outcomes import Failed, Outcome, SegmentTimeline, Skipped, Tagged

MODEL = "fake@1+00000000"
DAMAGE = "the file is incomplete: it holds 30.0 s of 60.0 s of sound"


def emotion(quadrant: Quadrant = Quadrant.Q1, *, confidence: float = 0.7, model: str = MODEL) -> SongEmotion:
    rest = (1 - confidence) / 3
    p1, p2, p3, p4 = (confidence if q is quadrant else rest for q in QUADRANTS)
    return SongEmotion(
        quadrant=quadrant,
        confidence=confidence,
        valence=p1 + p4,
        arousal=p1 + p2,
        quadrant_probabilities=(p1, p2, p3, p4),
        duration_s=30.0,
        n_segments=28,
        n_windows=1,
        model=model,
    )


def timeline(found: SongEmotion) -> SegmentTimeline:
    n = found.n_segments
    p = np.tile(np.float32(found.quadrant_probabilities), (n, 1))
    return SegmentTimeline(
        times_s=np.arange(n, dtype=np.float64), segment_s=3.0, probabilities={Target.QUADRANT: p}, emotion=found
    )


class FakeTagger:
    def __init__(
        self, *, delay_s: float = 0.0, reverse: bool = False, model: str = MODEL, timelines: bool = False
    ) -> None:
        self.delay_s, self.reverse, self.model, self.timelines = delay_s, reverse, model, timelines
        self.analysed: list[Path] = []

    @property
    def model_key(self) -> str:
        return f"{self.model} manifest={'0' * 64} hop_s=1.0"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def tag_many(self, paths: Iterable[Path]) -> Iterator[Outcome]:
        numbered = enumerate(paths)
        for index, path in reversed(list(numbered)) if self.reverse else numbered:
            time.sleep(self.delay_s)
            self._note(path)
            yield self._outcome(index, path)

    def _note(self, path: Path) -> None:
        self.analysed.append(path)
        if "FAKE_LOG" in os.environ:
            with Path(os.environ["FAKE_LOG"]).open("a") as log:
                log.write(f"{path.name}\n")

    def _outcome(self, index: int, path: Path) -> Outcome:
        kind = path.name.partition("_")[0]
        if kind == "short":
            return Skipped(index=index, path=path, reason="too short: 1.0 s", kind="too_short")
        if kind == "bad":
            error = DecodeError(path, "damaged after 3.0 s")
            return Failed(index=index, path=path, reason=error.reason, error=error)
        quadrant = Quadrant(kind.upper()) if kind.upper() in QUADRANTS else Quadrant.Q1
        found = emotion(quadrant, model=self.model)
        if "_cut_" in path.name:
            found = dataclasses.replace(found, damage=DAMAGE)
        return Tagged(index=index, path=path, emotion=found, timeline=timeline(found) if self.timelines else None)


FACTS = {"model": MODEL, "device": "cpu", "provider": "FakeExecutionProvider", "reason": "a test"}

if __name__ == "__main__":
    import mertag.cli.tag
    from mertag.cli import main

    tagger = FakeTagger(delay_s=float(os.environ.get("FAKE_DELAY_S", "0")))
    mertag.cli.tag.open_tagger = lambda *_, **__: (tagger, FACTS)  # type: ignore[assignment]
    main()
