"""Iterating over a generator and keeping what it returns: the chunks of a song, and then its damage in words."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Returning(Generic[T]):
    """An iterable; `value` is what a generator returned, and stays empty of any other iterable."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = items
        self.value = ""

    def __iter__(self) -> Generator[T, None, None]:
        self.value = (yield from self._items) or ""  # type: ignore[func-returns-value]  # of a generator only
