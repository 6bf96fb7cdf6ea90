"""PMEmo: choruses of 794 pop songs, 767 of them with mean valence and arousal (Zhang et al., 2018).

Layout::

    PMEmo2019/
        annotations/static_annotations.csv      musicId,Arousal(mean),Valence(mean): arousal first; 0..1
        annotations/dynamic_annotations.csv     musicId,frameTime,Arousal(mean),Valence(mean): optional
        metadata.csv                            musicId,fileName,title,artist,...
        chorus/<musicId>.mp3

Frame times are in seconds. At 0.5, the middle of the scale, three songs in four are V+ and three in four A+;
at the medians the classes are balanced, and what a model adds to the majority can be seen. Thirteen
recordings stand twice, under two ids.
"""

from __future__ import annotations

from pathlib import Path

from mertag.errors import ConfigError
from mertag_train.data.datasets.base import Dataset, Dynamics, repeated
from mertag_train.data.datasets.published import (
    Columns,
    Origin,
    find_root,
    mp3_files,
    published,
    rated_songs,
    refuse_absent,
)
from mertag_train.data.datasets.tables import read_table

VALENCE_MEDIAN = 0.625
"""Median of the 767 mean valences: V+ is `>=`."""
AROUSAL_MEDIAN = 0.65
"""Median of the 767 mean arousals: A+ is `>=`."""
SCALE_MIDDLE = 0.5
"""The other threshold in use, for both axes."""
SCALE = (0.0, 1.0)

STATIC = "annotations/static_annotations.csv"
DYNAMIC = "annotations/dynamic_annotations.csv"
METADATA = "metadata.csv"
COLUMNS = Columns(valence="Valence(mean)", arousal="Arousal(mean)", title="title", artist="artist")

ORIGIN = Origin(
    name="pmemo",
    title="PMEmo 2019: choruses of pop songs, rated on valence and arousal",
    size="794 songs, 767 of them rated",
    licence="for research; the songs are commercial recordings",
    source="https://github.com/HuiZhangDB/PMEmo (PMEmo2019)",
    citation="K. Zhang, H. Zhang, S. Li, C. Yang, L. Sun, The PMEmo dataset for music emotion recognition, ICMR 2018",
    subfolders=("PMEmo2019",),
    files=(STATIC, METADATA),
    audio="the folder chorus, as <musicId>.mp3",
)


def read(
    data_dir: Path | str | None = None,
    *,
    valence_threshold: float = VALENCE_MEDIAN,
    arousal_threshold: float = AROUSAL_MEDIAN,
) -> Dataset:
    """Read PMEmo.

    The folder is the one that holds ``PMEmo2019``, or that one, else ``$MERTAG_DATA/pmemo``. A rating at or above its
    threshold is positive; `SCALE_MIDDLE` for both is the other choice in use.

    Raises
    ------
    ConfigError
        If a threshold lies outside the scale.
    DatasetError
        If a rating is not a number in 0..1, or a rated song has no line in the metadata.
    """
    for axis, threshold in (("valence", valence_threshold), ("arousal", arousal_threshold)):
        if not SCALE[0] < threshold <= SCALE[1]:
            raise ConfigError(f"PMEmo's {axis} threshold is {threshold}; choose one above 0 and at most 1.")
    root = find_root(ORIGIN, data_dir)
    ratings = read_table(root / STATIC, ("musicId", "Arousal(mean)", "Valence(mean)")).by("musicId")
    metadata = read_table(root / METADATA, ("musicId", "title", "artist")).by("musicId")
    why = ", which says whose music it is"
    refuse_absent(ratings, metadata, METADATA, f"Take {METADATA} from the same download.", why)
    audio = mp3_files(root / "chorus")
    dynamics = _dynamics(root / DYNAMIC)
    songs = rated_songs(
        ratings,
        metadata,
        audio,
        COLUMNS,
        scale=SCALE,
        positive=lambda valence, arousal: (valence >= valence_threshold, arousal >= arousal_threshold),
        dynamics=dynamics,
    )
    twice = repeated(songs)
    notes = [f"{len(twice)} recordings stand under more than one id and stay together."] if twice else []
    unrated = sum(song not in ratings for song in metadata)
    if unrated:
        notes.append(f"{unrated} of the {len(metadata)} songs have no ratings and are not used.")
    if not dynamics:
        notes.append(f"There are no ratings over time ({DYNAMIC} is absent).")
    return published(
        ORIGIN,
        root,
        songs,
        audio,
        labelling=f"V+ = valence >= {valence_threshold:g}, A+ = arousal >= {arousal_threshold:g}, of 0 to 1",
        notes=tuple(notes),
        scale=SCALE,
        thresholds=(valence_threshold, arousal_threshold),
    )


def _dynamics(path: Path) -> dict[str, Dynamics]:
    if not path.is_file():
        return {}
    points: dict[str, list[tuple[float, float, float]]] = {}
    for row in read_table(path, ("musicId", "frameTime", "Arousal(mean)", "Valence(mean)")):
        points.setdefault(row.required("musicId"), []).append(
            (
                row.number("frameTime", low=0.0),
                row.number("Valence(mean)", low=SCALE[0], high=SCALE[1]),
                row.number("Arousal(mean)", low=SCALE[0], high=SCALE[1]),
            )
        )
    found = {}
    for song, values in points.items():
        times_s, valence, arousal = zip(*sorted(values), strict=True)
        found[song] = Dynamics(times_s=times_s, valence=valence, arousal=arousal, scale=SCALE)
    return found
