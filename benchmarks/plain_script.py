"""Tagging as the script that one would write first: librosa, eager fp32 torch, one song at a time.

The weights are those of the bundle, so that decisions can be compared. Batch norm is folded into the convolutions
there already, which makes this script faster than one that loads a training checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import librosa
import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from mertag.emotion import SongEmotion
from mertag.errors import MertagError
from mertag.listen.blocks import SongSegments
from mertag.listen.bundle import Bundle
from mertag.listen.device import SongModel
from mertag.listen.manifest import Precision
from mertag.listen.song import song_emotion
from mertag.listen.windows import FrontEnd
from mertag_train.networks.segment_statistics import Statistics
from mertag_train.networks.vgg import GROUPS

CONVOLUTIONS = sum(map(len, GROUPS))
_PART = re.compile(r"parts\.\w+_view_\d+")


def network_of(bundle: Bundle) -> nn.Module:
    """Return the bundle's network, or ensemble of networks, fp32: segments (n, n_frames, n_mels) in dB to logits.

    Raises
    ------
    SystemExit
        If it is not made of compact VGG16s and networks of statistics, with one head.
    """
    available = bundle.manifest.segment
    name = available.get(Precision.FP32) or available[Precision.FP16]
    graph = onnx.load_from_string(bundle.read(name)).graph
    values = {i.name: numpy_helper.to_array(i).astype(np.float32) for i in graph.initializer}
    mean, std = (torch.tensor(values[name]) for name in ("mean", "std"))  # (n_views, 1, n_mels)
    parts: dict[str, list[onnx.NodeProto]] = {}  # the layers of each part of the ensemble
    for node in graph.node:
        found = _PART.match(node.input[1]) if node.op_type in ("Conv", "Gemm") else None
        if found:
            parts.setdefault(found[0], []).append(node)
    if not parts or len(bundle.manifest.heads) != 1:
        raise SystemExit("the plain script knows models with one head only; leave it out with --no-plain")
    members: list[nn.Module] = []
    for name, nodes in parts.items():
        view = int(name.rsplit("_", 1)[1])
        members.append(
            _Network(
                mean[view],
                std[view],
                _eyes(name, nodes[:-2], values, bundle.manifest.front_end),
                _head(nodes[-2:], values),
                n_classes=len(bundle.manifest.heads[0].classes),
            )
        )
    return _Together(members).eval()


def _eyes(name: str, nodes: list[onnx.NodeProto], values: dict[str, np.ndarray], front_end: FrontEnd) -> nn.Module:
    """Return what lies before a head: normalised segments to an embedding."""
    if f"{name}.middle" in values:
        return _Measured(front_end, *(torch.tensor(values[f"{name}.{what}"]) for what in ("middle", "spread")))
    if [node.op_type for node in nodes] != ["Conv"] * CONVOLUTIONS:
        raise SystemExit("the plain script knows the compact VGG16 only; leave it out with --no-plain")
    given = iter(nodes)
    layers: list[nn.Module] = []
    for group in GROUPS:
        for _ in group:
            layers += [_filled(nn.Conv2d, values, next(given).input), nn.ReLU(inplace=True)]
        layers.append(nn.MaxPool2d(2))
    return _Trunk(*layers)


def _head(nodes: list[onnx.NodeProto], values: dict[str, np.ndarray]) -> nn.Module:
    inner, outer = (_filled(nn.Linear, values, node.input) for node in nodes)
    return nn.Sequential(inner, nn.ReLU(), outer)


def _filled(kind: type[nn.Module], values: dict[str, np.ndarray], inputs: list[str]) -> nn.Module:
    weight, bias = (torch.tensor(values[name]) for name in inputs[1:3])
    n_out, n_in = weight.shape[:2]
    made = kind(n_in, n_out, **({"kernel_size": 3, "padding": 1} if kind is nn.Conv2d else {}))
    made.load_state_dict({"weight": weight, "bias": bias})
    return made


class _Trunk(nn.Sequential):
    def forward(self, segments: torch.Tensor) -> torch.Tensor:
        return super().forward(segments.transpose(1, 2).unsqueeze(1)).mean(dim=3).flatten(1)


class _Measured(nn.Module):
    def __init__(self, front_end: FrontEnd, middle: torch.Tensor, spread: torch.Tensor) -> None:
        super().__init__()
        self.statistics, self.middle, self.spread = Statistics(front_end), middle, spread

    def forward(self, segments: torch.Tensor) -> torch.Tensor:
        return (self.statistics.measure(segments) - self.middle) / self.spread


class _Network(nn.Module):
    """A network, or several side by side: their probabilities, shape (n_networks, batch, n_classes)."""

    def __init__(
        self, mean: torch.Tensor, std: torch.Tensor, eyes: nn.Module, head: nn.Module, *, n_classes: int
    ) -> None:
        super().__init__()
        self.mean, self.std, self.eyes, self.head, self.n_classes = mean, std, eyes, head, n_classes

    def forward(self, segments: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.eyes((segments - self.mean) / self.std))
        return logits.reshape(len(segments), -1, self.n_classes).softmax(2).transpose(0, 1)


class _Together(nn.Module):
    def __init__(self, members: list[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, segments: torch.Tensor) -> torch.Tensor:
        return torch.cat([member(segments) for member in self.members]).mean(0).log()


def tag_plainly(
    paths: list[Path], *, bundle: Bundle, network: nn.Module, song_model: SongModel
) -> Iterator[tuple[Path, SongEmotion | None]]:
    """Yield the emotion of each song; None for one that has none."""
    front_end, segmentation = bundle.manifest.front_end, bundle.manifest.segmentation
    (head,) = bundle.manifest.heads
    n_frames = segmentation.segment_frames(front_end)
    for path in paths:
        waveform, _ = librosa.load(path, sr=front_end.sample_rate, mono=True)
        power = librosa.feature.melspectrogram(
            y=waveform,
            sr=front_end.sample_rate,
            n_fft=front_end.n_fft,
            hop_length=front_end.hop_length,
            n_mels=front_end.n_mels,
            center=False,
        )
        log_mel = 10 * np.log10(np.maximum(power, front_end.amin)).T.astype(np.float32)
        starts = segmentation.start_frames(len(waveform), front_end)
        if not len(starts):
            yield path, None
            continue
        segments = np.stack([log_mel[start : start + n_frames] for start in starts])
        with torch.no_grad():
            found = torch.softmax(network(torch.from_numpy(segments)), dim=-1).numpy()
        song = SongSegments(key=0, n_samples=len(waveform), n_segments=len(starts), probabilities={head.target: found})
        peak = float(np.abs(waveform).max())
        try:
            emotion = song_emotion(
                song, bundle=bundle, segmentation=segmentation, song_model=song_model, path=path, peak=peak
            )
            yield path, emotion
        except MertagError:
            yield path, None
