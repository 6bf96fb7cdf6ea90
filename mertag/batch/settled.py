"""For what a file is settled: the model and every option that decides what is written, as one short key."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Set

from mertag._version import __version__
from mertag.batch.events import BatchOptions


def settled_key(model: str, options: BatchOptions) -> str:
    """Return what stands for a model and everything that decides what is written.

    A new version of mertag may write something else, so that its number is in the key; a file is then looked at again,
    and not analysed.
    """
    asked = (__version__, model, options.write_tags, options.sidecar, _plain(options.tag))
    return hashlib.blake2b(repr(asked).encode("utf-8", "backslashreplace"), digest_size=12).hexdigest()


def _plain(value: object) -> object:
    """Return a value as one whose `repr` is the same in every process."""
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return sorted((repr(_plain(key)), repr(_plain(one))) for key, one in value.items())
    if isinstance(value, Set):
        return sorted(repr(_plain(one)) for one in value)
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value
