"""``mertag playlists``: playlists by mood, or along a way over the map, from what is remembered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mertag.cli import console
from mertag.cli import tag_options as opt
from mertag.cli.remembered import read_remembered
from mertag.cli.undo import StateOption
from mertag.errors import ConfigError

if TYPE_CHECKING:
    from mertag.library.overview.songs import Song
    from mertag.library.playlists.choose import Wanted
    from mertag.library.tags.options import TagOptions

M3U8 = "m3u8"
ALL = "all"


def playlists(
    paths: opt.RememberedPaths = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The folder of the playlists; made if it is missing.")
    ] = None,
    format_: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="NAMES",
            help="m3u8 (if not given), nsp (Navidrome), xsp (Kodi), beets, foobar2000, musicbee, or all; with commas "
            "between. All but m3u8 are rules, which the player follows by itself.",
        ),
    ] = None,
    min_confidence: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Only songs of at least this confidence.")
    ] = 0.0,
    valence: Annotated[
        str | None,
        typer.Option(metavar="RANGE", help="Only songs of this valence: 0.7.. or ..0.3 or 0.2..0.5."),
    ] = None,
    arousal: Annotated[str | None, typer.Option(metavar="RANGE", help="Only songs of this arousal.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="At most so many songs in each.")] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="PLACE",
            help="One playlist that goes over the map, from here: a mood, calm, lively, pleasant, unpleasant, or "
            "two numbers (0.2,0.9). No artist comes twice in a row.",
        ),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="PLACE", help="Where it ends.")] = None,
    absolute: Annotated[
        bool, typer.Option("--absolute", help="Absolute paths; if not given, relative to the playlist.")
    ] = False,
    labels: opt.Labels = None,
    balanced: opt.Balanced = None,
    scale: Annotated[
        int, typer.Option(metavar="1|100", help="For the rules: what the figures in the tags go up to.")
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Say what would be written, and write nothing.")
    ] = False,
    state: StateOption = None,
    json: opt.Json = False,
    quiet: opt.WarningsOnly = False,
) -> None:
    """Write playlists by mood, from what is remembered: nothing is analysed.

    One for each mood, the most certain song first; or, with --from and --to, one that leads over the map. A playlist
    that is the same is not written again, and a file that mertag did not make is not replaced.
    """
    if out is None:
        raise ConfigError("give the folder of the playlists with --out DIR")
    if (start is None) != (end is None):
        raise ConfigError("--from and --to belong together: where the playlist begins, and where it ends")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: this is a file; name a folder")
    from mertag.cli.outputs import print_json
    from mertag.library.playlists.choose import Range, Wanted
    from mertag.library.playlists.write import file_name, write_playlist
    from mertag.library.records import path_fields
    from mertag.library.tags.options import DEFAULT_LABELS, TagOptions, read_labels

    formats = _formats(format_ or [M3U8])
    if start is not None and formats != [M3U8]:
        raise ConfigError("a way over the map is a list of songs, so that only --format m3u8 can hold it")
    written = TagOptions(
        labels=DEFAULT_LABELS if labels is None else read_labels(labels), balanced=balanced, scale=scale
    )
    wanted = Wanted(
        min_confidence=min_confidence,
        valence=Range() if valence is None else Range.parse(valence),
        arousal=Range() if arousal is None else Range.parse(arousal),
        limit=limit,
    )
    lists: Mapping[str, Sequence[Song]] = {}
    if M3U8 in formats:
        lists = _lists(read_remembered(paths or [], state, quiet=quiet).songs, wanted, written, start, end)
    elif paths:
        console.warn("the rules hold for whatever the player knows; PATHS is for m3u8 alone")
    made = []
    for name, content, n in _contents(formats, lists, wanted, written, None if absolute else out):
        path = out / file_name(name)
        if n is not None and _is_not_listed(lists, name):
            console.warn(f"{path.name}: files whose name holds a line break are left out")
        is_new = write_playlist(path, content, has_songs=n != 0, dry_run=dry_run)
        if is_new or path.exists():
            verb = ("would be written" if dry_run else "written") if is_new else "unchanged"
            made.append({**path_fields(path), "songs": n, "status": verb})
            songs = "rules" if n is None else "1 song" if n == 1 else f"{n} songs"
            if not quiet and not json:
                console.out(f"{console.clean(path)}: {songs}, {verb}")
    if json:
        print_json({"playlists": made})


def _formats(given: Sequence[str]) -> list[str]:
    """Return the formats that were named, each once, in their order."""
    from mertag.library.playlists.rules import FORMATS

    known = [M3U8, *FORMATS]
    names = [part.strip().lower() for several in given for part in several.split(",")]
    unknown = [name for name in names if name not in (*known, ALL)]
    if unknown:
        raise ConfigError(f"--format {unknown[0]}: there is no such format; they are {', '.join(known)}, {ALL}")
    return known if ALL in names else [name for name in known if name in names]


def _lists(
    songs: Sequence[Song], wanted: Wanted, written: TagOptions, start: str | None, end: str | None
) -> Mapping[str, Sequence[Song]]:
    """Return the songs of each playlist, by its name."""
    from mertag.library.playlists.choose import by_mood
    from mertag.library.playlists.journey import USUAL_LENGTH, journey, place_of

    if start is None or end is None:
        return by_mood(songs, wanted, written.labels, balanced=written.balanced)
    way = journey(songs, place_of(start, written.labels), place_of(end, written.labels), wanted)
    steps = wanted.limit or USUAL_LENGTH
    if songs and len(way) < steps:
        console.warn(f"the way has {len(way)} of {steps} songs: no other song is left, or only by the artist before")
    return {f"{start} to {end}": way}


def _contents(
    formats: Sequence[str],
    lists: Mapping[str, Sequence[Song]],
    wanted: Wanted,
    written: TagOptions,
    folder: Path | None,
) -> Iterator[tuple[str, bytes, int | None]]:
    """Yield name, content and number of songs of each file; of rules, None."""
    from mertag.library.playlists.m3u8 import m3u8
    from mertag.library.playlists.rules import FORMATS, WITHOUT_FIGURES, WITHOUT_LIMIT

    for name, songs in lists.items():
        yield f"{name}.{M3U8}", m3u8(name, songs, folder=folder), len(songs)
    narrowed = wanted.min_confidence > 0 or not (wanted.valence.is_all and wanted.arousal.is_all)
    for kind in formats:
        if kind == M3U8:
            continue
        if narrowed and kind in WITHOUT_FIGURES:
            console.warn(f"{kind}: its player knows the mood alone, so that the rules hold for every song of a mood")
        if wanted.limit is not None and kind in WITHOUT_LIMIT:
            console.warn(f"{kind}: its rules cannot say how many songs there are to be; --limit is left out")
        moods = dict.fromkeys((*written.labels, *([written.balanced] if written.balanced else [])))
        for name, text in FORMATS[kind](list(moods), wanted, scale=written.scale).items():
            yield name, text.encode(), None


def _is_not_listed(lists: Mapping[str, Sequence[Song]], name: str) -> bool:
    from mertag.library.playlists.m3u8 import listable

    return not all(map(listable, lists[name.removesuffix(f".{M3U8}")]))
