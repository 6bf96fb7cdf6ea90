"""Native-rate mono blocks by soundfile (libsndfile): WAV, AIFF, FLAC, Ogg Vorbis, MP3, CAF, AU, W64.

Reads forward only, through a Python file object: so any name works, and where and why the decoder stopped is known.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import soundfile

from mertag.formats import ByteSource, Format, audio_end, first_mpeg_frame
from mertag.listen.decode.damage import UNSURE_S, described, is_tolerable
from mertag.listen.decode.mono import channel_mean, not_samples
from mertag.listen.decode.structure import ogg_streams
from mertag.listen.windows import Float32Array

BLOCK_FRAMES = 65_536
_UNKNOWN_FRAMES = 1 << 48  # libsndfile says 2**63 - 1, or the like, where it does not know


class CannotOpenError(Exception):
    """libsndfile does not read this file; ffmpeg may."""


class SoundFileReader:
    """One pass over a file of the format `form`, from the byte `start` on.

    Attributes
    ----------
    rate_hz, n_frames : int
        Sample rate, and frames given so far.
    stopped : str or None
        After the last block: why there may be more that libsndfile does not give; None at the true end.
    failed : bool
        After the last block: whether it stopped at an error of the decoder, before all that is stated was given.
    must_go_on : bool
        After the last block: whether the song is damaged if nothing more is found.
    damage : str
        After the last block: what is missing although it did not stop, in words.
    really : str
        What stands in the place of samples, if they are none; then no block with sound was given.
    disk_error : OSError or None
        A read that failed.
    """

    def __init__(self, file: BinaryIO, form: Format, start: int = 0) -> None:
        self._bytes = _Bytes(file)
        self._start = start if form is not Format.MP3 else 0
        if self._start or form is Format.FLAC:
            # Behind an ID3 tag libsndfile takes the file to end too early, by the tag's length; and the tags behind a
            # FLAC stream it takes for damage.
            self._bytes.show(start, audio_end(self._bytes, start) if form is Format.FLAC else self._bytes.size)
        self._format = form
        self.n_frames = 0
        self.stopped: str | None = None
        self.failed = self.must_go_on = False
        self.damage = ""
        self.really = ""
        try:
            self._sound = _ForwardSoundFile(self._bytes)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise CannotOpenError(_message(error)) from error
        if form is not Format.MP3 and self._sound.subtype.startswith("MPEG"):  # of which it only guesses the length
            raise CannotOpenError("MPEG in another container")
        self.rate_hz = int(self._sound.samplerate)

    @property
    def disk_error(self) -> OSError | None:
        """The read that failed, if one did."""
        return self._bytes.error

    def blocks(self) -> Iterator[Float32Array]:
        """Yield mono blocks, float32, shape (n,): the mean of the channels."""
        with self._sound as sound:
            stated, unseen = int(sound.frames), sound.subtype == "PCM_16"
            while True:
                # A read into other bytes behind a FLAC stream costs what it has read before them.
                rest = stated - self.n_frames if self._format is Format.FLAC else 0
                try:
                    block = sound.read(min(rest, BLOCK_FRAMES) if rest > 0 else BLOCK_FRAMES, "float32", always_2d=True)
                except (soundfile.LibsndfileError, RuntimeError) as error:
                    self.stopped, self.failed = _message(error), self.n_frames < stated  # else other bytes follow
                    return
                if not len(block):
                    break
                if unseen and block.any():  # silence may come first
                    unseen = False
                    self.really = not_samples((block * 32_768).astype(np.int16))
                    if self.really:
                        return
                self.n_frames += len(block)
                yield channel_mean(block.T)
            self._check_end(stated)

    def _check_end(self, stated_frames: int) -> None:
        seconds = self.n_frames / self.rate_hz
        if self.n_frames == 0:
            self.stopped = "no sound was found"
            return
        if self._format in (Format.MP3, Format.OGG_VORBIS):
            # MP3 files that were joined, and chained Ogg: libsndfile stops at the end of the first.
            # Of an MP3 without a header it expects as many frames as there would be if all were as long as the first.
            position = self._bytes.tell()
            left_s = (audio_end(self._bytes, 0) - self._start - position) * seconds / max(position, 1)
            much = not is_tolerable(left_s, seconds)
            if much or (left_s > UNSURE_S and self._goes_on(position)):
                self.stopped = "the decoder stopped before the end of the file"
                if much and self._format is Format.OGG_VORBIS:
                    at_once, later = ogg_streams(self._bytes, self._start)
                    self.must_go_on = at_once == 1 or later > 0  # else what is left may be that of a stream beside it
                return
        if self._format is Format.FLAC:
            near = max(self._start + 4, self._start + self._bytes.tell() - BLOCK_FRAMES)
            if b"fLaC" in self._bytes.peek(near, 2 * BLOCK_FRAMES):  # another song that was joined to it
                self.stopped = "the decoder stopped before the end of the file"
                return
        if self._format is Format.MP3 or stated_frames > _UNKNOWN_FRAMES:
            return
        stated_s = stated_frames / self.rate_hz
        if not is_tolerable(stated_s - seconds, stated_s):
            self.stopped = f"{stated_s - seconds:.1f} s of {stated_s:.1f} s are missing"
        elif stated_s - seconds > (0 if self._format is Format.FLAC else UNSURE_S):
            self.damage = described(lost_s=stated_s - seconds, whole_s=stated_s)

    def _goes_on(self, position: int) -> bool:
        """Return whether there is sound from `position` on, and not just other bytes."""
        if self._format is Format.MP3:
            return first_mpeg_frame(self._bytes, position) >= 0
        return ogg_streams(self._bytes, self._start)[1] > 0


class _ForwardSoundFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """soundfile seeks after every read of a seekable file, and a seek is not exact in every MP3."""

    def seekable(self) -> bool:
        return False


class _Bytes(ByteSource):
    """A file, or a part of it, for the callbacks of libsndfile, through which no exception can pass."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.error: OSError | None = None
        self.show(0, self.size)

    def show(self, start: int, stop: int) -> None:
        """Let the callbacks see only what lies between; `peek` goes on to count from the beginning of the file."""
        self._start, self._stop = start, stop
        self._file.seek(start)

    def readinto(self, buffer: memoryview) -> int:
        try:
            n = max(0, self._stop - self._file.tell())
            return self._file.readinto(memoryview(buffer)[:n])  # type: ignore[attr-defined,no-any-return]
        except OSError as error:
            self.error = error
            return 0

    def read(self, n: int) -> bytes:
        return self._file.read(max(0, min(n, self._stop - self._file.tell())))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: self._start, io.SEEK_END: self._stop}.get(whence)
        # ValueError: a damaged header sends libsndfile before the beginning
        with contextlib.suppress(OSError, ValueError):
            self._file.seek(offset + (self._file.tell() if base is None else base))
        return self.tell()

    def tell(self) -> int:
        return self._file.tell() - self._start

    def write(self, data: bytes) -> int:
        raise io.UnsupportedOperation("read only")


def _message(error: Exception) -> str:
    text = getattr(error, "error_string", None) or str(error)
    text = str(text).removeprefix("Error : ").rstrip(". ")
    return "a checksum does not match" if text == "unknown error in flac decoder" else text
