"""M3U8: a playlist of files, which every player reads.

UTF-8 without a byte order mark; the names of files are the bytes that they are. ``#EXTINF`` has the duration in whole
seconds and what is shown, ``#PLAYLIST`` the name of the list; players pass over lines with ``#`` that they do not know.

Source: RFC 8216, section 4.3.2.1 (EXTINF); the M3U of Winamp.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mertag.library.overview.songs import Song

MARK = b"# made by mertag playlists"
"""The line that tells a playlist of mertag's from one of someone else's."""


def m3u8(name: str, songs: Sequence[Song], *, folder: Path | None) -> bytes:
    """Return a playlist.

    Parameters
    ----------
    name : str
        What it is called.
    songs : sequence of Song
        In their order. A file whose name holds a line break cannot stand in a playlist, and is left out.
    folder : Path, optional
        Where the playlist will lie: the paths are relative to it. If not given, they are absolute.
    """
    lines = [b"#EXTM3U", MARK, b"#PLAYLIST:" + _line(name)]
    for song in songs:
        if listable(song):
            shown = " - ".join(filter(None, (song.facts.artist, song.title)))
            lines += [b"#EXTINF:%d,%s" % (round(song.emotion.duration_s), _line(shown)), _entry(song.place, folder)]
    return b"\n".join([*lines, b""])


def listable(song: Song) -> bool:
    """Return whether a song can stand in a playlist: its path is one line."""
    return not {b"\n", b"\r"} & {song.place[i : i + 1] for i in range(len(song.place))}


def _entry(place: bytes, folder: Path | None) -> bytes:
    if folder is None:
        return place
    try:
        path = os.path.relpath(place, os.fsencode(os.path.realpath(folder)))
    except ValueError:  # another drive of Windows
        return place
    # A name that begins with # would be a comment, and one with a colon could be taken for an address.
    return path if path.startswith(b"..") else os.path.join(b".", path)  # noqa: PTH118  bytes


def _line(text: str) -> bytes:
    """Return a text on one line."""
    return " ".join(text.encode("utf-8", "replace").decode().split()).encode()
