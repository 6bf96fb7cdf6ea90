"""A folder of objects: on a file system, or, by URL, in a store that fsspec knows.

An object is there whole or not at all, and is made once: of two that make it, one learns that it is there.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from mertag.errors import ConfigError, MertagError, MissingExtraError, reason_of
from mertag.files import local_path, path_text, write_whole


class Store:
    """One folder.

    Parameters
    ----------
    url : str
        A path, or a URL such as ``s3://bucket/results``.
    command : str
        The command that uses it, for the message should fsspec be missing.

    Raises
    ------
    ConfigError
        If the address cannot be.
    MertagError
        By every method, if the folder or the store does not do it.
    MissingExtraError
        If fsspec is not installed.
    """

    def __init__(self, url: str, *, command: str) -> None:
        self.url = url
        self._folder = local_path(url)
        self._remote: Any = None
        if self._folder is None:
            try:
                import fsspec
            except ModuleNotFoundError as error:
                raise MissingExtraError(command, "url", "fsspec") from error
            try:
                with self._explained():
                    self._remote, self._root = fsspec.core.url_to_fs(url)
            except MertagError as error:
                raise ConfigError(str(error)) from error

    def __str__(self) -> str:
        return path_text(self.url)

    def make(self) -> None:
        """Make the folder, if it is one of a file system."""
        if self._folder is not None:
            with self._explained():
                self._folder.mkdir(parents=True, exist_ok=True)

    def names(self, *, below: bool = False) -> list[str]:
        """Return the names of all objects, sorted; with `below`, those in its folders too, with ``/``.

        A folder that is not there holds nothing.
        """
        with self._explained():
            if self._folder is not None:
                found = self._folder.rglob("*") if below else self._folder.glob("*")
                return sorted(path.relative_to(self._folder).as_posix() for path in found if path.is_file())
            self._remote.invalidate_cache()
            root = self._root.rstrip("/") + "/"
            try:
                paths = self._remote.find(self._root, maxdepth=None if below else 1)
            except FileNotFoundError:
                return []
            return sorted(path.removeprefix(root) for path in paths if path.startswith(root))

    def address(self, name: str) -> str:
        """Return the URL, or the path, of an object."""
        return str(self._folder / name) if self._folder is not None else posixpath.join(self.url, name)

    @contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        """Open an object for reading."""
        with self._explained():
            file = (
                (self._folder / name).open("rb")
                if self._folder is not None
                else self._remote.open(posixpath.join(self._root, name), "rb")
            )
        with file:
            yield file

    def head(self, name: str, most_bytes: int) -> bytes | None:
        """Return an object, or its first bytes; None if it is not there."""
        with self._explained():
            try:
                if self._folder is not None:
                    with (self._folder / name).open("rb") as file:
                        return file.read(most_bytes)
                path = posixpath.join(self._root, name)
                self._remote.invalidate_cache(path)  # a listing from before another program made it
                with self._remote.open(path, "rb") as file:
                    return bytes(file.read(most_bytes))
            except FileNotFoundError:
                return None

    def replace(self, name: str, data: bytes) -> None:
        """Put an object in the place of what is there, if anything is."""
        with self._explained():
            if self._folder is not None:
                write_whole(self._folder / name, data)
            else:
                self._remote.pipe_file(posixpath.join(self._root, name), data)

    def create(self, name: str, data: bytes) -> bool:
        """Make an object; return False, and leave it as it is, if it is there."""
        with self._explained():
            if self._folder is not None:
                if (self._folder / name).exists():
                    return False
                write_whole(self._folder / name, data)
                return True
            path = posixpath.join(self._root, name)
            try:
                try:
                    self._remote.pipe_file(path, data, mode="create")
                except (TypeError, NotImplementedError, ValueError):  # a store without conditional writing
                    if self._remote.exists(path):
                        return False
                    self._remote.pipe_file(path, data)
            except FileExistsError:
                return False
            return True

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise ConfigError(f"{self}: there is nothing at this address") from error
        except ImportError as error:
            raise ConfigError(f"{self}: a package for such addresses is missing: {error}") from error
        except Exception as error:
            reason = reason_of(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            raise MertagError(f"{self}: {' '.join(reason.split())}") from error


def parent_and_name(url: str) -> tuple[str, str]:
    """Return the folder and the name of an object."""
    folder, _, name = url.rpartition("/" if "/" in url else os.sep)
    return (folder or ("/" if url.startswith("/") else "."), name)
