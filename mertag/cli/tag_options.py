"""The options of ``mertag tag``, each with its help; `DeviceChoice` and those of the model serve other commands too.

An option is a type that `mertag.cli.tag.tag` uses as an annotation; its default stands there.
"""

from __future__ import annotations

import codecs
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mertag.cli.console import LogLevel
from mertag.errors import ConfigError

if TYPE_CHECKING:
    from mertag.library.tags import TagOptions


class DeviceChoice(StrEnum):
    """Where the network may run."""

    auto = "auto"
    cuda = "cuda"
    cpu = "cpu"


# Which songs

Paths = Annotated[list[Path] | None, typer.Argument(metavar="PATHS", help="Songs and folders.")]
RememberedPaths = Annotated[
    list[Path] | None,
    typer.Argument(metavar="PATHS", help="Songs and folders; if not given, all that is remembered."),
]
Sources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATHS",
        help="Songs and folders; with --engine ray also URLs (s3://, gs://, https://), and lists of such: "
        "a CSV or Parquet file with a column url, and id if they have one.",
    ),
]
FilesFrom = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|-", help="Read more paths from a file or stdin: one a line, or separated by NUL (find -print0)."
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Only files whose name matches ('*.flac', 'Live/*'); repeatable."),
]
Exclude = Annotated[list[str] | None, typer.Option(metavar="GLOB", help="No files or folders that match; repeatable.")]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Only the I-th of N parts of the library, chosen by the paths below PATHS: "
        "for N machines that share the work.",
    ),
]

# What is written

WriteTags = Annotated[
    bool,
    typer.Option(
        "--write-id3",
        "--write-tags",
        envvar=["MERTAG_TAG_WRITE_ID3", "MERTAG_TAG_WRITE_TAGS"],
        show_envvar=False,
        help="Write tags, each container's own (not ID3 alone), safely.",
    ),
]
Sidecar = Annotated[bool, typer.Option("--sidecar", help="Write SONG.mertag.json beside each song.")]
Jsonl = Annotated[str | None, typer.Option(metavar="FILE|-", help="Write one JSON object a song; - is stdout.")]
Csv = Annotated[str | None, typer.Option(metavar="FILE|-", help="Write a CSV table; - is stdout.")]
Parquet = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Write a Parquet file, figures to the last digit (extra parquet): for `mertag import`. "
        "With --engine ray, a folder of such files, by path or URL.",
    ),
]
SegmentProbabilities = Annotated[
    bool,
    typer.Option(
        "--segment-probabilities",
        help="Put the probabilities of every segment into --parquet, too; each song is then listened to, as with "
        "--force.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]
Report = Annotated[
    str | None,
    typer.Option(metavar="FILE|-", help="Write the summary as JSON, with every file that was not tagged and why."),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        "-n",
        help="Show old -> new for each file and change no music file, tag or sidecar. "
        "Alone, it shows what --write-tags would do.",
    ),
]

# How tags are written

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a mood that someone else wrote.")]
MinConfidence = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="Write no mood below this confidence (mertag's own fields are written).")
]
Moods = Annotated[
    int,
    typer.Option(
        min=1, max=2, help="Write so many moods, likelier first; the second only from a probability of 0.25 on."
    ),
]
Join = Annotated[
    str | None,
    typer.Option(
        metavar="SEP",
        help="Write two moods as one value with SEP between them ('; '), for players that show only the first.",
    ),
]
Fields = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAMES",
        help="Which fields to write, with commas between: mood, quadrant, valence, arousal, confidence, model; "
        "mertag's other fields are taken out. If not given, all.",
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help='Own names for the moods, as TOML or JSON: Q1 = "Joyful", and so on.'),
]
Balanced = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The mood of songs in the middle, whose valence and arousal are both between 0.4 and 0.6 ('Balanced').",
    ),
]
Scale = Annotated[
    int,
    typer.Option(
        metavar="1|100",
        help="Write valence, arousal and confidence from 0 to 1, or as whole numbers from 0 to 100, for players "
        "that compare no decimals.",
    ),
]
CommentField = Annotated[
    bool,
    typer.Option(
        "--comment-field",
        help="Keep the mood in the comment as well, as [MOOD: Happy], for DJ software; the rest of the comment stays.",
    ),
]
PreserveMtime = Annotated[
    bool, typer.Option("--preserve-mtime", help="Keep the time of change (some players then miss the change).")
]
BreakHardLinks = Annotated[
    bool,
    typer.Option(
        "--break-hard-links", help="Write files that have several names, too: the other names keep the old content."
    ),
]

