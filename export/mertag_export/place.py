"""Where a bundle goes: nothing but a bundle is ever replaced, and what is replaced stays until the new one is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from mertag.errors import BundleError, ConfigError, ExportError
from mertag.listen.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, Manifest


def check_place(out: Path, *, overwrite: bool) -> None:
    """Refuse a place where something stands that may not be replaced.

    Raises
    ------
    ConfigError
        If something is there and `overwrite` is False, or it is more than a bundle or an empty folder.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite:
        raise ConfigError(f"{out} exists; name another --out, or replace it with --overwrite")
    if not _only_a_bundle(out):
        raise ConfigError(f"{out} is not a model bundle, or holds other files, too: --overwrite does not replace it")


@contextmanager
def new_folder_for(out: Path) -> Iterator[Path]:
    """Yield a new folder beside `out` that takes its place when the block ends well, and is removed otherwise.

    Raises
    ------
    ExportError
        If it cannot be written: no room, no permission. What was at `out` is still there then.
    """
    place = out.resolve()  # a link stays a link to the new bundle
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=place.parent, prefix=".export-") as scratch:
            folder = Path(scratch) / "bundle"
            folder.mkdir()
            yield folder
            _swap(folder, place, Path(scratch) / "replaced")
    except OSError as error:
        raise ExportError(
            f"the bundle cannot be written beside {place} ({error}); make room there, or name another --out"
        ) from error


def _swap(folder: Path, place: Path, aside: Path) -> None:
    if place.exists():
        place.replace(aside)
    try:
        folder.replace(place)
    except OSError:
        if aside.exists():
            aside.replace(place)
        raise


def _only_a_bundle(folder: Path) -> bool:
    """Whether a folder holds a manifest, files that it lists, and nothing else but hidden files."""
    try:
        with (folder / MANIFEST_NAME).open("rb") as file:
            manifest = Manifest.from_json(file.read(MAX_MANIFEST_BYTES))
        entries = list(folder.iterdir())
    except (OSError, BundleError):
        return False
    known = {MANIFEST_NAME, *manifest.files}
    return all(path.is_file() and (path.name in known or path.name.startswith(".")) for path in entries)
