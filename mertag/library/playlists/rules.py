"""Playlists of rules, which a player follows by itself: each in the format that its player documents.

==================  =================================================================================================
Navidrome           ``.nsp``: JSON (navidrome.org, "Smart playlists"). It knows ``mood`` by itself; the figures only
                    where its configuration names them (``Tags.mertag_confidence.Aliases``, ``.Type = "float"``).
Kodi                ``.xsp``: XML (kodi.wiki, "Smart playlists"). It knows the mood of a song, and none of the figures.
beets               a part of its configuration for the plugin smartplaylist, with the fields of the plugin mertag.
foobar2000          a query for an autoplaylist. It compares whole numbers only; figures of three decimals become such
                    without their point.
MusicBee            the rules of an auto-playlist, as text.
==================  =================================================================================================

`scale` is that of the figures in the tags (`mertag.library.tags.options.TagOptions`). Kodi and beets read none of them.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol
from xml.sax.saxutils import escape

from mertag.library.playlists.choose import Range, Wanted

MARK = "made by mertag playlists"

HALF_A_STEP = {1: 0.0005, 100: 0.5}
"""Of the figures in tags, by their scale: "greater than" with this margin is "at least"."""


class Rules(Protocol):
    """Moods, what is wanted, and the scale of the figures in the tags -> the content of each file, by its name."""

    def __call__(self, moods: Sequence[str], wanted: Wanted, /, *, scale: int = 1) -> Mapping[str, str]:
        """Return the content of each file, by its name."""


def navidrome(moods: Sequence[str], wanted: Wanted, /, *, scale: int = 1) -> Mapping[str, str]:
    """Return an ``.nsp`` for each mood; in the order of confidence where that is asked for, else at random."""
    files: dict[str, str] = {}
    for mood in moods:
        rules: list[dict[str, object]] = [{"is": {"mood": mood}}]
        margin = HALF_A_STEP[scale]
        for name, r in _ranges(wanted):  # not inTheRange, which it takes for its own columns alone
            rules += [{"gt": {f"mertag_{name}": round(scale * r.low - margin, 4)}}] if r.low > 0 else []
            rules += [{"lt": {f"mertag_{name}": round(scale * r.high + margin, 4)}}] if r.high < 1 else []
        by_figure = len(rules) > 1
        content = {
            "name": mood,
            "comment": MARK,
            "all": rules,
            "sort": "mertag_confidence" if by_figure else "random",
            **({"order": "desc"} if by_figure else {}),
            **({} if wanted.limit is None else {"limit": wanted.limit}),
        }
        files[f"{mood}.nsp"] = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    return files


def kodi(moods: Sequence[str], wanted: Wanted, /, *, scale: int = 1) -> Mapping[str, str]:
    """Return an ``.xsp`` for each mood."""
    limit = "" if wanted.limit is None else f"    <limit>{wanted.limit}</limit>\n"
    return {
        f"{mood}.xsp": (
            '<?xml version="1.0" encoding="UTF-8" standalone="yes" ?>\n'
            f"<!-- {MARK} -->\n"
            '<smartplaylist type="songs">\n'
            f"    <name>{escape(mood)}</name>\n"
            "    <match>all</match>\n"
            f'    <rule field="moods" operator="is">\n        <value>{escape(mood)}</value>\n    </rule>\n'
            f"{limit}"
            '    <order direction="ascending">random</order>\n'
            "</smartplaylist>\n"
        )
        for mood in moods
    }


def beets(moods: Sequence[str], wanted: Wanted, /, *, scale: int = 1) -> Mapping[str, str]:
    """Return what the configuration of beets needs for a playlist of each mood."""
    lines = [f"# {MARK}: for the configuration of beets, with the plugins smartplaylist and mertag", "smartplaylist:"]
    lines += ["  playlists:"]
    for mood in moods:
        fields = {"confidence": "mood_confidence"}
        ranges = (f"{fields.get(name, name)}:{r}" for name, r in _ranges(wanted))
        query = shlex.join([f"mood:={mood}", *ranges, "mood_confidence-"])
        lines += [f"    - name: {_yaml(f'{mood}.m3u8')}", f"      query: {_yaml(query)}"]
    return {"beets.yaml": "\n".join(lines) + "\n"}


def foobar2000(moods: Sequence[str], wanted: Wanted, /, *, scale: int = 1) -> Mapping[str, str]:
    """Return a query for each mood."""
    lines = [f"# {MARK}: a query for each autoplaylist of foobar2000 (File, New autoplaylist)"]
    for mood in moods:
        rules = [f'mood IS "{mood}"']
        for name, r in _ranges(wanted):
            whole, steps = (f'"$replace(%mertag_{name}%,.,)"', 1000) if scale == 1 else (f"%mertag_{name}%", scale)
            rules += [f"{whole} GREATER {round(steps * r.low) - 1}"] if r.low > 0 else []
            rules += [f"{whole} LESS {round(steps * r.high) + 1}"] if r.high < 1 else []
        lines += ["", mood, f"{' AND '.join(rules)} SORT DESCENDING BY %mertag_confidence%"]
    return {"foobar2000.txt": "\n".join(lines) + "\n"}


def musicbee(moods: Sequence[str], wanted: Wanted, /, *, scale: int = 1) -> Mapping[str, str]:
    """Return the rules of an auto-playlist for each mood, as they are chosen in its window."""
    lines = [f"# {MARK}: the rules of each auto-playlist of MusicBee (match all of them)"]
    for mood in moods:
        lines += ["", mood, f"Mood | is | {mood}"]
        for name, r in _ranges(wanted):
            lines += [f"MERTAG_{name.upper()} | is in range | {scale * r.low:g} | {scale * r.high:g}"]
        lines += [] if wanted.limit is None else [f"limit to {wanted.limit} songs"]
    return {"musicbee.txt": "\n".join(lines) + "\n"}


FORMATS: Mapping[str, Rules] = MappingProxyType(
    {"nsp": navidrome, "xsp": kodi, "beets": beets, "foobar2000": foobar2000, "musicbee": musicbee}
)

WITHOUT_FIGURES = ("xsp",)
"""Formats whose player knows the mood alone."""

WITHOUT_LIMIT = ("beets", "foobar2000")
"""Formats that cannot say how many songs there are to be."""


def _ranges(wanted: Wanted) -> Iterator[tuple[str, Range]]:
    """Yield the figures that are narrowed, by name."""
    for name, found in (
        ("confidence", Range(low=wanted.min_confidence)),
        ("valence", wanted.valence),
        ("arousal", wanted.arousal),
    ):
        if not found.is_all:
            yield name, found


def _yaml(text: str) -> str:
    """Return a text as YAML: JSON is a part of it."""
    return json.dumps(text, ensure_ascii=False)
