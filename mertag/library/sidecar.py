"""The JSON sidecar beside a song: the emotion of ``song.mp3`` in ``song.mp3.mertag.json``.

The name is appended, so that ``song.mp3`` and ``song.flac`` have one each. A sidecar is replaced whole or not at all,
left alone when it already says the same, and never put in the place of a file that mertag did not write. A song in a
store has it beside it, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from mertag import strict_json
from mertag._version import __version__
from mertag.emotion import SongEmotion
from mertag.errors import TagWriteError
from mertag.files import BeforeReplace, path_text, read_regular, write_whole
from mertag.library import records
from mertag.library.store import Store, parent_and_name

SUFFIX = ".mertag.json"
_MAX_BYTES = 1 << 20  # a sidecar has about 600


class Sidecar(records.Struct, kw_only=True):
    """SONG.mertag.json: the emotion of the song beside it."""

    schema: Literal[2]
    mertag: records.Version
    file: records.PathText
    file_base64: records.PathBytes | UnsetType = UNSET
    emotion: records.Emotion
    model: records.ModelName


class _Header(msgspec.Struct):
    """What tells a sidecar, of whatever version, from other files."""

    schema: int
    mertag: str


def sidecar_path(path: Path) -> Path:
    """Return where the sidecar of a song lies: its whole name with `SUFFIX` appended."""
    return path.with_name(path.name + SUFFIX)


def plan_sidecar(path: Path, emotion: SongEmotion) -> bool:
    """Return whether `write_sidecar` would write; reads only.

    Raises
    ------
    TagWriteError
        If what lies there was not written by mertag, comes from a later version, or cannot be read.
    """
    old = _read_own(path)
    return old is None or _differs(old, _content(path.name, emotion))


def write_sidecar(path: Path, emotion: SongEmotion, *, before_replace: BeforeReplace | None = None) -> bool:
    """Write the sidecar of a song, whole or not at all.

    Parameters
    ----------
    path : Path
        The song.
    emotion : SongEmotion
        Its emotion.
    before_replace : callable, optional
        Gets the paths of the sidecar, which may not be there yet, and of the new file just before the one becomes
        the other. If it raises, nothing is replaced.

    Returns
    -------
    bool
        Whether anything was written. A sidecar that already says the same is left alone.

    Raises
    ------
    TagWriteError
        As `plan_sidecar`, or if the folder cannot be written to.
    """
    if not plan_sidecar(path, emotion):
        return False
    text = _text(_content(path.name, emotion))
    try:
        write_whole(sidecar_path(path), text, before_replace=before_replace)
    except OSError as error:
        raise TagWriteError(path, f"its sidecar could not be written: {error.strerror or error}") from error
    return True


def write_sidecar_at(url: str, emotion: SongEmotion) -> bool:
    """Write the sidecar of a song in a store; what another program makes at the same moment is not replaced.

    Returns
    -------
    bool
        As of `write_sidecar`.

    Raises
    ------
    TagWriteError
        If what lies there was not written by mertag, or comes from a later version.
    MertagError
        If the store does not do it.
    """
    folder, name = parent_and_name(url)
    store, beside = Store(folder, command="tag"), name + SUFFIX
    new = _content(name, emotion)
    data = store.head(beside, _MAX_BYTES)
    if data is None:
        if not store.create(beside, _text(new).encode()):
            raise TagWriteError(url, f"{path_text(beside)} was made by another program meanwhile")
        return True
    if not _differs(_parsed(url, beside, data), new):
        return False
    store.replace(beside, _text(new).encode())
    return True


def _differs(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return any(old.get(key) != new[key] for key in new if key != "mertag")


def _text(content: dict[str, Any]) -> str:
    return records.to_json(content, indent=2) + "\n"


def _content(name: str, emotion: SongEmotion) -> dict[str, Any]:
    file, exact = records.path_and_bytes(name)
    return records.to_dict(
        Sidecar(
            schema=records.SCHEMA,
            mertag=__version__,
            file=file,
            file_base64=exact,
            emotion=records.emotion_of(emotion),
            model=emotion.model,
        )
    )


def _read_own(path: Path) -> dict[str, Any] | None:
    """Return the sidecar of a song, None if there is none; refuse what mertag did not write."""
    target = sidecar_path(path)
    name = path_text(target.name)
    try:
        data = read_regular(target, _MAX_BYTES)
    except FileNotFoundError:
        if target.is_symlink():  # what it points to would be made, wherever that is
            raise TagWriteError(path, f"{name} is a link to nothing; remove it to have a sidecar") from None
        return None
    except OSError as error:
        raise TagWriteError(path, f"its sidecar could not be read: {error.strerror or error}") from error
    except ValueError as error:
        raise _foreign(path, name) from error
    return _parsed(path, name, data)


def _parsed(song: Path | str, name: str, data: bytes) -> dict[str, Any]:
    """Return what a sidecar says; refuse what mertag did not write."""
    try:
        content = strict_json.parse(data)
        header = msgspec.convert(content, _Header)
    except ValueError as error:
        raise _foreign(song, name) from error
    if header.schema > records.SCHEMA:
        raise TagWriteError(song, f"{name} was written by a later mertag ({header.mertag}); upgrade mertag")
    return content


def _foreign(song: Path | str, name: str) -> TagWriteError:
    return TagWriteError(song, f"{path_text(name)} was not written by mertag; move it away to have a sidecar")
