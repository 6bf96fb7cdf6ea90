"""Reading and writing the mood in the tags of audio files, in every container, without harm.

`plan_tags` says what would change, `write_tags` does it, `remove_tags` takes it back out. What a file is, is
judged by its content. Only the mood and our own fields are touched; everything else stays as it is, byte for
byte, and a file in which nothing changes is not written at all. How a file is replaced is told in
`mertag.library.tags.safe_write`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mertag.emotion import SongEmotion
from mertag.errors import TagWriteError, UnsupportedFormatError
from mertag.files import BeforeReplace
from mertag.library.tags.container import (
    Container,
    Fields,
    MalformedError,
    NoTagFormatError,
    Source,
    foreign_digests,
    payload_digest,
    without_tag,
)
from mertag.library.tags.detect import kind_of, open_container
from mertag.library.tags.fields import planned, without_ours
from mertag.library.tags.id3_tag import TaggedById3
from mertag.library.tags.options import TagOptions, fields_of, read_labels
from mertag.library.tags.readers import blind_to, ffmpeg, hidden, unseen
from mertag.library.tags.safe_write import Original, open_original, replace_file
from mertag.library.tags.second_opinion import disagreement, opinion_of, worth_asking

__all__ = [
    "TagChange",
    "TagOptions",
    "audio_digest",
    "fields_of",
    "plan_removal",
    "plan_tags",
    "read_labels",
    "read_tags",
    "remove_tags",
    "taggable",
    "write_tags",
]

_DEFAULTS = TagOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class TagChange:
    """What a write changes, or changed.

    Attributes
    ----------
    path : Path
        The file, as it was given.
    container : str
        Such as ``"MP3 (ID3v2.3)"``.
    old, new : mapping
        The fields that we concern ourselves with, before and after.
    changed : bool
        Whether they differ. If not, nothing was written.
    """

    path: Path
    container: str
    old: Mapping[str, tuple[str, ...]]
    new: Mapping[str, tuple[str, ...]]
    changed: bool


def taggable(path: Path | str) -> bool:
    """Return whether a file is of a kind in which mertag writes tags, by its content.

    Raises
    ------
    TagWriteError
        If it cannot be read, or is too damaged to tell.
    """
    try:
        with open_original(Path(path)) as original:
            kind_of(Source(original.file))
    except (NoTagFormatError, UnsupportedFormatError):
        return False
    except MalformedError as error:
        raise TagWriteError(path, str(error)) from error
    return True


def read_tags(path: Path | str) -> Mapping[str, tuple[str, ...]]:
    """Return the mood and our own fields in a file: ``"MOOD"``, ``"MERTAG_QUADRANT"`` and so on.

    Raises
    ------
    UnsupportedFormatError
        If mertag writes no tags in files of this kind.
    TagWriteError
        If it is damaged or cannot be read.
    """
    with open_original(Path(path)) as original:
        return _container(original).fields


def plan_tags(path: Path | str, emotion: SongEmotion, options: TagOptions = _DEFAULTS) -> TagChange:
    """Return what `write_tags` would change. Nothing is written.

    Raises
    ------
    UnsupportedFormatError
        If mertag writes no tags in files of this kind.
    TagWriteError
        If it is damaged or cannot be read.
    """
    with open_original(Path(path)) as original:
        container = _container(original)
        return _change(original, container, planned(emotion, options, container.fields))


def plan_removal(path: Path | str) -> TagChange:
    """Return what `remove_tags` would change. Nothing is written.

    Raises
    ------
    UnsupportedFormatError
        If mertag writes no tags in files of this kind.
    TagWriteError
        If it is damaged or cannot be read.
    """
    with open_original(Path(path)) as original:
        container = _container(original)
        return _change(original, container, _left_over(container))


def write_tags(
    path: Path | str,
    emotion: SongEmotion,
    options: TagOptions = _DEFAULTS,
    *,
    before_replace: BeforeReplace | None = None,
) -> TagChange:
    """Write the emotion of a song into its tags.

    Parameters
    ----------
    path : Path or str
        The file. Symbolic links are followed.
    emotion : SongEmotion
        What was heard.
    options : TagOptions
        Whose mood wins, and how many.
    before_replace : callable, optional
        Gets the paths of the old and the new file just before the one becomes the other. If it raises,
        nothing is replaced.

    Returns
    -------
    TagChange
        With ``changed=False``, nothing was written.

    Raises
    ------
    UnsupportedFormatError
        If mertag writes no tags in files of this kind.
    TagWriteError
        If it did not work; the file is what it was.
    """
    with open_original(Path(path)) as original:
        container = _container(original)
        return _write(original, container, planned(emotion, options, container.fields), options, before_replace)


def remove_tags(
    path: Path | str, options: TagOptions = _DEFAULTS, *, before_replace: BeforeReplace | None = None
) -> TagChange:
    """Take our own fields, and a mood that is ours, out of a file.

    Parameters, result and errors are those of `write_tags`.
    """
    with open_original(Path(path)) as original:
        container = _container(original)
        return _write(original, container, _left_over(container), options, before_replace)


def audio_digest(path: Path) -> str:
    """Return the digest of a file's audio, which tags do not change, in hexadecimal.

    Raises
    ------
    UnsupportedFormatError
        If mertag does not know its container.
    TagWriteError
        If it is damaged or cannot be read.
    """
    with open_original(path) as original:
        container = _container(original)
        try:
            return payload_digest(Source(original.file), container)
        except MalformedError as error:
            raise TagWriteError(path, str(error)) from error


def _container(original: Original) -> Container:
    try:
        return open_container(Source(original.file))
    except NoTagFormatError as error:
        raise UnsupportedFormatError(original.path, str(error)) from error
    except MalformedError as error:
        raise TagWriteError(original.path, str(error)) from error
    except OSError as error:
        raise TagWriteError(original.path, f"it cannot be read ({error.strerror or error})") from error


def _left_over(container: Container) -> Fields:
    """Return the fields of a file without ours; without its tag if that is all ours, so that older ones are seen."""
    left, bare = without_ours(container.fields), without_tag(container)
    return bare.container.fields if bare is not None and not left else left


def _change(original: Original, container: Container, new: Fields) -> TagChange:
    old = container.fields
    return TagChange(path=original.path, container=container.name, old=old, new=new, changed=old != new)


def _write(
    original: Original, container: Container, new: Fields, options: TagOptions, before_replace: BeforeReplace | None
) -> TagChange:
    change = _change(original, container, new)
    if not change.changed:
        return change
    try:
        bare = without_tag(container)
        pieces = bare.pieces if bare is not None and bare.container.fields == new else container.rebuilt(new)
    except MalformedError as error:
        raise TagWriteError(original.path, str(error)) from error

    def check(copy: BinaryIO) -> None:
        _compare(original, container, new, copy)

    untagged = bare is not None and pieces is bare.pieces  # then readers see again what they saw before the tag

    def before(old: Path, copy: Path) -> None:
        if not untagged:
            saw, sees = ffmpeg.seen(old, old.name), ffmpeg.seen(copy, old.name)
            objection = hidden(saw, sees)
            if not objection and not blind_to(saw, container):
                objection = unseen(sees, container.fields, new)
            if objection:
                raise TagWriteError(original.path, f"nothing was written: {objection}")
        if before_replace is not None:
            before_replace(old, copy)

    replace_file(
        original,
        pieces,
        check=check,
        preserve_mtime=options.preserve_mtime,
        break_hard_links=options.break_hard_links,
        before_replace=before,
    )
    return change


def _compare(original: Original, container: Container, new: Fields, copy: BinaryIO) -> None:
    """Raise `TagWriteError` unless the copy has the planned fields, and all else as the original has it."""
    old_source, new_source = Source(original.file), Source(copy)

    def refuse(what: str) -> TagWriteError:
        return TagWriteError(original.path, f"the new file failed its check and was discarded: {what}")

    try:
        written = open_container(new_source)
    except (MalformedError, NoTagFormatError) as error:
        raise refuse(str(error)) from error
    if written.fields != new:
        raise refuse(f"its fields are {dict(written.fields)}")
    old_foreign, new_foreign = foreign_digests(old_source, container), foreign_digests(new_source, written)
    if written.name != container.name or old_foreign != new_foreign:
        differing = [a[0] for a, b in zip(old_foreign, new_foreign, strict=False) if a != b]
        raise refuse(f"what must stay has changed ({', '.join(differing[:3]) or 'parts are missing or new'})")
    if payload_digest(old_source, container) != payload_digest(new_source, written):
        raise refuse("the audio has changed")
    if not worth_asking(container):
        return
    objection = disagreement(
        opinion_of(original.file, container.name),
        opinion_of(copy, container.name),
        container.fields,
        new,
        untagged=container.bare is not None and written.bare is None,
        first=isinstance(container, TaggedById3) and not container.tag.length,
    )
    if objection:
        raise refuse(objection)
