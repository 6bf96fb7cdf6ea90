"""4Q: 900 clips of 30 seconds, 225 in each quadrant of Russell's plane (Panda, Malheiro and Paiva, 2018).

Layout::

    MER_audio_taffc_dataset/
        panda_dataset_taffc_annotations.csv     Song,Quadrant
        panda_dataset_taffc_metadata.csv        Song,Artist,Title,Quadrant,...
        Q1/<Song>.mp3 .. Q4/<Song>.mp3

The label is the quadrant; V+ is Q1 and Q4, A+ is Q1 and Q2. Many artists have several clips, mostly in one
quadrant, so that only folds grouped by artist show what a model knows beyond the artist.
"""

from __future__ import annotations

from pathlib import Path

from mertag.emotion import QUADRANTS, Quadrant
from mertag_train.data.datasets.base import (
    Dataset,
    Song,
    artist_key,
    group_recordings,
    recording_key,
    repeated,
    targets_of_quadrant,
)
from mertag_train.data.datasets.published import Origin, find_root, mp3_files, published, refuse_absent
from mertag_train.data.datasets.tables import Row, read_table

ANNOTATIONS = "panda_dataset_taffc_annotations.csv"
METADATA = "panda_dataset_taffc_metadata.csv"
N_PUBLISHED = 900

ORIGIN = Origin(
    name="4q",
    title="4Q: 30-second clips, each of a quadrant",
    size="900 clips, 225 a quadrant",
    licence="for research; the clips are previews of commercial recordings",
    source='http://mir.dei.uc.pt (Downloads, "4Q audio emotion dataset")',
    citation="R. Panda, R. Malheiro, R. P. Paiva, Novel audio features for music emotion recognition, "
    "IEEE Transactions on Affective Computing, 2018",
    subfolders=("MER_audio_taffc_dataset",),
    files=(ANNOTATIONS, METADATA),
    audio="the folders Q1 to Q4, as <Song>.mp3",
)

SAME_RECORDING: tuple[tuple[str, str], ...] = (("MT0000523076", "MT0000941301"),)
"""Songs that hold the same recording under different names, which the metadata do not show."""


def read(data_dir: Path | str | None = None) -> Dataset:
    """Read 4Q.

    The folder is the one that holds ``MER_audio_taffc_dataset``, or that one, else ``$MERTAG_DATA/4q``.

    Raises DatasetError if the two tables do not hold the same songs with the same quadrants, a quadrant is unknown, or
    a clip lies in the folder of another quadrant than its row says.
    """
    root = find_root(ORIGIN, data_dir)
    labels = read_table(root / ANNOTATIONS, ("Song", "Quadrant")).by("Song")
    metadata = read_table(root / METADATA, ("Song", "Artist", "Title", "Quadrant")).by("Song")
    remedy = "Take both tables from the same download, or delete the line."
    refuse_absent(labels, metadata, METADATA, remedy)
    refuse_absent(metadata, labels, ANNOTATIONS, remedy)
    quadrants = {song: _quadrant(row) for song, row in labels.items()}
    for song, row in metadata.items():
        if _quadrant(row) is not quadrants[song]:
            raise row.fault(
                f"song {song!r} is {row.text('Quadrant')} here, but {quadrants[song]} in {ANNOTATIONS} "
                f"(line {labels[song].line})",
                "Take both tables from the same download.",
            )

    audio: dict[str, Path] = {}
    for quadrant in QUADRANTS:
        for song, path in mp3_files(root / quadrant).items():
            if song in quadrants and quadrants[song] is not quadrant:
                raise labels[song].fault(
                    f"song {song!r} is {quadrants[song]}, but its audio is {path}",
                    f"Move the clip to the folder {quadrants[song]}, or correct the table.",
                )
            audio[song if song in quadrants else f"{quadrant}/{song}"] = path

    groups = group_recordings(
        {song: recording_key(row.text("Title"), row.text("Artist")) for song, row in metadata.items()}
    )
    for first, second in SAME_RECORDING:
        if first in groups and second in groups:
            merged = groups[second]
            groups = {song: groups[first] if group == merged else group for song, group in groups.items()}

    songs = [
        Song(
            id=song,
            path=audio.get(song),
            group=groups[song],
            artist=artist_key(metadata[song].text("Artist")),
            targets=targets_of_quadrant(quadrant),
        )
        for song, quadrant in quadrants.items()
    ]
    labelling = "quadrant as annotated; V+ = Q1, Q4; A+ = Q1, Q2"
    return published(ORIGIN, root, songs, audio, labelling=labelling, notes=_notes(metadata, songs))


def _notes(metadata: dict[str, Row], songs: list[Song]) -> tuple[str, ...]:
    notes = []
    if len(metadata) != N_PUBLISHED:
        notes.append(f"{len(metadata)} of the {N_PUBLISHED} published songs are here.")
    nameless = [song for song, row in metadata.items() if artist_key(row.text("Artist")) is None]
    if nameless:
        notes.append(f"No artist is known for {', '.join(nameless)}: each is a group of its own.")
    notes.extend(f"{' and '.join(ids)} are one recording and stay together." for ids in repeated(songs))
    return tuple(notes)


def _quadrant(row: Row) -> Quadrant:
    value = row.text("Quadrant")
    try:
        return Quadrant(value.upper())
    except ValueError:
        raise row.fault(f"unknown quadrant {value!r}", "Write Q1, Q2, Q3 or Q4.") from None
