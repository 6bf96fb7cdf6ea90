"""A model bundle on disk: a folder that is verified whole before anything in it is used.

``manifest.json`` holds the SHA-256 of every other file; the bundle's id holds the head of the manifest's own SHA-256,
so that ``name@version+sha8`` names exactly these bytes. Nothing in a bundle is ever unpickled. Which inputs and outputs
its graphs must have stands in ``docs/onnx.md``, "A model bundle".
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mertag.errors import BundleError
from mertag.files import read_regular, write_whole
from mertag.listen.external_data import has_external_data
from mertag.listen.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, Head, Manifest, Precision, check_file_name
from mertag.listen.sessions import Session

__all__ = ["Bundle", "Head", "Manifest", "Precision", "default_bundle_path", "load_bundle", "write_bundle"]

CARD_NAME = "MODEL_CARD.md"
GOLDEN_NAME = "golden.npz"
MAX_FILE_BYTES = 1 << 31
"""No ONNX file can be larger: protocol buffers end at 2 GiB."""

_LITTER = frozenset({"Thumbs.db", "desktop.ini"})
"""What file managers leave in any folder; never opened, so never trusted. Hidden files count as such too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A verified bundle.

    Attributes
    ----------
    folder : Path
        Where it lies.
    manifest : Manifest
        What it holds.
    id : str
        ``name@version+sha8``: goes into tags and sidecars.
    digest : str
        The whole SHA-256 of the manifest, in hexadecimal: goes into the state.
    """

    folder: Path
    manifest: Manifest
    id: str
    digest: str

    def path(self, name: str) -> Path:
        """Return the path of a file that the manifest lists.

        Raises
        ------
        BundleError
            If the manifest does not list it.
        """
        if name not in self.manifest.files:
            raise BundleError(f"{self.folder}: the bundle has no file {name!r}; use a complete bundle")
        return self.folder / name

    def read(self, name: str) -> bytes:
        """Return the bytes of a file, verified again: what is used is what was checked.

        Raises
        ------
        BundleError
            If the file is not listed, is gone, or has changed since the bundle was loaded.
        """
        data = _read_regular(self.path(name))
        _check_digest(self.path(name), data, self.manifest.files[name])
        return data

    def golden(self) -> dict[str, npt.NDArray[Any]]:
        """Return the golden inputs and outputs, by name.

        Raises
        ------
        BundleError
            If there are none, or they are not plain arrays.
        """
        data = self.read(GOLDEN_NAME)
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
            raise BundleError(f"{self.path(GOLDEN_NAME)}: not a file of plain arrays ({error})") from error

    def card(self) -> str:
        """Return the text of the model card.

        Raises
        ------
        BundleError
            If there is none.
        """
        return self.read(CARD_NAME).decode("utf-8", errors="replace")


def default_bundle_path() -> Path:
    """Return the folder of the bundle that comes with mertag."""
    return Path(__file__).resolve().parents[1] / "models" / "default"


def load_bundle(folder: Path | str | None = None) -> Bundle:
    """Read and verify a bundle.

    Parameters
    ----------
    folder : Path or str, optional
        Its folder; if not given ``$MERTAG_BUNDLE``, else the bundle that comes with mertag.

    Raises
    ------
    BundleError
        If the folder or a file is missing; if there is a file that the manifest does not list; if a checksum
        differs; if the manifest is damaged, of another schema, or names files outside the folder; if a graph
        refers to data outside of itself. The message names the file and the remedy.
    """
    named = folder or os.environ.get("MERTAG_BUNDLE") or default_bundle_path()
    root = Path(named).expanduser()
    if not root.is_dir():
        raise BundleError(
            f"{root}: no such bundle folder; name one with --model or $MERTAG_BUNDLE, or make one with `mertag export`"
        )
    manifest_path = root / MANIFEST_NAME
    if not manifest_path.exists():
        raise BundleError(f"{manifest_path}: missing, so that {root} is no model bundle; name another folder")
    text = _read_regular(manifest_path, limit=MAX_MANIFEST_BYTES)
    try:
        manifest = Manifest.from_json(text)
    except BundleError as error:
        raise BundleError(f"{manifest_path}: {error}") from error
    _check_listing(root, manifest)
    for name, digest in manifest.files.items():
        path = root / name
        data = _read_regular(path)
        _check_digest(path, data, digest)
        if name in manifest.graphs:
            try:
                external = has_external_data(data)
            except ValueError as error:
                raise BundleError(f"{path}: not an ONNX file ({error}); export the bundle again") from error
            if external:
                raise BundleError(f"{path}: refers to data outside the file; export it with its weights inside")
    digest = hashlib.sha256(text).hexdigest()
    name = f"{manifest.name}@{manifest.version}+{digest[:8]}"
    return Bundle(folder=root, manifest=manifest, id=name, digest=digest)


def write_bundle(folder: Path | str, manifest: Manifest) -> Bundle:
    """Seal a folder of model files: hash them all, and write ``manifest.json`` last.

    Parameters
    ----------
    folder : Path or str
        Holds every file of the bundle already.
    manifest : Manifest
        What the bundle holds; its `files` are replaced by the hashes found.

    Returns
    -------
    Bundle
        As `load_bundle` reads it back.

    Raises
    ------
    BundleError
        If a file is missing or may not be in a bundle.
    """
    root = Path(folder)
    files: dict[str, str] = {}
    for name in sorted(_entries(root) - {MANIFEST_NAME}):
        check_file_name(name, f"{root}: a file")
        files[name] = hashlib.sha256(_read_regular(root / name)).hexdigest()
    sealed = replace(manifest, files=files)
    _check_listing(root, sealed)
    write_whole(root / MANIFEST_NAME, sealed.to_json())
    return load_bundle(root)


_Signature = Mapping[str, tuple[str, tuple[int | None, ...]]]
"""Name -> element type and shape; None stands for any length."""


def check_segment_graph(bundle: Bundle, name: str, session: Session) -> None:
    """Check the graph `name`: waveform and starts in, the probabilities of each head out.

    Raises
    ------
    BundleError
        If its inputs and outputs are others.
    """
    inputs: _Signature = {"waveform": ("tensor(float)", (None,)), "starts": ("tensor(int64)", (None,))}
    outputs: _Signature = {
        f"probabilities_{head.target}": ("tensor(float)", (None, head.n_outputs)) for head in bundle.manifest.heads
    }
    _check_graph(bundle.path(name), session, inputs, outputs)


def check_song_graph(bundle: Bundle, head: Head, session: Session) -> None:
    """Check the song graph of a head: features in, probabilities out; raises as `check_segment_graph`."""
    inputs: _Signature = {"features": ("tensor(float)", (None, head.n_features))}
    outputs: _Signature = {"probabilities": ("tensor(float)", (None, len(head.classes)))}
    _check_graph(bundle.path(head.song), session, inputs, outputs)


def _check_graph(path: Path, session: Session, inputs: _Signature, outputs: _Signature) -> None:
    found_inputs = {value.name: value for value in session.get_inputs()}
    found_outputs = {value.name: value for value in session.get_outputs()}
    if set(found_inputs) != set(inputs):
        raise BundleError(
            f"{path}: its inputs are {', '.join(sorted(found_inputs))}, not {', '.join(sorted(inputs))}; "
            "export the bundle again"
        )
    if missing := sorted(set(outputs) - set(found_outputs)):
        raise BundleError(
            f"{path}: it has no output {missing[0]!r}; its heads are not those of the manifest: export the bundle again"
        )
    for label, wanted, found in (("input", inputs, found_inputs), ("output", outputs, found_outputs)):
        for key, (kind, shape) in wanted.items():
            value = found[key]
            fits = len(value.shape) == len(shape) and all(
                not isinstance(size, int) or size == limit for size, limit in zip(value.shape, shape, strict=True)
            )
            if value.type != kind or not fits:
                raise BundleError(
                    f"{path}: its {label} {key!r} is {value.type} {value.shape}, not {kind} "
                    f"of shape {tuple('any' if s is None else s for s in shape)}; export the bundle again"
                )


def _entries(root: Path) -> set[str]:
    return {p.name for p in root.iterdir() if not p.name.startswith(".") and p.name not in _LITTER}


def _check_listing(root: Path, manifest: Manifest) -> None:
    """The folder holds what the manifest lists, no more and no less, and the model needs nothing else."""
    listed, found = set(manifest.files), _entries(root) - {MANIFEST_NAME}
    for name in sorted(listed - found):
        raise BundleError(f"{root / name}: the manifest lists it, but it is missing; fetch the bundle again")
    for name in sorted(found - listed):
        raise BundleError(f"{root / name}: not in the manifest, so nobody vouches for it; move it out of the bundle")
    for name in manifest.graphs:
        if name not in listed:
            raise BundleError(f"{root / name}: the model needs it, but the manifest holds no checksum of it")


def _read_regular(path: Path, limit: int = MAX_FILE_BYTES) -> bytes:
    """Return the bytes of a plain file in the bundle's own folder."""
    try:
        # A link may point to another name in the folder, and nowhere else.
        if path.is_symlink() and path.resolve().parent != path.parent.resolve():
            raise BundleError(f"{path}: a link out of the bundle; put the file itself there")
        return read_regular(path, limit)
    except ValueError as error:
        raise BundleError(f"{path}: {error}; remove it from the bundle") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BundleError(f"{path}: cannot be read ({reason}); fetch the bundle again") from error


def _check_digest(path: Path, data: bytes, wanted: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != wanted:
        raise BundleError(
            f"{path}: its SHA-256 is {found[:8]}..., the manifest says {wanted[:8]}...: "
            "the file was damaged or changed; fetch the bundle again"
        )
