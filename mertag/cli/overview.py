"""``mertag overview``: what is remembered of a library, as text, as JSON, or as a page to look at and to listen to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mertag.cli import console
from mertag.cli import tag_options as opt
from mertag.cli.remembered import read_remembered
from mertag.cli.undo import StateOption
from mertag.errors import ConfigError, MertagError

if TYPE_CHECKING:
    from mertag.library.overview.songs import Remembered


def overview(
    paths: opt.RememberedPaths = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Write a page with the map of the library, which plays the songs: one file, which needs no network.",
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on stdout: every group and every unsure song.")
    ] = False,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Show so many of each list.")] = 5,
    state: StateOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Results, warnings and errors only.")] = False,
) -> None:
    """Say how a library feels, from what is remembered: nothing is analysed.

    Moods with shares, by genre, artist, album, decade and folder; moods that someone else wrote; files without an
    emotion, and why; the songs of which the model is least sure.
    """
    from mertag.cli.outputs import print_json
    from mertag.library.overview.sums import overview as summed
    from mertag.library.records import to_dict

    roots = paths or []
    if html is not None:
        check_page(html)
    found = read_remembered(roots, state, quiet=quiet)
    if html is not None:
        _write_page(html, found, roots)
        if not quiet:
            console.say(f"{len(found.songs)} songs are on the page {console.clean(html)}; open it in a browser")
        if not json:
            return
    sums = summed(found, roots)
    if json:
        print_json(to_dict(sums))
        return
    from mertag.cli.overview_text import show

    show(sums, top=top)


def check_page(place: Path) -> None:
    """Refuse a place that cannot be, or that holds a file that is no page of mertag's."""
    from mertag.library.page import is_page

    if place.is_dir():
        raise ConfigError(f"--html {place}: this is a folder; name a file")
    if not place.parent.is_dir():
        raise ConfigError(f"--html {place}: the folder {place.parent} does not exist; create it first")
    if not place.exists():
        return
    if not place.is_file():
        raise ConfigError(f"--html {place}: this is not a plain file; choose another name")
    try:
        with place.open("rb") as file:
            head = file.read(400)
    except OSError as error:
        raise ConfigError(f"--html {place}: {error.strerror or error}") from error
    if head and not is_page(head):
        raise ConfigError(f"--html {place}: the file exists, and is no page of mertag's; choose another name")


def _write_page(place: Path, found: Remembered, roots: list[Path]) -> None:
    from mertag.files import write_whole
    from mertag.library.page import page

    try:
        write_whole(place, page(found, roots))
    except OSError as error:
        raise MertagError(f"--html {place}: could not be written: {error.strerror or error}") from error
