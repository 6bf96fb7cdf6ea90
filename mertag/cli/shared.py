"""What several commands open: the tagger, and the state file."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mertag.cli import console
from mertag.errors import ConfigError, FileError, StateError

if TYPE_CHECKING:
    from mertag.library.state.analyses import State
    from mertag.listen.tagger import Tagger
    from mertag.outcomes import Outcome

_log = logging.getLogger(__name__)


def open_tagger(
    model: Path | None,
    device: Literal["auto", "cuda", "cpu"],
    *,
    workers: int | None,
    segment_hop_s: float | None,
    windows: int | None = None,
    one_song: bool = False,
    timelines: bool = False,
) -> tuple[Tagger, dict[str, object]]:
    """Open the tagger; return it, and which model runs where and why, for the person and for the report.

    For `one_song`, all threads work on the same part of it. With `timelines`, it gives all segments of songs, too.
    """
    from mertag.listen.tagger import Tagger

    tagger = Tagger(
        model,
        device=device,
        workers=workers,
        segment_hop_s=segment_hop_s,
        windows=windows,
        at_once=1 if one_song else None,
        notify=lambda message: _log.warning("%s", message),
        timelines=timelines,
    )
    segment = tagger.models.segment
    return tagger, {
        "model": tagger.bundle.id,
        "device": segment.device,
        "provider": segment.provider,
        "reason": segment.reason,
    }


@contextmanager
def opened_state(path: Path | None, *, no_state: bool, needed: bool) -> Iterator[State | None]:
    """Open a state file, or the user's, for a run; yield None if there is to be none.

    If that fails, it ends a run that writes (`needed`), since no write could be undone. One that only shows goes on.
    """
    if no_state:
        if path is not None:
            raise ConfigError("--state names a state file, and --no-state goes without one; choose one of them")
        yield None
        return
    from mertag.library.state.analyses import open_state

    refuse_music(path)
    with ExitStack() as stack:
        state = None
        try:
            state = stack.enter_context(open_state(path, command=command_line(), notify=console.warn))
        except (ConfigError, StateError) as error:
            if needed or path is not None:
                raise
            console.warn(f"{error}; nothing is remembered")
        yield state


def nothing_found(include: list[str] | None, exclude: list[str] | None, shard: str | None = None) -> str:
    """Return what to say where no file is left to do anything with, and what may be the reason."""
    narrowed = [f"--include {shlex.quote(pattern)}" for pattern in include or ()]
    narrowed += [f"--exclude {shlex.quote(pattern)}" for pattern in exclude or ()]
    narrowed += [f"--shard {shard}"] if shard else []
    if not narrowed:
        return "no audio files were found there; nothing to do"
    return f"no audio file there is left by {', '.join(narrowed)}; nothing to do"


def idle_patterns(roots: Sequence[Path], include: list[str] | None, exclude: list[str] | None) -> list[str]:
    """Return what to say of each of several ``--include`` that leaves no audio file: a slip of the pen, perhaps."""
    from mertag.library.find import find_audio

    if include is None or len(include) < 2:
        return []
    there = [root for root in roots if root.is_dir()]  # patterns are for what is in folders

    def matches(pattern: str) -> bool:
        found = find_audio(there, include=(pattern,), exclude=exclude or (), on_error=lambda path, reason: None)
        return next(found, None) is not None

    idle = [pattern for pattern in include if not matches(pattern)]
    return [f"--include {shlex.quote(pattern)} matches no audio file there" for pattern in idle]


def command_line() -> str:
    """Return what was called, for the list of runs."""
    return shlex.join(["mertag", *sys.argv[1:]])


def refuse_music(path: Path | None) -> None:
    """Refuse a song, by name or content, as the state file: what is no state file is set aside, a song must not be."""
    if path is None or not path.is_file():
        return
    from mertag.formats import AUDIO_SUFFIXES
    from mertag.library.tags import taggable

    try:
        music = path.suffix.lower() in AUDIO_SUFFIXES or taggable(path)
    except FileError:
        return  # unreadable, or damaged: what it is, the state file's own checks say
    if music:
        raise ConfigError(f"--state {path}: this is a song; name a file for what mertag remembers")


class OnlyRemembered(nullcontext[None]):
    """Stands where a tagger would, and analyses nothing."""

    def __init__(self, model_key: str) -> None:
        super().__init__()
        self.model_key = model_key

    def tag_many(self, paths: Iterable[Path]) -> Iterator[Outcome]:
        """Yield nothing; a run that only writes what is remembered gives it no path, and one that does ends."""
        for _ in paths:  # taken all the same, so that the run goes on
            pass
        return iter(())


def without_model(
    model: Path | None, *, segment_hop_s: float | None, windows: int | None
) -> tuple[OnlyRemembered, dict[str, object]]:
    """Return what stands for the tagger with ``--retag``, and the facts of the run.

    The bundle is read, since its checksum says what may be written; no network is loaded.
    """
    from mertag.listen.bundle import load_bundle
    from mertag.listen.song import model_key
    from mertag.listen.tagger import chosen_segmentation

    bundle = load_bundle(model)
    key = model_key(bundle, segmentation=chosen_segmentation(bundle, segment_hop_s, console.warn), windows=windows)
    facts: dict[str, object] = {"model": bundle.id, "device": "none", "provider": "none"}
    return OnlyRemembered(key), facts | {"reason": "nothing is analysed"}
