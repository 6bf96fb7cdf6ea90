"""JSON from a stranger: parsed strictly, and checked against a type (or read key by key).

Every function raises ValueError with the key in its message; who calls adds the file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

T = TypeVar("T")


def parse(text: str | bytes) -> dict[str, Any]:
    """Return a JSON object, refusing NaN, infinities, repeated keys and anything but an object."""
    try:
        found = json.loads(text, object_pairs_hook=_no_repeats, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise ValueError(f"it is not strict JSON ({error})") from error
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - the data is wrong, not the call
    return found


def decode(text: str | bytes, kind: type[T]) -> T:
    """Return a JSON object as a `kind`, such as a dataclass; its annotations are what is checked.

    Repeated keys, NaN and infinities are refused, as in `parse`; an integer may stand for a float, and nothing else for
    anything else.
    """
    return convert(parse(text), kind)


def convert(raw: object, kind: type[T]) -> T:
    """Return plain values, as `parse` gives them, as a `kind`; see `decode`."""
    import msgspec  # here: who only trains never reads a stranger's JSON

    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def get(raw: Mapping[str, object], key: str, kind: type) -> Any:
    """Return ``raw[key]``, which must be of exactly `kind`; an integer may stand for a float."""
    if key not in raw:
        raise ValueError(f"the key {key!r} is missing")
    value = raw[key]
    if kind is float and type(value) is int and abs(value) < 2**53:
        return float(value)
    if type(value) is not kind:  # exact: a bool is no int here
        raise ValueError(f"{key!r} must be of type {kind.__name__}, not {type(value).__name__}")
    return value


def strings(values: Iterable[object], key: str) -> list[str]:
    """Return the values, each of which must be a string."""
    found = []
    for value in values:
        if not isinstance(value, str):
            raise ValueError(f"{key}: every value must be a string, not {type(value).__name__}")  # noqa: TRY004
        found.append(value)
    return found


def one_of(value: str, enum: type[StrEnum], key: str) -> str:
    """Return `value`, which must be one of the enumeration."""
    if value not in set(enum):
        raise ValueError(f"{key}: {value!r} is none of {', '.join(enum)}")
    return value


def _no_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is repeated")
    return found


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits} is too large")
    return value
