"""A library that is remembered and was never heard: files without content, and what a state file would hold of them."""

from __future__ import annotations

import math
import os
import random
from pathlib import Path

from mertag.emotion import SongEmotion, Target, decide
from mertag.library.overview.facts import Facts
from mertag.library.overview.facts import encode as encode_facts
from mertag.library.state.analyses import encode
from mertag.library.state.database import Database
from mertag.outcomes import COURSE_NOTHING, COURSE_PARTS, COURSE_STEPS, Skipped, Tagged

MODEL = "made@1+00000000"
Made = tuple[Path, SongEmotion | None, Facts | None, bytes, str, bytes | None]
"""A file, its emotion, its facts, its course, why it has none, and the digest of its audio."""

KEY = f"{MODEL} manifest={'0' * 64} hop_s=1.0"

GENRES = {  # where on the map their songs are, mostly
    "Reggae": (0.8, 0.6),
    "Metal": (0.2, 0.9),
    "Ambient": (0.7, 0.1),
    "Blues": (0.25, 0.25),
    "Pop": (0.7, 0.75),
    "Folk": (0.5, 0.3),
}


def emotion(valence: float, arousal: float, *, model: str = MODEL) -> SongEmotion:
    """Return the emotion that a place on the map stands for."""
    products = (
        valence * arousal,
        (1 - valence) * arousal,
        (1 - valence) * (1 - arousal),
        valence * (1 - arousal),
    )
    decision = decide({Target.QUADRANT: products})
    return SongEmotion(
        quadrant=decision.quadrant,
        confidence=decision.confidence,
        valence=decision.valence,
        arousal=decision.arousal,
        quadrant_probabilities=decision.quadrant_probabilities,
        duration_s=200.0,
        n_segments=190,
        n_windows=12,
        model=model,
    )


def course_of(found: SongEmotion, n: int = COURSE_PARTS) -> bytes:
    """Return a course that goes round the song's place, with a silent part at the end."""
    steps = bytearray()
    for i in range(n - 1):
        for value in (found.valence + 0.15 * math.sin(i / 3), found.arousal + 0.2 * math.cos(i / 4)):
            steps.append(round(COURSE_STEPS * min(1.0, max(0.0, value))))
    return bytes(steps) + bytes([COURSE_NOTHING, COURSE_NOTHING])


class MadeLibrary:
    """A folder of empty files, and the state file that remembers them."""

    def __init__(self, folder: Path, state: Path) -> None:
        self.folder, self.state = folder, state
        state.parent.mkdir(parents=True, exist_ok=True)
        self._n = 0

    def add(
        self,
        name: str | bytes,
        found: SongEmotion | None,
        *,
        facts: Facts | None = None,
        course: bytes = b"",
        reason: str = "",
        audio: bytes | None = None,
    ) -> Path:
        """Add one song; without an emotion, one that is too short, or for which `reason` is what was kept."""
        path = self.folder / os.fsdecode(name)
        self.add_many([(path, found, facts, course, reason, audio)])
        return path

    def add_many(self, songs: list[Made]) -> None:
        """Add songs as `add` does."""
        with Database(self.state) as database, database.transaction() as connection:
            for path, found, facts, course, reason, given in songs:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
                status = path.stat()
                self._n += 1
                audio = given or (b"" if reason else self._n.to_bytes(32, "big"))
                place = os.fsencode(os.path.realpath(path))
                now = (status.st_size, status.st_mtime_ns)
                connection.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?)", (place, *now, audio, reason))
                if facts is not None:
                    connection.execute("INSERT INTO facts VALUES (?, ?, ?, ?)", (place, *now, encode_facts(facts)))
                if reason:
                    continue
                outcome: Tagged | Skipped = (
                    Skipped(index=0, path=path, kind="too_short", reason="1.0 s of audio; at least 3.0 s are needed")
                    if found is None
                    else Tagged(index=0, path=path, emotion=found, course=course)
                )
                connection.execute(
                    "INSERT OR REPLACE INTO analyses VALUES (?, ?, ?, ?)", (audio, KEY, encode(outcome), float(self._n))
                )


def made_library(folder: Path, state: Path, n: int, *, seed: int = 0) -> MadeLibrary:
    """Return a library of `n` songs by invented artists, each with facts and a course."""
    rng = random.Random(seed)
    library = MadeLibrary(folder, state)
    songs: list[Made] = []
    names = list(GENRES)
    for i in range(n):
        artist = f"Artist {rng.randrange(max(4, n // 40)):04}"
        genre = names[hash_of(artist) % len(names)] if rng.random() < 0.8 else rng.choice(names)
        valence, arousal = (min(0.98, max(0.02, rng.gauss(centre, 0.16))) for centre in GENRES[genre])
        album = f"Album {rng.randrange(4)}"
        found = emotion(valence, arousal)
        facts = Facts(
            title=f"Song {i:05}",
            artist=artist,
            album=album,
            genres=(genre,),
            year=1960 + hash_of(artist + album) % 65,
            mood=("Chill",) if i % 97 == 0 else (),
        )
        path = folder / artist / album / f"{i:05}.flac"
        songs.append((path, found, facts, course_of(found), "", None))
    library.add_many(songs)
    return library


def hash_of(text: str) -> int:
    """Return a number for a text, the same in every process."""
    return sum(ord(letter) * (i + 7) for i, letter in enumerate(text))
