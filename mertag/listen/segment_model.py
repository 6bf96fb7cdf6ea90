"""One session of ``segment.<precision>.onnx``: segments in, probabilities out, and what to do out of memory.

Waveforms are float32, mono, shape (n_samples,) at the front end's rate; `starts` are int64 frame indices: see
"A model bundle" in ``docs/onnx.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mertag.emotion import Target
from mertag.errors import DeviceError
from mertag.listen.manifest import Manifest, Precision
from mertag.listen.sessions import Session, first_line, is_out_of_memory
from mertag.listen.windows import Float32Array, FrontEnd, Int64Array

Notify = Callable[[str], None]

SEGMENTS_PER_CALL = {"cpu": 16, "cuda": 64}
"""How many segments one call takes. VGG16 takes some 10 MB a segment."""

SHARED_PER_CALL = 48
"""The same, of a graph that is `Manifest.shared`: some 3 MB a segment. A song of one window (45 s) is one call."""

_CUDA_SEGMENTS, _CUDA_SECONDS = 16, 16
"""On CUDA, shapes are rounded up to multiples of these: cuDNN plans its convolutions for each new one."""


@dataclass(slots=True, kw_only=True)
class SegmentModel:
    """One session of ``segment.<precision>.onnx``.

    Attributes
    ----------
    manifest : Manifest
        Of the bundle.
    session : Session
        The session in use.
    provider, device : str
        onnxruntime's provider in use, and ``"cuda"`` or ``"cpu"``.
    precision : Precision
        Of the graph in use.
    reason : str
        Why this device and precision.
    at_once : int
        How many threads may call it at a time: on a GPU one, which changes what it must when memory runs out.
    """

    manifest: Manifest
    session: Session
    device: str
    precision: Precision
    reason: str
    to_cpu: Callable[[], tuple[Session, Precision]] | None = None
    move_on_any_error: bool = False
    notify: Notify | None = None
    segments_per_call: int = 0
    at_once: int = 1

    def __post_init__(self) -> None:
        self.segments_per_call = self.segments_per_call or self._usual_segments()

    @property
    def provider(self) -> str:
        """The provider in use, by onnxruntime's name."""
        return self.session.get_providers()[0]

    @property
    def one_song_a_call(self) -> bool:
        """Whether segments see what lies beside them, so that no other song's may; see `Manifest.shared`."""
        return self.precision in self.manifest.shared

    def _usual_segments(self) -> int:
        if self.one_song_a_call and self.device == "cpu":
            return SHARED_PER_CALL
        return SEGMENTS_PER_CALL[self.device]

    def __call__(self, waveform: Float32Array, starts: Int64Array) -> dict[Target, Float32Array]:
        """Return the probabilities of each head, shape (n_segments, n_classes), and behind them its embedding.

        Calls are split to `segments_per_call`. If a GPU's memory runs out, that limit is halved for good, and
        the part is tried again; if one segment alone does not fit, the CPU takes over. `notify` is told both.

        Raises
        ------
        DeviceError
            If the session fails.
        """
        parts: list[dict[Target, Float32Array]] = []
        at = 0
        while at < len(starts):
            part = starts[at : at + self.segments_per_call]
            whole = len(part) == len(starts)
            found = self._run(waveform, starts) if whole else self._run(*self._cut(waveform, part))
            if found is not None:
                parts.append(found)
                at += len(part)
        if not parts:
            return {h.target: np.empty((0, h.n_outputs), np.float32) for h in self.manifest.heads}
        if len(parts) == 1:
            return parts[0]
        return {h.target: np.concatenate([p[h.target] for p in parts]) for h in self.manifest.heads}

    def check(self) -> None:
        """Run one segment of noise, which nothing is wrong with.

        Raises
        ------
        DeviceError
            If the device does not run the model any more.
        """
        self(*sample(self.manifest, n_segments=1))

    def _cut(self, waveform: Float32Array, starts: Int64Array) -> tuple[Float32Array, Int64Array]:
        """Return the stretch of the waveform that segments need, cut at frames, and their starts in it."""
        front_end = self.manifest.front_end
        first, last = int(starts.min()), int(starts.max())
        frames = self.manifest.segmentation.segment_frames(front_end)
        end = (last + frames - 1) * front_end.hop_length + front_end.n_fft
        end += -end % front_end.hop_length
        return waveform[first * front_end.hop_length : end], starts - first

    def _run(self, waveform: Float32Array, starts: Int64Array) -> dict[Target, Float32Array] | None:
        """Run the session once. None: something has changed, try again."""
        n = len(starts)
        if self.device == "cuda":
            waveform, starts = pad_to_shape(waveform, starts, front_end=self.manifest.front_end)
        heads = self.manifest.heads
        try:
            outputs = run(self.manifest, self.session, waveform, starts)
        except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions share no base class
            self._recover(error, n)
            return None
        found = {head.target: output[:n] for head, output in zip(heads, outputs, strict=True)}
        for head in heads:
            if found[head.target].shape != (n, head.n_outputs):
                raise DeviceError(
                    f"{self.manifest.segment[self.precision]} gave {found[head.target].shape} {head.target} "
                    f"probabilities for {n} segments; export the bundle again"
                )
        return found

    def _recover(self, error: Exception, n: int) -> None:
        """Change what can be changed after a failed call, or raise."""
        where = f"the model failed on the {self.device.upper()}"
        memory = is_out_of_memory(error)
        if memory and self.device == "cuda" and n > 1:
            self.segments_per_call = (n + 1) // 2
            message = f"GPU memory ran out with {n} segments a call; now {self.segments_per_call}"
        elif self.to_cpu is not None and self.device == "cuda" and (memory or self.move_on_any_error):
            self.session, self.precision = self.to_cpu()
            self.device = "cpu"
            self.segments_per_call = self._usual_segments()
            self.reason = f"the GPU failed ({first_line(error)})"
            message = f"{self.reason}; the rest runs on the CPU, more slowly"
        elif memory:
            raise DeviceError(f"{where}: memory ran out; close other programs") from error
        else:
            raise DeviceError(f"{where} ({first_line(error)}); try --device cpu") from error
        if self.notify is not None:
            self.notify(message)


