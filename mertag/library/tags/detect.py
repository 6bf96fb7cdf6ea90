"""Which container a file is, by its content; its name counts for nothing."""

from __future__ import annotations

from mertag.formats import HEAD_BYTES, Format, first_mpeg_frame, format_of, has_adts, id3v1, id3v2_end, id3v2_start
from mertag.library.tags import apev2, asf, dsf, flac, id3, iff, mp4, ogg
from mertag.library.tags.container import Container, MalformedError, NoTagFormatError, Source
from mertag.library.tags.id3_tag import HEADER, tag_length

_OGG = frozenset({Format.OGG, Format.OGG_FLAC, Format.OGG_OPUS, Format.OGG_SPEEX, Format.OGG_VORBIS})
_WITHOUT_ID3 = _OGG | {Format.WAV, Format.AIFF, Format.WMA, Format.DSF, Format.MP4}
_APE = frozenset({Format.WAVPACK, Format.APE, Format.MUSEPACK, Format.TAK, Format.OPTIMFROG})
_PERHAPS_MPEG = _WITHOUT_ID3 | {Format.MP3, Format.AAC, Format.RIFX, Format.TEXT, Format.UNKNOWN}
"""Frames may follow: an MP3 in a WAV behind an ID3 tag, or one behind a text that a server said first."""
_REFUSED = {
    Format.DSDIFF: "a DSDIFF file",
    Format.RF64: "an RF64 (64-bit WAV) file",
    Format.BW64: "a BW64 (64-bit WAV) file",
    Format.W64: "a Wave64 file",
    Format.MIDI: "a MIDI file",
    Format.ADIF: "an AAC file of the ADIF kind",
    Format.AC3: "a raw AC-3 file",
    Format.MATROSKA: "a Matroska or WebM file",
    Format.AU: "a Sun audio file",
    Format.CAF: "a Core Audio file",
}


def kind_of(source: Source) -> Format:
    """Return what a file is; raise `NoTagFormatError` if mertag writes no tags there, `MalformedError` if damaged."""
    if not source.size:
        raise NoTagFormatError("the file is empty")
    try:
        start = id3v2_end(source)
    except ValueError as error:
        raise MalformedError(str(error)) from error
    found = format_of(source.peek(start, HEAD_BYTES))
    if (found in _WITHOUT_ID3 and start == 0) or found in _APE or found in (Format.FLAC, Format.TRUE_AUDIO):
        return found
    if found in _REFUSED:
        raise NoTagFormatError(f"{_REFUSED[found]}; mertag writes no tags in these")
    if found in _PERHAPS_MPEG:
        if has_adts(source, start):
            if start == 0:
                raise NoTagFormatError("a raw AAC file without an ID3 tag; mertag writes tags in AAC only where one is")
            return Format.AAC
        behind = id3v2_start(source)  # a tag behind junk
        start = behind + tag_length(source.peek(behind, HEADER)) if behind else start
        if first_mpeg_frame(source, start) >= 0:
            return Format.MP3
    raise NoTagFormatError("no audio format in which mertag writes tags (judged by its content, not by its name)")


def open_container(source: Source) -> Container:
    """Read a file as what it is; errors are those of `kind_of`."""
    kind = kind_of(source)
    if kind in (Format.WAV, Format.AIFF):
        return iff.read(source)
    if kind in _APE:
        return apev2.read(source, kind)
    if kind is Format.TRUE_AUDIO and not tag_length(source.peek(0, HEADER)) and _ends_with_ape(source):
        return apev2.read(source, kind)  # either tag is common; a second one would hide the first from some players
    if kind is Format.MP3 and id3.contradicted(source):
        return apev2.read(source, kind)  # an ID3v2 tag would change what some players show, whichever it repeated
    if kind in (Format.MP3, Format.AAC, Format.TRUE_AUDIO):
        return id3.read(source, kind)
    if kind is Format.FLAC:
        return flac.read(source)
    if kind in _OGG:
        return ogg.read(source)
    if kind is Format.MP4:
        return mp4.read(source)
    return asf.read(source) if kind is Format.WMA else dsf.read(source)


def _ends_with_ape(source: Source) -> bool:
    """Return whether a file ends with an APE tag; before an ID3v1 tag, readers of True Audio see none."""
    return apev2.has_ape_tag(source) and not id3v1(source)
