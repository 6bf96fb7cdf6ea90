"""Frozen dataclass trees from plain JSON, strictly: every key there, none unknown, every value of its type."""

from __future__ import annotations

import dataclasses
import typing
from enum import StrEnum
from typing import Any, Literal

from mertag.errors import ConfigError


def build(kind: Any, value: Any, where: str) -> Any:
    """Return `value`, plain JSON, as an instance of the annotated type `kind`."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        if not isinstance(value, dict) or set(value) != set(hints):
            raise ConfigError(f"{where}: expected the keys {sorted(hints)}, got {value!r}")
        return kind(**{key: build(hints[key], item, f"{where}.{key}") for key, item in value.items()})
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        if not isinstance(value, list | tuple) or (args[-1] is not Ellipsis and len(value) != len(args)):
            raise ConfigError(f"{where}: expected a list, as {kind}, got {value!r}")
        inner = [args[0]] * len(value) if args[-1] is Ellipsis else args
        return tuple(build(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(inner, value, strict=True)))
    names = isinstance(kind, type) and issubclass(kind, StrEnum)
    choices = args if origin is Literal else tuple(kind) if names else None
    if choices is not None:
        if value not in choices:
            raise ConfigError(f"{where}: choose among {', '.join(choices)}, not {value!r}")
        return kind(value) if names else value
    if kind is bool and isinstance(value, bool):
        return value
    number = isinstance(value, int) if kind is int else isinstance(value, int | float)
    if isinstance(value, bool) or not number:
        raise ConfigError(f"{where}: expected {'a whole number' if kind is int else 'a number'}, got {value!r}")
    return value
