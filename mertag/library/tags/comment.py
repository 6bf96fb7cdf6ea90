"""The mood inside a comment, ``[MOOD: Happy]``, for software that reads comments and no other fields.

A comment is edited as bytes, in the encoding that it has: what is not the mood stays as it is. The mood comes last,
after a space if there is a comment, be it an empty one, so that taking it out gives back exactly what was there::

    no comment      <->  [MOOD: Happy]
    "Great intro"   <->  "Great intro [MOOD: Happy]"

A mood that stands elsewhere in the comment is changed, and taken out, where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mertag.library.tags.container import Entry, MalformedError
from mertag.library.tags.options import COMMENT

LONGEST_MOOD = 256
OPENING = "[MOOD: "
_MOOD = re.compile(r" ?\[MOOD: ([^\[\]\r\n\0]*)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """An entry of a tag that holds a comment.

    Attributes
    ----------
    text : bytes
        The comment, without what its container puts around it.
    codec : str or None
        Its encoding; None if it cannot be changed.
    around : callable
        Returns the entry with another text.
    is_new : bool
        Whether the file has no comment yet.
    """

    text: bytes
    codec: str | None
    around: Callable[[bytes], bytes]
    is_new: bool = False

    @property
    def mood(self) -> str | None:
        """The mood in it, the last one if there are several."""
        found = self._moods()
        return found[-1][1] if found else None

    @property
    def rest(self) -> bytes:
        """The entry without the mood; empty if it says nothing else."""
        return self.with_mood(None)

    def with_mood(self, mood: str | None) -> bytes:
        """Return the entry with another mood, or without one; empty if then nothing is left that was not ours.

        Raises `MalformedError` if the comment cannot hold it.
        """
        text, codec = self._decoded(), self.codec
        if text is None or codec is None:
            raise MalformedError(
                "its comment is compressed, encrypted, QuickTime's or no text, so that no mood can be put into it; "
                "leave out --comment-field"
            )
        found = self._moods()
        start, stop = found[-1][0].span() if found else (len(text), len(text))
        before, after = text[:start], text[stop:]
        if mood is None:
            if found and not before and not found[-1][0].group().startswith(" "):
                after = after.removeprefix(" ")
                return self.around(self._encoded(after)) if after else b""
            return self.around(self._encoded(before + after))
        space = found[-1][0].group().startswith(" ") if found else not self.is_new
        return self.around(self._encoded(f"{before}{' ' if space else ''}{in_brackets(mood)}{after}"))

    def _moods(self) -> list[tuple[re.Match[str], str]]:
        text = self._decoded()
        return [] if text is None else [(found, found.group(1)) for found in _MOOD.finditer(text)]

    def _decoded(self) -> str | None:
        """Return the comment as text that gives the same bytes again; None if there is no such text."""
        if self.codec is None:
            return None
        try:
            text = self.text.decode(self.codec, "surrogateescape" if self.codec == "utf-8" else "strict")
        except UnicodeDecodeError:
            return None
        return text if self._encoded(text) == self.text else None

    def _encoded(self, text: str) -> bytes:
        assert self.codec is not None  # asked before
        try:
            return text.encode(self.codec, "surrogateescape" if self.codec == "utf-8" else "strict")
        except UnicodeEncodeError as error:
            raise MalformedError(
                f"its comment is in {self.codec}, which has no {error.object[error.start]!r}; give --labels that it "
                "has, or leave out --comment-field"
            ) from error


def in_brackets(mood: str) -> str:
    """Return a mood as it stands in a comment."""
    return f"[MOOD: {mood}]"


def fits(mood: str) -> bool:
    """Return whether a mood can stand in a comment and be found there again."""
    return mood.isprintable() and len(mood) <= LONGEST_MOOD and _MOOD.fullmatch(in_brackets(mood)) is not None


def without_moods(text: str) -> str:
    """Return the text of a comment without the moods in it."""
    return _MOOD.sub("", text)


def moods_in(text: str) -> tuple[str, ...]:
    """Return the moods in the text of a comment."""
    return tuple(found.group(1) for found in _MOOD.finditer(text))


def located(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return the entries of a tag, of which only the first comment counts as one, and knows the mood in it."""
    found: list[Entry] = []
    seen = False
    for entry in entries:
        comment = None if seen else entry.comment
        seen = seen or comment is not None
        if comment is not None and comment.mood is not None:
            entry = Entry(COMMENT, (comment.mood,), entry.raw, comment=comment, rest=comment.rest)
        elif entry.comment is not None:
            entry = replace(entry, comment=comment)
        found.append(entry)
    return tuple(found)
