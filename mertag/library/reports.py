"""The formats of the reports of ``mertag tag`` and ``mertag undo``, which ``--report`` writes and ``--json`` prints."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from mertag.library.overview.sums import Overview
from mertag.library.records import File, Positive, Record, Seconds, Struct, Version, one_of, says

Count = Annotated[int, Meta(ge=0)]
RunUndone = Annotated[
    int | None,
    says(
        "undo: the run that was taken back, null if there was nothing to undo; remove: the run that this was, null if "
        "it is not remembered"
    ),
]


class NotTagged(Struct):
    """Files that were not tagged, for the same reason."""

    status: Annotated[str, one_of("unchanged", "skipped", "failed")]
    reason: str
    files: list[File]
    as_before: Annotated[bool, says("they failed in an earlier run for the same reason, and have not changed since")]


class Damaged(Struct):
    """Songs whose sound is damaged in the same way, and that are no failures."""

    damage: str
    files: Annotated[list[File], Meta(min_length=1)]


class Summary(Struct):
    """What became of the files."""

    found: Count
    tagged: Annotated[int, Meta(ge=0), says("where neither tags nor sidecars were asked for: analysed")]
    unchanged: Count
    skipped: Count
    failed: Count
    not_reached: Count
    elapsed_s: Seconds
    failed_as_before: Annotated[int, Meta(ge=0), says("of the failed: in an earlier run, too, and unchanged since")]
    moods_kept: Annotated[int, Meta(ge=0), says("moods that someone else wrote, and that stay")]
    moods_unsure: Annotated[int, Meta(ge=0), says("moods that were not written for want of confidence")]
    damaged: Annotated[int, Meta(ge=0), says("songs whose sound is damaged, and that are no failures")]


class Report(Struct):
    """`mertag tag --report`: found = tagged + unchanged + skipped + failed; not_reached are among the skipped."""

    schema: Literal[2]
    mertag: Version
    model: str
    device: str
    provider: str
    reason: Annotated[str, says("why this device and precision")]
    windows: Annotated[Positive | None, says("of each long song, only so many windows were analysed; null: all")]
    segment_hop_s: Annotated[float | None, says("seconds from one segment to the next; null: as in training")]
    shard: Annotated[str | None, says("I/N: only the I-th of N parts of the library; null: all of it")]
    dry_run: bool
    run: Annotated[
        Positive | None,
        says("what `mertag undo --run` takes back; null: nothing was written, or nothing is remembered"),
    ]
    summary: Summary
    not_tagged: list[NotTagged]
    damaged: list[Damaged]
    overview: Annotated[
        Overview | None,
        says("what is remembered of the folders of the run; null: it did not end, or nothing is remembered"),
    ]
    files: Annotated[list[Record] | UnsetType, says("every file that was reached: only in what --json prints")] = UNSET


class Undone(Struct):
    """found = undone + already_undone + left + not_reached."""

    found: Count
    undone: Count
    already_undone: Count
    left: Count
    not_reached: Count
    elapsed_s: Seconds


class Removed(Struct):
    """found = removed + unchanged + skipped + failed + not_reached."""

    found: Count
    removed: Count
    unchanged: Count
    skipped: Count
    failed: Count
    not_reached: Count
    elapsed_s: Seconds


class Reason(Struct):
    """Files that ended the same way, for the same reason."""

    status: Annotated[str, one_of("left", "unchanged", "skipped", "failed")]
    reason: str
    files: Annotated[list[File], Meta(min_length=1)]


_SUMMARIES = [{"$ref": "#/$defs/Undone"}, {"$ref": "#/$defs/Removed"}]  # msgspec has no union of untagged structs


class UndoReport(Struct):
    """`mertag undo --report` and `mertag remove --report`."""

    schema: Literal[2]
    mertag: Version
    command: Annotated[str, one_of("undo", "remove")]
    run: RunUndone
    dry_run: Annotated[bool, says("nothing was changed: the counts say what would be")]
    summary: Annotated[dict[str, float], Meta(extra_json_schema={"oneOf": _SUMMARIES})]
    reasons: Annotated[
        list[Reason], says("every file that ended with a reason: what was left, unchanged, skipped or failed")
    ]
