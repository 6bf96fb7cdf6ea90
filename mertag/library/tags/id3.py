"""Files that begin with their ID3v2 tag, or with junk and then the tag: MP3, AAC (ADTS) and True Audio.

Tags behind the audio (ID3v1, APEv2, Lyrics3) stay as they are; a new ID3v2 tag repeats what they say, see
`mertag.library.tags.older_tags`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mertag.formats import audio_end, id3v1, id3v2_length_at, id3v2_start
from mertag.library.tags import apev2
from mertag.library.tags.container import Bare, Entry, Fields, MalformedError, Piece, Range, Source
from mertag.library.tags.id3_tag import BEHIND, Id3Tag, TaggedById3, fresh, parse
from mertag.library.tags.older_tags import as_id3_frames, contradict, from_ape, from_id3v1, genre_names, longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Id3File(TaggedById3):
    """A file with an ID3v2 tag, or without one yet, at its head."""

    kind: str  # "MP3", "AAC" or "True Audio"
    tag: Id3Tag
    audio: Range  # from the tag to the tags behind the audio
    size: int  # of the file
    prefix: Range  # junk before the tag
    bare: Bare | None = None

    def foreign(self) -> Iterator[tuple[str, Piece]]:
        """Yield the frames of others, and the tags behind the audio."""
        yield from self.tag.foreign()
        yield "bytes before the ID3 tag", self.prefix
        yield BEHIND, Range(self.audio.stop, self.size)

    def payload(self) -> Iterator[Piece]:
        """Yield the audio frames."""
        yield self.audio

    @property
    def misplaced(self) -> bool:
        """Whether some readers do not see the tag, because junk stands before it."""
        return len(self.prefix) > 0

    def rebuilt(self, fields: Fields) -> list[Piece]:
        """Return the new tag and the rest of the file."""
        return [self.prefix, self.tag.rendered(fields), Range(self.audio.start, self.size)]


def read(source: Source, kind: str) -> Id3File:
    """Read the tag at the head of a file, or behind junk there; raise `MalformedError` if the tag is damaged."""
    start = id3v2_start(source)
    try:
        length = id3v2_length_at(source, start)
    except ValueError as error:
        raise MalformedError(str(error)) from error
    audio = Range(start + length, audio_end(source, start + length))
    file = Id3File(
        kind=kind,
        tag=fresh(_repeated(source, kind)),
        audio=audio,
        size=source.size,
        prefix=Range(0, start if length else 0),
    )
    if not length:
        return file
    tag = parse(source.read(start, length, "its ID3 tag"))
    if not tag.entries and not tag.tail and file.tag.entries:  # players look at the tags behind the audio
        return file
    bare = Bare(file, (file.prefix, Range(audio.start, source.size)))
    return replace(file, tag=tag, bare=bare)


def contradicted(source: Source) -> bool:
    """Return whether a file has no ID3v2 tag, and APEv2 and ID3v1 tags that say different things."""
    if id3v2_start(source) or source.peek(0, 3) == b"ID3":
        return False
    return contradict(from_id3v1(id3v1(source)), from_ape(_ape_items(source)))


def _repeated(source: Source, kind: str) -> tuple[bytes, ...]:
    """Return what the tags behind the audio say; APEv2 before ID3v1, which cuts off after 30 characters.

    In True Audio players show ID3v1 and nothing of an APEv2 tag before it: there it counts, but for what it cuts off.
    """
    ape, v1 = from_ape(_ape_items(source)), from_id3v1(id3v1(source))
    return as_id3_frames(longer(genre_names(v1), ape)) if kind == "True Audio" else as_id3_frames(ape, v1)


def _ape_items(source: Source) -> tuple[Entry, ...]:
    try:
        return apev2.read(source, "MP3").entries if apev2.has_ape_tag(source) else ()
    except MalformedError:
        return ()  # what is damaged cannot be read by players either
