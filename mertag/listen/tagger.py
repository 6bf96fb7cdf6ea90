"""Audio in, emotions out: decoding, the network and the song model, joined.

Example
-------
::

    with Tagger() as tagger:
        for outcome in tagger.tag_many(paths):
            match outcome:
                case Tagged(path=path, emotion=emotion): ...
                case Skipped(path=path, reason=reason) | Failed(path=path, reason=reason): ...
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, Self

from mertag.emotion import SongEmotion, Target
from mertag.errors import ConfigError, DecodeError, MertagError
from mertag.listen.blocks import BlockPacker, SongSegments
from mertag.listen.bundle import Bundle, load_bundle
from mertag.listen.course import course, timeline
from mertag.listen.device import Device, Models, open_models
from mertag.listen.manifest import Precision
from mertag.listen.n_windows import ExcerptPacker
from mertag.listen.segment_model import Notify
from mertag.listen.sessions import usable_cores
from mertag.listen.silence import BoolArray, Loudness
from mertag.listen.song import model_key, song_emotion, window_features
from mertag.listen.source import Audio, Spool
from mertag.listen.windows import Float64Array, Segmentation
from mertag.outcomes import SKIPS, Failed, Outcome, SegmentTimeline, Skipped, Tagged, outcome_of

if TYPE_CHECKING:
    from mertag.listen.decode.pool import Decoded, DecoderPool, Place

_CORES_A_DECODER = 3
"""On a CPU, where the network takes three times as long as decoding, or more."""

__all__ = ["Decoder", "Failed", "Outcome", "SegmentTimeline", "Skipped", "Tagged", "Tagger"]


class Decoder(Protocol):
    """What the tagger needs of `mertag.listen.decode.pool.DecoderPool`."""

    def decode(self, paths: Iterable[tuple[int, Place]]) -> Iterator[Decoded]:
        """Yield the chunks of several files as they come."""


@dataclass(slots=True)
class _UnderWay:
    """A song whose audio is being decoded or classified; `peak` is its largest sample so far, without sign.

    `damage` is what is missing of it, in words, and `sounding` what of it sounds: both at the end of its audio.
    """

    path: Path | str
    loudness: Loudness
    peak: float = 0.0
    n_samples: int = 0
    sounding: BoolArray | None = None
    damage: str = ""


class Tagger:
    """Recognises the emotion of songs.

    Parameters
    ----------
    bundle : Bundle or path, optional
        The model; if not given ``$MERTAG_BUNDLE``, else the one that comes with mertag.
    device : {"auto", "cuda", "cpu"}
        Where the network runs; see `mertag.listen.device.open_models`.
    workers : int, optional
        Processes that decode; 0 decodes in this process, where a decoder that crashes ends it. If not given,
        one for each core where a GPU waits for them, else one for three cores, and two at least.
    segment_hop_s : float, optional
        Step from one segment to the next, in seconds; if not given, that of the training.
    windows : int, optional
        Analyse only so many windows of a long song, spread evenly over it; if not given, all. See
        `mertag.listen.n_windows`.
    threads : int, optional
        Threads of the network on a CPU; if not given, one for each physical core.
    at_once : int, optional
        Calls of the network on a CPU at a time, which share the threads; if not given, as many as there are threads,
        each with another song or another part of a long one. 1 is soonest for one short song.
    precision : Precision, optional
        Which of the bundle's graphs to run; if not given, what suits the device.
    timeout_s : float, optional
        Longest time for decoding one file.
    notify : callable, optional
        Is told, in a sentence, what changed on the way: a GPU whose memory ran out, an unusual hop.
    decoder : Decoder, optional
        Decodes in place of a `mertag.listen.decode.pool.DecoderPool`; it is not closed.
    timelines : bool
        Whether `tag_many` gives each song's `SegmentTimeline`, too.

    Raises
    ------
    BundleError, DeviceError, ConfigError
        If the model cannot be used, does not run on the device, or a setting cannot be.

    Notes
    -----
    It has threads and processes of its own: a child made by ``os.fork`` cannot use it, and opens another one.
    """

    def __init__(
        self,
        bundle: Bundle | Path | str | None = None,
        *,
        device: Device = "auto",
        workers: int | None = None,
        segment_hop_s: float | None = None,
        windows: int | None = None,
        threads: int | None = None,
        at_once: int | None = None,
        precision: Precision | str | None = None,
        timeout_s: float | None = None,
        notify: Notify | None = None,
        decoder: Decoder | None = None,
        timelines: bool = False,
    ) -> None:
        if workers is not None and workers < 0:
            raise ConfigError(f"workers is {workers}; it must be 0 or more")
        if windows is not None and windows < 1:
            raise ConfigError(f"windows is {windows}; it must be 1 or more")
        self.bundle: Bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
        self.segmentation: Segmentation = chosen_segmentation(self.bundle, segment_hop_s, notify)
        self.windows: int | None = windows
        self._timelines = timelines
        self._closed = False
        with contextlib.ExitStack() as opened:
            pool: DecoderPool | None = None
            if decoder is None:
                from mertag.listen.decode.pool import DecoderPool

                decoder = pool = DecoderPool(
                    workers=usual_workers("cpu") if workers is None else workers,
                    front_end=self.bundle.manifest.front_end,
                    timeout_s=timeout_s,
                    report_idle=True,  # then songs whose calls are done can be given back
                )
                opened.enter_context(pool).start(1)  # it comes up while the model is loaded; others wait for songs
            self._decoder: Decoder = decoder
            self.models: Models = open_models(
                self.bundle, device=device, threads=threads, at_once=at_once, precision=precision, notify=notify
            )
            if pool is not None and workers is None and self.models.segment.device == "cuda":
                pool.limit(usual_workers("cuda"))
            self._network = ThreadPoolExecutor(self.models.segment.at_once, thread_name_prefix="mertag-network")
            opened.callback(self._network.shutdown, cancel_futures=True)
            self._owned = opened.pop_all()  # what `close` has to close

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the decoding processes, and the network's threads. Calling it again does nothing."""
        self._closed = True
        self._owned.close()

    @property
    def model_key(self) -> str:
        """All that a result depends on beside the audio; see `mertag.listen.song`."""
        return model_key(self.bundle, segmentation=self.segmentation, windows=self.windows)

    def tag(self, audio: Audio) -> SongEmotion:
        """Return the emotion of one song.

        Parameters
        ----------
        audio : Audio
            A path, a URL (of any store that fsspec knows; the extra ``url``), bytes, a binary file object, samples with
            their rate, such as ``(y, 44100)``, or a `mertag.listen.source.Source`, which may have a name.

        Raises
        ------
        FileError
            If it has none: TooShortError, SilentError, UnsupportedFormatError or DecodeError.
        DeviceError
            If the model fails.
        """
        return self._one(audio)[0]

    def segments(self, audio: Audio) -> SegmentTimeline:
        """Return the emotion of one song over time; silent segments have none, and are left out.

        Parameters
        ----------
        audio : Audio
            As of `tag`.

        Raises
        ------
        FileError, DeviceError
            As `tag`.
        """
        emotion, segments, sounding = self._one(audio)
        cut = self.segmentation
        return timeline(segments, bundle=self.bundle, segmentation=cut, sounding=sounding, emotion=emotion)

    def tag_many(self, sources: Iterable[Audio]) -> Generator[Outcome]:
        """Yield one outcome a source, in completion order; its index is the source's position.

        Parameters
        ----------
        sources : iterable of Audio
            As of `tag`. May be endless: it is read only as far as decoding and the current block need.

        Raises
        ------
        DeviceError
            If the device has stopped running the model. No bad file raises: it is `Skipped` or `Failed`.
        MertagError
            If the tagger is closed, now or while songs are under way.
        """
        # closing: a consumer that stops early ends the decoding at once, not only when the garbage is collected.
        with contextlib.closing(self._analyse(sources)) as found:
            for outcome, _, _ in found:
                yield outcome

    def features_many(self, paths: Iterable[Path]) -> Generator[tuple[Outcome, dict[Target, Float64Array]]]:
        """Yield outcomes as `tag_many`, each with the features that the song model judged, by head.

        Of a song that has an emotion they are of shape (n_windows, `Head.n_features`); of others there are none.
        """
        with contextlib.closing(self._analyse(paths)) as found:
            for outcome, segments, sounding in found:
                features = {}
                if isinstance(outcome, Tagged) and segments is not None and sounding is not None:
                    cut = self.segmentation
                    features = window_features(segments, bundle=self.bundle, segmentation=cut, sounding=sounding)
                yield outcome, features

    def _one(self, audio: Audio) -> tuple[SongEmotion, SongSegments, BoolArray]:
        with contextlib.closing(self._analyse([audio])) as found:
            outcome, segments, sounding = next(found)
        if isinstance(outcome, Failed):
            raise outcome.error
        if isinstance(outcome, Skipped):
            raise SKIPS[outcome.kind](outcome.path, outcome.reason)
        assert segments is not None  # a tagged song has them
        assert sounding is not None
        return outcome.emotion, segments, sounding

    def _analyse(self, sources: Iterable[Audio]) -> Generator[tuple[Outcome, SongSegments | None, BoolArray | None]]:
        if self._closed:
            raise MertagError("this tagger is closed; open another one")
        packer = self._open_packer()
        under_way: dict[int, _UnderWay] = {}
        with contextlib.ExitStack() as stack:
            spool = stack.enter_context(Spool())
            decoded = self._decoder.decode(spool.places(sources))
            stack.callback(packer.close)  # a consumer that stops early does not wait for what has not begun
            if hasattr(decoded, "close"):  # a generator has it, a plain iterator need not
                stack.callback(decoded.close)
            for part in decoded:
                failure = self._take(part, packer, under_way, spool)
                if failure is not None:
                    yield failure, None, None
                for failure in _not_copied(spool):
                    yield failure, None, None
                for segments in packer.ready():
                    song = under_way.pop(segments.key)
                    yield self._outcome(segments, song), segments, song.sounding
            for failure in _not_copied(spool):
                yield failure, None, None
            packer.flush()
            for segments in packer.ready():
                song = under_way.pop(segments.key)
                yield self._outcome(segments, song), segments, song.sounding

    def _open_packer(self) -> BlockPacker | ExcerptPacker:
        front_end = self.bundle.manifest.front_end
        packer = BlockPacker(
            self.models.segment,
            front_end=front_end,
            segmentation=self.segmentation,
            max_segments=self.models.segment.segments_per_call,
            one_song=lambda: self.models.segment.one_song_a_call,
            executor=self._network,
            # As many again wait, so that no thread waits for the next call to be put together.
            most_calls=2 * self.models.segment.at_once,
        )
        if self.windows is None:
            return packer
        return ExcerptPacker(
            packer,
            n_windows=self.windows,
            rule=self.bundle.manifest.window_rule,
            front_end=front_end,
            segmentation=self.segmentation,
        )

    def _take(
        self, part: Decoded, packer: BlockPacker | ExcerptPacker, under_way: dict[int, _UnderWay], spool: Spool
    ) -> Skipped | Failed | None:
        """Pass on a decoded part; return the outcome of a file that could not be decoded."""
        if part.index not in under_way:
            under_way[part.index] = _UnderWay(spool.names[part.index], Loudness(self.bundle.manifest.front_end))
        song = under_way[part.index]
        if part.error is None and part.chunk is not None and part.chunk.size:
            peak = float(max(part.chunk.max(), -part.chunk.min()))  # without a copy; NaN if a sample is
            song.peak = max(song.peak, peak) if math.isfinite(peak) else math.inf
            if math.isfinite(peak):
                song.loudness.feed(part.chunk)
                song.n_samples += len(part.chunk)
                packer.feed(part.index, part.chunk)
        error = part.error
        if error is None and part.last and song.peak == math.inf:
            error = DecodeError(song.path, "the audio holds samples that are no numbers (NaN or infinity)")
        if error is not None:
            error = spool.renamed(part.index, error)
        if part.last:
            spool.done(part.index)
        if error is not None:
            packer.drop(part.index)
            del under_way[part.index]
            return outcome_of(error, index=part.index, path=song.path)
        if part.last:
            starts = self.segmentation.start_frames(song.n_samples, self.bundle.manifest.front_end)
            song.damage = part.damage
            song.sounding = song.loudness.sounding(starts, self.segmentation)
            packer.end(part.index, song.sounding)
        return None

    def _outcome(self, segments: SongSegments, song: _UnderWay) -> Outcome:
        if segments.error is not None:
            # Is it this song, or the device that fails now?
            self._network.submit(self.models.segment.check).result()
            return outcome_of(segments.error, index=segments.key, path=song.path)
        try:
            emotion = song_emotion(
                segments,
                bundle=self.bundle,
                segmentation=self.segmentation,
                song_model=self.models.song,
                path=song.path,
                peak=song.peak,
                sounding=song.sounding,
            )
            emotion = dataclasses.replace(emotion, damage=song.damage)
        except MertagError as error:
            return outcome_of(error, index=segments.key, path=song.path)
        assert song.sounding is not None  # its audio has ended
        cut, sounding, every = self.segmentation, song.sounding, None
        if self._timelines:
            every = timeline(segments, bundle=self.bundle, segmentation=cut, sounding=sounding, emotion=emotion)
        parts = course(segments, bundle=self.bundle, segmentation=cut, sounding=sounding)
        return Tagged(index=segments.key, path=song.path, emotion=emotion, course=parts, timeline=every)


