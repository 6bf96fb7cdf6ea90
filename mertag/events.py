"""What a run over a library is asked for, and what it tells on the way; see `mertag.batch`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from mertag.emotion import SongEmotion
from mertag.library import Shard
from mertag.tags import TagChange, TagOptions


class Status(StrEnum):
    """How a file ended."""

    TAGGED = "tagged"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """What to do with each song, and with which.

    Attributes
    ----------
    write_tags, sidecar : bool
        Write the container's own tags; write ``<name>.mertag.json`` beside the song.
    dry_run : bool
        Analyse and say what would be written, write nothing.
    tag : TagOptions
        How tags are written.
    include, exclude : tuple of str
        Globs that narrow what is found; see `mertag.library.find_audio`.
    shard : Shard, optional
        Only this part of what is found.
    fail_fast : bool
        Stop at the first file that failed; the rest counts as skipped.
    max_failures : int, optional
        Stop when so many files have failed.
    missing_fails : bool
        A path that does not exist, or cannot be looked at, is a failed file, and the others are tagged: for a list
        of files that may be a little out of date. Otherwise it is a ConfigError.
    """

    write_tags: bool = False
    sidecar: bool = False
    dry_run: bool = False
    tag: TagOptions = field(default_factory=TagOptions)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    shard: Shard | None = None
    fail_fast: bool = False
    max_failures: int | None = None
    missing_fails: bool = False

    @property
    def stop_at_failures(self) -> int | None:
        """After how many failed files the run stops; None: it does not."""
        return 1 if self.fail_fast else self.max_failures


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The search is over: `n` songs will be accounted for."""

    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDone:
    """One file is finished, and nothing more will happen to it.

    Attributes
    ----------
    index : int
        Its position among the files that were found.
    emotion : SongEmotion or None
        None if it could not be analysed. A failed write has an emotion.
    change : TagChange or None
        Old and new tags, where tags were to be written.
    sidecar_changed : bool or None
        Whether the sidecar was written (in a dry run: would be); None if none was asked for, or it failed.
    reason : str
        Why it was not tagged; for a tagged file, empty or a note.
    """

    index: int
    path: Path
    status: Status
    emotion: SongEmotion | None = None
    change: TagChange | None = None
    sidecar_changed: bool | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTagged:
    """Files that ended the same way for the same reason.

    `reached` is False for those that the run did not come to.
    """

    status: Status
    reason: str
    paths: tuple[Path, ...]
    reached: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What became of every file. ``found == tagged + unchanged + skipped + failed``, always.

    Attributes
    ----------
    not_reached : int
        How many of the skipped files the run did not come to.
    elapsed_s : float
        Seconds since the search ended.
    reasons : tuple of NotTagged
        All files that were not tagged, by reason, the largest groups first.
    """

    found: int
    tagged: int
    unchanged: int
    skipped: int
    failed: int
    not_reached: int
    elapsed_s: float
    reasons: tuple[NotTagged, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The run is over. It comes last, and also before an interruption or an error is raised on."""

    summary: Summary


Event: TypeAlias = Found | FileDone | Finished
