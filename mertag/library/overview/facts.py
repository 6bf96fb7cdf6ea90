"""What a file's own tags say of a song: title, artist, album, genre, year, and a mood that is not mertag's.

They are read by FFmpeg's libraries, as many players do, in a process of its own (`mertag.library.tags.readers`);
several values stand in one text with ``;`` between them. They are kept in the state file by path, size and time of
change, so that an overview of a large library opens no file.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from mertag.library import tags
from mertag.library.tags.container import Fields
from mertag.library.tags.fields import mood_is_ours
from mertag.library.tags.options import MOOD
from mertag.library.tags.readers import ffmpeg

LONGEST = 300
"""So many characters of a title, a name or a genre are kept."""

_YEAR = re.compile(r"(?<!\d)(1[0-9]{3}|20[0-9]{2})(?!\d)")
_DATES = ("date", "year", "tyer", "tdrc", "originaldate", "originalyear", "tdor", "tory")
_OF_A_STREAM = re.compile(r"\d+:")


class Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a file's tags say; empty where they say nothing.

    Attributes
    ----------
    title, artist, album : str
        As they stand there, at most `LONGEST` characters. The artist is the album's where the song has none.
    genres : tuple of str
        Each once.
    year : int or None
        The first number of four digits in the date, 1000 to 2099.
    mood : tuple of str
        The mood in the file, if mertag did not write it.
    """

    title: str = ""
    artist: str = ""
    album: str = ""
    genres: tuple[str, ...] = ()
    year: int | None = None
    mood: tuple[str, ...] = ()


_decoder = msgspec.json.Decoder(Facts)


def encode(facts: Facts) -> str:
    """Return facts as text."""
    return msgspec.json.encode(facts).decode()


def decode(text: str) -> Facts | None:
    """Return the facts that a text stands for; None if it is none, and they are to be read again."""
    try:
        return _decoder.decode(text)
    except (ValueError, RecursionError):
        return None


def read_facts(path: Path) -> Facts:
    """Return what a file's tags say; of a file that cannot be read, nothing."""
    seen: Mapping[str, str] = {}
    with contextlib.suppress(RuntimeError):  # said where a copy is checked; what was tagged has not failed
        seen = ffmpeg.seen(path, path.name) or {}
    fields: Fields = {}
    with contextlib.suppress(Exception):  # no tag format, or a strange file: then there is no mood to be found
        fields = tags.read_tags(path)
    mood = fields.get(MOOD, ())
    return from_tags(seen, mood=() if mood_is_ours(fields) else mood)


def from_tags(seen: Mapping[str, str], *, mood: tuple[str, ...] = ()) -> Facts:
    """Return the facts in tags as FFmpeg names them; those of a stream (``0:title``) count where the file has none."""
    found: dict[str, str] = {}
    for key, value in sorted(seen.items(), key=lambda item: bool(_OF_A_STREAM.match(item[0]))):
        if value.strip():
            found.setdefault(_OF_A_STREAM.sub("", key, count=1).lower(), value)
    years = (match for key in _DATES if (match := _YEAR.search(found.get(key, ""))))
    year = next(years, None)
    return Facts(
        title=_text(found.get("title", "")),
        artist=_text(found.get("artist") or found.get("album_artist") or found.get("albumartist", "")),
        album=_text(found.get("album", "")),
        genres=tuple(dict.fromkeys(filter(None, (_text(genre) for genre in found.get("genre", "").split(";"))))),
        year=int(year[1]) if year else None,
        mood=tuple(filter(None, (_text(one) for one in mood))),
    )


def _text(text: str) -> str:
    """Return a text that can be encoded, on one line, and not too long."""
    return " ".join(text.encode("utf-8", "replace").decode().split())[:LONGEST]
