"""Where a data set lies, and a message that helps when it does not."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mertag.errors import DatasetError

DATA_VARIABLE = "MERTAG_DATA"
"""Environment variable: the folder that holds one folder a data set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A published data set: its name, where it can be had, whom to cite, and the files that are needed.

    Attributes
    ----------
    subfolders : tuple of str
        Folders of the published archive below which the files may also lie.
    files : tuple of str
        Annotation files that must be there, relative to the data set's folder.
    audio : str
        Where the audio lies, in words.
    """

    name: str
    source: str
    citation: str
    subfolders: tuple[str, ...]
    files: tuple[str, ...]
    audio: str


def data_folder(name: str, data_dir: Path | str | None, *, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder in which a data set is looked for.

    Parameters
    ----------
    name : str
        Name of the data set.
    data_dir : path or None
        The data set's own folder; None for ``$MERTAG_DATA/<name>``.

    Raises
    ------
    DatasetError
        If there is neither.
    """
    if data_dir is not None:
        return Path(data_dir).expanduser()
    parent = environ.get(DATA_VARIABLE)
    if not parent:
        raise DatasetError(
            f"where is the data set {name!r}? Name its folder with --data-dir, or set {DATA_VARIABLE} to the "
            f"folder that holds a folder {name!r}."
        )
    return Path(parent).expanduser() / name


def find_root(origin: Origin, data_dir: Path | str | None) -> Path:
    """Return the folder that holds the files of a published data set.

    Raises
    ------
    DatasetError
        If they are not there: which files were looked for, which are missing, and where the data set can be
        had.
    """
    try:
        folder = data_folder(origin.name, data_dir)
    except DatasetError as error:
        raise DatasetError(
            f"{error} It must hold {_names(origin.files)}, and audio in {origin.audio}. {_obtain(origin)}"
        ) from None
    roots = [folder, *(folder / name for name in origin.subfolders)]
    lacking = {root: [name for name in origin.files if not (root / name).is_file()] for root in roots}
    best = min(roots, key=lambda root: len(lacking[root]))
    if not lacking[best]:
        return best
    if len(lacking[best]) < len(origin.files):
        what = f"{best}: the data set {origin.name!r} is not whole: missing {_names(lacking[best])}."
    else:
        places = " or ".join(map(str, roots))
        what = f"the data set {origin.name!r} is not at {places}. Looked for {_names(origin.files)}."
    raise DatasetError(f"{what} The audio belongs in {origin.audio}. {_obtain(origin)}")


def mp3_files(folder: Path) -> dict[str, Path]:
    """Return the MP3 files directly in a folder, by name without suffix, sorted; none if it is not there.

    Hidden files are left out: on foreign disks macOS puts a ``._1.mp3``, which is no audio, beside ``1.mp3``.
    """
    if not folder.is_dir():
        return {}
    found = (path for path in folder.iterdir() if path.suffix.casefold() == ".mp3")
    return {path.stem: path for path in sorted(found) if not path.name.startswith(".") and path.is_file()}


def _obtain(origin: Origin) -> str:
    return f"It can be had at {origin.source} ({origin.citation})."


def _names(files: Sequence[str]) -> str:
    return ", ".join(files)
