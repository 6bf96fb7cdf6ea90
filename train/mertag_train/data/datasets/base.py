"""What every data set becomes: songs with a class for each target, and who belongs together.

A recording on both sides of a split would be tested on what was learnt by heart. Titles and artists are compared
without case, punctuation and brackets: a comparison that ignores only case misses two of PMEmo's thirteen pairs. A song
of an unknown artist is nobody's neighbour.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mertag.emotion import CLASS_NAMES, QUADRANT_LABELS, QUADRANTS, Quadrant, Target, quadrant_of
from mertag.errors import DatasetError

MIN_SONGS_PER_CLASS = 2
"""Fewer cannot stand on both sides of any split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dynamics:
    """Mean ratings over a song, at ascending times in seconds from the start of the clip.

    The scale, lowest and highest rating possible, is not always that of the song's own `valence` and `arousal`.
    """

    times_s: tuple[float, ...]
    valence: tuple[float, ...]
    arousal: tuple[float, ...]
    scale: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Song:
    """One labelled song.

    Attributes
    ----------
    id : str
        Unique within the data set.
    path : Path or None
        The audio; None where the data set's audio lacks this song.
    group : str
        The recording: the same for two songs that are the same music.
    artist : str or None
        Normalised name (see `normalised`), None if unknown.
    targets : mapping of Target to int
        Class index in the order of `CLASS_NAMES`.
    valence, arousal : float or None
        Mean rating, on the data set's scale.
    official_split : str or None
        The part in which the data set's authors placed it.
    """

    id: str
    path: Path | None
    group: str
    artist: str | None
    targets: Mapping[Target, int]
    valence: float | None = None
    arousal: float | None = None
    dynamics: Dynamics | None = None
    official_split: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A data set as it lies on disk.

    Attributes
    ----------
    songs : tuple of Song
        Every labelled song, with or without audio.
    missing_audio : tuple of str
        Ids of the labelled songs whose audio is not there.
    unlabelled : tuple of Path
        Audio without a label; not used.
    targets : tuple of Target
        What every song has a class for.
    labelling : str
        How ratings became classes, for reports.
    citation, source : str
        Whom to cite, and where the data set can be had; empty for one's own music.
    notes : tuple of str
        What a reader of the figures should know, one sentence each.
    scale, thresholds : tuple of float, or None
        Lowest and highest possible rating; the ratings, valence and arousal, at which the classes part.
    """

    name: str
    root: Path
    songs: tuple[Song, ...]
    missing_audio: tuple[str, ...]
    unlabelled: tuple[Path, ...]
    targets: tuple[Target, ...]
    labelling: str
    citation: str = ""
    source: str = ""
    notes: tuple[str, ...] = ()
    scale: tuple[float, float] | None = None
    thresholds: tuple[float, float] | None = None

    @property
    def n_labelled(self) -> int:
        """How many songs have a label, with or without audio."""
        return len({song.id for song in self.songs} | set(self.missing_audio))

    def audio_in_words(self, what: str = "audio") -> str:
        """Return how many of the labelled songs have audio here, and which have none."""
        missing = len(self.missing_audio)
        said = f"{self.name}: {self.n_labelled - missing} of {self.n_labelled} labelled songs have {what} here"
        return f"{said}; without: {first_few(self.missing_audio, between=', ')}" if missing else said

    def because_of_audio(self, error: DatasetError) -> DatasetError:
        """Return an error as it is if all songs have audio, else one that begins with how many have none."""
        missing = len(self.missing_audio)
        if not missing:
            return error
        named = first_few(self.missing_audio, between=", ", n=3)
        place = f" ({self.source})" if self.source else ""
        return DatasetError(
            f"{missing} of {self.n_labelled} labelled songs of {self.name!r} have no audio in {self.root} ({named}). "
            f"With the other {self.n_labelled - missing}: {error} Or add the audio that is missing{place}."
        )

    def with_audio(self) -> Dataset:
        """Return the data set without the songs whose audio is missing; `missing_audio` still names them.

        Raises DatasetError if no song has audio.
        """
        songs = tuple(song for song in self.songs if song.path is not None)
        if not songs:
            source = f" (to be had at {self.source})" if self.source else ""
            raise DatasetError(
                f"{self.root}: none of the {len(self.songs)} labelled songs of {self.name!r} has audio here. "
                f"Put the audio beside the annotations{source}."
            )
        return replace(self, songs=songs)

    def counts(self, target: Target) -> dict[str, int]:
        """Return how many songs each class of a target has, by class name."""
        return class_counts(self.songs, target)


def default_targets(dataset: Dataset) -> tuple[Target, ...]:
    """Return what a data set was rated for: one quadrant head, or a head for each axis.

    PMEmo's songs were rated on two axes, and the paper learns them one by one; its quadrants are only derived.
    """
    if dataset.name == "pmemo" or Target.QUADRANT not in dataset.targets:
        return (Target.VALENCE, Target.AROUSAL)
    return (Target.QUADRANT,)


def class_counts(songs: Iterable[Song], target: Target) -> dict[str, int]:
    """Return how many songs each class of a target has, by class name, every class named.

    Raises DatasetError if a song has no class for the target.
    """
    counts = [0] * len(CLASS_NAMES[target])
    for song in songs:
        if target not in song.targets:
            has = ", ".join(sorted(song.targets)) or "none"
            raise DatasetError(f"song {song.id!r} has no {target} label (it has: {has}). Choose another target.")
        counts[song.targets[target]] += 1
    return dict(zip(CLASS_NAMES[target], counts, strict=True))


def thin_class(songs: Iterable[Song], target: Target) -> str | None:
    """Return in words which class of the target has too few songs to be split, None if all have enough."""
    for name, count in class_counts(songs, target).items():
        if count < MIN_SONGS_PER_CLASS:
            named = f"{name} ({QUADRANT_LABELS[Quadrant(name)]})" if target is Target.QUADRANT else name
            return f"class {named} has {count} {'song' if count == 1 else 'songs'}, and needs at least two"
    return None


def targets_of_signs(*, valence_positive: bool, arousal_positive: bool) -> dict[Target, int]:
    """Return the classes of all three targets for a pair of signs."""
    quadrant = quadrant_of(valence_positive=valence_positive, arousal_positive=arousal_positive)
    return {
        Target.VALENCE: int(valence_positive),
        Target.AROUSAL: int(arousal_positive),
        Target.QUADRANT: QUADRANTS.index(quadrant),
    }


def targets_of_quadrant(quadrant: Quadrant) -> dict[Target, int]:
    """Return the classes of all three targets for a quadrant: V+ is Q1 and Q4, A+ is Q1 and Q2."""
    return targets_of_signs(
        valence_positive=quadrant in (Quadrant.Q1, Quadrant.Q4), arousal_positive=quadrant in (Quadrant.Q1, Quadrant.Q2)
    )


def normalised(text: str) -> str:
    """Return a name as it is compared: case, punctuation and spacing left out."""
    return " ".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold()))


def recording_key(title: str, artist: str) -> tuple[str, str] | None:
    """Return what two entries of one recording have in common, None where title or artist is unknown.

    What stands in brackets is left out, for ``"Song(Remix)"`` and ``"Song (feat. X)"`` are the same music as
    far as a fair split is concerned; a title that is nothing but a bracket is kept.
    """
    whole = normalised(title)
    bare = normalised(re.sub(r"\([^()]*\)|\[[^\[\]]*\]", " ", title))
    key = (bare or whole or title.strip(), artist_key(artist) or "")
    return key if all(key) else None


def artist_key(artist: str) -> str | None:
    """Return an artist's name as it is compared, None where there is none."""
    return normalised(artist) or artist.strip() or None


def group_recordings(keys: Mapping[str, tuple[str, str] | None]) -> dict[str, str]:
    """Return the recording group of each song: the id of the first song with the same `recording_key`.

    A song without a key is a group of its own.
    """
    first: dict[tuple[str, str], str] = {}
    return {song: song if key is None else first.setdefault(key, song) for song, key in keys.items()}


def repeated(songs: Iterable[Song]) -> list[tuple[str, ...]]:
    """Return the recordings that more than one song holds, each as its song ids."""
    members: dict[str, list[str]] = {}
    for song in songs:
        members.setdefault(song.group, []).append(song.id)
    return [tuple(ids) for ids in members.values() if len(ids) > 1]


def first_few(faults: Iterable[str], *, between: str = "; ", n: int = 5) -> str:
    """Return the first few of a list, and how many more there are."""
    every = list(faults)
    more = [f"and {len(every) - n} more"] if len(every) > n else []
    return between.join([*every[:n], *more])
