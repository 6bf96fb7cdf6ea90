"""What a run over a library is asked for; see `mertag.batch`."""

from __future__ import annotations

from dataclasses import dataclass, field

from mertag.errors import ConfigError
from mertag.library.find import Shard
from mertag.library.tags import TagOptions


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
    strict : bool
        A song whose sound is damaged is a failure, and nothing is written for it.
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
    strict: bool = False
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
