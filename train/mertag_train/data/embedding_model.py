"""An ONNX model that turns audio into embeddings: VGGish, OpenL3, or any other that keeps this contract.

One file, weights inside, with one float32 input of one of these shapes (a name stands for any size):

===========================================  ==============================================================
``(n,)``, ``(1, n)``, ``(1, 1, n)``          one window of a mono waveform in -1..1
``(batch, n)``, ``(batch, 1, n)``            several windows at once
``(1 or batch, 96, 64)``,                    log-mel patches as VGGish's (`patches`)
``(1 or batch, 1, 96, 64)``
``(1 or batch, 128, n)``                     log-mels as VibeNet's (`mertag_train.data.vibenet`)
===========================================  ==============================================================

It gives float32 of shape ``(dim,)``, ``(windows, dim)`` or ``(windows, steps, dim)``; of several outputs, the one
called ``embeddings`` or ``embedding`` is taken, or the one that ``output`` below names. A file whose output is of one
window only is given one at a time, whatever its input says.

What the shapes do not say stands in the file's ``metadata_props``, as text, so that the hash of the file stands for
everything that its embeddings depend on::

    sample_rate    Hz; needed for a waveform, 16000 for patches and log-mels
    window_s       seconds of a window; needed where n may be any size (log-mels: 10, if not given)
    hop_s          seconds from one window to the next; one window, if not given (patches: 0.96)
    output         name of the output
    front_end      "vibenet" for its log-mels; its published file is known without

They are written into a file with ``onnx.helper.set_model_props(model, {"sample_rate": "48000"})``. Only full windows
are heard; a clip that is shorter than one is filled up with silence.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import numpy as np

from mertag.errors import BundleError, ConfigError
from mertag.listen.external_data import has_external_data
from mertag.listen.sessions import cpu_session, first_line
from mertag_train.arrays import Floats, Floats32
from mertag_train.data import vibenet

BUNDLED = Path(str(files("mertag_train") / "taggers" / "musicnn.onnx"))
"""The music taggers MSD-musicnn and MSD-vgg (`mertag_train.networks.taggers`)."""

PATCH_SAMPLE_RATE = 16_000
FRAME_SAMPLES, FRAME_HOP, PATCH_FFT = 400, 160, 512
PATCH_FRAMES, PATCH_MELS = 96, 64
PATCH_FMIN_HZ, PATCH_FMAX_HZ = 125.0, 7_500.0
PATCH_OFFSET = 0.01
PATCH_SAMPLES = (PATCH_FRAMES - 1) * FRAME_HOP + FRAME_SAMPLES
PATCH_HOP = PATCH_FRAMES * FRAME_HOP

BATCH = 32
"""Windows at a time, where the model takes more than one."""

UNDERSTOOD = (
    "understood are a float32 waveform, (n,), (1, n), (batch, n) or (batch, 1, n), VGGish's log-mel patches, "
    "(batch, 96, 64) or (batch, 1, 96, 64), and, with the metadata property front_end, VibeNet's log-mels, "
    "(batch, 128, n); put any other front end into the graph"
)
PROPERTIES = "add it with onnx.helper.set_model_props"


def path_of(name: str) -> Path | None:
    """Return the file of a model by its name: ``musicnn`` comes with mertag, ``none`` is none, else it is a path."""
    return {"musicnn": BUNDLED, "none": None}.get(name, Path(name))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of an embedding model; raise ConfigError if it cannot be read."""
    return hashlib.sha256(_bytes(path)).hexdigest()


