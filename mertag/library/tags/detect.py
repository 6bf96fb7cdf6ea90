"""Which container a file is, by its content; its name counts for nothing."""

from __future__ import annotations

from mertag.library.tags import apev2, asf, dsf, flac, id3, iff, mp4, ogg
from mertag.library.tags.container import Container, MalformedError, NoTagFormatError, Source
from mertag.library.tags.id3_tag import HEADER, tag_length
from mertag.library.tags.mpeg import has_adts, has_mpeg_audio

_APE = {
    b"wvpk": "WavPack",
    b"MAC ": "Monkey's Audio",
    b"MP+": "Musepack",
    b"MPCK": "Musepack",
    b"tBaK": "TAK",
    b"OFR ": "OptimFROG",
}
_REFUSED = {
    b"FRM8": "a DSDIFF file",
    b"RF64": "an RF64 (64-bit WAV) file",
    b"BW64": "a BW64 (64-bit WAV) file",
    b"riff": "a Wave64 file",
    b"MThd": "a MIDI file",
    b"ADIF": "an AAC file of the ADIF kind",
    b"\x0bw": "a raw AC-3 file",
    b"\x1aE\xdf\xa3": "a Matroska or WebM file",
    b".snd": "a Sun audio file",
    b"caff": "a Core Audio file",
}
_MOST_TAGS = 16


def kind_of(source: Source) -> str:
    """Return what a file is: ``"WAV"``, ``"AIFF"``, ``"DSF"``, ``"FLAC"``, ``"Ogg"``, ``"MP4"``, ``"ASF"``,
    ``"MP3"``, ``"AAC"``, ``"True Audio"``, or one of the kinds that have an APEv2 tag.

    Raises
    ------
    NoTagFormatError
        If mertag writes no tags in files of this kind.
    MalformedError
        If there is nothing to tell.
    """
    if not source.size:
        raise NoTagFormatError("the file is empty")
    start = _after_tags(source)
    head = source.peek(start, 16)
    if start == 0:
        if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
            return "WAV"
        if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
            return "AIFF"
        if head == asf.HEADER:
            return "ASF"
        if head[:4] == b"DSD ":
            return "DSF"
        if head[:4] == b"OggS":
            return "Ogg"
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide"):
            return "MP4"
    if head[:4] == b"fLaC":
        return "FLAC"
    if head[:4] == b"TTA1":
        return "True Audio"
    for magic, kind in _APE.items():
        if head.startswith(magic):
            return kind
    for magic, kind in _REFUSED.items():
        if head.startswith(magic):
            raise NoTagFormatError(f"{kind}; mertag writes no tags in these")
    if has_adts(source, start):
        if start == 0:
            raise NoTagFormatError("a raw AAC file without an ID3 tag; mertag writes tags in AAC only where one is")
        return "AAC"
    if has_mpeg_audio(source, start):
        return "MP3"
    raise NoTagFormatError("no audio format in which mertag writes tags (judged by its content, not by its name)")


def open_container(source: Source) -> Container:
    """Read a file as what it is.

    Raises
    ------
    NoTagFormatError
        If mertag writes no tags in files of this kind.
    MalformedError
        If it is damaged.
    """
    kind = kind_of(source)
    if kind in ("WAV", "AIFF"):
        return iff.read(source)
    if kind in _APE.values():
        return apev2.read(source, kind)
    if kind == "True Audio" and not tag_length(source.peek(0, HEADER)) and apev2.has_ape_tag(source):
        return apev2.read(source, kind)  # either tag is common; a second one would hide the first from some players
    if kind in ("MP3", "AAC", "True Audio"):
        return id3.read(source, kind)
    if kind == "FLAC":
        return flac.read(source)
    if kind == "Ogg":
        return ogg.read(source)
    if kind == "MP4":
        return mp4.read(source)
    return asf.read(source) if kind == "ASF" else dsf.read(source)


def _after_tags(source: Source) -> int:
    """Return where the ID3v2 tags at the head of a file end."""
    start = 0
    for _ in range(_MOST_TAGS):
        try:
            length = tag_length(source.peek(start, HEADER))
        except MalformedError:
            if start == 0 and (source.peek(3, 1) or b"\xff") <= b"\x04":
                raise
            return start  # the letters "ID3", but no tag
        if not length:
            return start
        if start + length > source.size:
            raise MalformedError("the file ends inside its ID3 tag: it is truncated or damaged")
        start += length
    raise MalformedError(f"it has more than {_MOST_TAGS} ID3 tags in a row")
