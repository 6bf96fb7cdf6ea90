"""Two music taggers, MSD-musicnn and MSD-vgg, from their published weights: what they hear teaches a segment network.

A waveform at 16 kHz becomes log-mels (batch, N_FRAMES, N_MELS), and these become units and the logits of 50 tags. The
weights, TensorFlow's arrays by name, come with the Python package ``musicnn`` 0.1.0 (ISC licence); a batch norm's
epsilon is 1e-3 everywhere. The ONNX file that comes with mertag was made by

    python -m mertag_train.networks.taggers MSD_musicnn.npz MSD_vgg.npz musicnn.onnx

Source: Pons and Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging", 2019.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, pad

from mertag_train.arrays import AnyFloats

SAMPLE_RATE, N_FFT, HOP_LENGTH, N_MELS = 16_000, 512, 256, 96
N_FRAMES = 187
WINDOW_SAMPLES = 48_000
PADDING = ((N_FRAMES - 1) * HOP_LENGTH + N_FFT - WINDOW_SAMPLES) // 2
"""The taggers' windows are 187 frames, 3.008 s; 4 ms of silence on each side make them of three seconds."""

HOP_S = 1.5

EPSILON = 1e-3
SOURCE = "MSD_musicnn and MSD_vgg, PyPI musicnn 0.1.0, Jordi Pons, Music Technology Group, ISC licence"
SEPARATOR = "|"
"""In place of TensorFlow's ``/`` in the names of the arrays."""

Weights = Mapping[str, AnyFloats]