class EmbeddingModel:
    """A model on the CPU, so that its embeddings do not depend on the device that trains.

    `sha256` is that of the file, `sample_rate` is in Hz, `window_samples` and `hop_samples` are of a window, and from
    one to the next. ConfigError is raised if the file cannot be read, or does not keep the contract; the message says
    what was found and what is understood.
    """

    def __init__(self, path: Path, *, threads: int = 0) -> None:
        data = _bytes(path)
        self.path, self.sha256 = path, hashlib.sha256(data).hexdigest()
        try:
            outside = has_external_data(data)
        except ValueError as error:
            raise self._no(f"it is no ONNX file ({error})") from error
        if outside:
            raise self._no("its weights lie in other files; save it as one file (onnx.save_model does, by default)")
        try:
            session = cpu_session(data, threads=threads, where=path)
        except BundleError as error:
            raise self._no(f"onnxruntime cannot load it ({first_line(error.__cause__ or error)})") from error
        self._session = cast(Any, session)  # `Session` knows nothing of properties
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)":
            found = ", ".join(f"{i.name!r} {i.type} {_shown(i.shape)}" for i in inputs) or "none"
            raise self._no(f"its inputs are {found}; one is expected, and {UNDERSTOOD}")
        self._input, shape = inputs[0].name, tuple(inputs[0].shape)
        props: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        self._output = self._output_name(props.get("output"))
        self._patches = shape[-2:] == (PATCH_FRAMES, PATCH_MELS)
        self._vibenet = self._hears_as_vibenet(props, shape)
        self._read_shape(shape)
        self._read_times(shape, props)

    def _hears_as_vibenet(self, props: Mapping[str, str], shape: tuple[Any, ...]) -> bool:
        """Return whether the input is VibeNet's log-mels: by the property, or since it is the published file."""
        named = props.get("front_end")
        if named is None and self.sha256 != vibenet.SHA256:
            return False
        if named not in (None, vibenet.NAME):
            raise self._no(f"its metadata property front_end is {named!r}; {vibenet.NAME!r} is understood")
        if len(shape) != 3 or shape[-2] != vibenet.N_MELS or isinstance(shape[-1], int):
            raise self._no(f"its input {self._input!r} has the shape {_shown(shape)}; VibeNet's is (batch, 128, n)")
        return True

    def _output_name(self, wanted: str | None) -> str:
        names = [output.name for output in self._session.get_outputs()]
        known = [name for name in names if name in ("embeddings", "embedding")]
        chosen = [wanted] if wanted is not None else names if len(names) == 1 else known
        if len(chosen) != 1 or chosen[0] not in names:
            raise self._no(
                f"its outputs are {', '.join(map(repr, names))}; which one holds the embeddings? Call it 'embeddings', "
                f"or name it as the metadata property output ({PROPERTIES})"
            )
        return chosen[0]

    def _read_shape(self, shape: tuple[Any, ...]) -> None:
        """Take in the input's dimensions, or refuse them."""
        inner = 2 if self._patches or self._vibenet else 1  # dimensions of one window
        outer = shape[:-inner]
        one_channel = len(outer) == 2 and outer[1] == 1
        if len(shape) < inner or not (len(outer) <= 1 or one_channel) or (self._patches and not outer):
            raise self._no(f"its input {self._input!r} has the shape {_shown(shape)}; {UNDERSTOOD}")
        if outer and isinstance(outer[0], int) and outer[0] != 1:
            raise self._no(
                f"its input {self._input!r} has the shape {_shown(shape)}: always {outer[0]} windows at once; "
                "export it for one, or for any number"
            )
        self._outer = len(outer)
        given = next(tuple(o.shape) for o in self._session.get_outputs() if o.name == self._output)
        one_by_one = len(given) >= 2 and given[0] == 1
        self._batch = BATCH if outer and not isinstance(outer[0], int) and not one_by_one else 1

    def _read_times(self, shape: tuple[Any, ...], props: Mapping[str, str]) -> None:
        """Take in sample rate, window and hop from the properties, or refuse them."""
        rate, window_s, hop_s = (self._number(props, key) for key in ("sample_rate", "window_s", "hop_s"))
        if self._patches:
            if rate not in (None, PATCH_SAMPLE_RATE) or window_s is not None:
                raise self._no("its input is VGGish's patches, which have a sample rate of 16000 and no window_s")
            self.sample_rate, self.window_samples = PATCH_SAMPLE_RATE, PATCH_SAMPLES
        elif self._vibenet:
            if rate not in (None, vibenet.SAMPLE_RATE):
                raise self._no("its input is VibeNet's log-mels, which have a sample rate of 16000")
            self.sample_rate = vibenet.SAMPLE_RATE
            self.window_samples = round((window_s or vibenet.WINDOW_S) * self.sample_rate)
            if self.window_samples < vibenet.FRAME_SAMPLES:
                raise self._no(f"its metadata property window_s is {window_s:g}; a log-mel has at least 0.04 s")
        else:
            if rate is None:
                raise self._no(f"which sample rate? It has no metadata property sample_rate ({PROPERTIES})")
            if rate != int(rate):
                raise self._no(f"its metadata property sample_rate is {rate:g}; whole Hz are understood")
            self.sample_rate, length = int(rate), shape[-1]
            said = None if window_s is None else round(window_s * rate)
            if not isinstance(length, int) and said is None:
                raise self._no(
                    f"its input {self._input!r} has the shape {_shown(shape)}: how long is a window? It has no "
                    f"metadata property window_s ({PROPERTIES})"
                )
            if isinstance(length, int) and said not in (None, length):
                raise self._no(f"its input takes {length} samples, but its metadata property window_s says {said}")
            self.window_samples = length if isinstance(length, int) else int(said or 0)
        usual = PATCH_HOP if self._patches else self.window_samples
        self.hop_samples = usual if hop_s is None else round(hop_s * self.sample_rate)
        if min(self.window_samples, self.hop_samples) < 1:
            raise self._no("a window, or the hop between two, is shorter than a sample")

    def _number(self, props: Mapping[str, str], key: str) -> float | None:
        if key not in props:
            return None
        try:
            value = float(props[key])
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > 0):
            raise self._no(f"its metadata property {key} is {props[key]!r}; a number above 0 is understood")
        return value

    def n_windows(self, n_samples: int) -> int:
        """Return how many full windows a clip has."""
        return max(0, (n_samples - self.window_samples) // self.hop_samples + 1)

    def embed(self, waveform: Floats32) -> Floats32:
        """Return the embeddings of a clip, in time order, float32 of shape (n_embeddings, dim).

        There is one a window, or as many as the model gives of each. The waveform, float32 of shape (n_samples,), is
        mono, at `sample_rate`.

        Raises
        ------
        ConfigError
            If the model fails, or what it gives is of another shape, or not finite.
        ValueError
            If the clip is shorter than one window.
        """
        if self.n_windows(len(waveform)) == 0:
            raise ValueError(f"expected at least {self.window_samples} samples, got {len(waveform)}")
        windows = np.lib.stride_tricks.sliding_window_view(waveform, self.window_samples)[:: self.hop_samples]
        every: list[Floats32] = []
        for start in range(0, len(windows), self._batch):
            some = windows[start : start + self._batch]
            fed = self._heard(some)
            shape = (len(some), 1)[: self._outer] + fed.shape[1:]
            try:
                found = np.asarray(self._session.run([self._output], {self._input: fed.reshape(shape)})[0])
            except Exception as error:  # onnxruntime's exceptions share no base class
                raise self._no(f"it fails on an input of the shape {_shown(shape)} ({first_line(error)})") from error
            several = found.ndim >= 2
            fits = found.ndim in (1, 2, 3) and (several or len(some) == 1) and found.size > 0
            if found.dtype != np.float32 or not fits or (self._batch > 1 and several and len(found) != len(some)):
                raise self._no(
                    f"of {len(some)} windows its output {self._output!r} is {found.dtype} of the shape "
                    f"{_shown(found.shape)}; float32 of (dim,), (windows, dim) or (windows, steps, dim) is understood"
                )
            if not np.isfinite(found).all():
                raise self._no(f"its output {self._output!r} holds NaN or infinity")
            every.append(found.reshape(-1, found.shape[-1]))
        return np.concatenate(every)

    def _heard(self, windows: Floats32) -> Floats32:
        """Return windows, shape (n, window_samples), as the model takes them."""
        if self._patches:
            return patches(windows)
        if self._vibenet:
            return vibenet.log_mels(windows)
        return np.ascontiguousarray(windows, dtype=np.float32)

    def _no(self, why: str) -> ConfigError:
        return ConfigError(f"--embedding-model {self.path}: {why}.")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        why = error.strerror or error
        raise ConfigError(f"--embedding-model {path}: cannot be read: {why}. Name an ONNX file.") from error


def _shown(shape: Any) -> str:
    return "(" + ", ".join(str(size) if size is not None else "?" for size in shape) + ")"


def patches(windows: Floats32) -> Floats32:
    """Return the log-mel patches that VGGish was trained on, shape (n, 96, 64), of windows, shape (n, PATCH_SAMPLES).

    16,000 Hz mono in -1..1; frames of 400 samples every 160 (25 and 10 ms), periodic Hann, 512-point FFT, magnitude; 64
    mel bands from 125 to 7,500 Hz whose triangles are straight on the mel scale of HTK; ``ln(mel + 0.01)``; a patch is
    96 frames. Source: Hershey et al., "CNN architectures for large-scale audio classification", 2017, and the published
    model's front end.
    """
    frames = np.lib.stride_tricks.sliding_window_view(windows, FRAME_SAMPLES, axis=1)[:, ::FRAME_HOP]  # (n, 96, 400)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME_SAMPLES) / FRAME_SAMPLES)
    magnitude = np.abs(np.fft.rfft(frames * hann, PATCH_FFT))  # (n, 96, 257)
    found: Floats32 = np.log(magnitude @ mel_weights() + PATCH_OFFSET).astype(np.float32)
    return found


@cache
def mel_weights() -> Floats:
    """Return the weight of each FFT bin in each band, shape (257, 64); bin 0 weighs nothing."""
    edges = np.linspace(_mel(np.array(PATCH_FMIN_HZ)), _mel(np.array(PATCH_FMAX_HZ)), PATCH_MELS + 2)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    bins = _mel(np.linspace(0, PATCH_SAMPLE_RATE / 2, PATCH_FFT // 2 + 1))[:, None]
    weights: Floats = np.maximum(0.0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    weights[0] = 0.0
    return weights


def _mel(hz: Floats) -> Floats:
    mel: Floats = 1_127.0 * np.log1p(hz / 700.0)
    return mel
