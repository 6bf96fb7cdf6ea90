"""Damage that decoders pass over without a word, told from a file's own structure: its chunks, pages and frames.

- The chunk of audio goes beyond the end of the file (WAV, AIFF, W64, CAF, AU, WMA).
- An MP3 or AAC stream holds bytes that are no frame, with frames behind them; or it ends inside a frame; or the Xing,
  Info or VBRI header of an MP3 counts more frames. That header is often stale: what it says refuses nothing.
- An Ogg file ends inside a page. Without a last page it may be a stream that was recorded, and is whole.

Only headers are read. Sources: as of `mertag.formats`; RFC 3533 (Ogg); Microsoft's RIFF and ASF; Apple's CAF.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mertag.formats import (
    ByteSource,
    Format,
    adts_frame_length,
    audio_end,
    first_mpeg_frame,
    id3v2_end,
    id3v2_length,
    mpeg_frame_length,
)
from mertag.listen.decode.damage import described

_LARGEST_STATED_BYTES = 0x7FFF_0000  # recorders that could not know the length wrote more than this
_LEAST_MISSING_FRAMES = 4  # whether its own frame counts, and what an encoder pads, differs from header to header
_WINDOW = 1 << 16  # an Ogg page is shorter


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """How chunks follow each other: where the first one is, how wide id and size are, what the size counts."""

    start: int
    id_bytes: int = 4
    size_bytes: int = 4
    order: Literal["little", "big"] = "little"
    inclusive: bool = False
    align: int = 1
    audio: bytes = b"data"


_LAYOUTS = {
    Format.WAV: _Layout(start=12, align=2),
    Format.RF64: _Layout(start=12, align=2),
    Format.BW64: _Layout(start=12, align=2),
    Format.RIFX: _Layout(start=12, order="big", align=2),
    Format.AIFF: _Layout(start=12, order="big", align=2, audio=b"SSND"),
    Format.CAF: _Layout(start=8, size_bytes=8, order="big"),
    Format.W64: _Layout(start=40, id_bytes=16, size_bytes=8, inclusive=True, align=8),
    Format.WMA: _Layout(start=0, id_bytes=16, size_bytes=8, inclusive=True, audio=bytes.fromhex("3626b2758e66cf11")),
}
_OGG_PAGE = 27  # the header of a page, without its segments
_OGG_BEGINS = re.compile(rb"OggS\0[\2\6]")  # a page that begins a stream
_OGG = frozenset({Format.OGG, Format.OGG_VORBIS, Format.OGG_OPUS, Format.OGG_FLAC, Format.OGG_SPEEX})


def missing_share(source: ByteSource, form: Format) -> float:
    """Return which share of the stated audio lies beyond the end of the file; 0 where none does, or none is stated."""
    try:
        begin = id3v2_end(source)
    except ValueError:
        begin = 0
    start, stated = _audio_chunk(source, form, begin)
    missing = start + stated - source.size
    if not 0 < missing < stated or (form in (Format.WAV, Format.AIFF, Format.RIFX) and stated > _LARGEST_STATED_BYTES):
        return 0.0
    if form in (Format.WAV, Format.AIFF, Format.RIFX):
        order = _LAYOUTS[form].order
        if begin + int.from_bytes(source.peek(begin + 4, 4), order) + 8 <= source.size:  # the whole says it is complete
            return 0.0
    return missing / stated


def _audio_chunk(source: ByteSource, form: Format, begin: int) -> tuple[int, int]:
    """Return where the chunk of audio begins, and how many bytes it states; zeros if it is not found.

    The file's own header is at `begin`.
    """
    if form is Format.AU:
        offset, size = (int.from_bytes(source.peek(begin + at, 4), "big") for at in (4, 8))
        return begin + offset, 0 if size == 0xFFFFFFFF else size
    layout = _LAYOUTS.get(form)
    if layout is None:
        return 0, 0
    at, of_64_bit = begin + layout.start, 0
    header = layout.id_bytes + layout.size_bytes
    while len(head := source.peek(at, header)) == header:
        size = int.from_bytes(head[layout.id_bytes :], layout.order) - (header if layout.inclusive else 0)
        if head.startswith(layout.audio):
            if size == 0xFFFFFFFF:
                size = of_64_bit
            return at + header, 0 if size >= 1 << 62 else size
        if size < 0:
            break
        if head.startswith(b"ds64"):
            of_64_bit = int.from_bytes(source.peek(at + header + 8, 8), "little")
        at += header + size
        at += -(at - begin) % layout.align
    return 0, 0


def ogg_streams(source: ByteSource, start: int) -> tuple[int, int]:
    """Return how many streams begin side by side at `start`, the head of an Ogg file, and how many later (chained)."""
    at_once, at = 0, start
    while (head := source.peek(at, _OGG_PAGE)).startswith(b"OggS") and len(head) == _OGG_PAGE and head[5] & 2:
        at_once += 1
        at += _OGG_PAGE + head[26] + sum(source.peek(at + _OGG_PAGE, head[26]))
    later = 0
    while len(window := source.peek(at, _WINDOW)) > _OGG_PAGE:
        later += len(_OGG_BEGINS.findall(window))
        at += len(window) - 5  # one may begin at the window's end
    return at_once, later


def frame_damage(source: ByteSource, form: Format, decoded_s: float) -> str:
    """Return what the frames or pages say of damage in a song of which `decoded_s` seconds were decoded; or nothing."""
    if form in _OGG:
        return f"the file is incomplete: it ends inside a page, after {decoded_s:.1f} s" if _is_cut_ogg(source) else ""
    if form not in (Format.MP3, Format.AAC, Format.UNKNOWN):
        return ""
    try:
        start = id3v2_end(source)
    except ValueError:
        start = 0
    length_of = adts_frame_length if form is Format.AAC else mpeg_frame_length
    if form is not Format.AAC:
        start = first_mpeg_frame(source, start)
    frames = _Frames(source, start, length_of)
    return frames.damage(decoded_s) if frames.n else ""


def _is_cut_ogg(source: ByteSource) -> bool:
    at = max(0, source.size - _WINDOW)
    tail = source.peek(at, _WINDOW)
    page = tail.rfind(b"OggS")
    if page < 0:
        return False
    n_segments = tail[page + 26 : page + 27]
    if not n_segments or len(lacing := tail[page + 27 : page + 27 + n_segments[0]]) < n_segments[0]:
        return True
    return page + 27 + n_segments[0] + sum(lacing) > len(tail)


class _Frames:
    """The frames of a stream, gone through by their headers, from the one at `start` on (negative: there is none)."""

    def __init__(self, source: ByteSource, start: int, length_of: Callable[[bytes], int]) -> None:
        self._source, self._length_of = source, length_of
        self.n = self._good_bytes = self._lost_bytes = self._before_loss = 0
        self._is_cut = False
        if start < 0:
            return
        self._end = audio_end(source, start)
        self._stated = self._stated_frames(start)
        at = start
        while 0 <= at < self._end:
            at = self._passed(at)

    def _passed(self, at: int) -> int:
        """Return where it goes on behind what is at `at`; -1 if it does not."""
        head = self._source.peek(at, 10)
        length = self._length_of(head)
        if length:
            if at + length > self._end:
                self._is_cut = True
                return -1
            self.n += 1
            self._good_bytes += length
            return at + length
        if not self.n:
            return -1  # free format: its frames state no length
        if (tag := _tag_length(head, self._source, at)) > 0:
            return at + tag
        found = self._next(at + 1)
        if found > 0:  # else these are bytes behind the end
            self._before_loss = self._before_loss or self.n
            self._lost_bytes += found - at
        return found

    def _next(self, start: int) -> int:
        """Return where the next two frames in a row begin, or the last one; -1 if there are no more."""
        while start < self._end:
            window = self._source.peek(start, min(_WINDOW, self._end - start))
            place = window.find(b"\xff")
            while place >= 0:
                at = start + place
                after = at + self._length_of(self._source.peek(at, 6))
                if after > at and (after == self._end or self._length_of(self._source.peek(after, 6))):
                    return at
                place = window.find(b"\xff", place + 1)
            start += len(window)
        return -1

    def _stated_frames(self, start: int) -> int:
        """Return how many frames the header in the first frame counts; 0 if there is none."""
        head = self._source.peek(start, 64)
        for name in (b"Xing", b"Info"):
            at = head.find(name)
            if at > 0 and head[at + 7 : at + 8] and head[at + 7] & 1:
                return int.from_bytes(head[at + 8 : at + 12], "big")
        return int.from_bytes(head[50:54], "big") if head[36:40] == b"VBRI" else 0

    def damage(self, decoded_s: float) -> str:
        """Return what is wrong, of which `decoded_s` seconds were decoded; empty: nothing is."""
        frame_s = decoded_s / self.n
        missing = self._stated - self.n
        lost_s = self._lost_bytes * decoded_s / self._good_bytes
        if self._lost_bytes:
            return described(lost_s=lost_s, whole_s=decoded_s + lost_s, at_s=self._before_loss * frame_s)
        if missing >= (1 if self._is_cut else _LEAST_MISSING_FRAMES):
            return described(lost_s=missing * frame_s, whole_s=decoded_s + missing * frame_s)
        return f"the file is incomplete: it ends inside a frame, after {decoded_s:.1f} s" if self._is_cut else ""


def _tag_length(head: bytes, source: ByteSource, at: int) -> int:
    """Return the length of a tag in the midst of a stream, where files were joined; 0 if there is none at `at`."""
    if head[:3] == b"TAG":
        return 128
    if head[:8] == b"APETAGEX":
        header = source.peek(at, 32)
        return 32 + int.from_bytes(header[12:16], "little") if len(header) == 32 else 0
    try:
        return id3v2_length(head)
    except ValueError:
        return 0
