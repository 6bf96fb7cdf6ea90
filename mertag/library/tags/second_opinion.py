"""The third check of a new copy, where mutagen is installed: what mutagen reads in it.

It shares no code with mertag, and sees more of a file's tags than FFmpeg does (`mertag.library.tags.readers`). Where it
reads the original, it must read the copy as well, find the fields as planned, and everything else as it was. mutagen is
an extra, since its licence (GPL-2.0-or-later) asks something of whoever passes it on together with mertag.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, BinaryIO

from mertag.library.tags.comment import moods_in, without_moods
from mertag.library.tags.container import Container, Fields
from mertag.library.tags.id3_tag import TaggedById3
from mertag.library.tags.options import COMMENT, KEYS, MOOD

_READERS = {  # module and class in mutagen
    "WAV": "wave:WAVE",
    "AIFF": "aiff:AIFF",
    "DSF": "dsf:DSF",
    "MP3": "mp3:MP3",
    "AAC": "id3:ID3FileType",
    "True Audio": "trueaudio:TrueAudio",
    "FLAC": "flac:FLAC",
    "Ogg Vorbis": "oggvorbis:OggVorbis",
    "Ogg Opus": "oggopus:OggOpus",
    "Ogg Speex": "oggspeex:OggSpeex",
    "Ogg FLAC": "oggflac:OggFLAC",
    "MP4": "mp4:MP4",
    "ASF": "asf:ASF",
    "WavPack": "wavpack:WavPack",
    "Monkey's Audio": "monkeysaudio:MonkeysAudio",
    "MP3 (APEv2)": "apev2:APEv2File",
    "MP3 (APEv1)": "apev2:APEv2File",
    "Musepack": "apev2:APEv2File",  # its tags only: the reader of Musepack 8 runs for ever where a packet has size 0
    "TAK": "tak:TAK",
    "True Audio (APEv2)": "apev2:APEv2File",
    "OptimFROG": "optimfrog:OptimFROG",
}
_A_FEW_SAMPLES_S = 0.003  # so much too long is a file whose last chunk promises a few bytes more than it has
_PREFIXES = ("TXXX:", "----:COM.APPLE.ITUNES:", "WM/")


@dataclass(frozen=True, slots=True)
class Opinion:
    """What mutagen sees."""

    fields: Mapping[str, tuple[str, ...]]  # ours
    foreign: Mapping[str, str]  # all other tags, and pictures, as text
    length_s: float | None
    bare: bool  # no tag of the container's main kind, or an empty one: a new one repeats what the others say


@cache
def installed() -> bool:
    """Return whether mutagen is here."""
    return find_spec("mutagen") is not None


def worth_asking(container: Container) -> bool:
    """Return whether mutagen is here, sees the tag, and reads it in reasonable time; see `Id3Tag.costly`."""
    return installed() and not (isinstance(container, TaggedById3) and (container.tag.costly or container.misplaced))


def opinion_of(file: BinaryIO, container: str) -> Opinion | None:
    """Return what mutagen sees in `file`, or None if it cannot read it; `container` is what our own reader calls it."""
    file.seek(0)
    try:
        module, _, name = (_READERS.get(container) or _READERS[container.split(" (")[0]]).partition(":")
        found = getattr(import_module(f"mutagen.{module}"), name)(file)
        fields: dict[str, tuple[str, ...]] = {}
        foreign: dict[str, str] = {}
        for name, value in _items(found.tags):
            key = _key(name)
            if key is None and _is_comment(name):
                texts = _texts(value)
                moods = [mood for text in texts for mood in moods_in(text)]
                rest = "".join(map(without_moods, texts))
                if rest:
                    foreign[name] = foreign.get(name, "") + repr((rest, getattr(value, "lang", "")))
                fields[COMMENT] = (*fields.get(COMMENT, ()), *moods)
            elif key is None:
                foreign[name] = foreign.get(name, "") + repr(value)
            else:
                fields[key] = tuple(dict.fromkeys((*fields.get(key, ()), *_texts(value))))
        for i, picture in enumerate(getattr(found, "pictures", ())):
            foreign[f"picture {i}"] = repr((picture.type, picture.mime, picture.desc, picture.data))
        bare = not found.tags or getattr(found.tags, "version", (2,))[0] == 1  # ID3v1 only
        return Opinion(fields, foreign, getattr(found.info, "length", None), bare)
    except Exception:  # noqa: BLE001 - on damaged input mutagen raises whatever its parsers stumble over
        return None


def disagreement(
    before: Opinion | None,
    after: Opinion | None,
    old: Fields,
    new: Fields,
    *,
    untagged: bool = False,
    first: bool = False,
) -> str:
    """Return what mutagen would object to in the copy; `old` and `new` are the fields as our own reader sees them.

    An `untagged` copy is the file without its tag, which said nothing but what older tags say; in one with a `first`
    tag, that repeats them.
    """
    if before is None:
        return ""
    if after is None:
        return "a third reader (mutagen) reads the original and not the new file"
    if abs((after.length_s or 0.0) - (before.length_s or 0.0)) > _A_FEW_SAMPLES_S:
        return "a third reader (mutagen) sees another duration in the new file"
    if untagged:
        return ""
    bare = first or before.bare
    for key in KEYS:
        stays = old.get(key) == new.get(key) and not bare
        wanted = before.fields.get(key) if stays else new.get(key)
        if after.fields.get(key) != wanted:
            seen = after.fields.get(key)
            return f"a third reader (mutagen) sees {key} as {seen} in the new file, not as {wanted}"
    if not set(new.get(COMMENT, ())) <= set(after.fields.get(COMMENT, ())):
        return f"a third reader (mutagen) does not see the mood {new[COMMENT][0]!r} in the comment of the new file"
    names = {*before.foreign, *after.foreign}
    if bare:
        names = {*before.foreign} - {*after.foreign}
    changed = sorted(name for name in names if before.foreign.get(name) != after.foreign.get(name))
    return f"a third reader (mutagen) sees other tags changed: {', '.join(changed)}" if changed else ""


def _items(tags: Any) -> Iterable[tuple[str, Any]]:
    if tags is None:
        return []
    pairs = tags.items() if hasattr(tags, "items") and not isinstance(tags, list) else list(tags)
    return [(str(name), value) for name, value in pairs]


def _key(name: str) -> str | None:
    key = name.upper()
    if key == "TMOO":
        return MOOD
    for prefix in _PREFIXES:
        key = key.removeprefix(prefix)
    key = key.replace("MERTAG/", "MERTAG_")
    return key if key in KEYS else None


def _is_comment(name: str) -> bool:
    return name.upper() in (COMMENT, "\xa9CMT", "DESCRIPTION") or name.startswith("COMM::")


def _texts(value: Any) -> list[str]:
    values = getattr(value, "text", value)
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        values = [getattr(values, "value", values)]
    texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values]
    return [text for joined in texts for text in joined.split("\0")]
