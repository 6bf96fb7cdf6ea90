"""Native-rate mono blocks by PyAV (ffmpeg's libraries): AAC, ALAC, Opus, WMA, APE, WavPack, Musepack, DSD...

It also takes over where soundfile stopped before the end: ffmpeg finds its way back after damage, as players do.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.plane import AudioPlane

from mertag.listen.decode.by_soundfile import BLOCK_FRAMES
from mertag.listen.decode.damage import Losses
from mertag.listen.decode.mono import channel_mean, not_samples
from mertag.listen.decode.returning import Returning
from mertag.listen.windows import Float32Array

# Raw streams, whose length ffmpeg can only estimate from the bit rate.
_WITHOUT_LENGTH = frozenset({"mp3", "aac", "ac3", "eac3", "dts", "amr", "loas"})
# Formats that state their length to the sample; others round it, or count what an encoder adds.
_EXACT = frozenset({"flac", "wv", "ape", "tta", "tak"})
# Codecs whose frames have checksums, which ffmpeg compares if asked to: damage is no noise then.
_WITH_CHECKSUMS = frozenset({"flac", "wavpack", "ape", "tta", "tak"})
# What may be opened at all: formats that hold sound, none that fetches other files (playlists, scripts).
_FORMATS = (
    "mp3,aac,loas,ac3,eac3,dts,amr,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,ape,wv,mpc,mpc8,tta,tak,dsf,iff,"
    "ogg,flac,wav,w64,aiff,caf,au,voc,oma,truehd,mlp,shn,aea,iamf"
)
_ASF, _ASF_PROPERTIES = bytes.fromhex("3026b2758e66cf11"), bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
# So that tags in any encoding do no harm. From PyAV 19 on they do none, and it cannot be asked for.
_ANY_TAGS = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "surrogateescape"}
_DTYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
_SCALES = {"u1": 2.0**-7, "i2": 2.0**-15, "i4": 2.0**-31, "i8": 2.0**-63}


class NothingDecodedError(Exception):
    """ffmpeg does not read this file. ``str()`` says why."""


class DamagedError(Exception):
    """More sound is lost than is tolerated. ``str()`` says where and how much."""


def pyav_blocks(path: Path, start: int = 0) -> Generator[tuple[int, Float32Array], None, str]:
    """Yield ``(rate_hz, block)`` of a file, shape (n,), the mean of the channels; the rate may change in mid-file.

    What lies before the byte `start` is not looked at. It returns what damage is tolerated, in words.

    Raises
    ------
    NothingDecodedError
        If there is no sound in it that ffmpeg can decode.
    DamagedError
        After the last block, if more is lost than `mertag.listen.decode.damage` allows.
    """
    joined = _Joined()
    frames = Returning(_frames(path, start))
    try:
        for frame in frames:
            if not joined.add(frame):
                yield from joined.taken(everything=True)
                joined = _Joined()
                joined.add(frame)
            if joined.n_samples >= BLOCK_FRAMES:
                yield from joined.taken()
    except DamagedError:
        yield from joined.taken(everything=True)
        raise
    yield from joined.taken(everything=True)
    return frames.value or ""


class _Joined:
    """Frames of one kind, joined by ffmpeg: they hold some 20 ms each, and what Python does for each adds up.

    A third of the time that an AAC file took went to turning its frames into arrays one by one.
    """

    def __init__(self) -> None:
        self._fifo = av.AudioFifo()
        self._kind: tuple[Any, ...] | None = None
        self.n_samples = 0  # that wait to be taken

    def add(self, frame: Any) -> bool:
        """Add a frame; return False, and do nothing, if it has not the rate, format and channels of those before."""
        layout = frame.layout
        kind = frame.sample_rate, frame.format.name, layout.name, layout.nb_channels  # the queue checks no channels
        if self._kind is None:
            self._kind = kind
        elif kind != self._kind:
            return False
        frame.pts = None  # its time is noted; what is lost between two frames is no error here
        try:
            self._fifo.write(frame)
        except ValueError:  # another unit of time: all else is the same
            return False
        self.n_samples += frame.samples
        return True

    def taken(self, *, everything: bool = False) -> Iterator[tuple[int, Float32Array]]:
        """Yield ``(rate_hz, mono block)`` of full blocks, or of all that is left."""
        while self.n_samples >= (1 if everything else BLOCK_FRAMES):
            frame = self._fifo.read(min(self.n_samples, BLOCK_FRAMES))
            self.n_samples -= frame.samples
            yield frame.sample_rate, _mono(frame)


def _frames(path: Path, start: int) -> Generator[Any, None, str]:
    try:
        container = av.open(
            # The prefix keeps a name such as "http:x" from being taken for an address.
            f"subfile,,start,{start},end,0,,:file:{path}" if start else f"file:{path}",
            options={"format_whitelist": _FORMATS, "protocol_whitelist": "file,subfile"},
            **_ANY_TAGS,
        )
    except (av.FFmpegError, ValueError) as error:
        raise NothingDecodedError(_message(error)) from error
    with container:
        streams = container.streams.audio
        if not streams:
            raise NothingDecodedError("no audio stream")
        stream = streams[0]
        if stream.codec_context is None:
            raise NothingDecodedError("there is no decoder for its audio stream")
        stream.codec_context.thread_count = 1  # there is one worker process a core already
        exact = container.format.name in _EXACT
        if stream.codec_context.name in _WITH_CHECKSUMS:
            stream.codec_context.options = {"err_detect": "crccheck+explode"}
        raw = not _WITHOUT_LENGTH.isdisjoint(container.format.name.split(","))
        losses = Losses(raw=raw, exact=exact, indexed=container.format.name.startswith("mov"))
        stated_s = None if raw else _stated_s(container, stream)
        if stated_s is not None and container.format.name == "asf":
            stated_s = _shorter_by_asf(path, stated_s)
        for number, packet in enumerate(_packets(container, stream, losses)):
            if number == 0 and container.format.name == "ogg" and stated_s is not None:
                # A cut stream: what comes before time 0 is in the file, but not meant to be heard.
                stated_s += min(0.0, float((packet.pts or 0) * packet.time_base))
            try:
                frames = packet.decode()
            except av.error.EOFError:
                continue
            except av.FFmpegError as error:
                if container.format.name == "ogg" and _is_header(bytes(packet), stream.codec_context.name):
                    continue
                losses.bad(bytes(packet), float((packet.duration or 0) * (packet.time_base or 0)), _message(error))
                continue
            if raw:
                losses.good(bytes(packet))
            for frame in frames:
                if frame.samples > 0 and frame.sample_rate > 0:
                    losses.frame(frame.samples / frame.sample_rate, frame.time)
                    yield frame
    if losses.decoded_s == 0 and (losses.broken or losses.message):
        raise NothingDecodedError(losses.broken or losses.message)
    damage, too_much = losses.found(stated_s)
    if too_much:
        raise DamagedError(damage)
    return damage


def _is_header(packet: bytes, codec: str) -> bool:
    """Return whether a packet is a header, and no sound: that of a later song in a chained Ogg."""
    return packet.startswith(b"Speex   ") or (codec == "flac" and packet[:1] != b"\xff")


def _packets(container: Any, stream: Any, losses: Losses) -> Iterator[Any]:
    while True:
        try:
            yield from container.demux(stream)
            return
        except IndexError:  # a packet of a stream that began later, such as a picture of a chained song; it is passed
            continue
        except av.error.EOFError:
            return
        except av.FFmpegError as error:
            losses.broken = _message(error)
            return


def _shorter_by_asf(path: Path, stated_s: float) -> float | None:
    """Return the length that a WMA file's header states, if that is less than `stated_s`; None if it states none.

    ffmpeg guesses one from the bit rate where the header's size of the file is stale: it takes a picture for sound that
    a program put into the tags. And a file that was a stream has none.
    """
    with path.open("rb") as file:
        head = file.read(1 << 16)
    at = head.find(_ASF_PROPERTIES)
    if not head.startswith(_ASF) or at < 0 or at + 92 > len(head):
        return stated_s
    if head[at + 88] & 1:
        return None
    play, preroll = (int.from_bytes(head[at + i : at + i + 8], "little") for i in (64, 80))
    by_header_s = play / 10_000_000 - preroll / 1000
    return min(stated_s, by_header_s) if by_header_s > 0 else stated_s


def _stated_s(container: Any, stream: Any) -> float | None:
    """Return the length that the container states, in seconds; None where it states none."""
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and not container.streams.video:
        return float(container.duration / av.time_base)
    return None


def _mono(frame: Any) -> Float32Array:
    """Return the mean over the channels of a frame, scaled to -1..1."""
    n_channels, dtype = frame.layout.nb_channels, _DTYPES[frame.format.packed.name]
    # Not by `frame.planes` or `to_ndarray`: of eight channels they take a plane too many, and fail (PyAV 16 to 19).
    planes: list[Any] = [AudioPlane(frame, i) for i in range(n_channels if frame.format.is_planar else 1)]
    if frame.format.is_planar:
        samples = np.stack([np.frombuffer(plane, dtype, count=frame.samples) for plane in planes])
    else:
        flat = np.frombuffer(planes[0], dtype, count=frame.samples * n_channels)
        samples = flat.reshape(-1, n_channels).T
    if dtype == "i2" and (really := not_samples(samples.T)):
        raise NothingDecodedError(f"it holds {really} in the place of samples; convert it to plain samples")
    scale = _SCALES.get(dtype)
    if scale is not None:
        centre = np.float32(128 if dtype == "u1" else 0)
        samples = (samples.astype(np.float32) - centre) * np.float32(scale)
    return channel_mean(samples)


def _message(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return str(text).split(": ", 1)[0].rstrip(". ")
