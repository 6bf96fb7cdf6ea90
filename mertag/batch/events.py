"""What a run over a library is asked for, and what it tells on the way; see `mertag.batch`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from mertag.emotion import SongEmotion
from mertag.errors import ConfigError
from mertag.library.find import Shard
from mertag.library.tags import TagChange, TagOptions


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
        Globs that narrow what is found; see `mertag.library.find.find_audio`.
    shard : Shard, optional
        Only this part of what is found.
    fail_fast : bool
        Stop at the first file that failed; the rest counts as skipped.
    max_failures : int, optional
        Stop when so many files have failed.
    missing_fails : bool
        A path that does not exist, or cannot be looked at, is a failed file, and the others are tagged: for a list
        of files that may be a little out of date. Otherwise it is a ConfigError.
    retag : bool
        Write only what is remembered; a song that is not is skipped.
    force : bool
        Analyse every song, and look at every file, whatever is remembered.
    writers : int
        Threads that write; 0 writes between the analyses.

    Raises
    ------
    ConfigError
        If both `retag` and `force` are asked for.
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
    retag: bool = False
    force: bool = False
    writers: int = 4

    def __post_init__(self) -> None:
        if self.retag and self.force:
            raise ConfigError("--retag analyses nothing, and --force everything; choose one of them")

    @property
    def writes(self) -> bool:
        """Whether anything is written into or beside the music."""
        return self.write_tags or self.sidecar

    @property
    def stop_at_failures(self) -> int | None:
        """After how many failed files the run stops; None: it does not."""
        return 1 if self.fail_fast else self.max_failures


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The search is over: `n` songs will be accounted for."""

    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A sentence for the person: what will be analysed again and why, who is waited for, what stopped working.

    Attributes
    ----------
    text : str
        The sentence.
    warning : bool
        Whether something is wrong.
    """

    text: str
    warning: bool = False


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
        Old and new tags, where tags were to be written; None if it was known without opening the file that nothing
        is left to do.
    sidecar_changed : bool or None
        Whether the sidecar was written (in a dry run: would be); None if none was asked for, or it failed.
    reason : str
        Why it was not tagged; for a tagged file, empty or a note.
    remembered : bool
        Whether it needed no analysis, since that was remembered.
    """

    index: int
    path: Path
    status: Status
    emotion: SongEmotion | None = None
    change: TagChange | None = None
    sidecar_changed: bool | None = None
    reason: str = ""
    remembered: bool = False

    @property
    def wrote(self) -> bool:
        """Whether the song or its sidecar was changed (in a dry run: would be)."""
        return bool(self.sidecar_changed or (self.change and self.change.changed))


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
    run : int or None
        What ``mertag undo --run`` takes; None if nothing was written, or is not remembered.
    """

    found: int
    tagged: int
    unchanged: int
    skipped: int
    failed: int
    not_reached: int
    elapsed_s: float
    reasons: tuple[NotTagged, ...]
    run: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The run is over. It comes last, and also before an interruption or an error is raised on."""

    summary: Summary


Event: TypeAlias = Found | Note | FileDone | Finished
