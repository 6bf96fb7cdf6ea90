"""A decoder that hands over arrays, so that every fault can be arranged, and what a tagger makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tiny_bundle as tiny

from mertag.emotion import Target
from mertag.errors import (
    FileError,
)
from mertag.listen.bundle import Bundle
from mertag.listen.tagger import Outcome, Tagger
from mertag.listen.windows import song_features

RATE = tiny.FRONT_END.sample_rate


@dataclass(frozen=True)
class Part:
    """What `mertag.listen.decode.pool.Decoded` is."""

    index: int
    path: Path
    chunk: np.ndarray | None = None
    last: bool = False
    error: FileError | None = None
    damage: str = ""


class FakeDecoder:
    """Decodes names to arrays or errors, `beside` files at a time, in chunks of one second."""

    def __init__(self, songs: dict[str, np.ndarray | FileError], beside: int = 3) -> None:
        self.songs, self.beside, self.read, self.closed = songs, beside, 0, False

    def decode(self, paths: Iterable[tuple[int, Path]]) -> Iterator[Any]:
        self.stream = self._decode(paths)  # kept, so that nothing but `close` ends it
        return self.stream

    def _decode(self, paths: Iterable[tuple[int, Path]]) -> Iterator[Any]:
        running: list[Iterator[Part]] = []
        queue = iter(paths)
        try:
            while True:
                while len(running) < self.beside:
                    taken = next(queue, None)
                    if taken is None:
                        break
                    self.read += 1
                    running.append(self._one(*taken))
                if not running:
                    return
                for song in list(running):
                    part = next(song, None)
                    if part is None:
                        running.remove(song)
                    else:
                        yield part
        finally:
            self.closed = True

    def _one(self, index: int, path: Path) -> Iterator[Part]:
        found = self.songs[path.name]
        if isinstance(found, FileError):
            yield Part(index, path, np.ones(RATE, np.float32))  # some audio comes before it breaks
            yield Part(index, path, last=True, error=found)
            return
        for at in range(0, len(found), RATE):
            yield Part(index, path, found[at : at + RATE])
        yield Part(index, path, last=True)


def run(bundle: Bundle, songs: dict[str, Any], **settings: Any) -> dict[str, Outcome]:
    with Tagger(bundle, device="cpu", threads=1, decoder=FakeDecoder(songs), **settings) as tagger:
        outcomes = list(tagger.tag_many([Path(name) for name in songs]))
    assert sorted(o.index for o in outcomes) == list(range(len(songs)))
    assert [list(songs)[o.index] for o in outcomes] == [o.path.name for o in outcomes]
    return {o.path.name: o for o in outcomes}


def expected_probabilities(waveform: np.ndarray, windows: list[slice], target: Target) -> np.ndarray:
    """Return the song probabilities by hand."""
    starts = tiny.SEGMENTATION.start_frames(len(waveform), tiny.FRONT_END)
    p = tiny.segment_probabilities(waveform, starts, target)
    features = np.stack([song_features(p[window]) for window in windows])
    return tiny.song_probabilities(features, target).mean(axis=0)
