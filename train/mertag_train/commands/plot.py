"""The command ``mertag plot``: the emotion of songs over time, a picture for each."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mertag.cli import console
from mertag.cli.console import LogLevel, show_from
from mertag.cli.shared import open_tagger
from mertag.cli.tag_options import DeviceChoice, DeviceOption, Json, ModelOption, SegmentHop
from mertag.errors import ConfigError, FileError, MertagError

if TYPE_CHECKING:
    from mertag.library.records import Emotion
    from mertag.listen.tagger import Tagger
    from mertag_train.plots.song import ImageFormat

_log = logging.getLogger("mertag.plot")

SUFFIX = ".emotion.png"
NAME_BYTES = 255
"""Longest name that common file systems take."""
HEAD_BYTES = 2_000


def plot(
    files: Annotated[list[Path], typer.Argument(metavar="FILES", help="Songs.")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png|.svg|DIR",
            help="The picture of one song, or a folder for those of several; if not given, <song>.emotion.png in the "
            "current folder.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that mertag did not draw (its own are replaced).")
    ] = False,
    model: ModelOption = None,
    device: DeviceOption = DeviceChoice.auto,
    segment_hop: SegmentHop = None,
    json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="The picture's name and errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also say why that device is used.")] = False,
) -> None:
    """Draw the emotion of songs over time, a picture for each.

    One line for each emotion, a segment standing at its centre; the song's decision and its confidence in the
    title. The pictures' names go to stdout, everything else to stderr. A song that cannot be heard is named, the others
    are drawn, and the exit code is 1.
    """
    from mertag.cli.outputs import print_json
    from mertag.library.records import path_fields, to_dict

    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # remarks about font caches are not for our user
    for file in files:
        if not file.exists():
            raise ConfigError(f"{file}: no such file")
        if file.is_dir():
            raise ConfigError(f"{file}: this is a folder; name songs")
    show_from(LogLevel.info if verbose else LogLevel.warning)
    places = places_of(files, out)
    kinds = [check_place(place, song=file, overwrite=overwrite) for file, place in zip(files, places, strict=True)]
    tagger, facts = open_tagger(model, device.value, workers=1, segment_hop_s=segment_hop, one_song=True)
    drawn: list[dict[str, object]] = []
    failed = False
    with tagger:
        if not quiet:
            console.say(console.clean("model {model} on {device}".format(**facts)))
            _log.info("%s", "{provider}; {reason}".format(**facts))
        for file, place, kind in zip(files, places, kinds, strict=True):
            song = path_fields(file)
            try:
                emotion, said = _draw(tagger, file, place, kind)
            except FileError as error:
                if len(files) == 1 and not json:
                    raise
                console.complain(error)
                drawn.append({"song": song, "picture": None, "emotion": None, "reason": error.reason})
                failed = True
                continue
            drawn.append({"song": song, "picture": path_fields(place), "emotion": to_dict(emotion), "reason": None})
            if not quiet:
                console.say(console.clean(said))
            if not json:
                console.out(console.clean(place))
    if json:
        print_json({"pictures": drawn})
    if failed:
        raise typer.Exit(console.ExitCode.SOME_FAILED)


def _draw(tagger: Tagger, file: Path, place: Path, kind: ImageFormat) -> tuple[Emotion, str]:
    """Draw one song; return what it was found to be, and the same in words."""
    from mertag.files import write_whole
    from mertag.library.records import emotion_of
    from mertag_train.plots.song import decision, draw, render, window_spans

    timeline = tagger.segments(file)
    manifest = tagger.bundle.manifest
    spans_s = window_spans(timeline, manifest.window_rule, sample_rate=manifest.front_end.sample_rate)
    data = render(draw(timeline, title=title_of(file), spans_s=spans_s), kind)
    try:
        write_whole(place, data)
    except OSError as error:
        raise MertagError(f"{place}: could not be written: {error.strerror or error}") from error
    return emotion_of(timeline.emotion), decision(timeline.emotion)


def title_of(file: Path) -> str:
    """Return a song's name for the title: artist and title of its tags, else the file's, without its suffix."""
    from mertag.files import path_text
    from mertag.library.overview.facts import read_facts

    facts = read_facts(file)
    return " – ".join(filter(None, (facts.artist, facts.title))) if facts.title else path_text(file.stem)


def places_of(files: Sequence[Path], out: Path | None) -> list[Path]:
    """Return where the picture of each song goes; those of songs of the same name get numbers.

    Raises ConfigError if several pictures are to be one file.
    """
    if out is not None and not out.is_dir():
        if len(files) > 1:
            raise ConfigError(f"--out {out}: several songs need a folder that is there; create it first")
        return [out]
    taken: Counter[str] = Counter()
    places = []
    for file in files:
        place = default_place(file)
        taken[place.name] += 1
        number = f" ({taken[place.name]})" if taken[place.name] > 1 else ""
        places.append((out or Path()) / place.with_name(place.name.removesuffix(SUFFIX) + number + SUFFIX))
    return places


def default_place(file: Path) -> Path:
    """Return where the picture goes if nothing else is said: a name in the current folder that is not too long."""
    stem = file.stem
    while len(os.fsencode(stem + SUFFIX)) > NAME_BYTES:
        stem = stem[:-1]
    return Path(stem + SUFFIX)


def check_place(place: Path, *, song: Path, overwrite: bool) -> ImageFormat:
    """Return the format that a picture's name asks for.

    Raises ConfigError if it is neither PNG nor SVG, cannot be there, is the song itself, or would replace a file that
    mertag did not draw.
    """
    if place.suffix.lower() not in (".png", ".svg"):
        raise ConfigError(f"--out {place}: the name decides the format; end it in .png or .svg")
    kind: ImageFormat = "svg" if place.suffix.lower() == ".svg" else "png"
    if not place.parent.is_dir():
        raise ConfigError(f"--out {place}: the folder {place.parent} does not exist; create it first")
    if place.is_dir():
        raise ConfigError(f"--out {place}: this is a folder; name a file")
    if not place.exists():
        return kind
    if place.samefile(song):
        raise ConfigError(f"--out {place}: this is the song itself; choose another name")
    if not place.is_file():
        raise ConfigError(f"--out {place}: this is not a plain file; choose another name")
    try:
        with place.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise ConfigError(f"--out {place}: {error.strerror or error}") from error
    if head and not overwrite and not drawn_by_mertag(head):
        raise ConfigError(
            f"{place}: the file exists, and mertag did not draw it; choose another name with --out, or give --overwrite"
        )
    return kind


def drawn_by_mertag(head: bytes) -> bool:
    """Return whether a file that begins so is a picture that `mertag_train.plots.song.render` made."""
    png = head.startswith(b"\x89PNG\r\n") and b"tEXtSoftware\0mertag " in head
    svg = head.startswith(b"<?xml") and b"<dc:title>mertag " in head
    return png or svg
