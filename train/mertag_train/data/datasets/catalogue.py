"""Which data sets mertag reads: what each is, where it can be had, and whether it is here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mertag.errors import MertagError
from mertag_train.data.datasets import deam, eim, folder, four_q, mtg_jamendo, pmemo, read
from mertag_train.data.datasets.published import DATA_VARIABLE, Origin, nearest_root

ORIGINS: tuple[Origin, ...] = tuple(module.ORIGIN for module in (pmemo, four_q, eim, deam, mtg_jamendo))
OWN = Origin(
    name=folder.NAME,
    title="your own music: a folder for each class, or a table of paths with labels or ratings",
    size="as many songs as there are",
    licence="what the music's makers say",
    source="your own",
    citation="",
    subfolders=(),
    files=(),
    audio="folders that are named after classes, or where the table says",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A data set: its name, as ``--dataset`` spells it, and the rest in words.

    `needs` are its annotations and where its audio belongs; `here` says what of it lies below ``$MERTAG_DATA``; `found`
    is that folder, and `songs` and `with_audio` count what was read there, None where there is nothing to read.
    """

    name: str
    what: str
    size: str
    licence: str
    source: str
    citation: str
    needs: str
    here: str
    found: str | None = None
    songs: int | None = None
    with_audio: int | None = None


def catalogue(*, environ: Mapping[str, str] = os.environ) -> list[Entry]:
    """Return every data set that has a reader, one's own music last."""
    return [_entry(origin, environ.get(DATA_VARIABLE)) for origin in (*ORIGINS, OWN)]


def _entry(origin: Origin, parent: str | None) -> Entry:
    here, found, songs, with_audio = _look(origin, parent)
    return Entry(
        name=origin.name,
        what=origin.title,
        size=origin.size,
        licence=origin.licence,
        source=origin.source,
        citation=origin.citation,
        needs=", ".join([*origin.files, f"audio in {origin.audio}"]),
        here=here,
        found=found,
        songs=songs,
        with_audio=with_audio,
    )


def _look(origin: Origin, parent: str | None) -> tuple[str, str | None, int | None, int | None]:
    if not parent:
        return f"not known: ${DATA_VARIABLE} is not set; or name the folder with --data-dir", None, None, None
    place = Path(parent).expanduser() / origin.name
    if not place.exists():
        return f"no: there is no {place}", None, None, None
    root, lacking = nearest_root(origin, place)
    if lacking:
        return f"no: {root} lacks {', '.join(lacking)}", None, None, None
    try:
        dataset = read(origin.name, place)
    except MertagError as error:
        return f"no: {error}", str(root), None, None
    songs = len(dataset.songs)
    with_audio = songs - len(dataset.missing_audio)
    return f"{root}: {with_audio} of {songs} labelled songs have audio", str(root), songs, with_audio
