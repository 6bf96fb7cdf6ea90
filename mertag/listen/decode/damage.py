"""How much damage is still a song: one rule for every format.

A player plays a file with a click in it, a cut last frame, or other bytes behind its end; so does mertag.

- Sound that is missing (frames that could not be decoded, or sound that the container states and the file does not
  hold) may come to `TOLERATED_S` seconds, or `TOLERATED_SHARE` of the song if that is more. Beyond, it is damaged.
- Bytes behind the end of the sound count for nothing, and neither do tags in its midst.
- MP3, AAC and AC-3 streams state no length that binds: the optional Xing header of an MP3 is often stale, since
  programs that cut files keep it. A stream of these that just ends early is a shorter song. So is Ogg, whose length is
  that of its last page.
"""

from __future__ import annotations

TOLERATED_S = 2.5  # one wrong byte costs an Ogg file one or two pages of 1 s
TOLERATED_SHARE = 0.01

_LARGEST_FRAME_BYTES = 8_192  # ADTS; MP3 and AC-3 frames are smaller
_JUMP_S = 0.1


def is_tolerable(lost_s: float, whole_s: float) -> bool:
    """Return whether a song of `whole_s` seconds that lacks `lost_s` of them is still taken."""
    return lost_s <= max(TOLERATED_S, TOLERATED_SHARE * whole_s)


class Losses:
    """Counts, while a stream is decoded, how much sound is lost.

    Of a `raw` stream, which states no length, bytes stand for sound that is lost: a second of it has as many as
    elsewhere in the stream.
    """

    def __init__(self, *, raw: bool) -> None:
        self._raw = raw
        self.decoded_s = 0.0
        self.broken: str | None = None  # why the container could not be read on
        self.message = ""  # what the decoder said of the last packet that it could not decode
        self._bad_s = 0.0
        self._good_bytes = self._lost_bytes = 0
        self._pending_bytes = 0  # lost, but nothing good has come since: so far, only bytes behind the end
        self._first_s: float | None = None
        self._origin_s: float | None = None

    def bad(self, packet: bytes, duration_s: float, message: str) -> None:
        """Note a packet that could not be decoded."""
        self.message = message
        self._bad_s += duration_s
        if self._raw and packet[:3] not in (b"ID3", b"TAG", b"APE"):
            self._pending_bytes += len(packet)

    def good(self, packet: bytes) -> None:
        """Note a packet of a raw stream that was decoded. What is no frame, ffmpeg adds to the frame before it."""
        if not packet:
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
        if at_s is not None:
            if self._origin_s is None:
                self._origin_s = at_s
            elif at_s - self._origin_s - self.decoded_s > _JUMP_S:
                self._note_place()
        self.decoded_s += duration_s

    def _note_place(self) -> None:
        if self._first_s is None:
            self._first_s = self.decoded_s

    def verdict(self, stated_s: float | None) -> str | None:
        """Return what is wrong with the whole, of which the container states `stated_s` seconds; None: nothing is."""
        if self.broken and stated_s is None:
            return f"damaged after {self.decoded_s:.1f} s: {self.broken}"
        if not self._raw:  # what could not be decoded may come on top of what is stated, in a chained Ogg
            lost_s = max(self._bad_s, (stated_s or 0.0) - self.decoded_s)
        else:
            lost_s = self._lost_bytes * self.decoded_s / max(1, self._good_bytes)
        whole_s = self.decoded_s + lost_s
        if is_tolerable(lost_s, whole_s):
            return None
        if self._first_s is None and not self.message and not self.broken:
            return f"the file is incomplete: it holds {self.decoded_s:.1f} s of {whole_s:.1f} s of sound"
        at_s = self.decoded_s if self._first_s is None else self._first_s
        return f"damaged after {at_s:.1f} s: {lost_s:.1f} s of {whole_s:.1f} s of sound could not be decoded"