def _not_copied(spool: Spool) -> Iterator[Skipped | Failed]:
    """Yield, once, the outcome of each source that could not be given to a decoder."""
    while spool.failures:
        index, error = spool.failures.pop()
        yield outcome_of(error, index=index, path=spool.names[index])
        spool.done(index)


def usual_workers(device: Literal["cpu", "cuda"]) -> int:
    """Return how many processes decode by default.

    On a GPU decoding is the bottleneck, and each core decodes. On a CPU one for three cores keeps the network busy; two
    at least, so that one song is ready when another one ends.
    """
    return usable_cores() if device == "cuda" else max(2, usable_cores() // _CORES_A_DECODER)


def chosen_segmentation(bundle: Bundle, segment_hop_s: float | None, notify: Notify | None = None) -> Segmentation:
    """Return how songs are cut: as in training, or with another hop, which `notify` is told.

    Raises
    ------
    ConfigError
        If the hop cannot be.
    """
    trained = bundle.manifest.segmentation
    if segment_hop_s is None or segment_hop_s == trained.hop_s:
        return trained
    if not 0.05 <= segment_hop_s <= 60:  # false for NaN too
        raise ConfigError(f"segment hop {segment_hop_s} s cannot be; choose 0.05 to 60 seconds")
    if notify is not None:
        notify(
            f"the segment hop is {segment_hop_s:g} s, not {trained.hop_s:g} s as in training; the results will differ"
        )
    return Segmentation(duration_s=trained.duration_s, hop_s=segment_hop_s)