def pad_to_shape(waveform: Float32Array, starts: Int64Array, *, front_end: FrontEnd) -> tuple[Float32Array, Int64Array]:
    """Pad a call to one of a few shapes: zeros after the waveform, and repeats of the first segment."""
    hops = round(_CUDA_SECONDS * front_end.sample_rate / front_end.hop_length)
    samples = -len(waveform) % (hops * front_end.hop_length)
    segments = -len(starts) % _CUDA_SEGMENTS
    return np.pad(waveform, (0, samples)), np.concatenate([starts, np.repeat(starts[:1], segments)])


def sample(manifest: Manifest, *, n_segments: int) -> tuple[Float32Array, Int64Array]:
    """Return a fixed small input: noise, which takes as long as music."""
    front_end, segmentation = manifest.front_end, manifest.segmentation
    hop = segmentation.hop_samples(front_end)
    n_samples = segmentation.segment_samples(front_end) + (n_segments - 1) * hop
    starts = segmentation.start_frames(n_samples, front_end)
    n_samples += -n_samples % front_end.hop_length
    noise = np.random.default_rng(0).standard_normal(n_samples, dtype=np.float32)
    return np.float32(0.1) * noise, starts


def run(manifest: Manifest, session: Session, waveform: Float32Array, starts: Int64Array) -> list[Float32Array]:
    """Run a session once; return the probabilities in the order of the manifest's heads."""
    names = [f"probabilities_{head.target}" for head in manifest.heads]
    return session.run(names, {"waveform": waveform, "starts": starts})