class TaggerLogMel(nn.Module):
    """The taggers' front end: a waveform (batch, n_samples) at 16 kHz to log-mels (batch, n_frames, N_MELS).

    ``log10(10000 * m + 1)`` of the power mel spectrogram m (librosa's, Slaney; Hann window). Frame k begins `PADDING`
    samples before sample ``k * HOP_LENGTH``, where librosa's centred frames begin N_FFT / 2 before it.
    """

    basis: Tensor
    filters: Tensor

    def __init__(self) -> None:
        from librosa.filters import mel as mel_filters  # here: a run from saved log-mels needs no librosa

        super().__init__()
        time = np.arange(N_FFT)
        window = 0.5 - 0.5 * np.cos(2 * np.pi * time / N_FFT)
        angle = 2 * np.pi * np.outer(np.arange(N_FFT // 2 + 1), time) / N_FFT
        basis = np.concatenate([np.cos(angle), -np.sin(angle)]) * window
        mel = mel_filters(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS)
        self.register_buffer("basis", torch.from_numpy(basis[:, None]).float())
        self.register_buffer("filters", torch.from_numpy(mel.T.copy()).float())

    def forward(self, waveform: Tensor) -> Tensor:
        """Return the log-mels."""
        spectrum = nn.functional.conv1d(waveform[:, None], self.basis, stride=HOP_LENGTH, padding=PADDING)
        real, imaginary = spectrum.chunk(2, dim=1)
        power = (real.square() + imaginary.square()).transpose(1, 2)
        return torch.log10(10_000 * (power @ self.filters) + 1)


class Musicnn(nn.Module):
    """MSD-musicnn: log-mels (batch, N_FRAMES, N_MELS) to 200 penultimate units and 50 tag logits.

    Vertical filters hear timbre, long horizontal ones rhythm; three residual layers and two pools over time follow.
    """

    TEMPORAL = (128, 64, 32)

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.norm = _norm2d(weights, 0)
        self.timbral = nn.ModuleList(_conv(weights, f"conv2d{_nth(i)}") for i in range(2))
        self.temporal = nn.ModuleList(_conv(weights, f"conv2d_{i}") for i in (2, 3, 4))
        self.branch_norms = nn.ModuleList(_norm2d(weights, i) for i in range(1, 6))
        # The kernel's width is all channels: TensorFlow's (7, channels, 1, 64) is a convolution over time.
        self.deep = nn.ModuleList(_conv_over_time(weights, f"conv2d_{i}") for i in (5, 6, 7))
        self.deep_norms = nn.ModuleList(_norm1d(weights, i) for i in (6, 7, 8))
        self.pooled_norm = _norm1d(weights, 9)
        self.dense, self.dense_norm = _linear(weights, "dense"), _norm1d(weights, 10)
        self.tags = _linear(weights, "dense_1")

    def forward(self, logmel: Tensor) -> tuple[Tensor, Tensor]:
        """Return the penultimate units (batch, 200) and the tag logits (batch, 50)."""
        image = self.norm(logmel[:, None])
        heard = [convolve(pad(image, (0, 0, 3, 3))) for convolve in self.timbral]
        for convolve, length in zip(self.temporal, self.TEMPORAL, strict=True):
            before = (length - 1) // 2
            heard.append(convolve(pad(image, (0, 0, before, length - 1 - before))))
        front = torch.cat(
            [norm(branch.relu()).amax(dim=3) for norm, branch in zip(self.branch_norms, heard, strict=True)], dim=1
        )
        layers = [front]
        for convolve, norm in zip(self.deep, self.deep_norms, strict=True):
            deeper = norm(convolve(layers[-1]).relu())
            layers.append(deeper if len(layers) == 1 else layers[-1] + deeper)
        joined = torch.cat(layers, dim=1)
        pooled = torch.stack([joined.amax(dim=2), joined.mean(dim=2)], dim=2).flatten(1)
        units = self.dense_norm(self.dense(self.pooled_norm(pooled)).relu())
        return units, self.tags(units)


class TaggerVgg(nn.Module):
    """MSD-vgg: log-mels (batch, N_FRAMES, N_MELS) to 256 units and 50 tag logits, by five convolutions and pools."""

    POOLS = (((4, 1), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((4, 4), (4, 4)))

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.norm = _norm2d(weights, 0)
        self.convolutions = nn.ModuleList(_conv(weights, f"{i}CNN", padding=1) for i in range(1, 6))
        self.norms = nn.ModuleList(_norm2d(weights, i) for i in range(1, 6))
        self.tags = _linear(weights, "dense")

    def forward(self, logmel: Tensor) -> tuple[Tensor, Tensor]:
        """Return the units (batch, 256) and the tag logits (batch, 50)."""
        seen = self.norm(logmel[:, None])
        for convolve, norm, (size, stride) in zip(self.convolutions, self.norms, self.POOLS, strict=True):
            seen = max_pool2d(norm(convolve(seen).relu()), size, stride)
        units = seen.permute(0, 2, 3, 1).flatten(1)
        return units, self.tags(units)


class Taggers(nn.Module):
    """Both behind one front end: a waveform (batch, n_samples) to embeddings (batch, 556).

    The embedding is musicnn's units, vgg's units, and the tag logits of each.
    """

    def __init__(self, musicnn: Weights, vgg: Weights) -> None:
        super().__init__()
        self.logmel, self.musicnn, self.vgg = TaggerLogMel(), Musicnn(musicnn), TaggerVgg(vgg)
        self.eval()

    def forward(self, waveform: Tensor) -> Tensor:
        """Return the embeddings."""
        logmel = self.logmel(waveform)
        units, tags = self.musicnn(logmel)
        vgg_units, vgg_tags = self.vgg(logmel)
        return torch.cat([units, vgg_units, tags, vgg_tags], dim=1)


def _nth(number: int) -> str:
    """Return TensorFlow's suffix of the layer with this number."""
    return f"_{number}" if number else ""


def _tensor(weights: Weights, name: str) -> Tensor:
    return torch.from_numpy(np.asarray(weights[name], dtype=np.float32))


def _filled(layer: nn.Module, values: Mapping[str, Tensor]) -> None:
    layer.load_state_dict(values, strict=False)


def _conv(weights: Weights, name: str, *, padding: int = 0) -> nn.Conv2d:
    kernel = _tensor(weights, f"{name}{SEPARATOR}kernel").permute(3, 2, 0, 1)  # (out, in, time, frequency)
    layer = nn.Conv2d(kernel.shape[1], kernel.shape[0], (kernel.shape[2], kernel.shape[3]), padding=padding)
    _filled(layer, {"weight": kernel, "bias": _tensor(weights, f"{name}{SEPARATOR}bias")})
    return layer


def _conv_over_time(weights: Weights, name: str) -> nn.Conv1d:
    kernel = _tensor(weights, f"{name}{SEPARATOR}kernel")[:, :, 0].permute(2, 1, 0)  # (out, in, time)
    layer = nn.Conv1d(kernel.shape[1], kernel.shape[0], kernel.shape[2], padding=kernel.shape[2] // 2)
    _filled(layer, {"weight": kernel, "bias": _tensor(weights, f"{name}{SEPARATOR}bias")})
    return layer


def _linear(weights: Weights, name: str) -> nn.Linear:
    kernel = _tensor(weights, f"{name}{SEPARATOR}kernel").T
    layer = nn.Linear(kernel.shape[1], kernel.shape[0])
    _filled(layer, {"weight": kernel, "bias": _tensor(weights, f"{name}{SEPARATOR}bias")})
    return layer


def _norm2d(weights: Weights, number: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(len(weights[_norm_name(number, "gamma")]), eps=EPSILON)
    _filled(layer, _norm(weights, number))
    return layer


def _norm1d(weights: Weights, number: int) -> nn.BatchNorm1d:
    layer = nn.BatchNorm1d(len(weights[_norm_name(number, "gamma")]), eps=EPSILON)
    _filled(layer, _norm(weights, number))
    return layer


def _norm_name(number: int, what: str) -> str:
    return f"batch_normalization{_nth(number)}{SEPARATOR}{what}"


def _norm(weights: Weights, number: int) -> dict[str, Tensor]:
    """Return the values of a batch norm by torch's names."""
    names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    return {ours: _tensor(weights, _norm_name(number, theirs)) for ours, theirs in names.items()}


def export(module: Taggers, path: Path) -> None:
    """Write the taggers as an embedding model (`mertag_train.data.embedding_model`), one ONNX file."""
    import onnx

    windows = torch.export.Dim("windows", min=1, max=4096)
    program = torch.onnx.export(
        module,
        (torch.zeros(2, WINDOW_SAMPLES),),
        dynamo=True,
        dynamic_shapes=({0: windows},),
        input_names=["waveform"],
        output_names=["embeddings"],
    )
    assert program is not None
    model = program.model_proto
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del part.metadata_props[:]  # where in the source it was made, by this machine's paths
        part.ClearField("doc_string")
    properties = {"sample_rate": str(SAMPLE_RATE), "hop_s": str(HOP_S), "output": "embeddings", "source": SOURCE}
    onnx.helper.set_model_props(model, properties)
    onnx.save_model(model, path)


if __name__ == "__main__":
    *arrays, target = sys.argv[1:]
    export(Taggers(*(np.load(name, allow_pickle=False) for name in arrays)), Path(target))
