"""What is remembered, opened for the commands that show it: `overview` and `playlists`."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mertag.cli import console
from mertag.cli.shared import refuse_music
from mertag.errors import ConfigError

if TYPE_CHECKING:
    from mertag.library.overview.songs import Remembered

SAY_EVERY_S = 10.0


def read_remembered(paths: Sequence[Path], state: Path | None, *, quiet: bool) -> Remembered:
    """Return what is remembered of some files and folders, and warn if that is nothing.

    Raises
    ------
    ConfigError
        If a path or the state file that was named does not exist.
    StateError
        If the state file does not work.
    """
    from mertag.library.overview.songs import Remembered, remembered
    from mertag.library.state.database import Database, default_path

    for path in paths:
        if not os.path.lexists(path):
            raise ConfigError(f"{path}: no such file or folder")
    refuse_music(state)
    if state is not None and not state.exists():
        raise ConfigError(f"--state {state}: no such file; leave it out for your own, or name the one that tagged")
    place = state or default_path()
    found = Remembered()
    if place.exists():
        with Database(place, notify=console.warn) as database:
            found = remembered(database, paths, on_read=None if quiet else _Reading().show)
    if not found.songs:
        where = "of these" if paths else "yet"
        console.warn(f"no song is remembered {where}; `mertag tag PATHS` listens to songs and remembers them")
    return found


class _Reading:
    """Says now and then how many files have been opened for what their tags say."""

    def __init__(self) -> None:
        self._said_s = time.monotonic()

    def show(self, done: int, of: int) -> None:
        now_s = time.monotonic()
        if now_s - self._said_s >= SAY_EVERY_S:
            self._said_s = now_s
            console.say(f"reading what the tags say of each song, this once: {done} of {of}")