# How it is heard

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="FOLDER",
        envvar="MERTAG_BUNDLE",
        help="The model bundle; if not given, the one in the configuration file, else the bundled one.",
    ),
]
DeviceOption = Annotated[
    DeviceChoice,
    typer.Option("--device", help="Where the network runs. cuda fails if it cannot; auto says what it chose."),
]
Windows = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Listen to N windows only (of 30 s, in the bundled model), spread evenly over each long song: faster, "
        "and less sure. The results say how much was heard.",
    ),
]
SegmentHop = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS", help="Step between segments; if not given, that of the training. Another one is warned of."
    ),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes that decode; if not given, two, or with a GPU one for each core.")
]

# Where it runs


class EngineChoice(StrEnum):
    """What runs the songs."""

    local = "local"
    ray = "ray"


Engine = Annotated[
    EngineChoice,
    typer.Option("--engine", help="local: this machine. ray: a Ray cluster; its results go to --parquet (extra ray)."),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="The Ray cluster; if not given, $RAY_ADDRESS, else one is started on this machine."
    ),
]

# How the run goes

Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Fail songs whose sound is damaged, and write nothing for them; if not given, damage is only reported.",
    ),
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first file that fails.")]
MaxFailures = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Stop when N files have failed; if not given, never.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Results, failures, warnings and errors only.")]
WarningsOnly = Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say what becomes of each file: as --log-level info.")]
LogLevelOption = Annotated[
    LogLevel, typer.Option("--log-level", help="Which log lines stderr gets: those of this level and above.")
]

# What is remembered

StateFile = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="FILE",
        help="Where mertag remembers what it heard and wrote; if not given, state.sqlite in your state folder.",
    ),
]
NoState = Annotated[
    bool, typer.Option("--no-state", help="Remember nothing, and use nothing remembered: no write can be undone.")
]
Retag = Annotated[bool, typer.Option("--retag", help="Write only what is remembered; load no model, analyse nothing.")]
Force = Annotated[
    bool, typer.Option("--force", help="Analyse every song again, and look at every file, whatever is remembered.")
]


def written_as(*, fields: list[str] | None, labels: Path | None, **others: Any) -> TagOptions:
    """Return how tags are written; `others` are attributes of `TagOptions` that the command line has as they are."""
    from mertag.library.tags import TagOptions, fields_of, read_labels

    if fields:
        others["fields"] = fields_of(fields)
    if labels is not None:
        others["labels"] = read_labels(labels)
    return TagOptions(**others)


def read_names(source: str) -> list[str]:
    """Return the paths, or URLs, that a file, or stdin (``"-"``), lists for ``--files-from``, in its order."""
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise ConfigError(f"--files-from {source}: cannot be read: {error.strerror or error}") from error
    try:
        return parse_names(data)
    except ValueError as error:
        raise ConfigError(f"--files-from {source}: {error}") from error


def parse_names(data: bytes) -> list[str]:
    """Return the paths, or URLs, in a list that another program wrote. Names are bytes, and kept as they are.

    They end with NUL where there is a NUL in the list (``find -print0``, ``fd -0``): then any name can be listed. Else
    they end with a line break, before which a carriage return may stand. A byte order mark, and empty names, are passed
    over. UTF-16, in which every other byte is NUL (what ``>`` of Windows PowerShell writes), is a `ValueError`.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("the list is UTF-16; write it as UTF-8 (in PowerShell: | Out-File -Encoding utf8)")
    data = data.removeprefix(codecs.BOM_UTF8)
    names = data.split(b"\0") if b"\0" in data else [line.removesuffix(b"\r") for line in data.split(b"\n")]
    return [os.fsdecode(name) for name in names if name]
