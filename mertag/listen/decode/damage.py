"""How much damage is still a song: one rule for every format.

A player plays a file with a click in it, a cut last frame, or other bytes behind its end; so does mertag.

- Sound that is missing (frames that could not be decoded, or sound that the container states and the file does not
  hold) may come to `TOLERATED_S` seconds, or `TOLERATED_SHARE` of the song if that is more. Beyond, it is damaged.
- Bytes behind the end of the sound count for nothing, and neither do tags in its midst.
- MP3, AAC and AC-3 streams state no length that binds: the optional Xing header of an MP3 is often stale, since
  programs that cut files keep it. A stream of these that just ends early is a shorter song. So is Ogg, whose length is
  that of its last page.

Damage that is tolerated is said all the same, in the same words, beside the song's emotion. What decoders themselves
pass over is found by `mertag.listen.decode.structure`.
"""

from __future__ import annotations

import contextlib

from mertag.formats import id3v2_length

TOLERATED_S = 2.5  # one wrong byte costs an Ogg file one or two pages of 1 s
TOLERATED_SHARE = 0.01

_LARGEST_FRAME_BYTES = 8_192  # ADTS; MP3 and AC-3 frames are smaller
UNSURE_S = 0.15
"""By so much does what a container states differ from what is decoded in files that are whole: an encoder's delay."""


def is_tolerable(lost_s: float, whole_s: float) -> bool:
    """Return whether a song of `whole_s` seconds that lacks `lost_s` of them is still taken."""
    return lost_s <= max(TOLERATED_S, TOLERATED_SHARE * whole_s)


def described(*, lost_s: float, whole_s: float, at_s: float | None = None) -> str:
    """Return in words that `lost_s` of `whole_s` seconds are lost, from `at_s` on; at the end, if that is None."""
    lost = f"{lost_s:.1f} s" if lost_s >= 0.1 else "less than 0.1 s"
    if at_s is not None:
        return f"damaged after {at_s:.1f} s: {lost} of {whole_s:.1f} s of sound could not be decoded"
    if lost_s >= 0.1:
        return f"the file is incomplete: it holds {whole_s - lost_s:.1f} s of {whole_s:.1f} s of sound"
    return f"the file is incomplete: it lacks {lost} of {whole_s:.1f} s of sound"


class Losses:
    """Counts, while a stream is decoded, how much sound is lost.

    Of a `raw` stream, which states no length, bytes stand for sound that is lost: a second of it has as many as
    elsewhere in the stream. An `exact` one states its length to the sample; the packets of an `indexed` one stand in a
    table: what of them cannot be decoded is never just bytes behind the end.
    """

    def __init__(self, *, raw: bool, exact: bool = False, indexed: bool = False) -> None:
        self._raw, self._indexed = raw, indexed
        self._unsure_s, self._jump_s = (0.001, 0.01) if exact else (UNSURE_S, 0.1)
        self.decoded_s = 0.0
        self.broken: str | None = None  # why the container could not be read on
        self.message = ""  # what the decoder said of the last packet that it could not decode
        self._bad_s = self._gap_s = 0.0  # of what could not be decoded; the latter with sound behind it
        self._good_bytes = self._lost_bytes = 0
        self._tag_bytes = 0  # that are still to come of a tag in the midst of the stream
        self._pending_bytes = 0  # lost, but nothing good has come since: so far, only bytes behind the end
        self._first_s: float | None = None
        self._origin_s: float | None = None

    def bad(self, packet: bytes, duration_s: float, message: str) -> None:
        """Note a packet that could not be decoded."""
        self.message = message
        self._bad_s += duration_s
        holds_sound = b"Xing" not in packet[:64] and b"Info" not in packet[:64]  # the header of a part that was joined
        if self._raw and not self._in_tag(packet) and packet[:3] not in (b"TAG", b"APE") and holds_sound:
            self._pending_bytes += len(packet)

    def _in_tag(self, packet: bytes) -> bool:
        """Return whether a packet lies in an ID3v2 tag, or begins one: a picture fills many packets."""
        begun = self._tag_bytes > 0
        self._tag_bytes = max(0, self._tag_bytes - len(packet))
        at = -1 if begun else packet.find(b"ID3")
        if at >= 0:
            with contextlib.suppress(ValueError):
                self._tag_bytes = max(0, id3v2_length(packet[at : at + 10]) - (len(packet) - at))
        return begun or at == 0 or self._tag_bytes > 0

    def good(self, packet: bytes) -> None:
        """Note a packet of a raw stream that was decoded. What is no frame, ffmpeg adds to the frame before it."""
        if not packet or self._in_tag(packet):
            return
        if self._pending_bytes:
            self._lost_bytes += self._pending_bytes
            self._pending_bytes = 0
            self._note_place()
        self._good_bytes += min(len(packet), _LARGEST_FRAME_BYTES)
        excess = len(packet) - _LARGEST_FRAME_BYTES
        if excess > 0 and not any(tag in packet for tag in (b"ID3\3", b"ID3\4", b"APETAGEX")):
            self._pending_bytes += excess

    def frame(self, duration_s: float, at_s: float | None) -> None:
        """Note `duration_s` seconds of decoded sound, which the container places at `at_s`."""
        self._gap_s = self._bad_s
        if at_s is not None:
            if self._origin_s is None:
                self._origin_s = at_s
            elif at_s - self._origin_s - self.decoded_s > self._jump_s:
                self._note_place()
        self.decoded_s += duration_s

    def _note_place(self) -> None:
        if self._first_s is None:
            self._first_s = self.decoded_s

    def found(self, stated_s: float | None) -> tuple[str, bool]:
        """Return what is wrong with the whole, of which the container states `stated_s` seconds; and if it is too much.

        The text is empty if nothing is.
        """
        if self.broken and stated_s is None:
            return f"damaged after {self.decoded_s:.1f} s: {self.broken}", True
        if not self._raw:  # what could not be decoded may come on top of what is stated, in a chained Ogg
            lost_s = max(self._bad_s, (stated_s or 0.0) - self.decoded_s)
        else:
            lost_s = self._lost_bytes * self.decoded_s / max(1, self._good_bytes)
        sure = self._lost_bytes if self._raw else self._bad_s if self._indexed else self._gap_s
        if not sure and lost_s <= self._unsure_s:
            return "", False
        whole_s = self.decoded_s + lost_s
        at_s = None
        if self._first_s is not None or self.message or self.broken:
            at_s = self.decoded_s if self._first_s is None else self._first_s
        return described(lost_s=lost_s, whole_s=whole_s, at_s=at_s), not is_tolerable(lost_s, whole_s)
