"""Audio at a URL, as a file: fetched by fsspec in the decoder process, which is stopped if nothing comes.

Credentials, endpoints and the like are fsspec's: its configuration files, ``FSSPEC_<PROTOCOL>_<SETTING>``, and what
each store's own library reads (``AWS_PROFILE``, ``GOOGLE_APPLICATION_CREDENTIALS``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mertag.errors import DecodeError

Progress = Callable[[int], None]
"""Is told how many bytes have come so far."""


@contextlib.contextmanager
def fetched(url: str, copy: Path, progress: Progress = lambda n_bytes: None) -> Iterator[Path]:
    """Fetch a URL into the file `copy`, which is removed at the end; raise `DecodeError` if that does not work."""
    try:
        try:
            _fetch(url, copy, progress)
        except Exception as error:  # whatever a store's library raises costs this song only
            raise DecodeError(url, _reason(error)) from error
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def _fetch(url: str, copy: Path, progress: Progress) -> None:
    import fsspec
    from fsspec.callbacks import Callback

    class Told(Callback):  # type: ignore[misc]  # fsspec has no types
        def relative_update(self, inc: int = 1) -> None:
            super().relative_update(inc)
            progress(self.value)

    store, path = fsspec.core.url_to_fs(url)
    got: Any = store.get_file(path, str(copy), callback=Told())
    del got
    if not copy.is_file():  # what some stores make of a folder
        raise FileNotFoundError


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is nothing at this address"
    if isinstance(error, ImportError):
        return f"a package for such addresses is missing: {error}"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"cannot be fetched: {' '.join(str(text).split())}"
